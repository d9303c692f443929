"""No body over the limit: refused by its Content-Length, or when that many bytes have arrived."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectrograph.rest.errors import MalformedRequest, body_too_large


class BodyLimit:
    """Counts the bytes of a body as they are read, so that a chunked one cannot pass either."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with a counted body.

        Raises:
            MalformedRequest: Content-Length is no number, or given more than once.
            TooLarge: the body is over the limit; raised from `receive` when it does not announce its length.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _content_length(scope["headers"]) > self._max_bytes:
            raise body_too_large(self._max_bytes)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise body_too_large(self._max_bytes)
            return message

        await self._app(scope, receive_counted, send)


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    values = [value.strip() for name, value in headers if name == b"content-length"]
    if not values:
        return 0
    if len(values) > 1 or not values[0].isdigit() or len(values[0]) > 18:
        raise MalformedRequest("The header Content-Length must be one whole number of bytes.")
    return int(values[0])
