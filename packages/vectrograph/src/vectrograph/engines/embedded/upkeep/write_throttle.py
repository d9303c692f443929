"""Slowing writers down when the index cannot keep up, so that what searches must scan does not grow for ever."""

import time
from threading import Condition, Lock
from typing import Final

from vectrograph.domain.errors import DeadlineExceeded

_PACE_FLOATS: Final = 1_000_000
"""Components per second that writers are let in when the index begins to lag: about what one core indexes."""


class WriteThrottle:
    """Lets the writers of one collection in, one after another while the index lags.

    Args:
        dimension: of the vectors.
        changed: notified when the index has made progress; a writer need not wait longer then.
    """

    def __init__(self, dimension: int, changed: Condition) -> None:
        self._dimension = dimension
        self._changed = changed
        self._turn = Lock()

    def wait(self, lag: float, rows: int, deadline: float | None) -> None:
        """Let a writer of so many rows in.

        Args:
            lag: rows that wait for the index, in units of what may wait; nobody is slowed up to 1.
            rows: to be written.
            deadline: in `time.monotonic()` seconds.

        Raises:
            DeadlineExceeded: the deadline comes first.
        """
        if lag <= 1:
            return
        patience = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._turn.acquire(timeout=patience):
            raise _too_slow()
        try:
            # The farther behind, the slower: however slow the index is, there is a size at which it keeps up.
            until = time.monotonic() + lag**2 * rows * self._dimension / _PACE_FLOATS
            with self._changed:
                self._changed.wait(max(0.0, (until if deadline is None else min(until, deadline)) - time.monotonic()))
            if deadline is not None and time.monotonic() >= deadline:
                raise _too_slow()
        finally:
            self._turn.release()


def _too_slow() -> DeadlineExceeded:
    return DeadlineExceeded(
        "Writes arrive faster than they can be indexed, and the deadline passed while waiting; nothing was written. "
        "Write less at a time, or allow more time."
    )
