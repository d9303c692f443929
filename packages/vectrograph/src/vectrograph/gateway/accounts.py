"""Handlers of accounts and API keys, which are named by their prefix here."""

from vectrograph.domain.errors import Unauthenticated
from vectrograph.gateway import account_messages as messages
from vectrograph.gateway.messages import SuccessResponse
from vectrograph.http.context import Context
from vectrograph.services.accounts.rules import validate_key_name
from vectrograph.services.call import Principal

_SECOND = 1_000_000


def register(context: Context, body: messages.EmailAndPassword) -> messages.UserAnswer:
    """POST /v1/users/register."""
    user = context.services.registration.register(_whoever(context), body.email, body.password, context.origin)
    return messages.UserAnswer(user=messages.UserProfile.of(user))


def login(context: Context, body: messages.EmailAndPassword) -> messages.LoginResponse:
    """POST /v1/users/login."""
    found = context.services.logins.login(body.email, body.password, context.origin)
    return messages.LoginResponse(jwt_token=found.token, user=messages.UserProfile.of(found.user))


def profile(context: Context, _: None) -> messages.UserAnswer:
    """GET /v1/user/profile."""
    return messages.UserAnswer(user=messages.UserProfile.of(context.services.sessions.me(context.call)))


def update_profile(context: Context, body: messages.UpdateUserProfileRequest) -> messages.UpdateUserProfileResponse:
    """PUT /v1/user/profile."""
    call = context.call
    user = context.services.users.set_plan(call, body.plan.stored)
    token = context.services.logins.renew(call).token if call.principal.renewable else ""
    return messages.UpdateUserProfileResponse(user=messages.UserProfile.of(user), jwt_token=token)


def delete_user(context: Context, body: messages.DeleteUserRequest) -> SuccessResponse:
    """POST /v1/user/delete."""
    context.services.registration.remove(context.call, body.password)
    return SuccessResponse()


def refresh(context: Context, _: messages.EmptyRequest) -> messages.RefreshTokenResponse:
    """POST /v1/auth/refresh."""
    renewed = context.services.logins.renew(context.call)
    return messages.RefreshTokenResponse(jwt_token=renewed.token, expires_at=str(renewed.expires_at // _SECOND))


def create_key(context: Context, body: messages.CreateKeyRequest) -> messages.CreateKeyResponse:
    """POST /v1/keys."""
    validate_key_name(body.name)
    created = context.services.keys.create(context.call, body.name, None, None)
    return messages.CreateKeyResponse(full_key=created.secret, key_info=messages.KeyInfo.of(created.record))


def list_keys(context: Context, _: None) -> messages.ListKeysResponse:
    """GET /v1/keys."""
    call = context.call
    own = [
        messages.KeyInfo.of(record)
        for record in context.services.keys.list(call)
        if record.is_active and record.owner == call.principal.user_id
    ]
    return messages.ListKeysResponse(keys=own)


def delete_key(context: Context, _: None) -> SuccessResponse:
    """DELETE /v1/keys/{key_prefix}."""
    context.services.logins.delete_key(context.call, context.path["key_prefix"])
    return SuccessResponse()


def validate_key(context: Context, body: messages.ValidateKeyRequest) -> messages.ValidateKeyResponse:
    """POST /v1/keys/validate."""
    holder = context.services.logins.validate(body.full_key)
    if holder is None:
        return messages.ValidateKeyResponse()
    return messages.ValidateKeyResponse(
        valid=True,
        user_id=holder.owner.user_id,
        plan=messages.Plan.of(holder.owner).value,
        api_key_id=holder.key.key_prefix,
    )


def sdk_token(context: Context, body: messages.SdkTokenRequest) -> messages.SdkTokenResponse:
    """POST /v1/sdk-jwt."""
    return messages.SdkTokenResponse(sdk_jwt=context.services.logins.sdk_token(context.call, body.api_key_id))


def _whoever(context: Context) -> Principal | None:
    """Who registers someone: a caller with credentials that hold, else a stranger."""
    if context.offered is None:
        return None
    try:
        principal = context.services.sessions.authenticate(context.offered)
    except Unauthenticated:
        return None
    context.services.rate_limits.charge_caller(principal)
    return principal
