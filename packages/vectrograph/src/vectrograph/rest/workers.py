"""The threads that synchronous work runs in."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from vectrograph.domain.errors import DeadlineExceeded, Unavailable
from vectrograph.rest.operation import Work

R = TypeVar("R")


class _Pool(ThreadPoolExecutor):
    """Threads, and how much work waits for one."""

    @property
    def waiting(self) -> int:
        """Functions that no thread has begun."""
        return self._work_queue.qsize()


class Workers:
    """The threads that handlers run in, so divided that hashing never crowds out the rest.

    One per application. Handed to asyncio's own executor interface, a function is on its thread and back in half the
    time that anyio's limiters and shields take.
    """

    def __init__(self, threads: int = 32, hashing: int = 2, *, max_waiting: int = 1_024) -> None:
        """`max_waiting` requests may wait for a thread of their kind, of hashing ones a sixteenth of that."""
        self._max_waiting = {Work.HASHING: max_waiting // 16}
        self._usual_waiting = max_waiting
        self._pools = {
            Work.PROBING: _Pool(2, thread_name_prefix="rest-probing"),
            Work.THREADED: _Pool(threads, thread_name_prefix="rest"),
            Work.HASHING: _Pool(hashing, thread_name_prefix="rest-hashing"),
        }

    async def run(self, work: Work, deadline: float | None, function: Callable[[], R]) -> R:
        """The function's result. Waiting for a thread ends at the deadline; once begun, the function runs to its end.

        Raises:
            DeadlineExceeded: no thread became free in time.
            Unavailable: more requests wait already than can be answered in time.
        """
        if work is Work.INLINE:
            return function()
        pool = self._pools[work]
        if pool.waiting >= self._max_waiting.get(work, self._usual_waiting):
            raise Unavailable("The server has more requests waiting than it can answer in time.", retry_after=1.0)
        begun = pool.submit(copy_context().run, _outcome, function)
        if deadline is None:
            return (await asyncio.wrap_future(begun))()
        late: list[bool] = []
        # Cancelling does nothing to a function that a thread has begun.
        timer = asyncio.get_running_loop().call_later(
            max(0.0, deadline - time.monotonic()), lambda: late.append(begun.cancel())
        )
        try:
            outcome = await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            if not any(late):
                raise
            raise DeadlineExceeded("The server was too busy to begin in the time allowed; try again later.") from None
        finally:
            timer.cancel()
        return outcome()


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
