"""One log line and one count per request.

Of the request itself only the pattern of its route is written, no path, query string, body or credential.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectrograph.services.access_log import is_worth_a_line

log = structlog.get_logger("vectrograph.rest")
# Smallest HTTP status that is an error.
_MIN_ERROR_STATUS: Final = 400


class AccessLog:
    """Logs method, route, status and milliseconds, and calls `count` once per request."""

    def __init__(self, app: ASGIApp, count: Callable[[], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and note it when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._count()
        started = time.perf_counter()
        status: int | None = None

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 3)
            failed = status is None or status >= _MIN_ERROR_STATUS
            note = log.info if is_worth_a_line(failed=failed, milliseconds=milliseconds) else log.debug
            route = scope.get("route")
            note(
                "request",
                method=scope["method"],
                route=None if route is None else route.path,
                status=status,
                milliseconds=milliseconds,
            )
