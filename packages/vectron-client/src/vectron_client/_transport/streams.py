"""Answers that arrive one after the other: the two clients' views of a call that is still running.

A stream has an end. It holds its first answer when it is made, so that a call that fails at once fails there and can be
repeated. A feed lasts until somebody ends it, so each wait for an answer has a limit.

The two kinds of feeds differ in how a wait ends early. gRPC's synchronous calls have no limit for it, and this package
starts no threads. But they wait a tenth of a second at a time, so that signals are handled, and look at their condition
then.
"""

import asyncio
import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, TypeAlias

from vectron_client._execution.feeds import SilenceError

#: Makes a context that turns what gRPC raises into a `VectronError`.
Raising: TypeAlias = Callable[[], AbstractContextManager[None]]


class Stream:
    """The serialised answers of a call, each as soon as it is there.

    Args:
        call: gRPC's iterator.
        raising: surrounds each wait.

    Raises:
        VectronError: the call failed before its first answer.
    """

    def __init__(self, call: Any, raising: Raising) -> None:
        self._call = call
        self._raising = raising
        self._next = self._take()

    def _take(self) -> bytes | None:
        with self._raising():
            answer: bytes | None = next(self._call, None)
        return answer

    def __iter__(self) -> Iterator[bytes]:
        """Wait for answer after answer; raises a `VectronError` when the call fails on its way."""
        while self._next is not None:
            yield self._next
            self._next = self._take()

    def cancel(self) -> None:
        """Give the rest up; after the last answer this does nothing."""
        self._call.cancel()


class AsyncStream:
    """As `Stream`, for calls of an event loop; `opened` makes it."""

    def __init__(self, call: Any, raising: Raising) -> None:
        self._call = call
        self._answers = aiter(call)
        self._raising = raising
        self._next: bytes | None = None

    @classmethod
    async def opened(cls, call: Any, raising: Raising) -> "AsyncStream":
        """Return the stream, once the first answer is there.

        Raises:
            VectronError: the call failed before that.
        """
        stream = cls(call, raising)
        stream._next = await stream._take()
        return stream

    async def _take(self) -> bytes | None:
        with self._raising():
            answer: bytes | None = await anext(self._answers, None)
        return answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Wait for answer after answer; raises a `VectronError` when the call fails on its way."""
        while self._next is not None:
            yield self._next
            self._next = await self._take()

    def cancel(self) -> None:
        """Give the rest up; after the last answer this does nothing."""
        self._call.cancel()


#: Asynchronous calls that this process inherited in a fork. They are kept, since collecting them would call into gRPC.
_inherited: Final[list[Any]] = []
#: Seconds that a fork waits for the end of a call, which takes milliseconds: as long as gRPC waits for its own threads.
_LONGEST_END: Final = 5.0


class _GivenUpError(Exception):
    """The call was cancelled while an answer was waited for."""


class _Patience:
    """Ends a wait of a synchronous call when its time is up, or when the call is given up.

    Another thread or a signal handler may set `is_given_up`. The condition on which a call waits is a private part of
    gRPC; `works` is False where it is missing, and then waits last until an answer comes.
    """

    def __init__(self, call: Any) -> None:
        self.until = math.inf
        self.is_given_up = False
        condition: Any = getattr(getattr(call, "_state", None), "condition", None)
        self.works = condition is not None
        if self.works:
            self._wait = condition.wait
            condition.wait = self._wait_a_moment

    def _wait_a_moment(self, timeout: float | None = None) -> bool:
        if self.is_given_up:
            raise _GivenUpError
        if time.monotonic() >= self.until:
            raise SilenceError
        is_notified: bool = self._wait(timeout)
        return is_notified


class Feed:
    """The answers of a synchronous call.

    A fork ends them. A child process that inherits a running call often crashes (seen up to grpcio 1.85) or hangs (seen
    up to 1.70).

    Args:
        call: gRPC's iterator.
        raising: surrounds each wait.
    """

    def __init__(self, call: Any, raising: Raising) -> None:
        self._call = call
        self._raising = raising
        self._patience = _Patience(call)
        self._is_waiting = False
        #: False once an answer may be missing.
        self.is_usable = True
        _open[id(self)] = self

    def take(self, seconds: float | None) -> bytes | None:
        """Return the next answer; None at the end, and when the call is cancelled meanwhile.

        Raises:
            SilenceError: there was none in so many seconds.
            VectronError: the call has failed.
        """
        patience = self._patience
        patience.until = math.inf if seconds is None else time.monotonic() + seconds
        self._is_waiting = True
        try:
            with self._raising():
                answer: bytes | None = next(self._call, None)
            return answer
        except BaseException as error:
            # Also when a signal handler raises: the answer that was waited for would be lost.
            self.is_usable = False
            self._call.cancel()
            if isinstance(error, _GivenUpError):
                return None
            raise
        finally:
            self._is_waiting = False
            patience.until = math.inf

    def cancel(self) -> None:
        """End the call; another thread or a signal handler may do this."""
        self._patience.is_given_up = True
        # A thread that waits cancels the call itself: a signal handler may have interrupted gRPC while it holds locks.
        if not (self._is_waiting and self._patience.works):
            self.is_usable = False
            self._call.cancel()

    def end_before_fork(self) -> None:
        """End the call and wait until gRPC has let go of it."""
        self.is_usable = False
        over = threading.Event()
        if self._call.add_callback(over.set):
            self._call.cancel()
            over.wait(_LONGEST_END)


_open: Final["weakref.WeakValueDictionary[int, Feed]"] = weakref.WeakValueDictionary()


def _end_all_before_fork() -> None:
    for reference in _open.valuerefs():
        feed = reference()
        if feed is not None:
            feed.end_before_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_all_before_fork)


class AsyncFeed:
    """As `Feed`, for calls of an event loop. Cancelling a task that waits for an answer loses none."""

    def __init__(self, call: Any, raising: Raising) -> None:
        self._call = call
        self._answers = aiter(call)
        self._raising = raising
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Task[Any] | None = None
        self._is_whole = True

    @property
    def is_usable(self) -> bool:
        """Return whether the next answer can be taken: none may be missing, and process and event loop are the same."""
        if self._process != os.getpid():
            _inherited.append((self._call, self._reading))
            return False
        return self._is_whole and self._loop is asyncio.get_running_loop()

    async def take(self, seconds: float | None) -> bytes | None:
        """Return the next answer; None at the end, and when the call is cancelled meanwhile.

        Raises:
            SilenceError: there was none in so many seconds.
            VectronError: the call has failed.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(_next(self._answers))
        await asyncio.wait({self._reading}, timeout=seconds)
        if not self._reading.done():
            self.cancel()
            raise SilenceError
        reading, self._reading = self._reading, None
        if reading.cancelled():
            return None
        with self._raising():
            answer: bytes | None = reading.result()
        return answer

    def cancel(self) -> None:
        """End the call; a task that waits for an answer gets None."""
        if self._process != os.getpid() or self._loop.is_closed():
            return
        self._is_whole = False
        self._call.cancel()
        if self._reading is not None:
            self._reading.cancel()

    def __del__(self) -> None:
        # The loop would keep the task, and with it the call, until the server says something.
        with contextlib.suppress(AttributeError, RuntimeError):
            self.cancel()


async def _next(answers: AsyncIterator[bytes]) -> bytes | None:
    answer: bytes | None = await anext(answers, None)
    return answer
