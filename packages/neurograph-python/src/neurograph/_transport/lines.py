"""Answers that are read while they come, one piece after the other, each with a time limit of its own."""

from collections.abc import AsyncIterator, Iterator

from neurograph.exceptions import InvalidResponseError
from neurograph.wire import Response


class Line:
    """An answer for a thread to read."""

    def read(self, seconds: float | None) -> bytes:
        """Wait for the next piece; b"" at the end.

        Raises:
            TimeoutError: nothing came in time.
            ConnectionError: it broke.
        """
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send something back.

        Raises:
            ConnectionError: it broke.
        """
        raise NotImplementedError

    def cut(self) -> None:
        """End a wait of another thread, where that thread waits for no socket."""

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError


class AsyncLine:
    """An answer for a task to read; methods as of Line."""

    async def read(self, seconds: float | None) -> bytes:
        """Wait for the next piece."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Send something back."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close it."""
        raise NotImplementedError


class _Answer(Line):
    """An answer of a middleware, which waits as long as it likes."""

    def __init__(self, response: Response) -> None:
        self._pieces: Iterator[bytes] = iter([response.body] if response.chunks is None else response.chunks)

    def read(self, seconds: float | None) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")

    def write(self, data: bytes) -> None:
        raise _one_way()

    def close(self) -> None:
        getattr(self._pieces, "close", lambda: None)()


class _AsyncAnswer(AsyncLine):
    """An answer of a middleware, for tasks; methods as of _Answer."""

    def __init__(self, response: Response) -> None:
        self._rest = response.body
        self._pieces: AsyncIterator[bytes] | None = None if response.chunks is None else aiter(response.chunks)

    async def read(self, seconds: float | None) -> bytes:
        if self._pieces is None:
            rest, self._rest = self._rest, b""
            return rest
        async for piece in self._pieces:
            if piece:
                return piece
        return b""

    async def write(self, data: bytes) -> None:
        raise _one_way()

    async def close(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


def line_of(response: Response) -> Line:
    """Return the line of a response, which a middleware may have made."""
    return response.chunks if isinstance(response.chunks, Line) else _Answer(response)


def async_line_of(response: Response) -> AsyncLine:
    """Return the line of a response, which a middleware may have made."""
    return response.chunks if isinstance(response.chunks, AsyncLine) else _AsyncAnswer(response)


def _one_way() -> InvalidResponseError:
    return InvalidResponseError(
        "A middleware has answered, and its answer is no connection that something can be sent to"
    )
