"""Access log: the requests that leave a line, by one rule for both transports."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger("vectrograph.access")

# Duration from which a successful request leaves a line too. Chosen: one second is what a person notices.
SLOW_MILLISECONDS: Final = 1_000.0
LINES_A_SECOND: Final = 100
"""Lines of level info for single requests: some 25 kB a second, so that nobody fills the disk of the log by failing."""


class AccessLines:
    """Decides which requests leave a line of level info, at most `per_second` of them in each second. Thread-safe."""

    def __init__(self, per_second: int = LINES_A_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._second = -1
        self._count = 0

    def is_worth_a_line(self, *, failed: bool, milliseconds: float) -> bool:
        """Return whether a request's line is of level info: it failed or took a second, and there is room for it.

        A busy server answers thousands of requests a second, and what went well is counted (`requests_total`); a line
        for each buries those that somebody has to look at. How many lines were left out is a line of its own.

        >>> lines = AccessLines(per_second=1, clock=lambda: 0.0)
        >>> [lines.is_worth_a_line(failed=failed, milliseconds=3.0) for failed in (False, True, True)]
        [False, True, False]
        """
        if not failed and milliseconds < SLOW_MILLISECONDS:
            return False
        second = int(self._clock())
        with self._lock:
            left_out = 0
            if second != self._second:
                left_out = max(0, self._count - self._per_second)
                self._second, self._count = second, 0
            self._count += 1
            has_room = self._count <= self._per_second
        if left_out:
            log.warning("lines of failed or slow requests were left out", lines=left_out, limit=self._per_second)
        return has_room


_lines: Final = AccessLines()
is_worth_a_line: Final = _lines.is_worth_a_line
