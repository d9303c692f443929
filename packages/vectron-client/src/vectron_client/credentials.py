"""What an auth client answers: logins, tokens and API keys. Secrets stay out of every `repr`."""

from dataclasses import dataclass, field
from datetime import datetime

from vectron_client.models import UserProfile


@dataclass(frozen=True)
class Login:
    """A login that held.

    Attributes:
        token: a JWT, which a client takes as its `api_key`.
        user: the account.
    """

    token: str = field(repr=False)
    user: UserProfile


@dataclass(frozen=True)
class AccessToken:
    """A new JWT in exchange for one that still holds.

    Attributes:
        token: the JWT, which a client takes as its `api_key`.
        expires_at: until when it holds, in UTC.
    """

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class APIKey:
    """An API key without its secret.

    Attributes:
        key_prefix: its first characters, which name it.
        user_id: whose it is.
        created_at: when it came to be, in UTC.
        name: what it was called.
    """

    key_prefix: str
    user_id: str
    created_at: datetime
    name: str


@dataclass(frozen=True)
class CreatedAPIKey:
    """A new API key.

    Attributes:
        api_key: the key itself, which a client takes as its `api_key`; no later call shows it again.
        info: the rest.
    """

    api_key: str = field(repr=False)
    info: APIKey


@dataclass(frozen=True)
class KeyOwner:
    """Whose an API key is.

    Attributes:
        user_id: the account.
        plan: of the account, `FREE` or `PAID`; empty when the server does not say.
        key_prefix: the key's first characters, which name it.
    """

    user_id: str
    plan: str
    key_prefix: str
