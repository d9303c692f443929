"""Requests and responses as values, as middleware sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neurograph._protocol.frames import Rows

__all__ = ["Request", "Response"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, before it meets a server.

    Attributes:
        method: GET, POST, PUT or DELETE.
        target: path and query, quoted, beginning with a slash.
        body: JSON text or a vector frame, or None.
        content_type: of the body.
        bearer: what to send as `Authorization: Bearer`; None sends no such header.
        accept: media type to ask for.
        idempotency_key: the request's own name, the same in all attempts; None sends none.
        request_id: what to send as `X-Request-ID`, so that a report can name an attempt without an answer.
        headers: further headers, by name.
        streamed: read the body of a success as it arrives instead of at once.
        attempt: how often it was sent before.
    """

    method: str
    target: str
    body: bytes | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)
    accept: str = "application/json"
    content_type: str = "application/json"
    idempotency_key: str | None = None
    streamed: bool = False
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    attempt: int = 0

    def authorized(self, bearer: str | None) -> "Request":
        """Return the same request with this credential."""
        return replace(self, bearer=bearer)

    def with_header(self, name: str, value: str) -> "Request":
        """Return the same request with one more header, for middleware."""
        return replace(self, headers={**self.headers, name: value})

    def __str__(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer.

    Attributes:
        request: what it answers.
        status: HTTP status.
        headers: names in lower case.
        body: decompressed; of a vector frame only the document, once it was taken apart.
        rows: the vectors beside the document.
        chunks: the body in pieces as they arrive, an iterator or asynchronous iterator of bytes; only of a
            streamed request that succeeded.
    """

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    chunks: Any = field(default=None, repr=False)
    rows: Rows | None = field(default=None, repr=False)

    @property
    def request_id(self) -> str | None:
        """The server's name for this request, if it gave one."""
        return self.headers.get("x-request-id") or self.headers.get("x-correlation-id")
