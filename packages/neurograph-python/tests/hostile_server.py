"""A server that speaks raw bytes: drips, floods and never reads; for what a well-behaved one never does."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

Handler: TypeAlias = "Callable[[socket.socket, threading.Event], None]"


class HostileServer:
    """Gives every connection to a function, with an event that says when to stop."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "HostileServer":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._handler(connection, self._stopping)


def request_of(connection: socket.socket) -> bytes:
    """Return the head of a request, and what came with it."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = connection.recv(65536)
        if not piece:
            raise OSError("the client has left")
        seen += piece
    return seen


def drip_headers(connection: socket.socket, stopping: threading.Event) -> None:
    """Send a header every 50 ms, for ever."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stopping.wait(0.05):
        connection.sendall(b"X-Drip: 1\r\n")


def drip_body(connection: socket.socket, stopping: threading.Event) -> None:
    """Send a byte of a long body every 50 ms."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not stopping.wait(0.05):
        connection.sendall(b" ")


def drip_line(connection: socket.socket, stopping: threading.Event) -> None:
    """Send a byte of the first line of a stream every 50 ms."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n")
    while not stopping.wait(0.05):
        connection.sendall(b" ")


def drip_handshake(connection: socket.socket, stopping: threading.Event) -> None:
    """Begin a TLS record of a handshake, and send a byte of it every 50 ms."""
    connection.recv(65536)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while not stopping.wait(0.05):
        connection.sendall(b"\x00")


def read_slowly(connection: socket.socket, stopping: threading.Event) -> None:
    """Read a little of the request every 50 ms."""
    while not stopping.wait(0.05):
        connection.recv(20_000)


def drip_proxy(connection: socket.socket, stopping: threading.Event) -> None:
    """Answer a CONNECT with a header every 50 ms."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 Connection established\r\n")
    while not stopping.wait(0.05):
        connection.sendall(b"X-Drip: 1\r\n")


def endless_body(connection: socket.socket, stopping: threading.Event) -> None:
    """Send a body without end, as fast as it is read."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%b\r\n" % (65536, b" " * 65536)
    while not stopping.is_set():
        connection.sendall(chunk)


def endless_line(connection: socket.socket, stopping: threading.Event) -> None:
    """Send a stream whose first line never ends."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%b\r\n" % (65536, b" " * 65536)
    while not stopping.is_set():
        connection.sendall(chunk)
