"""Taking from a flow what it yields for its caller, until somebody says that it is over; for threads and for tasks.

A flow is driven by one at a time. Who asks while another one waits gets what comes next.
"""

import contextlib
from collections.abc import Awaitable, Callable
from threading import Lock as ThreadLock
from typing import Any, TypeVar

from neurograph._concurrency import running_loop
from neurograph._transport.grip import AsyncGrip, Grip
from neurograph._transport.lines import AsyncLine, Line
from neurograph._wirekit.flow import Flow, pull, pull_async

T = TypeVar("T")


class Puller:
    """Drives a flow for threads.

    Args:
        begin: makes the flow; True when one before was interrupted.
        perform: performs an effect.
        hang_up: lets go of the connection; may be called when there is none.
    """

    def __init__(
        self, begin: Callable[[bool], Flow[None]], perform: Callable[[Any], Any], hang_up: Callable[[], None]
    ) -> None:
        self._begin = begin
        self._perform = perform
        self._hang_up = hang_up
        self._flow = begin(False)
        self._turn = ThreadLock()
        self.grip = Grip()

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        return self.grip.is_cut

    def take(self, wanted: type[T]) -> T | None:
        """Return the next effect of this kind; None when it is over.

        Raises:
            Exception: of the flow; then it is over.
        """
        try:
            with self._turn:
                return self._taken(wanted)
        finally:
            if self._is_cut():
                self._tidy()

    def close(self) -> None:
        """End it, from any thread or a signal handler. Never waits for a lock."""
        self.grip.cut()
        self._tidy()

    def sleep(self, seconds: float) -> None:
        """Pause, until it is over at most."""
        self.grip.sleep(seconds)

    def watch(self, line: Line) -> None:
        """Cut this line when it is over."""
        self.grip.watch(line.cut)

    def abandon(self) -> None:
        """End it because nobody can ask any more."""
        self.close()

    def after_fork(self) -> None:
        """Begin again in a child process, without the connection of the parent."""
        is_over = self._is_cut()
        self.grip.leave()
        self.grip, self._turn = Grip(), ThreadLock()
        if is_over:
            self.grip.cut()
        self._flow = self._begin(True)

    def _is_cut(self) -> bool:
        return self.grip.is_cut

    def _taken(self, wanted: type[T]) -> T | None:
        if self._is_cut():
            return None
        try:
            found = pull(self._flow, next(self._flow, None), self._perform, wanted)
        except Exception:
            if self._is_cut():
                return None  # this is how a wait ends that was cut
            self.grip.cut()
            raise
        except BaseException:
            # Ctrl-C in the middle of reading: nobody knows what has been read. The next call opens a connection anew.
            self._hang_up()
            self._flow = self._begin(True)
            raise
        if found is None:
            self.grip.cut()
        return None if self._is_cut() else found

    def _tidy(self) -> None:
        """Close the connection, unless a thread still uses it: then that thread does it."""
        if self._turn.acquire(blocking=False):
            try:
                self._hang_up()
            finally:
                self._turn.release()


class AsyncPuller:
    """Drives a flow for tasks.

    What takes time runs in a task of its own, so that a caller that gives up waiting, as with a timeout, breaks
    nothing: what arrives is kept for the next one.

    Args:
        begin: makes the flow; True when one before was interrupted.
        perform: performs an effect.
        hang_up: lets go of the connection; may be called when there is none.
    """

    grip: AsyncGrip | None = None

    def __init__(
        self,
        begin: Callable[[bool], Flow[None]],
        perform: Callable[[Any], Awaitable[Any]],
        hang_up: Callable[[], Awaitable[None]],
    ) -> None:
        import asyncio

        self._begin = begin
        self._perform = perform
        self._hang_up = hang_up
        self._flow = begin(False)
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.is_over = False

    async def take(self, wanted: type[T]) -> T | None:
        """Return the next effect of this kind; None when it is over.

        Raises:
            Exception: of the flow; then it is over.
        """
        async with self._turn:
            try:
                found = await self._taken(wanted)
            except Exception:
                if not self.is_over:
                    await self.close()
                    raise
                found = None
            if found is None or self.is_over:
                await self.close()
                return None
            return found

    async def close(self) -> None:
        """End it; who waits is woken at once."""
        if self._loop is not None and self._loop is not running_loop():
            self.abandon()
            return
        if self._keeper is not None:
            self._keeper.cancel()
        await self._end()

    def watch(self, line: AsyncLine) -> None:
        """Do nothing: cancelling the task is enough."""

    async def sleep(self, seconds: float) -> None:
        """Pause; a cancelled task ends it."""
        import asyncio

        await asyncio.sleep(seconds)

    def abandon(self) -> None:
        """End it soon, because nobody can ask any more, or from another event loop."""
        self.is_over = True
        task, loop = self._task, self._loop
        if task is not None and task.done() and not task.cancelled():
            task.exception()  # nobody will ask for it, and asyncio would complain
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the connection
                loop.call_soon_threadsafe(self._close_soon)

    def after_fork(self) -> None:
        """Begin again in a child process, without connection and event loop of the parent."""
        import asyncio

        self._turn, self._task, self._keeper, self._loop = asyncio.Lock(), None, None, None
        self._flow = self._begin(True)

    async def _keep(self) -> None:
        """Close the connection when the loop ends, which begins by cancelling all tasks.

        The asynchronous generators inside of httpx2 are closed later, all at once, and stumble over one another.
        """
        try:
            await running_loop().create_future()
        finally:
            await self._end()

    async def _end(self) -> None:
        import asyncio

        self.is_over = True
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait({task})
        await self._hang_up()

    def _close_soon(self) -> None:
        import asyncio

        self._closing = asyncio.ensure_future(self.close())

    async def _taken(self, wanted: type[T]) -> T | None:
        import asyncio

        if self.is_over:
            return None
        if self._task is None:
            effect = next(self._flow, None)
            if effect is None or isinstance(effect, wanted):
                return effect
            self._loop = running_loop()
            self._keeper = self._keeper or asyncio.ensure_future(self._keep())
            self._task = asyncio.ensure_future(pull_async(self._flow, effect, self._perform, wanted))
        task = self._task
        await asyncio.wait({task})
        self._task = None
        found: T | None = None if task.cancelled() else task.result()
        return found
