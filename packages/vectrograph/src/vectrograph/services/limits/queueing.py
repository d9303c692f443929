"""Queues of requests for threads, and the wait that one more would have."""

import os
import threading
import time
from collections.abc import Callable
from typing import Final

MAX_WAIT_SECONDS: Final = 1.0
"""Longer than this nobody should have to wait: a caller who gives up and asks again makes it worse for all."""
MAX_ACTUAL_WAIT_SECONDS: Final = 2.0
"""Seconds in the queue after which a request is refused at its turn: the work before it took longer than foreseen."""
ALWAYS_LET_IN: Final = 8
"""So many may wait however slow the work is."""
# Weight of the newest value in the moving average of the pace: it follows a change within some ten requests.
_PACE_WEIGHT: Final = 0.1
# Longest time between two begun requests that counts. One hung request must not refuse all others.
_MAX_PACE_SECONDS: Final = 1.0
# Threads of each pool on small machines. Chosen: requests also wait for the disk, so more than one core can run.
_MIN_THREADS: Final = 4
# Threads of each pool at most. Chosen: more threads only contend for the interpreter's lock.
_MAX_THREADS: Final = 32
# Threads of each pool for a core: one computes while the other waits for the disk.
_THREADS_PER_PROCESSOR: Final = 2


def worker_threads() -> int:
    """Return threads for one kind of work: two for each processor that this process may use, 4 at least and 32 at most.

    More make everything slower. They share one interpreter, and the thread that lets requests in or refuses them gets
    no more of it than each of those that work: with 16 it was so late on one processor that callers had given up before
    they were refused, and half of what could be answered was.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min(_MAX_THREADS, max(_MIN_THREADS, _THREADS_PER_PROCESSOR * processors))


def long_reading_threads(threads: int) -> int:
    """Return threads for calls that read much, beside so many for each other kind of work: three quarters.

    Four batches of a thousand queries at once answered fewer in all than three, and delayed others twice as long.

    >>> long_reading_threads(4), long_reading_threads(1)
    (3, 1)
    """
    return max(1, 3 * threads // 4)


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
        self._progress = 0.0

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return self._waiting

    @property
    def is_too_long(self) -> bool:
        """Return whether one more would wait longer than `MAX_WAIT_SECONDS`, or nobody began for that long."""
        if self._waiting < ALWAYS_LET_IN:
            return False
        foreseen = self._waiting * self._pace
        return foreseen > MAX_WAIT_SECONDS or self._clock() - self._progress > MAX_WAIT_SECONDS

    def join(self) -> float:
        """Return one more waits; returns since when, for `begin`."""
        now = self._clock()
        with self._lock:
            if not self._waiting:
                self._progress = now
            self._waiting += 1
        return now

    def begin(self, since: float) -> bool:
        """Return one that waited begins. False: it waited too long while many others wait, and is to be refused."""
        now = self._clock()
        with self._lock:
            self._waiting -= 1
            if now - since > MAX_ACTUAL_WAIT_SECONDS and self._waiting >= ALWAYS_LET_IN:
                return False
            if self._last is not None:
                self._pace += _PACE_WEIGHT * (min(_MAX_PACE_SECONDS, now - self._last) - self._pace)
            self._last = now if self._waiting else None
            self._progress = now
        return True

    def leave(self) -> None:
        """Note that one that waited gave up."""
        with self._lock:
            self._waiting -= 1
