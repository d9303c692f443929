"""One thread for everything that a whole engine does in the background."""

import atexit
import logging
import time
from threading import Condition, Thread, get_ident
from typing import Final, Protocol
from weakref import WeakSet

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.threads import ThreadPlacement

# Seconds until a job that failed is tried again. Chosen: a lasting fault fills no log.
_RETRY_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class GiveUp(Exception):
    """The work under way is no longer wanted."""


class Job(Protocol):
    """Something that is due now and then."""

    def run(self, check_cancelled: Cancellation) -> float | None:
        """Do what is due.

        Args:
            check_cancelled: to be called every fraction of a second; raises GiveUp when the work is no longer wanted.

        Returns:
            Seconds until to look again, None when there is nothing to look for.
        """
        ...


class Worker:
    """Runs jobs one after another on a thread that is started with the first and ends with `close`.

    A process that forks has no such thread in the child, and no locks that can be trusted: open engines after a fork.
    """

    def __init__(self, placement: ThreadPlacement | None = None) -> None:
        self._placement = placement or ThreadPlacement()
        self._changed = Condition()
        self._due: dict[Job, float] = {}
        self._running: list[Job] = []
        self._unwanted: WeakSet[Job] = WeakSet()
        self._thread: Thread | None = None
        self._closing = False

    def schedule(self, job: Job, delay: float = 0.0) -> None:
        """Run a job after so many seconds, or earlier if it was already to be run earlier; does nothing once closed."""
        due = time.monotonic() + delay
        with self._changed:
            if self._closing or job in self._unwanted or self._due.get(job, due + 1) <= due:
                return
            self._due[job] = due
            if self._thread is None:
                self._thread = Thread(target=self._work, name="vectrograph-index", daemon=True)
                # Programs may end without closing their engine, and a thread that comes out of faiss then aborts.
                atexit.register(self.close)
                self._thread.start()
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Never run a job again, and wait until it has stopped: a fraction of a second if it is under way."""
        with self._changed:
            self._unwanted.add(job)
            self._due.pop(job, None)
            if self._thread is not None and self._thread.ident != get_ident():
                self._changed.wait_for(lambda: job not in self._running)

    def forget(self) -> None:
        """Become idle for good in a child of the process whose thread this was; that process goes on."""
        atexit.unregister(self.close)
        self._closing, self._thread, self._changed = True, None, Condition()

    def close(self) -> None:
        """Stop, within a fraction of a second if something is under way."""
        with self._changed:
            self._closing = True
            self._due.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            atexit.unregister(self.close)

    def _work(self) -> None:
        self._placement.unpin()
        while not self._closing:
            with self._changed:
                job = self._start_due()
                if job is None and not self._closing:
                    first = min(self._due.values(), default=None)
                    self._changed.wait(None if first is None else max(0.0, first - time.monotonic()))
            if job is not None:
                self._finish(job)

    def _start_due(self) -> Job | None:
        """Take the job that is due first, if its time has come; the condition is held."""
        idle = [job for job in self._due if job not in self._running]
        job = min(idle, key=self._due.__getitem__, default=None)
        if job is None or self._due[job] > time.monotonic():
            return None
        del self._due[job]
        self._running.append(job)
        return job

    def _finish(self, job: Job) -> None:
        again: float | None = None
        try:
            again = job.run(self._check_cancelled)
        except GiveUp:
            # Perhaps for the sake of another one that it was run in the middle of: schedule knows.
            again = 0.0
        except Exception:  # noqa: BLE001 - the thread must outlive whatever goes wrong; it is logged
            _log.exception("background work failed and is tried again in %d s", _RETRY_SECONDS)
            again = _RETRY_SECONDS
        with self._changed:
            self._running.remove(job)
            self._changed.notify_all()
        if again is not None:
            self.schedule(job, again)

    def _check_cancelled(self) -> None:
        """Give other due jobs their turn, or end the job; called in the middle of long work."""
        with self._changed:
            if self._closing or any(job in self._unwanted for job in self._running):
                raise GiveUp
            other = self._start_due() if len(self._running) == 1 else None
        if other is not None:
            self._finish(other)
