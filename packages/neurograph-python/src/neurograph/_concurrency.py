"""The few things that differ between threads and tasks: a lock with a deadline, sleeping, calling a function."""

import inspect
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from threading import Lock as ThreadLock
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from neurograph._forks_and_copies import forget_after_fork
from neurograph._wirekit.deadline import Deadline
from neurograph.exceptions import ConfigurationError, TimeoutError

if TYPE_CHECKING:
    import asyncio

    from neurograph._transport.grip import AsyncGrip, Grip


# Seconds between two looks of a thread that waits for a lock and may be told to give up.
_LOOK_SECONDS = 0.05


class Lock:
    """Excludes threads; starts over in a child process, should another thread have held it at the fork."""

    def __init__(self) -> None:
        self._lock = ThreadLock()
        forget_after_fork(self)

    @contextmanager
    def hold(self, deadline: Deadline, grip: "Grip | None" = None) -> Generator[None, None, None]:
        """Hold the lock.

        Args:
            deadline: by which it must be free.
            grip: ends the wait when it is cut.

        Raises:
            TimeoutError: it was not free by the deadline.
            ClientClosedError: the grip was cut.
        """
        lock = self._lock
        while not lock.acquire(timeout=_share(deadline, grip)):
            if deadline.expired:
                raise _waited_too_long()
            if grip is not None:
                grip.check()
        try:
            yield
        finally:
            lock.release()

    def after_fork(self) -> None:
        """Forget who held it."""
        self._lock = ThreadLock()


class AsyncLock:
    """Excludes the tasks of one event loop; every loop has a lock of its own."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    @asynccontextmanager
    async def hold(self, deadline: Deadline, grip: "AsyncGrip | None" = None) -> AsyncGenerator[None, None]:
        """Hold the lock.

        Raises:
            TimeoutError: it was not free by the deadline.
        """
        import asyncio

        lock = self._locks.setdefault(running_loop(), asyncio.Lock())
        acquiring = asyncio.ensure_future(lock.acquire())
        try:
            # Unlike wait_for, wait never loses a lock that is acquired in the moment of a time-out or
            # cancellation.
            await asyncio.wait({acquiring}, timeout=deadline.timeout())
            if not acquiring.done():
                raise _waited_too_long()
            yield
        finally:
            if acquiring.done() and not acquiring.cancelled():
                lock.release()
            else:
                acquiring.cancel()


def _share(deadline: Deadline, grip: "Grip | None") -> float:
    """Return seconds to wait for a lock at once; -1 for ever."""
    timeout = deadline.timeout()
    if grip is not None:
        return _LOOK_SECONDS if timeout is None else min(timeout, _LOOK_SECONDS)
    return -1 if timeout is None else timeout


def running_loop() -> "asyncio.AbstractEventLoop":
    """Return the running event loop.

    Raises:
        ConfigurationError: there is none, as under trio.
    """
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigurationError(
        "The asynchronous client needs a running asyncio event loop, and there is none here. Under trio, call the "
        "synchronous client in a thread: await trio.to_thread.run_sync(...)",
        request_sent=False,
    )


def _waited_too_long() -> TimeoutError:
    return TimeoutError("The timeout passed while waiting for the login of another call", request_sent=False)


T = TypeVar("T")
Made = TypeVar("Made", bound="Openable")
AsyncMade = TypeVar("AsyncMade", bound="AsyncOpenable")
Job: TypeAlias = Callable[[], T]
AsyncJob: TypeAlias = Callable[[], Awaitable[T]]


Items: TypeAlias = Iterable[T]
AsyncItems: TypeAlias = Iterable[T] | AsyncIterable[T]
"""Anything that can be iterated over, also with `async for`."""


def iterating(items: Items[T]) -> Iterator[T]:
    """Iterate over items."""
    return iter(items)


async def async_iterating(items: AsyncItems[T]) -> AsyncGenerator[T, None]:
    """Iterate over items of either kind."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that waits for a disk."""
    return function(*arguments)


async def async_apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that waits for a disk, in a thread, so that the event loop goes on."""
    import asyncio

    return await asyncio.to_thread(function, *arguments)


def in_turn(jobs: Iterable[Job[T]], at_once: int) -> Generator[T, None, None]:
    """Run jobs one after the other, whatever `at_once` says, and yields their results."""
    for job in jobs:
        yield job()


async def async_in_turn(jobs: AsyncItems[AsyncJob[T]], at_once: int) -> AsyncGenerator[T, None]:
    """Run jobs, so many at once, and yields their results in the order of the jobs.

    No job is taken before there is room for it. When one fails, or the caller leaves, the others are cancelled.
    """
    import asyncio

    running: deque[asyncio.Future[T]] = deque()
    try:
        async with aclosing(async_iterating(jobs)) as source:
            async for job in source:
                running.append(asyncio.ensure_future(job()))
                if len(running) >= at_once:
                    yield await running[0]
                    running.popleft()
        while running:
            yield await running[0]
            running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def check_middleware(functions: Iterable[Any]) -> None:
    """Refuse what the synchronous client cannot call.

    Raises:
        ConfigurationError: one is a coroutine function, or cannot be called at all.
    """
    for function in functions:
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise ConfigurationError(f"middleware of a synchronous client must be a plain function, not {function!r}")


def async_check_middleware(functions: Iterable[Any]) -> None:
    """Refuse what the asynchronous client cannot await.

    Raises:
        ConfigurationError: one is a plain function, or cannot be called at all.
    """
    for function in functions:
        if not callable(function) or (inspect.isfunction(function) and not inspect.iscoroutinefunction(function)):
            raise ConfigurationError(f"middleware of an asynchronous client must be `async def`, not {function!r}")


def sleep(seconds: float) -> None:
    """Pause this thread."""
    time.sleep(seconds)


async def async_sleep(seconds: float) -> None:
    """Pause this task."""
    import asyncio

    await asyncio.sleep(seconds)


def called(function: Callable[[T], Any], argument: T) -> None:
    """Call a function of the caller's."""
    function(argument)


async def async_called(function: Callable[[T], Any], argument: T) -> None:
    """Call a function of the caller's, and wait for it when it is asynchronous."""
    outcome = function(argument)
    if inspect.isawaitable(outcome):
        await outcome


class Openable:
    """Something that is open as soon as it is handed out."""

    def _opened(self: Made) -> Made:
        raise NotImplementedError


class AsyncOpenable:
    """Something that opens when it is awaited, entered or first used."""

    async def _opened(self: AsyncMade) -> AsyncMade:
        raise NotImplementedError

    def __await__(self: AsyncMade) -> Generator[Any, None, AsyncMade]:
        return self._opened().__await__()


def ready(thing: Made) -> Made:
    """Return something open: whatever happens from now on is not lost."""
    return thing._opened()


def async_ready(thing: AsyncMade) -> AsyncMade:
    """Return something that is yet to be opened: a plain function cannot wait."""
    return thing


class OpenStreams(Generic[T]):
    """The streams of a client that are open: a set that threads and signal handlers use without a lock."""

    def __init__(self) -> None:
        self._streams: dict[int, T] = {}

    def add(self, stream: T) -> None:
        """Count it."""
        self._streams[id(stream)] = stream

    def discard(self, stream: T) -> None:
        """Count it no more."""
        self._streams.pop(id(stream), None)

    def all(self) -> list[T]:
        """Return those that are open now."""
        return list(self._streams.values())
