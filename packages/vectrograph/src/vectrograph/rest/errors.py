"""Errors of the REST API: the one table of statuses, and the one envelope.

Anything that is neither a domain error nor a `RequestRefused` is a defect of the server. The answer is 500 and says
nothing about it.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vectrograph.domain import errors as domain
from vectrograph.http.errors import ErrorAnswer, RequestRefused

STATUS: Final[Mapping[type[domain.DomainError], int]] = MappingProxyType(
    {
        domain.InvalidArgument: 422,
        domain.Unauthenticated: 401,
        domain.PermissionDenied: 403,
        domain.NotFound: 404,
        domain.AlreadyExists: 409,
        domain.Conflict: 409,
        domain.PositionExpired: 410,
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


def status_of(kind: type[domain.DomainError]) -> int:
    """Return status of a domain error: its own entry in `STATUS`, else that of the nearest base class.

    >>> status_of(domain.PointNotFound)
    404
    """
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), 500)


def error_answer(error: Exception, request_id: str) -> ErrorAnswer:
    """Write an error as the client sees it.

    Exceptions that are no part of the contract become INTERNAL_ERROR, without their text.
    """
    if isinstance(error, RequestRefused):
        body = _envelope(error.code, error.message, error.details, request_id)
        return ErrorAnswer(error.status, body, error.headers)
    if not isinstance(error, domain.DomainError) or status_of(type(error)) == 500:
        return ErrorAnswer(500, _envelope(domain.InternalError.code, _INTERNAL, {}, request_id))
    body = _envelope(error.code, error.message, _details_of(error), request_id)
    return ErrorAnswer(status_of(type(error)), body, _headers_of(error))


def _envelope(code: str, message: str, details: Mapping[str, Any], request_id: str) -> bytes:
    facts = {"code": code, "message": message, "details": details, "request_id": request_id}
    return msgspec.json.encode({"success": False, "error": facts})


def _details_of(error: domain.DomainError) -> dict[str, Any]:
    """Return the details, with the field of an error as a dotted path such as `tokens.0.text`."""
    if not isinstance(error, domain.InvalidArgument) or error.place is None:
        return error.details
    field = domain.clipped(".".join(map(str, error.place)), domain.MAX_FIELD)
    return {**error.details, "errors": [{**entry, "field": field} for entry in error.details["errors"]]}


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
