"""The twelve operations of `vectron.auth.v1.AuthService`, built as in `operations`. Pure.

Emails, passwords and keys go into messages and nowhere else: no error of this module repeats one.
"""

from typing import Any

from vectron_client._execution.call import Call, confirm
from vectron_client._pb import auth_pb as wire
from vectron_client._pb.methods import AUTH_SERVICE_METHODS as METHODS
from vectron_client._protocol.arguments import invalid, moment, text
from vectron_client._results import AccessToken, APIKey, CreatedAPIKey, KeyOwner, Login
from vectron_client.exceptions import InternalServerError
from vectron_client.models import UserProfile


def register(email: str, password: str) -> Call[UserProfile]:
    """Return an account."""
    request = wire.RegisterUserRequest(email=text("email", email), password=text("password", password))

    def read(answer: bytes) -> UserProfile:
        return read_profile(wire.RegisterUserResponse.FromString(answer).user)

    return Call(METHODS["RegisterUser"], request.SerializeToString(), read, writes=True, secrets=(password,))


def login(email: str, password: str) -> Call[Login]:
    """Return a JWT for an email and a password."""
    request = wire.LoginRequest(email=text("email", email), password=text("password", password))

    def read(answer: bytes) -> Login:
        response = wire.LoginResponse.FromString(answer)
        return Login(_token("Login", response.jwt_token), read_profile(response.user))

    return Call(METHODS["Login"], request.SerializeToString(), read, secrets=(password,))


def refresh() -> Call[AccessToken]:
    """Return a new JWT for one that still holds."""

    def read(answer: bytes) -> AccessToken:
        response = wire.RefreshTokenResponse.FromString(answer)
        return AccessToken(_token("RefreshToken", response.jwt_token), moment(response.expires_at))

    return Call(METHODS["RefreshToken"], b"", read)


def get_user_profile() -> Call[UserProfile]:
    """Return the caller's account."""

    def read(answer: bytes) -> UserProfile:
        return read_profile(wire.GetUserProfileResponse.FromString(answer).user)

    return Call(METHODS["GetUserProfile"], b"", read)


def update_user_profile(plan: str) -> Call[tuple[UserProfile, str]]:
    """Return another plan for the caller; with the profile comes a new JWT, empty when the caller had none."""
    request = wire.UpdateUserProfileRequest(plan=plan_number(plan))

    def read(answer: bytes) -> tuple[UserProfile, str]:
        response = wire.UpdateUserProfileResponse.FromString(answer)
        return read_profile(response.user), response.jwt_token

    return Call(METHODS["UpdateUserProfile"], request.SerializeToString(), read, writes=True)


def delete_user(password: str) -> Call[None]:
    """Return the end of the caller's account."""
    request = wire.DeleteUserRequest(password=text("password", password))

    def read(answer: bytes) -> None:
        confirm("DeleteUser", wire.DeleteUserResponse.FromString(answer).success)

    return Call(METHODS["DeleteUser"], request.SerializeToString(), read, writes=True, secrets=(password,))


def create_api_key(name: str) -> Call[CreatedAPIKey]:
    """Return an API key."""
    request = wire.CreateAPIKeyRequest(name=text("name", name))

    def read(answer: bytes) -> CreatedAPIKey:
        response = wire.CreateAPIKeyResponse.FromString(answer)
        return CreatedAPIKey(_token("CreateAPIKey", response.full_key), _key(response.key_info))

    return Call(METHODS["CreateAPIKey"], request.SerializeToString(), read, writes=True)


def list_api_keys() -> Call[list[APIKey]]:
    """Return the caller's keys."""

    def read(answer: bytes) -> list[APIKey]:
        return [_key(key) for key in wire.ListAPIKeysResponse.FromString(answer).keys]

    return Call(METHODS["ListAPIKeys"], b"", read)


def delete_api_key(key_prefix: str) -> Call[None]:
    """Return the end of a key."""
    request = wire.DeleteAPIKeyRequest(key_prefix=text("key_prefix", key_prefix))

    def read(answer: bytes) -> None:
        confirm("DeleteAPIKey", wire.DeleteAPIKeyResponse.FromString(answer).success)

    return Call(METHODS["DeleteAPIKey"], request.SerializeToString(), read, writes=True)


def validate_api_key(api_key: str) -> Call[KeyOwner | None]:
    """Return whose a whole key is; None when it does not hold."""
    request = wire.ValidateAPIKeyRequest(full_key=text("api_key", api_key))

    def read(answer: bytes) -> KeyOwner | None:
        found = wire.ValidateAPIKeyResponse.FromString(answer)
        return KeyOwner(found.user_id, found.plan, found.api_key_id) if found.valid else None

    return Call(METHODS["ValidateAPIKey"], request.SerializeToString(), read)


def create_sdk_token(key_prefix: str) -> Call[str]:
    """Return a JWT that stands for a key."""
    request = wire.CreateSDKJWTRequest(api_key_id=text("key_prefix", key_prefix))

    def read(answer: bytes) -> str:
        return _token("CreateSDKJWT", wire.CreateSDKJWTResponse.FromString(answer).sdk_jwt)

    return Call(METHODS["CreateSDKJWT"], request.SerializeToString(), read, writes=True)


def get_key_owner(key_prefix: str) -> Call[KeyOwner | None]:
    """Return whose a key is; None when there is none, and for those whom it does not concern."""
    request = wire.GetAuthDetailsForSDKRequest(api_key_id=text("key_prefix", key_prefix))

    def read(answer: bytes) -> KeyOwner | None:
        found = wire.GetAuthDetailsForSDKResponse.FromString(answer)
        return KeyOwner(found.user_id, read_plan(found.plan), key_prefix) if found.success else None

    return Call(METHODS["GetAuthDetailsForSDK"], request.SerializeToString(), read)


def _key(key: Any) -> APIKey:
    return APIKey(key.key_prefix, key.user_id, moment(key.created_at), key.name)


def _token(method: str, value: str) -> str:
    """Return a credential of an answer, which must not be empty."""
    if not value:
        raise InternalServerError(f"the server answered {method} without an error but without a credential")
    return value


def plan_number(plan: str) -> int:
    """Return the number of a plan.

    Raises:
        InvalidArgumentError: there is none of that name.

    >>> plan_number("paid")
    2
    """
    plans = {known.name: known for known in wire.Plan if known}
    chosen = plans.get(text("plan", plan, empty=True).upper())
    if chosen is None:
        raise invalid("plan", f"must be one of {', '.join(plans)}, not {plan!r}")
    return int(chosen)


def read_profile(user: Any) -> UserProfile:
    """Return an account as a message describes it.

    Raises:
        ValueError: its time is no date.
    """
    status = _name(wire.SubscriptionStatus, user.subscription_status)
    return UserProfile(user.id, user.email, moment(user.created_at), read_plan(user.plan), status)


def read_plan(number: int) -> str:
    """Return the name of a plan; empty when the server does not say.

    >>> read_plan(2), read_plan(0)
    ('PAID', '')
    """
    return _name(wire.Plan, number)


def _name(kind: Any, number: int) -> str:
    """Return the name of an enum's value; empty for 0, which says nothing, and the digits for one that is newer than
    this.
    """
    if not number:
        return ""
    try:
        name: str = kind(number).name
    except ValueError:
        return str(number)
    return name
