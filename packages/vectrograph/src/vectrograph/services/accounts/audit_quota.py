"""Limit of the entries that a caller can leave in the audit record."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from vectrograph.domain.errors import RateLimited

log = structlog.get_logger("vectrograph.audit")

HOUR: Final = 3600.0
ACTS_AN_HOUR: Final = 100_000
"""Recorded acts of one account. At some 300 bytes each that is 30 MB of disk an hour; 28 deletions a second."""
REFUSALS_AN_HOUR: Final = 500
"""Recorded acts of one caller that were refused: enough to see what somebody tries. The rest is counted in the log."""
ALL_REFUSALS_AN_HOUR: Final = 20_000
"""The same for all callers together, who may have many addresses: 6 MB of disk an hour."""
_CALLERS: Final = 10_000


class AuditQuota:
    """Counts the acts of an hour. An act that must not be recorded any more is not done; a refusal is only counted.

    Thread-safe. The counts are in this process.
    """

    def __init__(
        self,
        acts: int = ACTS_AN_HOUR,
        refusals: int = REFUSALS_AN_HOUR,
        all_refusals: int = ALL_REFUSALS_AN_HOUR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = (acts, refusals, all_refusals)
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._acts: OrderedDict[str, int] = OrderedDict()
        self._refusals: OrderedDict[str, int] = OrderedDict()
        self._all_refusals = 0
        self._left_out = 0

    def charge(self, account: str) -> None:
        """Count an act of an account.

        Raises:
            RateLimited: it has done as much within the hour as is recorded; `retry_after` says when the hour is over.
        """
        with self._lock:
            remaining = self._roll()
            count = _counted(self._acts, account)
        if count > self._limits[0]:
            raise RateLimited(
                f"This account has done {self._limits[0]} things within an hour that have to be recorded, such as "
                "deletions, which is the most that is recorded; delete by filter or in batches, or wait.",
                details={"limit": self._limits[0], "unit": "recorded acts an hour"},
                retry_after=remaining,
            )

    def keeps_refusal(self, who: str) -> bool:
        """Return whether one more refused act of a caller gets an entry."""
        with self._lock:
            self._roll()
            count = _counted(self._refusals, who)
            keeps = count <= self._limits[1] and self._all_refusals < self._limits[2]
            self._all_refusals += keeps
            self._left_out += not keeps
            is_first = not keeps and self._left_out == 1
        if is_first:
            log.warning("refused acts are left out of the audit record for the rest of the hour", caller=who)
        return keeps

    def _roll(self) -> float:
        """Begin a new hour when the old one is over. Return the seconds that are left of it."""
        passed = self._clock() - self._began
        if passed >= HOUR:
            if self._left_out:
                log.warning("refused acts were left out of the audit record", acts=self._left_out)
            self._began = self._clock()
            self._acts.clear()
            self._refusals.clear()
            self._all_refusals = self._left_out = 0
            return HOUR
        return HOUR - passed


def _counted(counts: OrderedDict[str, int], name: str) -> int:
    """Count one more, and forget whoever did least when there are too many names.

    Names come and go by the thousand only with invented addresses, each counted once or twice: of the oldest hundred
    the one with the smallest count is forgotten.
    """
    count = counts[name] = counts.pop(name, 0) + 1
    if len(counts) > _CALLERS:
        oldest = [other for other, _ in zip(counts, range(100), strict=False)]
        del counts[min(oldest, key=counts.__getitem__)]
    return count
