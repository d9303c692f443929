"""Records that the control store returns, plain and immutable. Times are integer microseconds since 1970-01-01 UTC."""

from dataclasses import dataclass, field
from typing import Any

from vectrograph.domain.access import Role
from vectrograph.domain.collections import DEFAULT_TENANT


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """An account, without its password hash.

    Attributes:
        user_id: stable id; the development accounts use their username.
        username: what the user logs in with.
        email: lower-cased, None when there is none.
        full_name: for display.
        role: decides the scopes.
        scopes: what the account may do; in the answer to "who am I", what the credentials presented may do.
        disabled: a disabled account can neither log in nor use sessions or keys it has.
        plan: "FREE", "PAID" or "" (unspecified); changes no limit.
        created_at: microseconds.
        tenant: whose collections the account sees.
        password_is_published: whether its password is a documented one, which works in development mode only.
    """

    user_id: str
    username: str
    email: str | None
    full_name: str | None
    role: Role
    scopes: frozenset[str]
    disabled: bool
    plan: str
    created_at: int
    tenant: str = DEFAULT_TENANT
    password_is_published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """An API key, without its secret.

    Attributes:
        key_id: 16 hexadecimal digits.
        name: the owner's label.
        key_prefix: the first 16 characters of the key, for recognising it.
        scopes: what was granted, sorted; what works is this as far as the owner's role still has it.
        owner: user_id of the account that made it.
        created_at, expires_at, last_used_at, revoked_at: microseconds.
        is_active: neither revoked nor expired.
        collections: the only collections that the key reaches, sorted; None means all of the tenant.
        rate_limit: requests a second; None means what the server allows everyone.
    """

    key_id: str
    name: str
    key_prefix: str
    scopes: tuple[str, ...]
    owner: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    is_active: bool
    collections: tuple[str, ...] | None = None
    rate_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One login: the family of tokens that descend from it.

    `refresh_id` is the `jti` of the only refresh token that works now; a refresh replaces it.
    """

    session_id: str
    user_id: str
    refresh_id: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPassword:
    """An account with the encoded hash of its password, for checking it; the hash stays out of `repr`."""

    user: UserRecord
    encoded: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An API key with the digest of its secret and its owner, for checking it; the digest stays out of `repr`."""

    record: ApiKeyRecord
    digest: str = field(repr=False)
    owner: UserRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackItem:
    """One judgement of one search hit. `relevance_score` is 1 (bad) to 5 (good); `position` counts from 0."""

    result_id: str
    relevance_score: int
    clicked: bool = False
    position: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """Feedback as stored: who judged which hits of which query."""

    feedback_id: str
    tenant: str
    collection: str
    query: str
    user_id: str
    context: dict[str, str]
    items: tuple[FeedbackItem, ...]
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One thing that was done or refused: who, what, to what, when, from where, with which outcome.

    Attributes:
        entry_id: rises with every entry of the server.
        at: microseconds.
        tenant: of the actor, or of the account that someone tried to be.
        actor: user_id, or "" for an anonymous caller.
        key_id: the API key that was used, None for a login.
        action: `subject.verb`, such as `session.login`.
        target: what it was done to: a username, a key id, the name of a collection.
        outcome: "ok", or the code of the error that refused it.
        address: the caller's network address, "" when it is this machine's operator.
        request_id: of the request.
    """

    entry_id: int
    at: int
    tenant: str
    actor: str
    key_id: str | None
    action: str
    target: str
    outcome: str
    address: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRecord:
    """A grid of tokens.

    Attributes:
        key: names it in the database.
        grid_id: its number in the tenant, from 1; never given again.
        bucket_size, density_threshold, min_field_nodes: as its creator set them.
        members: how many tokens were added and not removed.
        revision: rises with each change of the members.
        created_at: microseconds.
    """

    key: int
    tenant: str
    grid_id: int
    bucket_size: float
    density_threshold: float
    min_field_nodes: int
    members: int
    revision: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnaEntry:
    """One action on the CDNA of a tenant, at a time in microseconds. `details` depend on the action."""

    action: str
    at: int
    details: dict[str, Any]
