"""Metadata of a request, the same on every wire: request id, idempotency key, deadline."""

import hashlib
import re
from typing import Final
from uuid import uuid4

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import IdempotencyKey

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
# Ten years. grpc reports infinity or hundreds of years for a call without a deadline.
_MAX_TIMEOUT_SECONDS: Final = 10 * 365 * 86_400.0


def usable_request_id(given: object) -> str | None:
    """Return the caller's own request id when it is safe to log and to send back, else None.

    >>> usable_request_id("job-7:2"), usable_request_id("two words"), usable_request_id(None)
    ('job-7:2', None, None)
    """
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else None


def new_request_id() -> str:
    """Make up a request id: 32 hexadecimal digits."""
    return uuid4().hex


def require_idempotency_key(given: object, field: str) -> str:
    """Return the caller's own name for a write.

    Raises:
        InvalidArgument: it is empty, over 255 characters, or holds anything but visible ASCII; names `field`.

    >>> require_idempotency_key("order-7", "Idempotency-Key")
    'order-7'
    """
    if not isinstance(given, str) or not _IDEMPOTENCY_KEY.fullmatch(given):
        raise InvalidArgument.of(field, "must be 1 to 255 visible ASCII characters", "value_error")
    return given


def bound_key(key: str, principal: str, operation: str, body: bytes) -> IdempotencyKey:
    """Bind the name of a write to who sent it, to what it asks for and to its body.

    >>> bound_key("order-7", "developer", "POST /api/v1/tokens", b"{}").key
    'order-7'
    """
    digest = hashlib.sha256(body).hexdigest()
    return IdempotencyKey(principal=principal, operation=operation, key=key, body_hash=digest)


def deadline_after(received: float, timeout: float) -> float | None:
    """Return the moment after which the caller stops waiting, on the clock of `received`; None for no limit.

    Args:
        received: when the request arrived, in `time.monotonic()` seconds.
        timeout: how long the caller waits, in seconds; infinity, or more than ten years, is no limit.

    >>> deadline_after(10.0, 2.5), deadline_after(10.0, float("inf"))
    (12.5, None)
    """
    return received + timeout if timeout <= _MAX_TIMEOUT_SECONDS else None
