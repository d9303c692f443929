"""Operations of vectron.auth.v1: accounts, logins, and API keys, which are named by their prefix here."""

from vectrograph.control.records import ApiKeyRecord, UserRecord
from vectrograph.domain.errors import InvalidArgument
from vectrograph.services.accounts.rules import validate_key_name
from vectrograph.vectron._messages import auth, vectron
from vectrograph.vectron.invocation import Invocation, Visit, seconds


def register(visit: Visit, request: auth.RegisterUserRequest) -> auth.RegisterUserResponse:
    """Make an account."""
    caller = visit.caller()
    user = visit.services.registration.register(caller, request.email, request.password, visit.origin)
    return auth.RegisterUserResponse(user=profile_of(user))


def login(visit: Visit, request: auth.LoginRequest) -> auth.LoginResponse:
    """Make a JWT for 24 hours."""
    found = visit.services.logins.login(request.email, request.password, visit.origin)
    return auth.LoginResponse(jwt_token=found.token, user=profile_of(found.user))


def profile(given: Invocation, _: auth.GetUserProfileRequest) -> auth.GetUserProfileResponse:
    """Return the caller's account."""
    return auth.GetUserProfileResponse(user=profile_of(given.services.sessions.me(given.call)))


def update_profile(given: Invocation, request: auth.UpdateUserProfileRequest) -> auth.UpdateUserProfileResponse:
    """Set the caller's own plan, and renew the JWT of a login, which names the plan."""
    user = given.services.users.set_plan(given.call, _stored_plan(request.plan))
    token = given.services.logins.renew(given.call).token if given.call.principal.renewable else ""
    return auth.UpdateUserProfileResponse(user=profile_of(user), jwt_token=token)


def update_plan(given: Invocation, request: vectron.UpdateUserProfileRequest) -> vectron.UpdateUserProfileResponse:
    """Set the caller's own plan."""
    user = given.services.users.set_plan(given.call, _stored_plan(request.plan))
    return vectron.UpdateUserProfileResponse(user=profile_of(user))


def delete_user(given: Invocation, request: auth.DeleteUserRequest) -> auth.DeleteUserResponse:
    """Remove the caller's account."""
    given.services.registration.remove(given.call, request.password)
    return auth.DeleteUserResponse(success=True)


def refresh(given: Invocation, _: auth.RefreshTokenRequest) -> auth.RefreshTokenResponse:
    """Make a new JWT for 24 hours."""
    renewed = given.services.logins.renew(given.call)
    return auth.RefreshTokenResponse(jwt_token=renewed.token, expires_at=seconds(renewed.expires_at))


def create_key(given: Invocation, request: auth.CreateAPIKeyRequest) -> auth.CreateAPIKeyResponse:
    """Make a key with the caller's scopes, less managing keys and administration."""
    validate_key_name(request.name)
    created = given.services.keys.create(given.call, request.name, None, None)
    return auth.CreateAPIKeyResponse(full_key=created.secret, key_info=_key_of(created.record))


def list_keys(given: Invocation, _: auth.ListAPIKeysRequest) -> auth.ListAPIKeysResponse:
    """Return the caller's own keys that are in force, newest first."""
    own = [
        _key_of(record)
        for record in given.services.keys.list(given.call)
        if record.is_active and record.owner == given.call.principal.user_id
    ]
    return auth.ListAPIKeysResponse(keys=own)


def delete_key(given: Invocation, request: auth.DeleteAPIKeyRequest) -> auth.DeleteAPIKeyResponse:
    """Remove a key; it and its SDK JWTs cease to work at once."""
    given.services.logins.delete_key(given.call, request.key_prefix)
    return auth.DeleteAPIKeyResponse(success=True)


def validate_key(visit: Visit, request: auth.ValidateAPIKeyRequest) -> auth.ValidateAPIKeyResponse:
    """Tell whether a whole key holds, and whose it is."""
    holder = visit.services.logins.validate(request.full_key)
    if holder is None:
        return auth.ValidateAPIKeyResponse(valid=False, user_id="", plan="", api_key_id="")
    return auth.ValidateAPIKeyResponse(
        valid=True,
        user_id=holder.owner.user_id,
        plan=_plan_of(holder.owner).name,
        api_key_id=holder.key.key_prefix,
    )


def sdk_token(given: Invocation, request: auth.CreateSDKJWTRequest) -> auth.CreateSDKJWTResponse:
    """Make a JWT for 7 days that stands for one of the caller's keys."""
    return auth.CreateSDKJWTResponse(sdk_jwt=given.services.logins.sdk_token(given.call, request.api_key_id))


def key_details(given: Invocation, request: auth.GetAuthDetailsForSDKRequest) -> auth.GetAuthDetailsForSDKResponse:
    """Tell whose a key is to those who may know."""
    holder = given.services.logins.details(given.call, request.api_key_id)
    if holder is None:
        return auth.GetAuthDetailsForSDKResponse(user_id="", plan=auth.Plan.PLAN_UNSPECIFIED, success=False)
    return auth.GetAuthDetailsForSDKResponse(user_id=holder.owner.user_id, plan=_plan_of(holder.owner), success=True)


def profile_of(user: UserRecord) -> auth.UserProfile:
    """Return the message of an account."""
    return auth.UserProfile(
        id=user.user_id,
        email=user.email or "",
        created_at=seconds(user.created_at),
        plan=_plan_of(user),
        subscription_status=auth.SubscriptionStatus.ACTIVE,
    )


def _key_of(record: ApiKeyRecord) -> auth.APIKey:
    return auth.APIKey(
        key_prefix=record.key_prefix,
        user_id=record.owner,
        created_at=seconds(record.created_at),
        name=record.name,
    )


def _plan_of(user: UserRecord) -> auth.Plan:
    return auth.Plan(user.plan or auth.Plan.PLAN_UNSPECIFIED)


def _stored_plan(plan: auth.Plan | int) -> str:
    """Return the name of a plan, "" for unspecified. On both wires a plan may be a number that no plan has.

    Raises:
        InvalidArgument: there is no such plan.

    >>> _stored_plan(2), _stored_plan(auth.Plan.PLAN_UNSPECIFIED)
    ('PAID', '')
    """
    plans = list(auth.Plan)
    if isinstance(plan, int):
        if not 0 <= plan < len(plans):
            known = ", ".join(f"{each.name} = {number}" for number, each in enumerate(plans))
            raise InvalidArgument.of("plan", f"is {plan} and must be one of {known}", "enum")
        plan = plans[plan]
    return "" if plan is auth.Plan.PLAN_UNSPECIFIED else plan.name
