"""From domain errors to gRPC: their status, and the trailers that say what a status cannot.

Trailers of a failed call: `x-error-code` (the error's own name, which tells rate limit, size limit and full disk apart
under RESOURCE_EXHAUSTED), `x-request-id`, `retry-after` (seconds) and `x-error-details-bin` (the details as JSON).
"""

from collections.abc import Mapping
from typing import Any, Final

import grpc
import msgspec

from vectrograph.domain.errors import DomainError
from vectrograph.vectron.codes import number_of

_STATUSES: Final = {status.value[0]: status for status in grpc.StatusCode}

# Clients refuse trailers over 8 KiB in all. A message may triple when it is percent-encoded, and binary trailers grow
# by a third, so these leave room for the rest.
_MAX_MESSAGE_BYTES: Final = 1_000
# Bytes of the details as JSON.
_MAX_DETAILS_BYTES: Final = 3_000


def status_of(error: DomainError) -> grpc.StatusCode:
    """Return the gRPC status of an error.

    >>> from vectrograph.domain import errors
    >>> status_of(errors.PointNotFound("no point 'a'")).name
    'NOT_FOUND'
    """
    return _STATUSES[number_of(type(error))]


def message_of(error: DomainError) -> str:
    """Return the status message: the error's own, cut to a length that every client takes."""
    encoded = error.message.encode("utf-8", "replace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode("utf-8")
    return encoded[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore") + "…"


def trailers_of(error: DomainError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """Return trailing metadata of a failed call.

    >>> from vectrograph.domain import errors
    >>> trailers_of(errors.RateLimited("slow down", retry_after=1.5), "r-1")
    (('x-request-id', 'r-1'), ('x-error-code', 'RATE_LIMIT_EXCEEDED'), ('retry-after', '1.5'))
    """
    trailers: list[tuple[str, str | bytes]] = [("x-request-id", request_id), ("x-error-code", error.code)]
    if error.retry_after is not None:
        trailers.append(("retry-after", f"{error.retry_after:g}"))
    if details := _details(error.details):
        trailers.append(("x-error-details-bin", details))
    return tuple(trailers)


def _details(details: Mapping[str, Any]) -> bytes:
    """Return details as JSON within the limit: a list of errors loses its tail, anything else that is too long
    stays out.
    """
    encoded = _json(details)
    listed = details.get("errors") or []
    while len(encoded) > _MAX_DETAILS_BYTES and listed:
        listed = listed[: len(listed) // 2]
        encoded = _json({**details, "errors": listed})
    return encoded if 2 < len(encoded) <= _MAX_DETAILS_BYTES else b""


def _json(details: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(dict(details), enc_hook=str)
