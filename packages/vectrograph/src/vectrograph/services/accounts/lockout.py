"""Guessing passwords is made slow: after a few failures each further attempt must wait longer, whoever it is for.

What is remembered is bounded, and what does the least harm is forgotten first (see `FailureTable`).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from vectrograph.domain.addresses import address_group
from vectrograph.domain.errors import RateLimited


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """Failures that cost nothing, and the longest wait after more; the first is a second, and each doubles it."""

    free: int
    longest_seconds: float


FOR_PAIR: Final = FailureLimit(free=5, longest_seconds=900.0)
"""Failures of one account from one address."""
FOR_ADDRESS: Final = FailureLimit(free=60, longest_seconds=900.0)
"""Failures from one address, for whatever accounts."""
FOR_ACCOUNT: Final = FailureLimit(free=50, longest_seconds=8.0)
"""Failures of one account from everywhere: a short wait, which many addresses together cannot avoid."""
# Wait after the first failure that is not free; it doubles with each further one.
FIRST_DELAY_SECONDS: Final = 1.0
# Seconds without a failure after which the earlier ones are forgotten. Chosen: four times the longest wait.
FORGOTTEN_AFTER_SECONDS: Final = 3600.0
# Seconds that an address at which an account logged in stays free of the account's own wait: 30 days.
KNOWN_FOR_SECONDS: Final = 30 * 86_400.0
CAPACITY: Final = 20_000
"""Entries of each table, about 250 bytes each. Two passwords are hashed at once, some 80 a second: within the longest
wait of 900 seconds that makes 14,400 waits of five failures, so that a table is never full of waits alone."""
# Seconds that a caller is told to wait when the table is full of waits. Chosen: short, since entries end all the
# time.
_TABLE_FULL_SECONDS: Final = 1.0
# Oldest entries looked at to find one that can be forgotten. Bounds the work of one failed login.
_MAX_TRIED_ENTRIES: Final = 64
Name = TypeVar("Name")


@dataclass(slots=True)
class _Failures:
    is_real: bool
    count: int = 0
    last: float = 0.0
    free_from: float = 0.0


class FailureTable(Generic[Name]):
    """Failures by name, at most `capacity` of them. The harmless are forgotten first.

    Those of accounts that do not exist go first, because nobody guesses their passwords. Next go names that failed
    less often than makes them wait, oldest first, and then those whose wait is over. Whoever has to wait is never
    forgotten: when there is nothing else left, `make_room` says so. Not thread-safe.
    """

    def __init__(self, limit: FailureLimit, capacity: int = CAPACITY) -> None:
        self._limit = limit
        self._capacity = capacity
        # By how harmless they are, each with the longest ago first: invented, real but few, real and many.
        self._invented: OrderedDict[Name, _Failures] = OrderedDict()
        self._few: OrderedDict[Name, _Failures] = OrderedDict()
        self._many: OrderedDict[Name, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._invented) + len(self._few) + len(self._many)

    def wait(self, name: Name, at: float) -> float:
        """Return how many seconds a name still has to wait; 0 or less for none."""
        failures = self._find(name)
        return 0.0 if failures is None or _is_old(failures, at) else failures.free_from - at

    def make_room(self, name: Name, at: float) -> bool:
        """Forget something harmless where a new name needs room. Return False when all that is left has to wait."""
        if len(self) < self._capacity or self._find(name) is not None:
            return True
        for queue in (self._invented, self._few):
            if queue:
                queue.popitem(last=False)
                return True
        for other, failures in islice(self._many.items(), _MAX_TRIED_ENTRIES):
            if failures.free_from <= at:
                del self._many[other]
                return True
        return False

    def fail(self, name: Name, at: float, is_real: bool) -> None:
        """Count a failure. `is_real` says whether it is of an account that exists."""
        failures = self._pop(name)
        if failures is None or _is_old(failures, at):
            failures = _Failures(is_real or (failures is not None and failures.is_real))
        failures.is_real |= is_real
        failures.count += 1
        failures.last = at
        if failures.count >= self._limit.free:
            doublings = min(failures.count - self._limit.free, 30)
            longest = self._limit.longest_seconds
            failures.free_from = at + min(longest, FIRST_DELAY_SECONDS * 2**doublings)
        self._put(name, failures)

    def take_back(self, name: Name) -> None:
        """Undo one failure."""
        failures = self._pop(name)
        if failures is not None:
            failures.count = max(0, failures.count - 1)
            failures.free_from = 0.0 if failures.count < self._limit.free else failures.free_from
            self._put(name, failures)

    def forget(self, name: Name) -> None:
        """Forget all failures of a name."""
        self._pop(name)

    def _find(self, name: Name) -> _Failures | None:
        return self._many.get(name) or self._few.get(name) or self._invented.get(name)

    def _pop(self, name: Name) -> _Failures | None:
        for queue in (self._many, self._few, self._invented):
            if name in queue:
                return queue.pop(name)
        return None

    def _put(self, name: Name, failures: _Failures) -> None:
        if not failures.is_real:
            self._invented[name] = failures
        elif failures.count < self._limit.free:
            self._few[name] = failures
        else:
            self._many[name] = failures


class KnownAddresses:
    """Addresses from which accounts logged in within 30 days. Not thread-safe.

    The last address of each account is kept apart from all others, so that nobody who logs in from many addresses can
    push out where somebody else logs in from.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._last: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._others: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last) + len(self._others)

    def add(self, account: str, origin: str, at: float) -> None:
        """Remember that an account logged in from an address."""
        before = self._last.pop(account, None)
        if before is not None and before[0] != origin:
            self._others.pop((account, before[0]), None)
            self._others[account, before[0]] = before[1]
        self._others.pop((account, origin), None)
        self._last[account] = (origin, at)
        if len(self._last) > self._capacity:
            self._last.popitem(last=False)
        if len(self._others) > self._capacity:
            self._others.popitem(last=False)

    def has(self, account: str, origin: str, at: float) -> bool:
        """Return whether an account logged in from an address before."""
        last = self._last.get(account)
        since = last[1] if last is not None and last[0] == origin else self._others.get((account, origin))
        return since is not None and at - since < KNOWN_FOR_SECONDS


class Lockout:
    """Failed attempts in the memory of this process, per account and address together, per address, and per account.

    The long waits are for an address, so that nobody locks out another by failing in their name. All addresses together
    can make the others of an account wait eight seconds at most. Where an account logged in before, only its own
    failures there count, so that neither unknown callers nor others behind the same address keep it out.

    A username that does not exist is counted like one that does, and refused in the same words, so that a refusal tells
    nothing. An attempt counts as failed from its beginning until it succeeds, so that many at once gain nothing.
    Addresses of one IPv6 customer count as one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pairs: FailureTable[tuple[str, str]] = FailureTable(FOR_PAIR, capacity)
        self._addresses: FailureTable[str] = FailureTable(FOR_ADDRESS, capacity)
        self._accounts: FailureTable[str] = FailureTable(FOR_ACCOUNT, capacity)
        self._known = KnownAddresses(capacity)

    def begin(self, username: str, address: str, *, exists: bool = True) -> None:
        """Go on with an attempt, or refuse it without looking at the password.

        Args:
            username: of the account.
            address: of the caller.
            exists: whether there is such an account; failures of others are forgotten first where memory is short.

        Raises:
            RateLimited: too many failures; `retry_after` says when the next attempt is let through.
        """
        at = self._clock()
        account, origin = _folded(username), address_group(address)
        pair = (account, origin)
        with self._lock:
            alone = self._known.has(account, origin, at)
            wait = self._pairs.wait(pair, at)
            has_room = self._pairs.make_room(pair, at)
            if not alone:
                wait = max(wait, self._accounts.wait(account, at))
                has_room &= self._accounts.make_room(account, at)
                if origin:
                    wait = max(wait, self._addresses.wait(origin, at))
                    has_room &= self._addresses.make_room(origin, at)
            if wait > 0 or not has_room:
                wait = max(wait, 0.0 if has_room else _TABLE_FULL_SECONDS)
                raise RateLimited(
                    f"Too many failed logins; try again in {max(1, round(wait))} seconds.", retry_after=wait
                )
            self._pairs.fail(pair, at, exists)
            if not alone:
                self._accounts.fail(account, at, exists)
                if origin:
                    self._addresses.fail(origin, at, True)

    def succeed(self, username: str, address: str) -> None:
        """Take the attempt back, and forget the failures of the account from this address."""
        at = self._clock()
        account, origin = _folded(username), address_group(address)
        with self._lock:
            self._pairs.forget((account, origin))
            if not self._known.has(account, origin, at):
                self._accounts.take_back(account)
                self._addresses.take_back(origin)
            if origin:
                self._known.add(account, origin, at)


def _is_old(failures: _Failures, at: float) -> bool:
    return at - failures.last > FORGOTTEN_AFTER_SECONDS


def _folded(username: str) -> str:
    return username[:64].casefold()
