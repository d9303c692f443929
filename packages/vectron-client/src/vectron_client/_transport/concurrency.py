"""Differences between the two clients: opening, pauses that can be ended, and running flows at the same time.

Both drivers of many flows draw them lazily, in order, and run at most `concurrency` side by side. At the first error
nothing new begins, what is on its way is cancelled, and the error is raised; results that had arrived by then still
count.
The synchronous driver has no threads of its own: gRPC tells it when an answer has come.
"""

import asyncio
import contextlib
import heapq
import itertools
import queue
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from vectron_client._transport.channel import AsyncChannel, Channel, PendingCall, require_loop
from vectron_client._wirekit.flow import Flow, Sleep, run, run_async
from vectron_client.exceptions import VectronError

T = TypeVar("T")
S = TypeVar("S", bound="Openable")
A = TypeVar("A", bound="AsyncOpenable")


class Openable:
    """Base of what is open as soon as it is there."""

    def _opened(self) -> "Openable":
        raise NotImplementedError


class AsyncOpenable:
    """Base of what is opened by `await`."""

    async def _opened(self) -> "AsyncOpenable":
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Any]:
        return self._opened().__await__()


def ready(made: S) -> S:
    """Open what was made, before its user gets it."""
    made._opened()
    return made


def async_ready(made: A) -> A:
    """Return what was made; its user opens it with `await`."""
    return made


class Bell:
    """Pauses that another thread or a signal handler may end; all of them, from then on."""

    def __init__(self) -> None:
        # The one queue that a signal handler may put something into while its thread waits for it.
        self._rung: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """End the pause."""
        self._rung.put(None)

    def pause(self, seconds: float) -> None:
        """Wait until it rings, so many seconds at most."""
        with contextlib.suppress(queue.Empty):
            self._rung.get(timeout=seconds)
            self._rung.put(None)


class AsyncBell:
    """Pauses that another task may end; all of them, from then on."""

    def __init__(self) -> None:
        self._is_rung = False
        self._waiting: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """End the pause."""
        self._is_rung = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def pause(self, seconds: float) -> None:
        """Wait until it rings, so many seconds at most."""
        if self._is_rung:
            return
        # A future of its own each time: an object may be used on one event loop after another.
        self._waiting = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._waiting}, timeout=seconds)


def run_concurrently(flows: Iterable[Flow[T]], channel: Channel, concurrency: int, done: Callable[[T], None]) -> None:
    """Run flows to their ends, `concurrency` at a time.

    Args:
        flows: drawn one by one when there is room.
        channel: performs their effects.
        concurrency: how many at once, 1 or more.
        done: receives each result, in the order in which they come.

    Raises:
        Exception: the first that a flow, or drawing one, raised.
    """
    if concurrency == 1:
        for flow in flows:
            done(run(flow, channel.perform))
        return
    running = _Running(channel, done)
    try:
        for flow in flows:
            running.advance(flow)
            while running.busy >= concurrency:
                running.step()
        while running.busy:
            running.step()
    finally:
        running.cancel()


class _Running:
    """The flows under way: each waits for an answer or sleeps."""

    def __init__(self, channel: Channel, done: Callable[[Any], None]) -> None:
        self._channel = channel
        self._done = done
        self._answered: queue.SimpleQueue[Flow[Any]] = queue.SimpleQueue()
        self._pending: dict[Flow[Any], PendingCall] = {}
        self._sleeping: list[tuple[float, int, Flow[Any]]] = []
        self._order = itertools.count()

    @property
    def busy(self) -> int:
        """Number of flows under way."""
        return len(self._pending) + len(self._sleeping)

    def advance(self, flow: Flow[Any], answer: Any = None, error: VectronError | None = None) -> None:
        """Take a flow to its next effect, which begins, or to its end."""
        while True:
            try:
                effect = flow.send(answer) if error is None else flow.throw(error)
            except StopIteration as end:
                self._done(end.value)
                return
            if isinstance(effect, Sleep):
                heapq.heappush(self._sleeping, (time.monotonic() + effect.seconds, next(self._order), flow))
                return
            try:
                pending = self._pending[flow] = self._channel.start(effect)
            except VectronError as refusal:
                error = refusal
            else:
                pending.when_done(lambda: self._answered.put(flow))
                return

    def step(self) -> None:
        """Wait until an answer comes or a sleep is over, and takes that flow on."""
        wait = max(0.0, self._sleeping[0][0] - time.monotonic()) if self._sleeping else None
        try:
            flow = self._answered.get(timeout=wait)
        except queue.Empty:
            self.advance(heapq.heappop(self._sleeping)[2])
            return
        try:
            answer = self._pending.pop(flow).result()
        except VectronError as error:
            self.advance(flow, error=error)
        else:
            self.advance(flow, answer)

    def cancel(self) -> None:
        """Give up what is on its way; answers that are there already still count."""
        for pending in self._pending.values():
            pending.cancel()
        for flow, pending in self._pending.items():
            self._settle(flow, pending)
        self._pending.clear()

    def _settle(self, flow: Flow[Any], pending: PendingCall) -> None:
        try:
            flow.send(pending.result())
        except StopIteration as end:
            self._done(end.value)
        except VectronError:
            flow.close()


async def run_concurrently_async(
    flows: Iterable[Flow[T]], channel: AsyncChannel, concurrency: int, done: Callable[[T], None]
) -> None:
    """Run flows to their ends, `concurrency` at a time; arguments and errors as in `run_concurrently`."""
    require_loop()
    running: set[asyncio.Task[T]] = set()
    try:
        for flow in flows:
            running.add(asyncio.create_task(run_async(flow, channel.perform)))
            while len(running) >= concurrency:
                await _collect(running, done)
        while running:
            await _collect(running, done)
    finally:
        for task in running:
            task.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                done(outcome)


async def _collect(running: "set[asyncio.Task[T]]", done: Callable[[T], None]) -> None:
    """Wait until tasks have ended, takes them out, hands results on; then raises if one of them failed."""
    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= ended
    failed = [task for task in ended if task.exception() is not None]
    for task in ended.difference(failed):
        done(task.result())
    for task in failed:
        task.result()
