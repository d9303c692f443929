"""Limits on the idempotency records of one collection: beyond them the oldest are forgotten before their day is over.

A record holds the outcome of every operation of a write, up to some megabytes. Without a limit one caller could fill
the disk with requests that change nothing. Refusing further named writes would let that caller stop those of others, so
the oldest records go: a client repeats a request within minutes, not after a hundred thousand others.

Sizes are kept in memory for groups of records, so that a write costs no look at the table.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_REPLIES: Final = 100_000
"""Idempotency records of one collection: more than one named write a second for a whole day."""
MAX_REPLY_BYTES: Final = 64 << 20
"""Bytes of all of them: a hundred of the largest writes, 10,000 operations each, with ids of usual length."""
GROUPS: Final = 64
"""Groups that are forgotten as a whole: the oldest 1/64 at a time."""
_RECORD_BYTES: Final = 300
"""Bytes of a record besides its outcomes: names, hash, numbers, and its entry in the index."""


@dataclass(slots=True)
class _Group:
    """Records next to each other in time, `until` the newest of them (microseconds)."""

    until: int
    count: int = 0
    size: int = 0


class ReplyLimits:
    """Counts the idempotency records of one collection. Whoever calls a method holds the lock of the collection.

    Args:
        stored: the records in the file in groups, oldest first: time of the newest of each group (microseconds),
            how many, and bytes of their outcomes.
        max_replies: records that are kept.
        max_bytes: bytes that are kept.
    """

    def __init__(
        self, stored: Iterable[tuple[int, int, int]], max_replies: int = MAX_REPLIES, max_bytes: int = MAX_REPLY_BYTES
    ) -> None:
        self._max_replies, self._max_bytes = max_replies, max_bytes
        self._groups: deque[_Group] = deque()
        for until, count, size in stored:
            self._groups.append(_Group(until, count, size + count * _RECORD_BYTES))
        self._count = sum(group.count for group in self._groups)
        self._size = sum(group.size for group in self._groups)

    def add(self, at: int, size: int) -> None:
        """Count a record that was stored at a time."""
        size += _RECORD_BYTES
        last = self._groups[-1] if self._groups else None
        if last is None or last.count * GROUPS >= self._max_replies or last.size * GROUPS >= self._max_bytes:
            last = _Group(at)
            self._groups.append(last)
        last.until = max(last.until, at)
        last.count += 1
        last.size += size
        self._count += 1
        self._size += size

    def forget(self, expired: int, room: int) -> int:
        """Make room for one more record of `room` bytes.

        Args:
            expired: records not younger than this (microseconds) are forgotten in any case.
            room: bytes of the outcomes of the next record.

        Returns:
            The time up to which records are to be forgotten, `expired` or later.
        """
        room += _RECORD_BYTES
        while self._groups and (
            self._groups[0].until <= expired
            or self._count + 1 > self._max_replies
            or self._size + room > self._max_bytes
        ):
            oldest = self._groups.popleft()
            self._count -= oldest.count
            self._size -= oldest.size
            expired = max(expired, oldest.until)
        return expired
