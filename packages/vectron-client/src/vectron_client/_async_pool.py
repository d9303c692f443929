"""Several asynchronous clients behind one name, for loads that one connection cannot carry."""

import itertools
from types import TracebackType

from vectron_client._async_client import AsyncVectronClient
from vectron_client._copying import Uncopied
from vectron_client._options import ClientOptions
from vectron_client._protocol.arguments import whole


class AsyncVectronClientPool(Uncopied):
    """Clients with a connection each, handed out in turn. A context manager: leaving the block closes them all.

    One connection carries many calls at once, but all its bytes pass through one socket, and servers may limit the
    calls of a connection.

    Args:
        host: as for `AsyncVectronClient`, and so are the next two.
        api_key: sent with every call.
        options: of every client.
        size: how many clients, 1 or more.

    Raises:
        InvalidArgumentError: an argument or option makes no sense.
    """

    def __init__(
        self, host: str, api_key: str | None = None, options: ClientOptions | None = None, size: int = 1
    ) -> None:
        count = whole("size", size, 1)
        self._clients = [AsyncVectronClient(host, api_key, options) for _ in range(count)]
        self._turns = itertools.count()  # drawing from it is atomic
        self._host = host

    def __repr__(self) -> str:
        return f"AsyncVectronClientPool(host={self._host!r}, size={len(self._clients)})"

    async def __aenter__(self) -> "AsyncVectronClientPool":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def next(self) -> AsyncVectronClient:
        """Return the client whose turn it is. It stays the pool's: do not close it."""
        return self._clients[next(self._turns) % len(self._clients)]

    async def close(self) -> None:
        """Close all clients; calls after this raise a `VectronError`. Closing again does nothing."""
        for client in self._clients:
            await client.close()
