"""The threads that synchronous work runs in."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from vectrograph.domain.errors import DeadlineExceeded, Unavailable
from vectrograph.rest.operation import Work
from vectrograph.services.waiting import Queue

R = TypeVar("R")


class Workers:
    """The threads that handlers run in, so divided that hashing never crowds out the rest.

    One per application and event loop. Handed to asyncio's own executor interface, a function is on its thread and
    back in half the time that anyio's limiters and shields take.
    """

    def __init__(self, threads: int = 16, hashing: int = 2, *, max_waiting: int = 1_024) -> None:
        """`max_waiting` requests may wait for a thread of their kind, of hashing ones a sixteenth; of the others
        only as many as begin within a second.
        """
        self._max_waiting = {Work.HASHING: max_waiting // 16}
        self._usual_waiting = max_waiting
        self._queues = {work: Queue() for work in Work}
        self._free = {Work.PROBING: 2, Work.THREADED: threads, Work.HASHING: hashing}
        self._pools = {
            work: ThreadPoolExecutor(count, thread_name_prefix=f"rest-{work}") for work, count in self._free.items()
        }

    async def run(self, work: Work, deadline: float | None, function: Callable[[], R]) -> R:
        """The function's result. Waiting for a thread ends at the deadline; once begun, the function runs to its end.

        Raises:
            DeadlineExceeded: no thread became free in time.
            Unavailable: more requests wait already than can be answered in time.
        """
        if work is Work.INLINE:
            return function()
        if self._free[work] <= 0:
            self._refuse_too_many(work)
        with self._waiting(work) as begin:

            def run() -> R:
                begin()
                return function()

            return (await self._outcome_of(work, deadline, run))()

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

    def _refuse_too_many(self, work: Work) -> None:
        """Let no more wait where enough do."""
        queue = self._queues[work]
        too_many = queue.waiting >= self._max_waiting.get(work, self._usual_waiting)
        # Hashing is slow on purpose, and the few who wait for it wait longer.
        if too_many or (work is Work.THREADED and queue.is_too_long):
            raise Unavailable("The server has more requests waiting than it can answer in time.", retry_after=1.0)

    @contextmanager
    def _waiting(self, work: Work) -> Iterator[Callable[[], None]]:
        """Count one that waits, until it begins, which it says by calling what this gives, or gives up."""
        queue, begun = self._queues[work], False

        def begin() -> None:
            nonlocal begun
            begun = True
            queue.begin()

        queue.join()
        try:
            yield begin
        finally:
            if not begun:
                queue.leave()


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
