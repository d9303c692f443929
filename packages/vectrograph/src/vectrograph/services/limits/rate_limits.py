"""Rate limits of accounts, API keys and network addresses."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter

from vectrograph.domain.addresses import address_group
from vectrograph.domain.errors import RateLimited, StartupError
from vectrograph.services.call import Principal

_log = logging.getLogger(__name__)

MEMORY: Final = "memory://"
_NAMESPACE: Final = "vectrograph"


@dataclass(frozen=True, slots=True)
class Allowance:
    """Rest of a limit: `remaining` of `limit` requests, all of them again in `reset` seconds."""

    limit: int
    remaining: int
    reset: float


class RateLimits:
    """Requests a second per account and per address. A limit of 0 is none.

    An account has one allowance for all its API keys and tokens, so that making keys gains nothing. An API key may have
    a narrower limit of its own besides.

    The counts are in this process, or in Redis for several servers. When Redis does not answer, each server counts for
    itself until it does: a limiter that is down neither stops the service nor opens the gates.
    """

    def __init__(self, *, identity: int = 0, address: int = 0, storage: str = MEMORY) -> None:
        """Prepare the counts.

        Args:
            identity: requests a second for each account, over all its keys and tokens.
            address: requests a second from each address.
            storage: `memory://` or a URL of Redis.

        Raises:
            StartupError: the URL is not understood, or the client library for it is not installed.
        """
        self._identity = _item(identity)
        self._address = _item(address)
        self._storage = storage
        self._lock = threading.Lock()
        self._remote = None if storage == MEMORY else _remote(storage)
        self._local: RateLimiter | None = None
        self._failed_at = -1e9

    @property
    def blocks(self) -> bool:
        """Return whether asking may wait for the network."""
        return self._remote is not None

    def charge_address(self, address: str) -> None:
        """Let one more request from an address through.

        Raises:
            RateLimited: it sent too many in the last second.
        """
        if self._address is not None and address:
            self._hit(self._address, "address", address_group(address))

    def charge_caller(self, principal: Principal) -> Allowance | None:
        """Let one more request of a caller through; what is left, or None where nothing is limited.

        Raises:
            RateLimited: it sent too many in the last second.
        """
        allowance = None
        if self._identity is not None:
            allowance = self._hit(self._identity, "identity", principal.user_id)
        if principal.rate_limit is not None and principal.key_id is not None:
            own = self._hit(RateLimitItemPerSecond(principal.rate_limit), "key", principal.key_id)
            if allowance is None or own.remaining <= allowance.remaining:
                allowance = own
        return allowance

    def _hit(self, item: RateLimitItem, kind: str, name: str) -> Allowance:
        limiter = self._limiter()
        try:
            passed, allowance = _count(limiter, item, kind, name)
        except StorageError as error:
            self._fall_back(error)
            passed, allowance = _count(self._in_memory(), item, kind, name)
        if passed:
            return allowance
        whose = {"address": "from this address", "key": "with this API key"}.get(
            kind, "from this account, over all its API keys"
        )
        raise RateLimited(
            f"More than {item.amount} requests per second {whose}; slow down.",
            details={"limit": item.amount, "remaining": 0, "reset_seconds": allowance.reset},
            retry_after=allowance.reset,
        )

    def _limiter(self) -> RateLimiter:
        if self._remote is not None and time.monotonic() - self._failed_at > 1.0:
            return self._remote
        return self._in_memory()

    def _in_memory(self) -> RateLimiter:
        if self._local is None:
            with self._lock:
                if self._local is None:
                    # Two windows of exact counts each hold memory for every request; this one two numbers a caller.
                    self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        return self._local

    def _fall_back(self, error: StorageError) -> None:
        if time.monotonic() - self._failed_at > 10.0:
            _log.warning("the rate limit storage does not respond; counting in this process: %s", type(error).__name__)
        self._failed_at = time.monotonic()


def _item(per_second: int) -> RateLimitItem | None:
    return RateLimitItemPerSecond(per_second, namespace=_NAMESPACE) if per_second else None


def _remote(url: str) -> RateLimiter:
    try:
        return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True))
    except ConfigurationError as error:
        raise StartupError(
            "Setting rate_limit_storage: must be memory:// or a redis:// URL; the latter needs the package redis."
        ) from error


def _count(limiter: RateLimiter, item: RateLimitItem, kind: str, name: str) -> tuple[bool, Allowance]:
    passed = limiter.hit(item, kind, name)
    stats = limiter.get_window_stats(item, kind, name)
    reset = max(0.001, stats.reset_time - time.time())
    return passed, Allowance(item.amount, max(0, stats.remaining), min(reset, 2.0))
