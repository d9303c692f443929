"""One log line and one count per request, and one more count for tenants that are watched.

Of the request itself only the pattern of its route is written, no path, query string, body or credential.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectrograph.domain.cancellation import GONE
from vectrograph.http.scope import STREAMING, TENANT
from vectrograph.services.access_log import is_worth_a_line
from vectrograph.services.traffic import Traffic

log = structlog.get_logger("vectrograph.rest")
# HTTP status of a connection that became a WebSocket.
_SWITCHING: Final = 101
# Smallest HTTP status that is an error.
_MIN_ERROR_STATUS: Final = 400
# Smallest HTTP status that is the server's fault.
_MIN_FAILURE_STATUS: Final = 500


class AccessLog:
    """Logs method, route, status and milliseconds, and calls `count` once per request.

    A request whose caller is known is counted for its tenant too, with its failure on the server's side, or as broken
    when the connection was closed before the whole answer was handed to it. A stream of events, and a WebSocket, is
    noted when it begins.
    """

    def __init__(self, app: ASGIApp, count: Callable[[], None], traffic: Traffic) -> None:
        self._app = app
        self._count = count
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and note it when it is over."""
        self._count()
        request = _Request(self._traffic, scope)

        async def send_noted(message: Message) -> None:
            kind = message["type"].removeprefix("websocket.")
            if kind in ("http.response.start", "accept"):
                request.status = message.get("status", _SWITCHING)
                if STREAMING in scope or kind == "accept":
                    # It may last for hours: it took as long as its beginning, and a reader that leaves breaks nothing.
                    request.is_sent = True
                    request.note()
            elif kind == "http.response.body" and not message.get("more_body", False):
                # Asked before the last part: the server itself may close the connection after it.
                request.is_sent = not ((gone := scope.get(GONE)) is not None and gone())
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            request.has_raised = True
            raise
        finally:
            request.note()


class _Request:
    """One request, as far as it is noted."""

    def __init__(self, traffic: Traffic, scope: Scope) -> None:
        self._traffic = traffic
        self._scope = scope
        self._started = time.perf_counter()
        self._is_noted = False
        self.status: int | None = None
        self.is_sent = False
        self.has_raised = False

    def note(self) -> None:
        """Count and log it, unless that was done."""
        if self._is_noted:
            return
        self._is_noted = True
        status, scope = self.status, self._scope
        if (tenant := scope.get(TENANT)) is not None and self._traffic.is_watched(tenant):
            failure = self.has_raised or (status is not None and status >= _MIN_FAILURE_STATUS)
            self._traffic.count_request(tenant, failed=failure, broken=not (self.is_sent or self.has_raised))
        milliseconds = round((time.perf_counter() - self._started) * 1000, 3)
        failed = status is None or status >= _MIN_ERROR_STATUS
        write = log.info if is_worth_a_line(failed=failed, milliseconds=milliseconds) else log.debug
        route = scope.get("route")
        write(
            "request",
            method=scope.get("method", "GET"),
            route=None if route is None else route.path,
            status=status,
            milliseconds=milliseconds,
        )
