# Generated from _async_pool.py by tools/unasync.py; do not edit.
"""Several synchronous clients behind one name, for loads that one connection cannot carry."""

import itertools
from types import TracebackType

from vectron_client._client import VectronClient
from vectron_client._copying import Uncopied
from vectron_client._options import ClientOptions
from vectron_client._protocol.arguments import whole


class VectronClientPool(Uncopied):
    """Clients with a connection each, handed out in turn. A context manager: leaving the block closes them all.

    One connection carries many calls at once, but all its bytes pass through one socket, and servers may limit the
    calls of a connection.

    Args:
        host: as for `VectronClient`, and so are the next two.
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
        self._clients = [VectronClient(host, api_key, options) for _ in range(count)]
        self._turns = itertools.count()  # drawing from it is atomic
        self._host = host

    def __repr__(self) -> str:
        return f"VectronClientPool(host={self._host!r}, size={len(self._clients)})"

    def __enter__(self) -> "VectronClientPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def next(self) -> VectronClient:
        """Return the client whose turn it is. It stays the pool's: do not close it."""
        return self._clients[next(self._turns) % len(self._clients)]

    def close(self) -> None:
        """Close all clients; calls after this raise a `VectronError`. Closing again does nothing."""
        for client in self._clients:
            client.close()
