"""One background thread that looks at something each second, as long as there is something to look at."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from vectrograph.domain.errors import DomainError

# Seconds between two looks. Chosen: quarantines last 30 s at least, and heartbeats of streams are 15 s apart.
TICK_SECONDS: Final = 1.0
# Seconds that stopping waits for a look that is under way.
_CLOSE_SECONDS: Final = 1.5

_log: Final = logging.getLogger(__name__)


class Ticker:
    """Calls `look` each second until it returns False, and again from the next `wake` on.

    Args:
        look: returns whether it has to be called again. Its domain errors are logged, and it is called again.
        seconds: between two calls.
        subject: plural noun for what is looked at; names the thread and stands in log lines.
    """

    def __init__(self, look: Callable[[], bool], seconds: float = TICK_SECONDS, *, subject: str) -> None:
        self._look = look
        self._subject = subject
        self._seconds = seconds
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def wake(self) -> None:
        """Begin to look, unless that is under way or the server stops."""
        with self._lock:
            self._woken.set()
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name=f"tick of {self._subject}", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._woken.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            while not self._stopping.wait(self._seconds) and self._try_look():
                pass
            if self._stopping.is_set():
                return

    def _try_look(self) -> bool:
        try:
            again = self._look()
        except DomainError as error:
            if not self._failing:
                _log.warning("%s cannot be looked at; trying again each second: %s", self._subject, error.message)
            self._failing = True
            return True
        self._failing = False
        return again
