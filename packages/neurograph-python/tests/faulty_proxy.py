"""A real TCP proxy that breaks connections before the server sees a request, or before its answer."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit


class FaultyProxy:
    """Passes bytes between clients and a server, and cuts a connection when a request that matters passes by.

    Args:
        url: the server.
        marks: bytes that the request line of a request that matters begins with.

    Attributes:
        faults: what to do with the next such requests, one word each: `before` cuts before the server has seen the
            request, `after` once the server has answered but before the client hears of it, `hold` keeps the answer
            until the client has gone; any other word passes it through.
        held: set once an answer is kept.
    """

    def __init__(self, url: str, marks: bytes) -> None:
        parts = urlsplit(url)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self._marks = marks
        self.faults: list[str] = []
        self.cut = 0
        self.held = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "FaultyProxy":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, suppress(OSError):
            self._open.add(server)
            while request := _message(client):
                fault = self.faults.pop(0) if request.startswith(self._marks) and self.faults else None
                if fault == "before":
                    self.cut += 1
                    return
                server.sendall(request)
                answer = _message(server)
                if fault == "after":
                    self.cut += 1
                    return
                if fault == "hold":
                    self.held.set()
                    client.recv(1)
                    return
                client.sendall(answer)
        self._open.discard(client)


def _message(connection: socket.socket) -> bytes:
    """Return one whole HTTP message with a Content-Length, or nothing when the connection ends."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while missing > 0:
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
        missing -= len(piece)
    return received
