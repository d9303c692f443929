"""Only web pages of this server, or of named sites, open a WebSocket.

A browser lets every page open one to anywhere, and sends the origin of the page.
"""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.http.errors import OriginNotAllowed
from vectrograph.http.middleware.host_allow_list import host_name, plain_name


class OriginAllowList:
    """Compares the Origin header of a WebSocket with hosts and origins given in advance. Programs send none."""

    def __init__(self, app: ASGIApp, names: Sequence[str], origins: Sequence[str]) -> None:
        """Allow `origins`, and pages of hosts with these `names` on any port."""
        self._app = app
        self._names = frozenset(plain_name(name) for name in names)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the WebSocket through when no page opens it, or one that may.

        Raises:
            OriginNotAllowed: it is a page of another site.
        """
        if scope["type"] == "websocket":
            for name, value in scope["headers"]:
                if name == b"origin" and not self._allows(value.decode("latin-1")):
                    raise OriginNotAllowed(
                        "Web pages of this origin may not open a WebSocket here; add the origin to the setting "
                        "`cors_origins` of the server."
                    )
        await self._app(scope, receive, send)

    def _allows(self, origin: str) -> bool:
        if origin in self._origins or "*" in self._origins:
            return True
        scheme, separator, host = origin.partition("://")
        return bool(separator) and scheme in ("http", "https") and host_name(host) in self._names
