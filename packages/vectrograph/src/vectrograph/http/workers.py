"""The threads that synchronous work runs in."""

import asyncio
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Final, Never, TypeVar

from vectrograph.domain.errors import DeadlineExceeded, Overloaded
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.http.operation import Workload
from vectrograph.services.limits.queueing import Queue, worker_threads
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.limits.thread_pool import Pool

R = TypeVar("R")
# Seconds that a refused caller is told to wait: as long as a queue may be foreseen to last.
RETRY_SECONDS: Final = 1.0
TOO_MANY: Final = "The server has more requests waiting than it can answer in time; try again later."
_MEASURED: Final = (Workload.THREADED, Workload.WRITING)


class Workers:
    """The threads that handlers run in, so divided that neither hashing nor writing crowds out the rest.

    One per application and event loop; the threads end with it. The result comes back by one call of the event loop;
    asyncio's executor interface makes a second future of it, and reading one token took 2 % longer.
    """

    def __init__(
        self,
        threads: int = 0,
        hashing: int = 2,
        *,
        max_waiting: int = 1_024,
        placement: ThreadPlacement = ThreadPlacement(),  # noqa: B008 (it has no state)
    ) -> None:
        """Prepare the threads; they start as they are needed.

        Args:
            threads: threads that search and read, and as many again that write; 0 for `worker_threads()`.
            hashing: threads that hash passwords.
            max_waiting: requests that may wait for a thread of one kind; a sixteenth of it for those that hash. Fewer
                when they would not start within a second.
            placement: where threads run; those that search and read are pinned.
        """
        count = threads or worker_threads()
        self._max_waiting = {Workload.HASHING: max_waiting // 16}
        self._usual_waiting = max_waiting
        self._queues = {workload: Queue() for workload in Workload}
        self._free = {Workload.PROBING: 2, Workload.THREADED: count, Workload.WRITING: count, Workload.HASHING: hashing}
        self._pools = {
            workload: Pool(
                count,
                thread_name_prefix=f"rest-{workload}",
                # The thread of the event loop starts them, and they would stay where that is.
                begin=placement.pin if workload is Workload.THREADED else placement.unpin,
            )
            for workload, count in self._free.items()
        }
        weakref.finalize(self, _end, [*self._pools.values()])

    def is_full(self, workload: Workload) -> bool:
        """Return whether one more would wait too long for a thread of its kind."""
        if self._free.get(workload, 1) > 0:
            return False
        queue = self._queues[workload]
        too_many = queue.waiting >= self._max_waiting.get(workload, self._usual_waiting)
        # Hashing is slow on purpose, and the few who wait for it wait longer.
        return too_many or (workload in _MEASURED and queue.is_too_long)

    def refuse_when_full(self, workload: Workload) -> None:
        """Let no more in where enough wait.

        Raises:
            Overloaded: more requests wait already than can be answered in time.
        """
        if self.is_full(workload):
            raise overloaded()

    async def charge_address(self, rate_limits: RateLimits, address: str) -> None:
        """Let one more request from an address through.

        Raises:
            RateLimited: it sent too many in the last second.
            Overloaded: the counts are not in this process, and no thread is free to ask for them.
        """
        if rate_limits.blocks:
            await self.run(Workload.THREADED, None, partial(rate_limits.charge_address, address))
        else:
            rate_limits.charge_address(address)

    async def run(
        self, workload: Workload, deadline: float | None, function: Callable[[], R], *, continues: bool = False
    ) -> R:
        """Return the function's result. Waiting for a thread ends at the deadline; once begun, the function runs to its
        end.

        Args:
            workload: which threads it may take.
            deadline: `time.monotonic()` seconds.
            function: what to run.
            continues: whether it is part of a request that is being answered already, so that it must not be refused.

        Raises:
            DeadlineExceeded: no thread became free in time.
            Overloaded: more requests wait already than can be answered in time, or this one waited too long.
        """
        if workload is Workload.INLINE:
            return function()
        if not continues:
            self.refuse_when_full(workload)
        queue = self._queues[workload]
        since = queue.join()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Callable[[], R]] = loop.create_future()
        turn = _Turn()
        late = False

        def work() -> None:
            if not turn.take():
                return
            refused = not queue.begin(since) and not continues and workload in _MEASURED
            outcome = _outcome(_refuse if refused else function)
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_settle, done, outcome)

        def give_up() -> None:
            nonlocal late
            if turn.take():
                late = True
                queue.leave()
                done.cancel()

        self._pools[workload].submit(copy_context().run, work)
        self._free[workload] -= 1
        timer = None
        if deadline is not None:
            timer = loop.call_later(max(0.0, deadline - time.monotonic()), give_up)
        try:
            return (await done)()
        except asyncio.CancelledError:
            if late:
                raise DeadlineExceeded(
                    "The server was too busy to begin within the allowed time; try again later."
                ) from None
            if turn.take():
                queue.leave()
            raise
        finally:
            self._free[workload] += 1
            if timer is not None:
                timer.cancel()


class _Turn:
    """The right to begin a function, or to give it up: only the first who takes it has it."""

    __slots__ = ("_there",)

    def __init__(self) -> None:
        self._there = [True]

    def take(self) -> bool:
        """Return whether it was still there. Popping from a list is one step, whichever thread does it."""
        try:
            return self._there.pop()
        except IndexError:
            return False


def _refuse() -> Never:
    raise overloaded()


def _settle(done: asyncio.Future[R], outcome: R) -> None:
    if not done.done():
        done.set_result(outcome)


def _end(pools: Sequence[Pool]) -> None:
    for pool in pools:
        pool.shutdown(wait=False)


def overloaded() -> Overloaded:
    """Return the refusal of a request that would wait too long."""
    return Overloaded(TOO_MANY, retry_after=RETRY_SECONDS)


def _outcome(function: Callable[[], R]) -> Callable[[], R]:
    """Run a function; the result gives what it gave. On the way through asyncio some exceptions become others."""
    try:
        value = function()
    except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
        caught = error
    else:
        return lambda: value

    def fail() -> R:
        raise caught

    return fail
