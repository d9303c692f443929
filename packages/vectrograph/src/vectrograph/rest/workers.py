"""The threads that synchronous work runs in."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.to_thread

from vectrograph.domain.errors import DeadlineExceeded, Unavailable
from vectrograph.rest.operation import Work
from vectrograph.services.waiting import Queue

R = TypeVar("R")


class Workers:
    """The threads that handlers run in, so divided that hashing never crowds out the rest.

    One per application and event loop.
    """

    def __init__(self, threads: int = 16, hashing: int = 2, *, max_waiting: int = 1_024) -> None:
        """`max_waiting` requests may wait for a thread of their kind, of hashing ones a sixteenth; of the others
        only as many as begin within a second.
        """
        self._max_waiting = {Work.HASHING: max_waiting // 16}
        self._usual_waiting = max_waiting
        self._queues = {work: Queue() for work in Work}
        self._limiters = {
            Work.PROBING: anyio.CapacityLimiter(2),
            Work.THREADED: anyio.CapacityLimiter(threads),
            Work.HASHING: anyio.CapacityLimiter(hashing),
        }

    async def run(self, work: Work, deadline: float | None, function: Callable[[], R]) -> R:
        """The function's result. Waiting for a thread ends at the deadline; once begun, the function runs to its end.

        Raises:
            DeadlineExceeded: no thread became free in time.
            Unavailable: more requests wait already than can be answered in time.
        """
        if work is Work.INLINE:
            return function()
        limiter = self._limiters[work]
        if limiter.available_tokens <= 0:
            self._refuse_too_many(work)
        with self._waiting(work) as begin:

            def run() -> R:
                begin()
                return function()

            if deadline is None:
                return await anyio.to_thread.run_sync(run, limiter=limiter)
            with anyio.move_on_after(max(0.0, deadline - time.monotonic())):
                return await anyio.to_thread.run_sync(run, limiter=limiter)
        raise DeadlineExceeded("The server was too busy to begin in the time allowed; try again later.")

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
