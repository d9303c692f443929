"""Arguments of a handler besides the decoded body: the application, the call, the varying parts of the path."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, overload

import msgspec
from starlette.types import Receive, Scope, Send

from vectrograph.domain.errors import Place, Unauthenticated
from vectrograph.domain.points import IdempotencyKey, Vector
from vectrograph.http.decoding import as_vector
from vectrograph.http.errors import ErrorAnswer
from vectrograph.http.vector_frames import Rows
from vectrograph.http.waking import LoopWaker
from vectrograph.services import Services
from vectrograph.services.call import UNKNOWN_ORIGIN, Call, Origin


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is not a struct: bytes ready to send."""

    body: bytes
    media_type: str
    headers: tuple[tuple[str, str], ...] = ()


NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Lines:
    """An answer that is sent while it is made: NDJSON, a struct per line, or a vector frame for some lines at a time.

    Attributes:
        pages: the structs, some at a time; taken in worker threads as fast as the client reads.
    """

    pages: Iterator[Iterable[msgspec.Struct]]


class Streamed(Protocol):
    """An answer that goes on for as long as its reader wants, sent by the event loop without a worker thread.

    Attributes:
        media_type: of the answer.
        headers: besides the usual ones.
    """

    media_type: str
    headers: Sequence[tuple[str, str]]

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body, its last part included; the head is out."""
        ...

    def close(self) -> None:
        """Let go of everything. Never waits."""
        ...


@dataclass(frozen=True, slots=True)
class Application:
    """Application state that all requests share.

    Attributes:
        services: every use case.
        version: of the server.
        document: returns the OpenAPI document, as JSON.
        write_error: the answer to an error and a request id, in the form of the API that answers with lines.
        waker: wakes the coroutines that send events.
    """

    services: Services
    version: str
    document: Callable[[], bytes]
    write_error: Callable[[Exception, str], ErrorAnswer]
    waker: LoopWaker = field(default_factory=LoopWaker)


@dataclass(frozen=True, slots=True)
class Context:
    """One request on its way into the services.

    Attributes:
        application: what is the same for all requests.
        caller: None on public routes.
        path: varying parts of the path, decoded.
        accept: media types that the client asks for, as it wrote them.
        idempotency: the request's own name, when the client gave it one.
        credential: the one that `caller` was authenticated with.
        offered: the credential that came with a request to a public route, unchecked.
        last_event_id: where a reader of events was when its stream broke, as browsers say it.
        origin: where the request came from.
        rows: the vectors of a body that is a frame; none of a body that is JSON.
    """

    application: Application
    caller: Call | None
    path: Mapping[str, str]
    accept: str = ""
    idempotency: IdempotencyKey | None = None
    credential: str | None = field(default=None, repr=False)
    offered: str | None = field(default=None, repr=False)
    last_event_id: str = ""
    origin: Origin = UNKNOWN_ORIGIN
    rows: Rows = field(default_factory=Rows, repr=False)

    @property
    def services(self) -> Services:
        """Every use case."""
        return self.application.services

    @property
    def wants_lines(self) -> bool:
        """Return whether the client asks for NDJSON."""
        return NDJSON in self.accept.lower()

    @overload
    def vector(self, field: str | Place, value: list[float] | int) -> Vector: ...

    @overload
    def vector(self, field: str | Place, value: list[float] | int | None) -> Vector | None: ...

    def vector(self, field: str | Place, value: list[float] | int | None) -> Vector | None:
        """Return a vector as a body names it: its numbers in JSON, the number of its row in a frame.

        Raises:
            InvalidArgument: the frame has no such row; `field` names who asks.
        """
        if value is None:
            return None
        return self.rows.take(value, field) if isinstance(value, int) else as_vector(value)

    @property
    def call(self) -> Call:
        """The authenticated call.

        Raises:
            Unauthenticated: the route is public, so nobody was asked who they are.
        """
        if self.caller is None:
            raise Unauthenticated("This route was called without credentials.")
        return self.caller
