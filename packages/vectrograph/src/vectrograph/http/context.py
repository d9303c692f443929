"""Arguments of a handler besides the decoded body: the application, the call, the varying parts of the path."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, overload

import msgspec

from vectrograph.domain.errors import Place, Unauthenticated
from vectrograph.domain.points import IdempotencyKey, Vector
from vectrograph.http.decoding import as_vector
from vectrograph.http.errors import ErrorAnswer
from vectrograph.http.vector_frames import Rows
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


@dataclass(frozen=True, slots=True)
class Application:
    """Application state that all requests share.

    Attributes:
        services: every use case.
        version: of the server.
        document: the OpenAPI document, as JSON.
        write_error: the answer to an error and a request id, in the form of the API that answers with lines.
    """

    services: Services
    version: str
    document: bytes
    write_error: Callable[[Exception, str], ErrorAnswer]


@dataclass(frozen=True, slots=True)
class Context:
    """One request on its way into the services.

    Attributes:
        application: what is the same for all requests.
        caller: None on public routes.
        path: varying parts of the path, decoded.
        accept: media types that the client asks for, as it wrote them.
        idempotency: the request's own name, when the client gave it one.
        offered: the credential that came with a request to a public route, unchecked.
        origin: where the request came from.
        rows: the vectors of a body that is a frame; none of a body that is JSON.
    """

    application: Application
    caller: Call | None
    path: Mapping[str, str]
    accept: str = ""
    idempotency: IdempotencyKey | None = None
    offered: str | None = field(default=None, repr=False)
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
