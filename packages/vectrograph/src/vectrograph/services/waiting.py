"""How long one more would have to wait for a thread: what decides whether it is let in."""

import threading
import time
from collections.abc import Callable
from typing import Final

MAX_WAIT_SECONDS: Final = 1.0
"""Longer than this nobody should have to wait: a caller who gives up and asks again makes it worse for all."""
ALWAYS_LET_IN: Final = 8
"""So many may wait however slow the work is."""
_WEIGHT: Final = 0.1
_LONGEST_PACE: Final = 1.0


class Queue:
    """Those who wait for a thread, and the pace at which they begin. Thread-safe.

    The pace is measured between one beginning and the next while others wait, so that it tells what the server can do
    and not what it is asked for; a moving average follows it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0
        self._pace = 0.0
        self._last: float | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @property
    def is_too_long(self) -> bool:
        """Whether one more would wait longer than `MAX_WAIT_SECONDS`."""
        return self._waiting >= ALWAYS_LET_IN and self._waiting * self._pace > MAX_WAIT_SECONDS

    def join(self) -> None:
        """One more waits."""
        with self._lock:
            self._waiting += 1

    def begin(self) -> None:
        """One that waited begins."""
        now = self._clock()
        with self._lock:
            if self._last is not None:
                self._pace += _WEIGHT * (min(_LONGEST_PACE, now - self._last) - self._pace)
            self._waiting -= 1
            self._last = now if self._waiting else None

    def leave(self) -> None:
        """One that waited gave up."""
        with self._lock:
            self._waiting -= 1
