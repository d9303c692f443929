"""Counts of the requests and token writes of few tenants: those in a quarantine.

Transports count each request when it is over, and services each write of tokens. For a tenant that nobody watches both
cost one look-up in a dictionary.
"""

import threading
from dataclasses import dataclass, replace
from typing import Final

from vectrograph.domain.collections import TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.errors import DeadlineExceeded, DomainError, InternalError, QuotaExceeded, Unavailable
from vectrograph.domain.points import OutcomeStatus, WriteResult

MAX_WATCHED: Final = 1_000
"""Tenants whose requests are counted at once. Chosen: some hundred KiB, and one look at each in a second."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one tenant since `Traffic.watch`.

    Attributes:
        since: the beginning that `Traffic.watch` was given.
        requests: requests that are over and whose caller was known.
        failed: those among them that failed on the server's side.
        broken: those among them whose caller left before the answer was sent.
        created, deleted: tokens.
    """

    since: int = 0
    requests: int = 0
    failed: int = 0
    broken: int = 0
    created: int = 0
    deleted: int = 0


class Traffic:
    """Counts of watched tenants, in the memory of this process. Thread-safe."""

    def __init__(self, most: int = MAX_WATCHED) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._counts: dict[str, Counts] = {}

    def watch(self, tenant: str, since: int) -> None:
        """Begin to count a tenant at zero; counts of the same beginning go on.

        Args:
            tenant: whose requests are counted.
            since: microseconds; tells one quarantine from the next.

        Raises:
            QuotaExceeded: as many tenants are watched as may be.
        """
        with self._lock:
            known = self._counts.get(tenant)
            if known is not None and known.since == since:
                return
            if known is None and len(self._counts) >= self._most:
                raise QuotaExceeded(
                    f"{self._most} tenants of this server are in a quarantine, which is the most; wait until one ends.",
                    details={"limit": self._most, "unit": "quarantines"},
                )
            self._counts[tenant] = Counts(since=since)

    def forget(self, tenant: str) -> None:
        """Stop counting a tenant."""
        with self._lock:
            self._counts.pop(tenant, None)

    def is_watched(self, tenant: str) -> bool:
        """Return whether a tenant is counted."""
        return tenant in self._counts

    def of(self, tenant: str) -> Counts:
        """Return the counts of a tenant, zeros where it is not watched."""
        return self._counts.get(tenant) or Counts()

    def count_request(self, tenant: str, *, failed: bool, broken: bool) -> None:
        """Note a request that is over."""
        self._add(tenant, requests=1, failed=int(failed), broken=int(broken))

    def count_write(self, ref: CollectionRef, written: WriteResult) -> None:
        """Note a write, which counts when it is one of tokens, and no repeat."""
        if ref.name == TOKENS_COLLECTION and ref.tenant in self._counts and not written.replayed:
            statuses = [outcome.status for outcome in written.outcomes]
            created, deleted = (statuses.count(kind) for kind in (OutcomeStatus.CREATED, OutcomeStatus.DELETED))
            self._add(ref.tenant, created=created, deleted=deleted)

    def _add(self, tenant: str, **more: int) -> None:
        if tenant not in self._counts:
            return
        with self._lock:
            known = self._counts.get(tenant)
            if known is not None:
                grown = {name: getattr(known, name) + number for name, number in more.items()}
                self._counts[tenant] = replace(known, **grown)


def is_server_failure(error: BaseException) -> bool:
    """Return whether an error is the server's: over HTTP it is answered with a status of 500 or more.

    >>> is_server_failure(Unavailable("busy")), is_server_failure(KeyError("x")), is_server_failure(ValueError("y"))
    (True, True, True)
    >>> is_server_failure(QuotaExceeded("full"))
    False
    """
    return not isinstance(error, DomainError) or isinstance(error, Unavailable | DeadlineExceeded | InternalError)
