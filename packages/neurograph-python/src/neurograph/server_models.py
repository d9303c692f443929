"""Accounts, keys, and the server itself, as pydantic models; `neurograph.models` has all of them."""

from datetime import datetime

from pydantic import Field

from neurograph.model_bases import Answer, Question


class APIKey(Answer):
    """An API key as it can be looked at: without its secret.

    Attributes:
        key_id: its name in calls.
        name: what its creator called it.
        key_prefix: the first characters of the secret.
        scopes: what it may do.
        created_at: with time zone.
        expires_at: None when it does not expire.
        last_used_at: None when it was never used.
        is_active: false once revoked.

    >>> APIKey(key_id="k1", name="reader", key_prefix="ng_abc", created_at="2026-01-01T00:00:00Z").is_active
    True
    """

    key_id: str
    name: str
    key_prefix: str
    scopes: list[str] = Field(default_factory=list)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    is_active: bool = True


class APIKeyCreate(Question):
    """An API key to be created.

    Attributes:
        name: what to call it.
        scopes: what it may do; None means what the creator may, less the administration of keys.
        expires_in_days: None means never.

    >>> APIKeyCreate(name="reader", scopes=["tokens:read"]).expires_in_days is None
    True
    """

    name: str
    scopes: list[str] | None = None
    expires_in_days: int | None = None


class APIKeyCreated(Answer):
    """A new API key with its secret, which is told only once; the repr hides it.

    Attributes:
        api_key: the secret; store it now.

    >>> made = {"key_id": "k1", "name": "reader", "key_prefix": "ng_", "created_at": "2026-01-01T00:00:00Z"}
    >>> created = APIKeyCreated(api_key="ng_secret", **made)
    >>> created.api_key, "ng_secret" in repr(created)
    ('ng_secret', False)
    """

    key_id: str
    name: str
    api_key: str = Field(repr=False)
    key_prefix: str
    scopes: list[str] = Field(default_factory=list)
    created_at: datetime
    expires_at: datetime | None = None


class User(Answer):
    """An account.

    Attributes:
        role: admin, developer, viewer or bot.
        scopes: what the account may do.

    >>> User(user_id="u1", username="developer", role="developer").scopes
    []
    """

    user_id: str
    username: str
    email: str | None = None
    full_name: str | None = None
    role: str
    scopes: list[str] = Field(default_factory=list)
    disabled: bool = False
    created_at: datetime | None = None


class LoginResponse(Answer):
    """The answer to a login or a refresh; the repr hides both tokens.

    Attributes:
        access_token: bearer token of the next calls.
        refresh_token: buys the next access token, once; None when the server gives none.
        expires_in: lifetime of the access token, in seconds; None when the server does not tell.

    >>> answer = LoginResponse(access_token="secret", expires_in=900)
    >>> answer.expires_in, "secret" in repr(answer)
    (900.0, False)
    """

    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    token_type: str = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: float | None = None
    user: User | None = None


class ServerLimits(Answer):
    """The largest things a server takes; None where it does not tell.

    Attributes:
        max_body_bytes: one request body.
        max_batch: tokens, texts or queries in one request.
        max_top_k: hits of one query.
        max_page: tokens of one page.
        vector_media_type: what bodies with vectors can be besides JSON.

    >>> ServerLimits(max_batch=10_000).max_batch
    10000
    """

    max_body_bytes: int | None = None
    max_batch: int | None = None
    max_top_k: int | None = None
    max_page: int | None = None
    vector_media_type: str | None = None


class HealthStatus(Answer):
    """Whether the server is well.

    Attributes:
        status: `healthy`, or what is wrong.
        version: of the server.
        uptime_seconds: since its start.
        timestamp: when it answered.

    >>> HealthStatus(status="healthy", version="0.60.0").status
    'healthy'
    """

    status: str
    version: str
    uptime_seconds: float | None = None
    timestamp: datetime | None = None


class SystemStatus(Answer):
    """What the server holds and uses.

    Attributes:
        api_version: of the API.
        runtime_version: of what runs behind it.
        tokens_count: tokens stored.
        uptime_seconds: since its start.
        memory_usage_mb: resident memory.
        requests_total: requests answered since its start.

    >>> SystemStatus(api_version="0.60.0", tokens_count=3).tokens_count
    3
    """

    api_version: str
    runtime_version: str | None = None
    tokens_count: int = 0
    uptime_seconds: float | None = None
    memory_usage_mb: float | None = None
    requests_total: int = 0
