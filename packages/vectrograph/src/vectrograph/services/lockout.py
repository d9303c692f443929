"""Guessing passwords is made slow: after a few failures each further attempt must wait longer, whoever it is for."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from vectrograph.domain.errors import RateLimited
from vectrograph.services.addresses import address_group


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures cost nothing, and the longest wait after more; the first is a second, and each doubles it."""

    free: int
    longest_seconds: float


FOR_PAIR: Final = Patience(free=5, longest_seconds=900.0)
"""Failures of one account from one address."""
FOR_ADDRESS: Final = Patience(free=60, longest_seconds=900.0)
"""Failures from one address, for whatever accounts."""
FOR_ACCOUNT: Final = Patience(free=50, longest_seconds=8.0)
"""Failures of one account from everywhere: a short wait, which many addresses together cannot avoid."""
FIRST_DELAY_SECONDS: Final = 1.0
FORGOTTEN_AFTER_SECONDS: Final = 3600.0
KNOWN_FOR_SECONDS: Final = 30 * 86_400.0
_MAX_REMEMBERED: Final = 20_000
Name = TypeVar("Name")


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    free_from: float = 0.0


class Lockout:
    """Failed attempts in the memory of this process, per account and address together, per address, and per account.

    The long waits are for an address, so that nobody locks out another by failing in their name. All addresses together
    can make the others of an account wait eight seconds at most. Where an account logged in before, only its own
    failures there count, so that neither strangers nor others behind the same address keep it out.

    A username that does not exist is counted like one that does, and refused in the same words, so that a refusal tells
    nothing. An attempt counts as failed from its beginning until it succeeds, so that many at once gain nothing.
    Addresses of one IPv6 customer count as one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pairs: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._addresses: OrderedDict[str, _Failures] = OrderedDict()
        self._accounts: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()

    def begin(self, username: str, address: str) -> None:
        """Go on with an attempt, or refuse it without looking at the password.

        Raises:
            RateLimited: too many failures; `retry_after` says when the next attempt is let through.
        """
        at = self._clock()
        account, origin = _folded(username), address_group(address)
        with self._lock:
            counted = [(_of(self._pairs, (account, origin), at), FOR_PAIR)]
            if not self._is_known((account, origin), at):
                counted.append((_of(self._accounts, account, at), FOR_ACCOUNT))
                if origin:
                    counted.append((_of(self._addresses, origin, at), FOR_ADDRESS))
            wait = max(failures.free_from for failures, _ in counted) - at
            if wait > 0:
                raise RateLimited(
                    f"Too many failed logins; try again in {max(1, round(wait))} seconds.", retry_after=wait
                )
            for failures, patience in counted:
                _fail(failures, patience, at)

    def succeed(self, username: str, address: str) -> None:
        """The attempt was no failure: forget those of the account from here, and take this one back elsewhere."""
        at = self._clock()
        account, origin = _folded(username), address_group(address)
        with self._lock:
            self._pairs.pop((account, origin), None)
            if not self._is_known((account, origin), at):
                _take_back(self._accounts.get(account), FOR_ACCOUNT)
                _take_back(self._addresses.get(origin), FOR_ADDRESS)
            if origin:
                self._known[account, origin] = at
                self._known.move_to_end((account, origin))
                while len(self._known) > _MAX_REMEMBERED:
                    self._known.popitem(last=False)

    def _is_known(self, pair: tuple[str, str], at: float) -> bool:
        """Whether the account logged in from there before."""
        since = self._known.get(pair)
        return since is not None and at - since < KNOWN_FOR_SECONDS


def _of(known: OrderedDict[Name, _Failures], name: Name, at: float) -> _Failures:
    failures = known.get(name)
    if failures is None or at - failures.last > FORGOTTEN_AFTER_SECONDS:
        failures = known[name] = _Failures(last=at)
    known.move_to_end(name)
    while len(known) > _MAX_REMEMBERED:
        known.popitem(last=False)
    return failures


def _fail(failures: _Failures, patience: Patience, at: float) -> None:
    failures.count += 1
    failures.last = at
    if failures.count >= patience.free:
        doublings = min(failures.count - patience.free, 30)
        failures.free_from = at + min(patience.longest_seconds, FIRST_DELAY_SECONDS * 2**doublings)


def _take_back(failures: _Failures | None, patience: Patience) -> None:
    if failures is not None:
        failures.count = max(0, failures.count - 1)
        failures.free_from = 0.0 if failures.count < patience.free else failures.free_from


def _folded(username: str) -> str:
    return username[:64].casefold()
