"""Functions around every attempt of a call: an onion inside the retry loop, and inside login too.

A middleware is called with the request and `call_next`, and returns a response: what `call_next(request)` gave, or
another. It may send another request (`request.with_header(…)`), look at the answer, or answer by itself. The first of a
list is the outermost. Because it stands inside the retry loop, it runs once for each attempt, sees answers of every
status, and an error that it raises is repeated only when it is a NeuroGraphError that says so.

>>> def mark(request, call_next):
...     return call_next(request.with_header("X-Team", "search"))
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from neurograph.wire import Request, Response

__all__ = ["AsyncHandler", "AsyncMiddleware", "Handler", "Middleware"]

Handler: TypeAlias = Callable[[Request], Response]
AsyncHandler: TypeAlias = Callable[[Request], Awaitable[Response]]


class Middleware(Protocol):
    """A function around every attempt of the synchronous client."""

    def __call__(self, request: Request, call_next: Handler) -> Response:
        """Answer a request."""
        ...


class AsyncMiddleware(Protocol):
    """A coroutine function around every attempt of the asynchronous client."""

    async def __call__(self, request: Request, call_next: AsyncHandler) -> Response:
        """Answer a request."""
        ...
