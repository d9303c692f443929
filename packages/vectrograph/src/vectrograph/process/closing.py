"""The end of a server: every wait has a limit, and what was given up on is said."""

import faulthandler
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from vectrograph.domain.errors import DomainError

log = structlog.get_logger("vectrograph.process.closing")

CLOSE_SECONDS: Final = 4.0
"""Seconds beyond `shutdown_seconds` that closing the data may take: an index that is saved takes one or two."""
EXIT_SECONDS: Final = 5.0
"""Seconds beyond `shutdown_seconds` after which a process that was told to stop is gone, whatever hangs."""
# Each step gets this much even when the time is over: most need a millisecond.
_MIN_SECONDS: Final = 0.25
# Seconds for the last line of a process that ends by force: whoever reads its log may have stopped.
_LAST_LINE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Step:
    """Something to be closed."""

    name: str
    function: Callable[[], object]
    until: float


class Closing:
    """Things that a server has opened, to be closed last first.

    Each step runs on a thread of its own, so that one that hangs can be left behind.
    """

    def __init__(self, seconds: float) -> None:
        """Allow so many seconds for all steps together."""
        self._seconds = seconds
        self._steps: list[_Step] = []
        self._under_way: str | None = None

    @property
    def under_way(self) -> str | None:
        """The step that is being waited for."""
        return self._under_way

    def add(self, name: str, function: Callable[[], object], *, until: float | None = None) -> None:
        """Call a function at the end.

        Args:
            name: of what it closes, for the log.
            function: that closes it.
            until: seconds after the beginning of the end when it is given up; by default when all time is over.
        """
        self._steps.append(_Step(name, function, self._seconds if until is None else min(until, self._seconds)))

    def close(self) -> list[str]:
        """Close everything. Closing twice is fine.

        Returns:
            The names of what did not end in time; the log has them too.

        Raises:
            Exception: a defect of a step, after all others had their turn. RefusalLog of disk and database are logged.
        """
        began = time.monotonic()
        given_up: list[str] = []
        defects: list[Exception] = []
        while self._steps:
            step = self._steps.pop()
            self._under_way = step.name
            seconds = max(_MIN_SECONDS, began + step.until - time.monotonic())
            if not _ends_within(seconds, step, defects):
                given_up.append(step.name)
                log.error("gave up on a part of the server while stopping", part=step.name, seconds=round(seconds, 1))
        self._under_way = None
        if defects:
            raise defects[0]
        return given_up


def _ends_within(seconds: float, step: _Step, defects: list[Exception]) -> bool:
    """Run a step; tell whether it ended in time."""

    def run() -> None:
        try:
            step.function()
        except (DomainError, OSError) as error:
            log.error("a part of the server was not closed cleanly", part=step.name, reason=str(error))
        except Exception as error:  # noqa: BLE001  (raised again when the other steps are over)
            defects.append(error)

    thread = threading.Thread(target=run, name=f"closing {step.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


class StopSignal:
    """The wish that this process ends, made by a signal, and the certainty that it does.

    The kernel may give a signal to any thread, and Python's handlers run in the main one, which sleeps: it would not
    wake up. So the signal itself writes a byte into a pipe (`signal.set_wakeup_fd`), from which a thread reads.
    """

    def __init__(self, seconds: float, under_way: Callable[[], str | None]) -> None:
        """Prepare to end.

        Args:
            seconds: from the wish on, after which the process is ended by force, with status 1.
            under_way: tells what is being waited for then.
        """
        self._seconds = seconds
        self._what = under_way
        self._asked = threading.Event()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        threading.Thread(target=self._see_to_it, name="vectrograph-stop", daemon=True).start()

    def listen(self, *signals: signal.Signals) -> None:
        """End the process when one of these signals comes; called by the main thread."""
        for each in signals:
            # Without a handler in Python, Python leaves the signal to the system, which ends the process at once.
            signal.signal(each, lambda *_: None)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def ask(self) -> None:
        """Ask the process to end; it was asked already when the pipe is full."""
        with suppress(BlockingIOError):
            os.write(self._writing, b".")

    def wait(self) -> None:
        """Wait until somebody asks."""
        self._asked.wait()

    def _see_to_it(self) -> None:
        os.read(self._reading, 1)
        self._asked.set()
        # Should no thread get the interpreter any more.
        try:
            faulthandler.dump_traceback_later(self._seconds + 1, exit=True, file=sys.__stderr__ or sys.stderr)
        except (AttributeError, ValueError, io.UnsupportedOperation):
            log.debug("standard error is not a file; the process is ended by its own thread only")
        time.sleep(self._seconds)
        leave_at_once(self._last_words)

    def _last_words(self) -> None:
        threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
        log.error(
            "ended by force: stopping took too long",
            seconds=self._seconds,
            waited_for=self._what() or "the end of threads",
            threads=threads,
        )


def leave_at_once(last_words: Callable[[], None] = lambda: None) -> None:
    """End this process with status 1, without waiting for anything. What was acknowledged is on the disk."""

    def speak() -> None:
        last_words()
        sys.stderr.flush()

    speaker = threading.Thread(target=speak, name="vectrograph-last-words", daemon=True)
    speaker.start()
    speaker.join(_LAST_LINE_SECONDS)
    os._exit(1)
