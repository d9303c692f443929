"""A gRPC server on a free loopback port, over the real services and the reference engine."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from vectrograph.control.seeding import seed_development_accounts
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Vector
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.rpc._pb.methods import AUTH_SERVICE_METHODS, VECTROGRAPH_SERVICE_METHODS, VECTRON_SERVICE_METHODS
from vectrograph.rpc.server import build_grpc_server
from vectrograph.services import Services
from vectrograph.services.call import Call, Principal
from vectrograph.services.wiring import build_services

MAX_MESSAGE_BYTES = 1 << 20
# Both services have an UpdateUserProfile; AuthService's is called "auth.UpdateUserProfile" here.
METHODS = {f"auth.{name}": method for name, method in AUTH_SERVICE_METHODS.items()}
METHODS |= VECTROGRAPH_SERVICE_METHODS | VECTRON_SERVICE_METHODS


class LetterEmbedder:
    """Counts letters: enough for texts to differ."""

    name = "letters"
    dimension = 26

    def embed(self, texts: Sequence[str]) -> Vector:
        counts = np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        return np.ascontiguousarray(np.divide(counts, lengths, where=lengths > 0, out=counts))


@pytest.fixture(scope="session")
def control_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rpc-control") / "template.sqlite"
    store = ControlStore.open(f"sqlite:///{path}")
    seed_development_accounts(store)
    store.close()
    return path


@pytest.fixture(scope="module")
def store(control_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlStore]:
    path = tmp_path_factory.mktemp("rpc-store") / "control.sqlite"
    ControlStore.copy_of(control_template, path)
    store = ControlStore.open(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture(scope="module")
def services(store: ControlStore, tmp_path_factory: pytest.TempPathFactory) -> Services:
    services = build_services(
        engine=ReferenceEngine(),
        store=store,
        embedder=LetterEmbedder(),
        secret_file=tmp_path_factory.mktemp("rpc-secret") / "signing.key",
        limits=Limits(max_top_k=100, max_body_bytes=MAX_MESSAGE_BYTES),
        version="test",
    )
    services.tokens.ensure()
    return services


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., tuple[grpc.Server, Any]]]:
    """Start servers; all are stopped in the end."""
    running: list[tuple[grpc.Server, Any]] = []

    def start(services: Any, *, threads: int = 4) -> tuple[grpc.Server, Any]:
        server = build_grpc_server(services, threads=threads)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        # Channels to one address share a connection otherwise, and with it what a test does to it.
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        running.append((server, channel))
        return running[-1]

    yield start
    for server, channel in running:
        channel.close()
        server.stop(0).wait()


@pytest.fixture(scope="module")
def channel(serve: Callable[..., tuple[grpc.Server, Any]], services: Services) -> Any:
    return serve(services)[1]


@pytest.fixture(scope="module")
def key_of(services: Services) -> Callable[..., str]:
    """Make API keys: of a role, with certain scopes or all that the role may give."""

    def create(role: Role, scopes: Sequence[str] | None = None) -> str:
        owner = Principal(role.value, role.value, role, ROLE_SCOPES[role])
        if "api_keys:write" not in owner.scopes:
            owner = Principal(role.value, role.value, role, owner.scopes | {"api_keys:write"})
        return services.keys.create(Call(owner, "test"), "test", scopes, None).secret

    return create


@pytest.fixture(scope="module")
def key(key_of: Callable[..., str]) -> str:
    return key_of(Role.DEVELOPER)


@pytest.fixture(scope="module")
def send(channel: Any, key: str) -> Callable[..., Any]:
    """Call a method: `send("Search", request)` gives the response, of a stream the list; credential "" sends none."""

    def call(
        name: str,
        request: Message | bytes = b"",
        *,
        credential: str | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float = 20,
    ) -> Any:
        method = METHODS[name]
        body = request if isinstance(request, bytes) else request.SerializeToString()
        given = (("authorization", f"Bearer {key if credential is None else credential}"), *metadata)
        if credential == "":
            given = tuple(metadata)
        stub = channel.unary_stream if method.response_streaming else channel.unary_unary
        callable_ = stub(method.path, response_deserializer=method.response.FromString)
        answer = callable_(body, metadata=given, timeout=timeout)
        return list(answer) if method.response_streaming else answer

    return call
