"""A real TCP proxy that breaks connections after so many bytes of what the server says."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

from hostile_server import HostileServer


class CuttingProxy:
    """Passes bytes between clients and a server.

    Args:
        url: the server; it may be another one later.

    Attributes:
        cuts: for each connection in turn, bytes from the server after which it is cut; None, and for later ones, never.
        count: of connections so far.
    """

    def __init__(self, url: str) -> None:
        self.server = url
        self.cuts: list[int | None] = []
        self.count = 0
        self._listener = HostileServer(self._serve)
        self.url = self._listener.url

    def __enter__(self) -> "CuttingProxy":
        self._listener.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.__exit__(kind, error, traceback)

    def _serve(self, client: socket.socket, stopping: threading.Event) -> None:
        self.count += 1
        left = self.cuts.pop(0) if self.cuts else None
        parts = urlsplit(self.server)
        with suppress(OSError), socket.create_connection((str(parts.hostname), int(parts.port or 80))) as server:
            asking = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            asking.start()
            while piece := server.recv(65536):
                client.sendall(piece[:left])
                if left is not None:
                    left -= len(piece)
                    if left <= 0:
                        break
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        asking.join(10)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
