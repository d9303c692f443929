"""The threads that synchronous work runs in."""

import time
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from vectrograph.domain.errors import DeadlineExceeded
from vectrograph.rest.operation import Work

R = TypeVar("R")


class Workers:
    """The threads that handlers run in, so divided that hashing never crowds out the rest.

    One per application and event loop.
    """

    def __init__(self, threads: int = 32, hashing: int = 2) -> None:
        self._limiters = {
            Work.THREADED: anyio.CapacityLimiter(threads),
            Work.HASHING: anyio.CapacityLimiter(hashing),
        }

    async def run(self, work: Work, deadline: float | None, function: Callable[[], R]) -> R:
        """The function's result. Waiting for a thread ends at the deadline; once begun, the function runs to its end.

        Raises:
            DeadlineExceeded: no thread became free in time.
        """
        if work is Work.INLINE:
            return function()
        if deadline is None:
            return await anyio.to_thread.run_sync(function, limiter=self._limiters[work])
        with anyio.move_on_after(max(0.0, deadline - time.monotonic())):
            return await anyio.to_thread.run_sync(function, limiter=self._limiters[work])
        raise DeadlineExceeded("The server was too busy to begin in the time allowed; try again later.")
