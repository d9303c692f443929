"""Log lines about refused requests: one a second for all of them."""

import threading
from typing import Final

import structlog

log = structlog.get_logger("vectrograph.load")

# Seconds between two lines about refusals. Chosen: readable, and without effect on the load.
PERIOD_SECONDS: Final = 1.0


class RefusalLog:
    """Counts refusals. A line for each would cost more than the refusal, and bury what matters. Thread-safe."""

    def __init__(self, transport: str, period: float = PERIOD_SECONDS) -> None:
        """`transport` is named in the lines; one comes at most every `period` seconds."""
        self._transport = transport
        self._period = period
        self._lock = threading.Lock()
        self._count = 0
        self._timer: threading.Timer | None = None

    def note(self) -> None:
        """Count one more refusal; within a period the log says so."""
        self._count += 1
        if self._timer is None:
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(self._period, self._tell)
                self._timer.daemon = True
                self._timer.start()

    def _tell(self) -> None:
        with self._lock:
            count, self._count, self._timer = self._count, 0, None
        log.warning("overloaded", transport=self._transport, refused=count, seconds=self._period)
