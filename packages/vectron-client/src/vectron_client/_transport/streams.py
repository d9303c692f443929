"""Answers that arrive one after the other: the two clients' views of a call that is still running.

Both hold the first answer when they are made, so that a call that fails at once fails there and can be repeated.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

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
