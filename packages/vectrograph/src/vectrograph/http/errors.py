"""Errors that only HTTP knows: an unknown path, a wrong method, a foreign Host, bytes that are no request.

How an error is written depends on the API: `ErrorWriter` is given to whatever answers with one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from starlette.types import Scope

from vectrograph.domain import errors as domain


class RequestRefused(Exception):
    """The request never reached a use case.

    Attributes:
        status: of the answer.
        code: stable machine-readable name, SCREAMING_SNAKE_CASE.
        message: what happened and what to do.
        details: JSON-ready facts.
        headers: to be sent with the answer.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "INVALID_REQUEST"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class MalformedRequest(RequestRefused):
    """A header that HTTP itself forbids."""


class HostNotAllowed(RequestRefused):
    """The Host header names no host of this server, as when a web page reaches for it through a name of its own."""

    code = "HOST_NOT_ALLOWED"


class OriginNotAllowed(RequestRefused):
    """A web page of another site opens a WebSocket: browsers ask nobody whether it may."""

    status = 403
    code = "ORIGIN_NOT_ALLOWED"


class RouteNotFound(RequestRefused):
    """No such path."""

    status = 404
    code = "ROUTE_NOT_FOUND"


class MethodNotAllowed(RequestRefused):
    """The path exists, this method of it does not; the header Allow lists those that do."""

    status = 405
    code = "METHOD_NOT_ALLOWED"


class UpgradeRequired(RequestRefused):
    """A plain request for a path that has WebSockets only."""

    status = 426
    code = "UPGRADE_REQUIRED"


class MalformedHandshake(RequestRefused):
    """A request for a WebSocket that is not one of RFC 6455."""

    code = "MALFORMED_HANDSHAKE"


class UnsupportedMediaType(RequestRefused):
    """A body that is not plain `application/json`."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


class RequestTooSlow(RequestRefused):
    """The body did not come in the time that it may take."""

    status = 408
    code = "REQUEST_TIMEOUT"


class FramingRefused(RequestRefused):
    """The bytes of a connection cannot be taken apart into requests any more: it is closed after the answer."""

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details=details, headers={"Connection": "close"})


class MalformedFraming(FramingRefused):
    """A request that HTTP itself forbids, or that two servers could read in two ways."""


class TargetTooLong(FramingRefused):
    """The request target is over its limit."""

    status = 414
    code = "TARGET_TOO_LONG"


class HeadersTooLarge(FramingRefused):
    """Headers, trailers or chunk extensions are over their limit, in bytes or in number."""

    status = 431
    code = "HEADERS_TOO_LARGE"


class NotSupported(FramingRefused):
    """A method or a transfer coding that this server does not know."""

    status = 501
    code = "NOT_SUPPORTED"


class VersionNotSupported(FramingRefused):
    """A version of HTTP that this server does not speak."""

    status = 505
    code = "HTTP_VERSION_NOT_SUPPORTED"


class ClientDisconnected(Exception):
    """The client went away while its body was read; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it goes out: status, JSON body, and headers besides the usual ones."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


ErrorWriter: TypeAlias = Callable[[Exception, Scope], ErrorAnswer]
"""Write an error in the form of the API that the request of this scope is for."""


def body_too_large(limit: int) -> domain.TooLarge:
    """Return the error for a body of more than `limit` bytes."""
    return domain.TooLarge(
        f"The body is over the limit of {limit} bytes; send several smaller requests.",
        details={"limit": limit, "unit": "bytes"},
    )
