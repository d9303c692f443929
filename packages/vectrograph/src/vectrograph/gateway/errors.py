"""Errors as a gRPC gateway sends them: `{"code", "message", "details"}` with gRPC's number, and the status it implies.

Three statuses are plainer than the number implies: 410 for a position that the log of changes no longer holds, 413 for
what is too large (429 would be repeated in vain) and 415 for a body that is not JSON. A full disk is 429 here, as every
RESOURCE_EXHAUSTED is in a gRPC gateway, though the REST API says 507: clients of a gateway tell it by the number and by
the error's own name, which is in the header X-Error-Code.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vectrograph.domain import errors as domain
from vectrograph.http.errors import (
    ErrorAnswer,
    FramingRefused,
    HeadersTooLarge,
    MethodNotAllowed,
    RequestRefused,
    RouteNotFound,
    TargetTooLong,
    UnsupportedMediaType,
)
from vectrograph.vectron.codes import INTERNAL, number_of

_TEXT_OF_DEFECTS: Final = "Something went wrong on the server; report the request id, its log has the details."

HTTP_STATUS: Final[Mapping[int, int]] = MappingProxyType(
    {
        1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429,
        9: 400, 10: 409, 11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401,
    }
)  # fmt: skip
"""gRPC's number to HTTP's status."""
_PLAINER: Final[Mapping[type[domain.DomainError], int]] = MappingProxyType(
    {domain.PositionExpired: 410, domain.TooLarge: 413}
)


class RpcStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An error: gRPC's number of the status, and a sentence."""

    code: int
    message: str
    details: list[str] = []


def gateway_error_answer(error: Exception) -> ErrorAnswer:
    """Return the answer to an error; exceptions that are no part of the contract keep their text."""
    if isinstance(error, RequestRefused):
        return _refusal(error)
    number = number_of(type(error)) if isinstance(error, domain.DomainError) else INTERNAL
    if not isinstance(error, domain.DomainError) or number == INTERNAL:
        return _answer(HTTP_STATUS[INTERNAL], INTERNAL, _TEXT_OF_DEFECTS, {"X-Error-Code": domain.InternalError.code})
    headers = {"X-Error-Code": error.code}
    if isinstance(error, domain.Unauthenticated):
        headers["WWW-Authenticate"] = error.message.encode("ascii", "replace").decode()
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    plainer = (status for kind, status in _PLAINER.items() if isinstance(error, kind))
    return _answer(next(plainer, HTTP_STATUS[number]), number, error.message, headers)


def _refusal(error: RequestRefused) -> ErrorAnswer:
    headers = {"X-Error-Code": error.code}
    if isinstance(error, RouteNotFound):
        return _answer(404, 5, "Not Found", headers)
    if isinstance(error, MethodNotAllowed):
        return _answer(501, 12, "Method Not Allowed", headers)
    if isinstance(error, FramingRefused):
        number = 8 if isinstance(error, TargetTooLong | HeadersTooLarge) else 12 if error.status > 500 else 3
        return _answer(error.status, number, error.message, {**headers, **error.headers})
    return _answer(415 if isinstance(error, UnsupportedMediaType) else error.status, 3, error.message, headers)


def _answer(status: int, number: int, message: str, headers: dict[str, str]) -> ErrorAnswer:
    return ErrorAnswer(status, msgspec.json.encode(RpcStatus(code=number, message=message)), headers)
