"""Guessing passwords is made slow: after a few failures each further attempt must wait longer, whoever it is for."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vectrograph.domain.errors import RateLimited

FREE_FOR_ACCOUNT: Final = 5
FREE_FOR_ADDRESS: Final = 20
FIRST_DELAY_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 900.0
FORGOTTEN_AFTER_SECONDS: Final = 3600.0
_MAX_REMEMBERED: Final = 20_000


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    free_from: float = 0.0


class Lockout:
    """Failed attempts per username and per network address, in the memory of this process.

    A username that does not exist is counted like one that does, and refused in the same words, so that a refusal tells
    nothing. An attempt counts as failed from its beginning until it succeeds, so that many at once gain nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: OrderedDict[str, _Failures] = OrderedDict()
        self._addresses: OrderedDict[str, _Failures] = OrderedDict()

    def begin(self, username: str, address: str) -> None:
        """Go on with an attempt, or refuse it without looking at the password.

        Raises:
            RateLimited: too many failures; `retry_after` says when the next attempt is let through.
        """
        at = self._clock()
        with self._lock:
            account = _of(self._accounts, _folded(username), at)
            origin = _of(self._addresses, address, at) if address else _Failures()
            wait = max(account.free_from, origin.free_from) - at
            if wait > 0:
                raise RateLimited(
                    f"Too many failed logins; try again in {max(1, round(wait))} seconds.", retry_after=wait
                )
            _fail(account, FREE_FOR_ACCOUNT, at)
            _fail(origin, FREE_FOR_ADDRESS, at)

    def succeed(self, username: str, address: str) -> None:
        """The attempt was no failure: forget those for the account, and take this one back from the address."""
        with self._lock:
            self._accounts.pop(_folded(username), None)
            origin = self._addresses.get(address)
            if origin is not None:
                origin.count = max(0, origin.count - 1)
                origin.free_from = 0.0 if origin.count < FREE_FOR_ADDRESS else origin.free_from


def _of(known: OrderedDict[str, _Failures], name: str, at: float) -> _Failures:
    failures = known.get(name)
    if failures is None or at - failures.last > FORGOTTEN_AFTER_SECONDS:
        failures = known[name] = _Failures(last=at)
    known.move_to_end(name)
    while len(known) > _MAX_REMEMBERED:
        known.popitem(last=False)
    return failures


def _fail(failures: _Failures, free: int, at: float) -> None:
    failures.count += 1
    failures.last = at
    if failures.count >= free:
        doublings = min(failures.count - free, 30)
        failures.free_from = at + min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**doublings)


def _folded(username: str) -> str:
    return username[:64].casefold()
