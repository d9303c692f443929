"""A name for every request: the client's when it sends a usable one, returned with the answer and in every log line."""

import re
import uuid
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ACCEPTED: Final = (b"x-request-id", b"x-correlation-id")
_USABLE: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_KEY: Final = "vectrograph.request_id"


class RequestId:
    """Outermost: sets `X-Request-ID` on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, bind the name to this task's log lines, and send it back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(scope["headers"]) or uuid.uuid4().hex
        scope[_KEY] = request_id
        header = (b"x-request-id", request_id.encode("ascii"))

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_named)


def request_id_of(scope: Scope) -> str:
    """The name that `RequestId` gave this request."""
    return str(scope[_KEY])


def _given(headers: list[tuple[bytes, bytes]]) -> str | None:
    sent = {name: value for name, value in reversed(headers) if name in _ACCEPTED}
    for name in _ACCEPTED:
        if _USABLE.fullmatch(sent.get(name, b"")):
            return sent[name].decode("ascii")
    return None
