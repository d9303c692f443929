"""Foreground callers: while they wait for answers, background work leaves the processors to them."""

import os
import time
from typing import Final

# Seconds without a request after which background work takes all cores. Chosen: longer than the pauses of a busy
# client.
_QUIET_SECONDS: Final = 0.05


class Foreground:
    """Knows when the engine was last asked for something."""

    def __init__(self) -> None:
        self._last = 0.0

    def touch(self) -> None:
        """Somebody asks now, or has just got an answer."""
        # One store needs no lock.
        self._last = time.monotonic()

    def quiet_for(self) -> float:
        """Return seconds since then."""
        return time.monotonic() - self._last

    def threads(self) -> int:
        """Return how many threads the background may use: all cores while nobody asks, else one."""
        return available_cores() if self.quiet_for() > _QUIET_SECONDS else 1


def available_cores() -> int:
    """Return cores that this process may run on."""
    return len(os.sched_getaffinity(0))
