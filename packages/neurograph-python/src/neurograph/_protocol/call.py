"""Calls as values: they join a request to the meaning of its response. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from neurograph.wire import Request, Response

T = TypeVar("T")


class Body(Protocol):
    """A body that can be written in two ways; see `vector_bodies`."""

    def wants_frame(self, known: bool | None) -> bool:
        """Return whether to try a frame with a server that is known to read them or not, or (None) has not been heard
        yet.
        """
        ...

    def framed(self) -> bytes | None:
        """Return the body as a vector frame; None when it cannot be one."""
        ...

    def in_json(self) -> bytes:
        """Return the body as JSON text."""
        ...


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call of the API: what to send, and how to read the answer.

    Attributes:
        request: without a credential.
        decode: reads a successful response; raises InvalidResponseError.
        idempotent: whether a repeat changes nothing, so that a lost answer may be asked for again; so it is
            with an idempotency key.
        public: whether it goes without credentials.
        body: the body of the request, where it has vectors.
    """

    request: Request
    decode: Callable[[Response], T]
    idempotent: bool = True
    public: bool = False
    body: Body | None = None
