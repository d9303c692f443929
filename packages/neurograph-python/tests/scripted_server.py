"""A real HTTP server on a real socket that answers from a script, also badly: too late, half, or not at all."""

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Arrived:
    """One request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer: its body is JSON, unless `raw` is given."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def encoded(self) -> bytes:
        body = json.dumps(self.body).encode() if self.raw is None else self.raw
        if self.status == 204:
            body = b""
        headers = {"Content-Length": str(len(body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body


@dataclass(frozen=True)
class Cut:
    """Close the connection after so many bytes of the answer."""

    after: int = 0
    reply: Reply = Reply(body={"text": "cut"})


@dataclass(frozen=True)
class Stall:
    """Never answer; or answer with headers and then a byte every so often."""

    every: float | None = None


@dataclass(frozen=True)
class Drip:
    """Send the body in pieces, each after the first only once `gate` was released."""

    pieces: list[bytes]
    media_type: str
    gate: threading.Semaphore


@dataclass(frozen=True)
class Feed:
    """Give the connection to a function until it returns; an event says when to stop."""

    serve: Callable[[Any, threading.Event], object]


def until_left(connection: Any, stopping: threading.Event) -> None:
    """Say nothing until the client leaves."""
    connection.recv(1)


Answer: TypeAlias = "Reply | Cut | Stall | Drip | Feed"
Script: TypeAlias = "Answer | Callable[[Arrived], Answer]"

LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
USER = {"user_id": "u1", "username": "developer", "role": "developer"}


def login_reply(access: str, refresh: str = "r1", expires_in: float = 900) -> Reply:
    """Return a successful login or refresh."""
    return Reply(body={"access_token": access, "refresh_token": refresh, "expires_in": expires_in, "user": USER})


def token_body(token_id: int = 7, **fields: Any) -> dict[str, Any]:
    """Return a token as a server sends it."""
    return {"id": token_id, "text": "hello", "embedding": [0.5, -1.0], "metadata": {"a": 1}, **fields}


class ScriptedServer:
    """Answers each method and path from a list, whose last entry repeats; anything else as `otherwise` says, with 404.

    Args:
        certificate: speak TLS with this certificate and key.

    Attributes:
        arrived: requests in the order of their arrival.
        connections: connections accepted so far.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.arrived: list[Arrived] = []
        self.connections = 0
        self.otherwise: Answer = Reply(
            404, {"success": False, "error": {"code": "ROUTE_NOT_FOUND", "message": "no such route"}}
        )
        self.changed = threading.Condition()
        self._scripts: dict[tuple[str, str], list[Script]] = {}
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.on("POST", LOGIN, login_reply("access-1"))

    def on(self, method: str, path: str, *answers: Script) -> None:
        """Answer in this order, then with the last one for ever."""
        self._scripts[method, path] = list(answers)

    def count(self, method: str, path: str) -> int:
        """Return how many such requests have arrived."""
        return sum((seen.method, seen.path) == (method, path) for seen in list(self.arrived))

    def last(self, method: str, path: str) -> Arrived:
        """Return the latest such request."""
        return next(seen for seen in reversed(self.arrived) if (seen.method, seen.path) == (method, path))

    def wait_for(self, method: str, path: str, count: int, timeout: float) -> bool:
        """Wait until so many such requests have arrived; whether they did in time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.count(method, path) >= count, timeout)

    def wait_until_left(self, timeout: float) -> bool:
        """Wait until every connection was closed by its client; whether that happened in time."""
        with self.changed:
            return self.changed.wait_for(lambda: not self._open, timeout)

    def __enter__(self) -> "ScriptedServer":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)  # from here on no connection is added
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
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._tls is None:
                self._converse(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._converse(secured)
        with self.changed:
            self._open.discard(connection)
            self.changed.notify_all()

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while (request := _read(stream)) is not None:
                with self.changed:
                    self.arrived.append(request)
                    self.changed.notify_all()
                if not self._answer(connection, self._next(request)):
                    break

    def _next(self, request: Arrived) -> Answer:
        scripts = self._scripts.get((request.method, request.path))
        if not scripts:
            return self.otherwise
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script(request) if callable(script) else script

    def _answer(self, connection: socket.socket, answer: Answer) -> bool:
        """Send an answer; whether the connection stays open."""
        if isinstance(answer, Reply):
            connection.sendall(answer.encoded())
            return True
        if isinstance(answer, Drip):
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {answer.media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head.encode())
            for piece in answer.pieces:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                if not answer.gate.acquire(timeout=10):
                    return False
            connection.sendall(b"0\r\n\r\n")
            return True
        if isinstance(answer, Feed):
            answer.serve(connection, self._stopping)
        elif isinstance(answer, Cut):
            connection.sendall(answer.reply.encoded()[: answer.after])
        elif answer.every is None:
            self._stopping.wait()
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not self._stopping.wait(answer.every):
                connection.sendall(b" ")
        return False


def _read(stream: Any) -> Arrived | None:
    """Return the next request, None when the connection ends before all of it is there."""
    line = stream.readline().decode()
    if not line.endswith("\n"):
        return None
    method, target, _ = line.split(" ", 2)
    headers = {}
    while (line := stream.readline().decode()).strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    size = int(headers.get("content-length", 0))
    body = stream.read(size)
    return Arrived(method, target, headers, body) if line and len(body) == size else None
