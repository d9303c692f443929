"""What a request says about its caller and its patience, read from its headers."""

import hashlib
import re
import time
from typing import Final

from starlette.datastructures import Headers

from vectrograph.domain.errors import DeadlineExceeded, InvalidArgument, Unauthenticated
from vectrograph.domain.points import IdempotencyKey

DEADLINE_HEADER: Final = "X-Request-Timeout-Ms"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
_MAX_TIMEOUT_DIGITS: Final = 12
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def credential_of(headers: Headers) -> str:
    """The JWT or API key of a request: `Authorization: Bearer …`, else `X-API-Key`.

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
    """As `credential_of`, with None when there is no credential."""
    try:
        return credential_of(headers)
    except Unauthenticated:
        return None


def deadline_of(headers: Headers, received: float) -> float | None:
    """When the caller stops waiting, in `time.monotonic()` seconds; None when it does not say.

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
    return received + int(text) / 1000


def idempotency_of(text: str, principal: str, operation: str, body: bytes) -> IdempotencyKey:
    """The name that a client gave its request, bound to who sent it, to what it asks and to its body.

    Raises:
        InvalidArgument: the header is empty, over 255 characters, or holds what is not visible ASCII.

    >>> idempotency_of("order-7", "developer", "POST /api/v1/tokens", b"{}").key
    'order-7'
    """
    if not _IDEMPOTENCY_KEY.fullmatch(text):
        raise InvalidArgument.of(IDEMPOTENCY_HEADER, "must be 1 to 255 visible ASCII characters", "value_error")
    return IdempotencyKey(
        principal=principal, operation=operation, key=text, body_hash=hashlib.sha256(body).hexdigest()
    )


def refuse_late(deadline: float | None) -> None:
    """Go on only before the deadline.

    Raises:
        DeadlineExceeded: it has passed.
    """
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded(
            f"The time that {DEADLINE_HEADER} allows ran out before the work began; nothing was done. "
            "Allow more, or send less at once."
        )
