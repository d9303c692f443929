"""A name for every request: the client's when it sends a usable one, returned with the answer and in every log line."""

from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectrograph.http.scope import REQUEST_ID
from vectrograph.services.request_metadata import new_request_id, usable_request_id

_BEGINNINGS: Final = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_ACCEPTED: Final = (b"x-request-id", b"x-correlation-id")


class RequestId:
    """Outermost: sets `X-Request-ID` on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, bind the name to this task's log lines, and send it back."""
        request_id = _given(scope["headers"]) or new_request_id()
        scope[REQUEST_ID] = request_id
        header = (b"x-request-id", request_id.encode("ascii"))

        async def send_named(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_named)


def _given(headers: list[tuple[bytes, bytes]]) -> str | None:
    sent = {name: value for name, value in reversed(headers) if name in _ACCEPTED}
    for name in _ACCEPTED:
        if name in sent and (usable := usable_request_id(sent[name].decode("latin-1"))):
            return usable
    return None
