"""The threads that synchronous work runs in."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from vectrograph.affinity import Home, anywhere
from vectrograph.domain.errors import DeadlineExceeded, Overloaded
from vectrograph.http.operation import Work
from vectrograph.services.limits.queueing import Queue, worker_threads

R = TypeVar("R")
RETRY_SECONDS: Final = 1.0
TOO_MANY: Final = "The server has more requests waiting than it can answer in time; try again later."
_MEASURED: Final = (Work.THREADED, Work.WRITING)


class Workers:
    """The threads that handlers run in, so divided that neither hashing nor writing crowds out the rest.

    One per application and event loop. Handed to asyncio's own executor interface, a function is on its thread and
    back in half the time that anyio's limiters and shields take.
    """

    def __init__(
        self, threads: int = 0, hashing: int = 2, *, max_waiting: int = 1_024, home: Home | None = None
    ) -> None:
        """`threads` search and read, as many again write; 0 is `worker_threads()`. `max_waiting` requests may wait for
        a thread of their kind, of hashing ones a sixteenth; of the others only as many as begin within a second. Those
        that search and read run at home, if there is one.
        """
        count = threads or worker_threads()
        self._max_waiting = {Work.HASHING: max_waiting // 16}
        self._usual_waiting = max_waiting
        self._queues = {work: Queue() for work in Work}
        self._free = {Work.PROBING: 2, Work.THREADED: count, Work.WRITING: count, Work.HASHING: hashing}
        self._pools = {
            work: ThreadPoolExecutor(
                count,
                thread_name_prefix=f"rest-{work}",
                # The thread of the event loop starts them, and they would stay where that is.
                initializer=home.stay if home is not None and work is Work.THREADED else anywhere,
            )
            for work, count in self._free.items()
        }

    def is_full(self, work: Work) -> bool:
        """Whether one more would wait too long for a thread of its kind."""
        if self._free.get(work, 1) > 0:
            return False
        queue = self._queues[work]
        too_many = queue.waiting >= self._max_waiting.get(work, self._usual_waiting)
        # Hashing is slow on purpose, and the few who wait for it wait longer.
        return too_many or (work in _MEASURED and queue.is_too_long)

    def refuse_when_full(self, work: Work) -> None:
        """Let no more in where enough wait.

        Raises:
            Overloaded: more requests wait already than can be answered in time.
        """
        if self.is_full(work):
            raise overloaded()

    async def run(self, work: Work, deadline: float | None, function: Callable[[], R], *, admitted: bool = False) -> R:
        """The function's result. Waiting for a thread ends at the deadline; once begun, the function runs to its end.

        Args:
            work: which threads it may take.
            deadline: `time.monotonic()` seconds.
            function: what to run.
            admitted: that it is part of a request which is being answered already and must not be refused.

        Raises:
            DeadlineExceeded: no thread became free in time.
            Overloaded: more requests wait already than can be answered in time, or this one waited too long.
        """
        if work is Work.INLINE:
            return function()
        if not admitted:
            self.refuse_when_full(work)
        queue, begun = self._queues[work], False
        since = queue.join()

        def run() -> R:
            nonlocal begun
            begun = True
            if not queue.begin(since) and not admitted and work in _MEASURED:
                raise overloaded()
            return function()

        try:
            return (await self._outcome_of(work, deadline, run))()
        finally:
            if not begun:
                queue.leave()

    async def _outcome_of(self, work: Work, deadline: float | None, function: Callable[[], R]) -> Callable[[], R]:
        begun = self._pools[work].submit(copy_context().run, _outcome, function)
        self._free[work] -= 1
        late: list[bool] = []
        timer = None
        if deadline is not None:
            # Cancelling does nothing to a function that a thread has begun.
            remaining = max(0.0, deadline - time.monotonic())
            timer = asyncio.get_running_loop().call_later(remaining, lambda: late.append(begun.cancel()))
        try:
            return await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            if not any(late):
                raise
            raise DeadlineExceeded("The server was too busy to begin in the time allowed; try again later.") from None
        finally:
            self._free[work] += 1
            if timer is not None:
                timer.cancel()


def overloaded() -> Overloaded:
    """The refusal of a request that would wait too long."""
    return Overloaded(TOO_MANY, retry_after=RETRY_SECONDS)


def _outcome(function: Callable[[], R]) -> Callable[[], R]:
    """Run a function; the result gives what it gave. On the way through asyncio some exceptions become others."""
    try:
        value = function()
    except Exception as error:  # noqa: BLE001  (raised again where it is waited for)
        caught = error
    else:
        return lambda: value

    def fail() -> R:
        raise caught

    return fail
