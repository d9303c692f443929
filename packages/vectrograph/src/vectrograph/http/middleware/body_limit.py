"""No body over the limit, none that comes too slowly, and not too many at once."""

import asyncio
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectrograph.domain.errors import Unavailable
from vectrograph.http.errors import MalformedRequest, RequestTooSlow, body_too_large
from vectrograph.http.scope import FAULTS

# Seconds that any body may take, however slowly it comes. Apache: 20 (RequestReadTimeout).
BODY_SECONDS: Final = 20.0
# Whoever sends less than this is not waited for; a slow mobile connection sends ten times as much.
MIN_BYTES_PER_SECOND: Final = 16 * 1024
# Bodies of the largest size that may be in memory together. Chosen: as many as threads of a pool on a small machine.
_BODIES_AT_ONCE: Final = 4
# Bytes that all bodies together may hold however small the largest is: four times the default `max_body_bytes`.
_MIN_BUDGET_BYTES: Final = 256 * 1024 * 1024


class BodyLimit:
    """Counts the bytes of a body as they are read, so that a chunked one cannot pass either.

    A body may take `seconds`, and then as long as it keeps coming at 16 KiB a second. All bodies that are being read or
    worked on together may hold four of the largest, and at least 256 MiB.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._budget = max(_MIN_BUDGET_BYTES, _BODIES_AT_ONCE * max_bytes)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with a counted body.

        Raises:
            MalformedRequest: Content-Length is no number, or given more than once.
            TooLarge: the body is over the limit; raised from `receive` when it does not announce its length.
            RequestTooSlow: from `receive`, it does not come in time.
            Unavailable: from `receive`, too much is being sent at once.
            FramingRefused: from `receive`, the body cannot be taken apart.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _content_length(scope["headers"]) > self._max_bytes:
            raise body_too_large(self._max_bytes)
        received = 0
        whole = False
        faults = scope.get(FAULTS, ())
        started = time.monotonic()

        async def receive_counted() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            allowed = self._seconds + received / MIN_BYTES_PER_SECOND
            try:
                async with asyncio.timeout(started + allowed - time.monotonic()):
                    message = await receive()
            except TimeoutError as error:
                raise RequestTooSlow(
                    f"The body did not come within {self._seconds:g} seconds; send it at once.",
                    headers={"Connection": "close"},
                ) from error
            if faults:
                raise faults[0]
            size = len(message.get("body", b""))
            received += size
            self._held += size
            whole = not message.get("more_body", False)
            if received > self._max_bytes:
                raise body_too_large(self._max_bytes)
            if self._held > self._budget:
                raise Unavailable("Too many large requests are in progress; try again.", retry_after=1.0)
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._held -= received


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    values = [value.strip() for name, value in headers if name == b"content-length"]
    if not values:
        return 0
    if len(values) > 1 or not values[0].isdigit() or len(values[0]) > 18:
        raise MalformedRequest("The header Content-Length must be one whole number of bytes.")
    return int(values[0])
