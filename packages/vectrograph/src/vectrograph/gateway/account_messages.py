"""Messages of vectron.auth.v1 as JSON: one struct each, fields in lowerCamelCase, every field of an answer sent."""

from enum import StrEnum

from msgspec import Struct

from vectrograph.control.records import ApiKeyRecord, UserRecord
from vectrograph.gateway.proto_json import Int64

_MICROSECONDS = 1_000_000


class Plan(StrEnum):
    """A plan; no limit depends on it."""

    PLAN_UNSPECIFIED = "PLAN_UNSPECIFIED"
    FREE = "FREE"
    PAID = "PAID"

    @property
    def stored(self) -> str:
        """As accounts have it: "" for unspecified."""
        return "" if self is Plan.PLAN_UNSPECIFIED else self.value

    @classmethod
    def of(cls, user: UserRecord) -> "Plan":
        """The plan of an account."""
        return cls(user.plan or cls.PLAN_UNSPECIFIED)


class _Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """A message; its names in JSON are lowerCamelCase."""


class Secret(_Message, frozen=True, kw_only=True):
    """A message with a secret in it: its repr shows nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class EmailAndPassword(Secret, frozen=True, kw_only=True):
    """What names an account and proves it."""

    email: str = ""
    password: str = ""


class UserProfile(_Message, frozen=True, kw_only=True):
    """An account; `createdAt` is Unix seconds."""

    id: str
    email: str
    created_at: Int64
    plan: Plan
    subscription_status: str = "ACTIVE"

    @classmethod
    def of(cls, user: UserRecord) -> "UserProfile":
        """From the record of the account."""
        return cls(
            id=user.user_id,
            email=user.email or "",
            created_at=str(user.created_at // _MICROSECONDS),
            plan=Plan.of(user),
        )


class UserAnswer(_Message, frozen=True, kw_only=True):
    """An account."""

    user: UserProfile


class LoginResponse(Secret, frozen=True, kw_only=True):
    """A JWT for 24 hours, and whose it is."""

    jwt_token: str
    user: UserProfile


class UpdateUserProfileRequest(_Message, frozen=True, kw_only=True):
    """The caller's plan to be."""

    plan: Plan = Plan.PLAN_UNSPECIFIED


class UpdateUserProfileResponse(Secret, frozen=True, kw_only=True):
    """The account; with a new JWT when the request came with one from the login, else with an empty string."""

    user: UserProfile
    jwt_token: str


class DeleteUserRequest(Secret, frozen=True, kw_only=True):
    """The password, to be sure."""

    password: str = ""


class RefreshTokenResponse(Secret, frozen=True, kw_only=True):
    """A new JWT for 24 hours; `expiresAt` is Unix seconds."""

    jwt_token: str
    expires_at: Int64


class EmptyRequest(_Message, frozen=True, kw_only=True):
    """Nothing."""


class CreateKeyRequest(_Message, frozen=True, kw_only=True):
    """An API key to be: 1 to 50 letters, digits, spaces, hyphens and underscores."""

    name: str = ""


class KeyInfo(_Message, frozen=True, kw_only=True):
    """An API key without its secret, named by its prefix."""

    key_prefix: str
    user_id: str
    created_at: Int64
    name: str

    @classmethod
    def of(cls, record: ApiKeyRecord) -> "KeyInfo":
        """From the record of the key."""
        return cls(
            key_prefix=record.key_prefix,
            user_id=record.owner,
            created_at=str(record.created_at // _MICROSECONDS),
            name=record.name,
        )


class CreateKeyResponse(Secret, frozen=True, kw_only=True):
    """The whole key, shown here and nowhere else."""

    full_key: str
    key_info: KeyInfo


class ListKeysResponse(_Message, frozen=True, kw_only=True):
    """Keys in force, newest first."""

    keys: list[KeyInfo]


class ValidateKeyRequest(Secret, frozen=True, kw_only=True):
    """A whole API key."""

    full_key: str = ""


class ValidateKeyResponse(_Message, frozen=True, kw_only=True):
    """Whether the key holds, and whose it is."""

    valid: bool = False
    user_id: str = ""
    plan: str = ""
    api_key_id: str = ""


class SdkTokenRequest(_Message, frozen=True, kw_only=True):
    """The prefix of one of the caller's keys."""

    api_key_id: str = ""


class SdkTokenResponse(Secret, frozen=True, kw_only=True):
    """A JWT for 7 days that stands for the key."""

    sdk_jwt: str
