"""Credentials and deadline of a request, read from its headers."""

import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers

from vectrograph.domain.errors import DeadlineExceeded, InvalidArgument, Unauthenticated
from vectrograph.services.request_metadata import deadline_after

DEADLINE_HEADER: Final = "X-Request-Timeout-Ms"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
IDEMPOTENCY_PARAMETER: Final[Mapping[str, Any]] = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "description": "Your own name for this request. A repeat under it within 24 hours changes nothing and is answered "
    "as the first was; another body under it is refused.",
}
"""The header as OpenAPI documents describe it."""
# Digits of a deadline in milliseconds: thirty years. Bounds the work of reading the number.
_MAX_TIMEOUT_DIGITS: Final = 12


def credential_of(headers: Headers) -> str:
    """Return the JWT or API key of a request: `Authorization: Bearer …`, else `X-API-Key`.

    Raises:
        Unauthenticated: there is neither.
    """
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    if key := headers.get("x-api-key", "").strip():
        return key
    raise Unauthenticated(
        "No credentials were sent; put an access token or an API key into `Authorization: Bearer …`, "
        "or an API key into `X-API-Key`."
    )


def offered_by(headers: Headers) -> str | None:
    """Do as `credential_of`, with None when there is no credential."""
    try:
        return credential_of(headers)
    except Unauthenticated:
        return None


def deadline_of(headers: Headers, received: float) -> float | None:
    """Return the deadline of the caller in `time.monotonic()` seconds; None when there is none.

    Args:
        headers: `X-Request-Timeout-Ms` holds whole milliseconds, counted from the arrival of the headers.
        received: when they arrived.

    Raises:
        InvalidArgument: the header is not a positive whole number.
    """
    text = headers.get(DEADLINE_HEADER)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_TIMEOUT_DIGITS or int(text) == 0:
        raise InvalidArgument.of(DEADLINE_HEADER, "must be a positive whole number of milliseconds", "type_error")
    return deadline_after(received, int(text) / 1000)


def refuse_late(deadline: float | None) -> None:
    """Go on only before the deadline.

    Raises:
        DeadlineExceeded: it has passed.
    """
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded(
            f"The time allowed by {DEADLINE_HEADER} ran out before the operation began; nothing was done. "
            "Allow more, or send less at once."
        )
