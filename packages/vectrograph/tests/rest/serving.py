"""A real server on a real socket: the REST application over the real services and the reference engine."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import uvicorn
from starlette.types import ASGIApp

from vectrograph.control.store import ControlStore
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Vector
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.http.timeouts import TimedHttpProtocol
from vectrograph.http.websockets import WebSocketConnection
from vectrograph.http_app import build_http_app
from vectrograph.services import Services
from vectrograph.services.wiring import build_services

VERSION = "0.0.0+test"
DIMENSION = 8
LIMITS = Limits(max_body_bytes=256 * 1024, max_batch=20, max_top_k=50, max_text_bytes=200, max_page=30)
HOSTS = ("localhost", "127.0.0.1", "::1")


class LetterEmbedder:
    """Counts letters into buckets: cheap, deterministic, and alike texts get alike vectors."""

    name = "letters-8"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> Vector:
        rows = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for letter in text.lower():
                row[ord(letter) % DIMENSION] += 1
        norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
        unit: Vector = (rows / norms).astype(np.float32)
        return unit


@dataclass(frozen=True)
class Served:
    """A running server and ways to talk to it."""

    port: int
    services: Services
    engine: ReferenceEngine

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, credential: str | None = None, **headers: str) -> httpx2.Client:
        """Return an HTTP client that sends `credential` as bearer."""
        sent = dict(headers)
        if credential is not None:
            sent["Authorization"] = f"Bearer {credential}"
        # Reading the system's certificates takes longer than most tests, and there are none on this connection.
        return httpx2.Client(base_url=self.url, headers=sent, timeout=20, verify=False)

    def login(self, username: str) -> str:
        """Return an access token of a development account."""
        return self.services.sessions.login(username, f"{username}123").access_token

    def exchange(self, request: bytes) -> bytes:
        """Send raw bytes, and return everything that comes back before the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            while chunk := connection.recv(65536):
                received += chunk
        return bytes(received)


@contextmanager
def listening(application: ASGIApp) -> Iterator[int]:
    """Serve an application on a free loopback port, from a thread, until the block ends."""
    config = uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        http=TimedHttpProtocol,
        ws=WebSocketConnection,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.002)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


Start = Callable[..., Served]


@contextmanager
def starting(template: Path, directory: Path) -> Iterator[Start]:
    """Provide a function that starts servers, each over data of its own; all stop when the block ends."""
    with ExitStack() as stack:

        def start(
            *, limits: Limits = LIMITS, hosts: Sequence[str] = HOSTS, development: bool = True, **replaced: Any
        ) -> Served:
            home = directory / str(len(list(directory.iterdir())))
            home.mkdir()
            ControlStore.copy_of(template, home / "control.sqlite")
            store = ControlStore.open(f"sqlite:///{home / 'control.sqlite'}")
            stack.callback(store.close)
            engine = ReferenceEngine()
            services = build_services(
                engine=engine,
                store=store,
                embedder=LetterEmbedder(),
                secret_file=home / "signing.key",
                limits=limits,
                version=VERSION,
            )
            stack.callback(services.close)
            if not development:
                services.development.end("the test says so")
            services.tokens.ensure()
            services = replace(services, **replaced)
            app = build_http_app(services, allowed_hosts=hosts, version=VERSION)
            return Served(stack.enter_context(listening(app)), services, engine)

        yield start
