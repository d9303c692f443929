"""The caller's address where a proxy stands in front."""

from collections.abc import Sequence

from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.domain.addresses import Network, client_address
from vectrograph.services.accounts.development import Development, sign_of_others


class Forwarded:
    """Takes the address from `X-Forwarded-For` on connections from trusted proxies, and from no others.

    Development mode is told of every request until it ends: one that others sent ends it, before the request is looked
    at any further.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network], development: Development) -> None:
        self._app = app
        self._development = development
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with the address of who sent it."""
        client = scope.get("client")
        if self._trusted and client is not None:
            said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            address = client_address(client[0], ",".join(said) if said else None, self._trusted)
            scope = {**scope, "client": (address, client[1])}
        if self._development.is_watching and client is not None:
            sign = sign_of_others(client[0], [name.decode("latin-1") for name, _ in scope["headers"]])
            if sign is not None:
                await to_thread.run_sync(self._development.end, sign)
        await self._app(scope, receive, send)
