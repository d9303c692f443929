"""The caller's address where a proxy stands in front."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.services.addresses import Network, client_address


class Forwarded:
    """Takes the address from `X-Forwarded-For` on connections from trusted proxies, and from no others."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with the address of who sent it."""
        client = scope.get("client")
        if self._trusted and client is not None:
            said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            address = client_address(client[0], ",".join(said) if said else None, self._trusted)
            scope = {**scope, "client": (address, client[1])}
        await self._app(scope, receive, send)
