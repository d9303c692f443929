"""From errors to HTTP: the one table of statuses, and the one envelope that every error outside `/v1/…` is sent in.

Errors of the domain are in `STATUS`. What only HTTP can do wrong (an unknown path, a wrong method, a foreign Host) is a
`RequestRefused`. Anything else is a defect of ours and is answered without a word about it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final

import msgspec

from vectrograph.domain import errors as domain

STATUS: Final[Mapping[type[domain.DomainError], int]] = MappingProxyType(
    {
        domain.InvalidArgument: 422,
        domain.Unauthenticated: 401,
        domain.PermissionDenied: 403,
        domain.NotFound: 404,
        domain.AlreadyExists: 409,
        domain.Conflict: 409,
        domain.TooLarge: 413,
        domain.RateLimited: 429,
        domain.DeadlineExceeded: 504,
        domain.Cancelled: 499,
        domain.Unavailable: 503,
        domain.OutOfSpace: 507,
        domain.InternalError: 500,
    }
)
_INTERNAL: Final = "Something went wrong on the server; report the request id, its log has the details."


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


class RouteNotFound(RequestRefused):
    """No such path."""

    status = 404
    code = "ROUTE_NOT_FOUND"


class MethodNotAllowed(RequestRefused):
    """The path exists, this method of it does not; the header Allow lists those that do."""

    status = 405
    code = "METHOD_NOT_ALLOWED"


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


def status_of(kind: type[domain.DomainError]) -> int:
    """Status of a domain error: its own entry in `STATUS`, else that of the nearest base class.

    >>> status_of(domain.PointNotFound)
    404
    """
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), 500)


def error_answer(error: Exception, request_id: str) -> ErrorAnswer:
    """What the client is told about an error.

    Exceptions that are no part of the contract become INTERNAL_ERROR, without their text.
    """
    if isinstance(error, RequestRefused):
        body = _envelope(error.code, error.message, error.details, request_id)
        return ErrorAnswer(error.status, body, error.headers)
    if not isinstance(error, domain.DomainError) or status_of(type(error)) == 500:
        return ErrorAnswer(500, _envelope(domain.InternalError.code, _INTERNAL, {}, request_id))
    body = _envelope(error.code, error.message, _details_of(error), request_id)
    return ErrorAnswer(status_of(type(error)), body, _headers_of(error))


def body_too_large(limit: int) -> domain.TooLarge:
    """The error for a body of more than `limit` bytes."""
    return domain.TooLarge(
        f"The body is over the limit of {limit} bytes; send several smaller requests.",
        details={"limit": limit, "unit": "bytes"},
    )


def dotted(path: str) -> str:
    """The path of a field as clients read it, whether a parser or a service wrote it; the whole body is called `body`.

    >>> dotted("$.tokens[0].text"), dotted("texts[3]"), dotted("$")
    ('tokens.0.text', 'texts.3', 'body')
    """
    steps = re.sub(r"\[(\d+)\]", r".\1", path.removeprefix("$").replace("[...]", ""))
    return steps.lstrip(".") or "body"


def _envelope(code: str, message: str, details: Mapping[str, Any], request_id: str) -> bytes:
    facts = {"code": code, "message": message, "details": details, "request_id": request_id}
    return msgspec.json.encode({"success": False, "error": facts})


def _details_of(error: domain.DomainError) -> dict[str, Any]:
    if not isinstance(error, domain.InvalidArgument):
        return error.details
    return {**error.details, "errors": [{**e, "field": dotted(e["field"])} for e in error.details["errors"]]}


def _headers_of(error: domain.DomainError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(error, domain.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif isinstance(error, domain.RateLimited):
        headers["Retry-After"] = "1"
    if isinstance(error, domain.RateLimited) and "reset_seconds" in error.details:
        headers["X-RateLimit-Limit"] = str(error.details["limit"])
        headers["X-RateLimit-Remaining"] = "0"
        headers["X-RateLimit-Reset"] = str(max(1, math.ceil(error.details["reset_seconds"])))
    return headers
