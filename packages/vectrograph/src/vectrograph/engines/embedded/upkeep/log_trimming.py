"""Removing the oldest changes from the log of one collection, as its retention asks, a portion at a time."""

import logging
import time
from contextlib import AbstractContextManager
from typing import Final, Protocol

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import CollectionSpec
from vectrograph.domain.errors import DomainError
from vectrograph.domain.log_retention import LogRetention
from vectrograph.engines.embedded.truth.store import OldestChange
from vectrograph.engines.embedded.upkeep.background import Background
from vectrograph.engines.embedded.upkeep.worker import Job

# Changes removed by one transaction. Measured: writes wait 1.5 ms with ids of 12 bytes, 5 ms with the longest.
_PORTION: Final = 2_000
# Pause after a portion, as a multiple of the time that it took: writes wait for a quarter of the time at most.
_PAUSE: Final = 3.0
# Longest pause in seconds: a portion that had to wait for the disk keeps the next one waiting no longer.
_MAX_PAUSE_SECONDS: Final = 0.1
# Seconds of the worker's time that other work waits. Between two turns there may be as much as a second of work on the
# index: measured, one portion a turn did not keep pace with 5,000 changes a second, and some dozens do.
_TURN_SECONDS: Final = 0.25

_log = logging.getLogger(__name__)


class Content(Protocol):
    """The part of an open collection that is needed here; see `collection.content.Content`."""

    @property
    def oldest_change(self) -> OldestChange | None:
        """The oldest change that is held, None when there is none."""
        ...

    @property
    def last_seq(self) -> int:
        """Seq of the last change."""
        ...

    @property
    def checkpoint_due(self) -> bool:
        """Return whether SQLite's log has grown enough to be folded into the file."""
        ...

    def trim_log(self, first_kept: int, last_expired: int, portion: int) -> bool:
        """Remove the oldest changes from the log; see `Store.trim_log`."""
        ...


class Writing(Protocol):
    """Opens the collection for writing; see `Collection.writing`."""

    def __call__(self) -> AbstractContextManager[Content]:
        """Return the lock of the collection, and its content."""
        ...


class LogTrimming:
    """A job of the worker: remove from the log of one collection what its retention lets go.

    Args:
        spec: of the collection.
        background: what the collections share.
        writing: opens the collection.
        folding: the job that folds SQLite's log into the file.
    """

    def __init__(self, spec: CollectionSpec, background: Background, writing: Writing, folding: Job) -> None:
        self._spec = spec
        self._background = background
        self._writing = writing
        self._folding = folding

    def written(self, content: Content) -> None:
        """Note a write; called after each. Many writes share one removal."""
        if exceeds(self._background.retention, content.oldest_change, content.last_seq):
            self._background.worker.schedule(self, self._background.rhythm.trim_seconds)

    def look(self, oldest: OldestChange | None, last: int) -> None:
        """Begin when there is something to remove from a log.

        Args:
            oldest: its oldest change.
            last: seq of its last one.
        """
        retention = self._background.retention
        if retention.is_unlimited:
            return
        if exceeds(retention, oldest, last) or expired(retention, oldest, last, self._background.clock()):
            self._background.worker.schedule(self)

    def run(self, check_cancelled: Cancellation) -> float | None:
        """Remove portions for a turn; see `Job.run`."""
        end = time.monotonic() + _TURN_SECONDS
        try:
            while (pause := self._remove_portion()) is not None:
                if time.monotonic() + pause >= end:
                    return pause
                time.sleep(pause)
                check_cancelled()
        except DomainError as error:
            # The collection is gone or damaged, or the disk refuses: what is too much goes after a later write.
            _log.debug("the log of changes of collection %s was not trimmed: %s", self._spec.ref, error)
        return None

    def _remove_portion(self) -> float | None:
        """Remove one portion; return seconds to leave the collection to others before the next, None for no next."""
        retention = self._background.retention
        with self._writing() as content:
            started = time.monotonic()
            self._background.reached("trim")
            first_kept = retention.first_kept(content.last_seq)
            last_expired = retention.last_expired(self._background.clock())
            more = content.trim_log(first_kept, last_expired, _PORTION)
            elapsed = time.monotonic() - started
            if content.checkpoint_due:
                self._background.worker.schedule(self._folding)
        return min(_MAX_PAUSE_SECONDS, _PAUSE * elapsed) if more else None


def exceeds(retention: LogRetention, oldest: OldestChange | None, last: int) -> bool:
    """Return whether a log holds more changes than it may.

    >>> [exceeds(LogRetention(max_changes=3), OldestChange(1, 0), last) for last in (3, 4)]
    [False, True]
    """
    return oldest is not None and oldest.seq < retention.first_kept(last)


def expired(retention: LogRetention, oldest: OldestChange | None, last: int, now: int) -> bool:
    """Return whether the oldest change of a log is too old and not the only one.

    >>> [expired(LogRetention(max_age=5), OldestChange(1, 0), last, now=5) for last in (1, 2)]
    [False, True]
    """
    return oldest is not None and oldest.seq < last and oldest.at <= retention.last_expired(now)
