"""Calls: caller, request id and deadline, the first argument of every use case."""

import time
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from vectrograph.domain.access import Role
from vectrograph.domain.cancellation import refuse_cancelled
from vectrograph.domain.collections import DEFAULT_TENANT, TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.errors import DeadlineExceeded, PermissionDenied
from vectrograph.domain.points import IdempotencyKey
from vectrograph.services.request_metadata import bound_key


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        user_id: the account; for an API key, the account that owns it.
        username: name of that account.
        role: the account's role; `bot` for an API key, whatever its owner is.
        scopes: what this caller may do now: the role's scopes, or the key's as far as its owner still has them.
        tenant: whose collections it sees.
        key_id: set when an API key was presented.
        token_id: `jti` of the JWT that was presented.
        session_id: the login that this JWT belongs to.
        renewable: whether that JWT is one of 24 hours, which may be exchanged for a new one.
        collections: the only collections that an API key reaches; None means all of the tenant.
        rate_limit: requests a second that an API key is held to; None means what everyone is.
        expires_at: microseconds, when the credential ends by itself; None for one that does not.
    """

    user_id: str
    username: str
    role: Role
    scopes: frozenset[str] = field(repr=False)
    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    token_id: str | None = None
    session_id: str | None = None
    renewable: bool = False
    collections: frozenset[str] | None = None
    rate_limit: int | None = None
    expires_at: int | None = None

    def is_over(self, now: int) -> bool:
        """Return whether the credential has ended by itself; `now` is in microseconds."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def governed_tenant(self) -> str | None:
        """Tenant whose accounts, keys and records an administrator sees; None for all."""
        return None if self.tenant == DEFAULT_TENANT else self.tenant


class Origin(NamedTuple):
    """Origin of a request: the network address of the caller, "" when unknown, and the request id."""

    address: str = ""
    request_id: str = ""


UNKNOWN_ORIGIN: Final = Origin()

Action = Literal["read", "write", "delete"]


class Call(NamedTuple):
    """One request. `deadline` is absolute `time.monotonic()` seconds, None for no limit.

    `idempotency` is the caller's own name for a write, so that a repeat is recognised; None for none.
    """

    principal: Principal
    request_id: str
    deadline: float | None = None
    idempotency: str | None = None
    origin: Origin = UNKNOWN_ORIGIN

    def idempotent(self, operation: str, body: bytes) -> IdempotencyKey | None:
        """Return the name under which the engine remembers this write; None when the caller gave none."""
        if self.idempotency is None:
            return None
        return bound_key(self.idempotency, self.principal.user_id, operation, body)

    def within(self, milliseconds: int) -> "Call":
        """Return the same call with at most so much time from now; 0 changes nothing."""
        if not milliseconds:
            return self
        own = time.monotonic() + milliseconds / 1000
        return self._replace(deadline=own if self.deadline is None else min(own, self.deadline))

    def refuse_late(self) -> None:
        """Go on only before the deadline, and while the caller is there: no stage of the work begins after that.

        Raises:
            DeadlineExceeded: it has passed.
            Cancelled: the caller has left.
        """
        refuse_cancelled()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded("The deadline passed before the operation was complete. Allow more time.")

    def require(self, scope: str) -> None:
        """Go on only when the caller holds `scope`.

        Raises:
            PermissionDenied: it does not; `details["required_scope"]` names the scope.
        """
        if scope not in self.principal.scopes:
            who = "this API key" if self.principal.key_id is not None else f"role {self.principal.role.value}"
            raise PermissionDenied(
                f"The scope {scope} is required and {who} does not have it; use credentials with this scope.",
                details={"required_scope": str(scope)},
            )

    def require_collection(self, name: str, action: Action) -> CollectionRef:
        """Go on only when the caller may do `action` in the collection; returns it as one of the caller's tenant.

        The reserved collection `tokens` is governed by `tokens:*`, every other one by `collections:*`.

        Raises:
            PermissionDenied: the scope is missing.
        """
        subject = "tokens" if name == TOKENS_COLLECTION else "collections"
        self.require(f"{subject}:{action}")
        return self.require_reach(name)

    def require_reach(self, name: str) -> CollectionRef:
        """Go on only when the caller's key reaches the collection, whatever it may do there; returns it.

        Raises:
            PermissionDenied: the key is one for other collections.
        """
        if self.principal.collections is not None and name not in self.principal.collections:
            raise PermissionDenied(
                f"This API key cannot access the collection {name!r}; use another key.",
                details={"collection": name},
            )
        return CollectionRef(self.principal.tenant, name)
