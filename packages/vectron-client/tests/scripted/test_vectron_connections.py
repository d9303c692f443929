"""TLS, server names and keepalive: options that act on the connection itself."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from vectron_client._options import ClientOptions
from vectron_client._pb import vectron_pb as wire
from vectron_client._transport.endpoint import endpoint
from vectron_client.exceptions import UnavailableError

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

CERTIFICATES = Path(__file__).with_name("certificates")
NAMES = wire.ListCollectionsResponse(collections=["docs"])


@pytest.fixture
def tls_server(start: "Callable[..., ScriptedServer]") -> "ScriptedServer":
    pair = (CERTIFICATES / "server.key").read_bytes(), (CERTIFICATES / "server.pem").read_bytes()
    server = start(credentials=grpc.ssl_server_credentials([pair]))
    server.answers("ListCollections", NAMES)
    return server


@pytest.mark.parametrize(
    "roots", [CERTIFICATES / "ca.pem", (CERTIFICATES / "ca.pem").read_bytes()], ids=["path", "pem"]
)
def test_tls_with_an_authority_of_ones_own(
    tls_server: "ScriptedServer", connect: "Connect", roots: Path | bytes
) -> None:
    client = connect(
        address=tls_server.address, use_tls=True, tls_root_certificates=roots, tls_server_name="vectron.test"
    )
    assert client.list_collections() == ["docs"]
    assert tls_server.seen[0].metadata["authorization"] == "Bearer key-1"


@pytest.mark.parametrize(
    "options",
    [
        {"use_tls": True, "tls_root_certificates": CERTIFICATES / "ca.pem"},
        {"use_tls": True, "tls_root_certificates": CERTIFICATES / "ca.pem", "tls_server_name": "other.test"},
        {"use_tls": True, "tls_server_name": "vectron.test"},
        {},
    ],
    ids=["wrong host", "wrong name", "unknown authority", "no tls"],
)
def test_a_server_that_cannot_be_trusted_gets_nothing(
    tls_server: "ScriptedServer", connect: "Connect", options: dict[str, object]
) -> None:
    with pytest.raises(UnavailableError, match="that use_tls fits"):
        connect(address=tls_server.address, retry_max_attempts=1, **options).list_collections()
    assert tls_server.seen == []


def test_a_server_without_tls_is_refused_a_tls_client(server: "ScriptedServer", connect: "Connect") -> None:
    with pytest.raises(UnavailableError):
        connect(use_tls=True, retry_max_attempts=1).list_collections()
    assert server.seen == []


@pytest.fixture
def strict_server(start: "Callable[..., ScriptedServer]") -> "ScriptedServer":
    """Provide answers only clients with a certificate of an authority it knows."""
    pair = (CERTIFICATES / "server.key").read_bytes(), (CERTIFICATES / "server.pem").read_bytes()
    roots = (CERTIFICATES / "client-ca.pem").read_bytes()
    server = start(credentials=grpc.ssl_server_credentials([pair], roots, require_client_auth=True))

    def name(_request: bytes, context: Any) -> bytes:
        names = [name.decode() for name in context.auth_context()["x509_common_name"]]
        return wire.ListCollectionsResponse(collections=names).SerializeToString()

    server.script("ListCollections", name)
    return server


STRICT = {"use_tls": True, "tls_root_certificates": CERTIFICATES / "ca.pem", "tls_server_name": "vectron.test"}


@pytest.mark.parametrize("read", [False, True], ids=["path", "pem"])
def test_mutual_tls(strict_server: "ScriptedServer", connect: "Connect", read: bool) -> None:
    files = {"tls_client_certificate": CERTIFICATES / "client.pem", "tls_client_key": CERTIFICATES / "client.key"}
    pair = {name: path.read_bytes() if read else path for name, path in files.items()}
    assert connect(address=strict_server.address, **STRICT, **pair).list_collections() == ["test client"]


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    strict_server: "ScriptedServer", connect: "Connect"
) -> None:
    with pytest.raises(UnavailableError):
        connect(address=strict_server.address, retry_max_attempts=1, **STRICT).list_collections()
    assert strict_server.seen == []


def test_the_authority_is_what_the_server_reads(server: "ScriptedServer", connect: "Connect") -> None:
    hosts: list[str] = []

    def note(_request: bytes, context: Any) -> bytes:
        hosts.append(context._rpc_event.call_details.host.decode())  # grpc shows it nowhere else
        return b""

    server.script("ListCollections", note)
    connect(authority="vectron.example:443").list_collections()
    connect().list_collections()
    assert hosts == ["vectron.example:443", server.address]


def arguments(options: ClientOptions) -> dict[str, int | str]:
    return dict(endpoint("h:1", None, options).arguments)


def test_the_default_keepalive_keeps_to_what_a_default_server_allows() -> None:
    five_minutes = 300_000  # min_recv_ping_interval_without_data of gRPC servers, see gRFC A8
    default = arguments(ClientOptions())
    assert int(default["grpc.keepalive_time_ms"]) > five_minutes
    assert default["grpc.keepalive_permit_without_calls"] == 0
    assert arguments(ClientOptions(keepalive_time_ms=20_000))["grpc.keepalive_time_ms"] == 20_000


class Relay:
    """A TCP relay to a server that can fall silent: connections stay open, nothing passes any more."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._silent = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def fall_silent(self) -> None:
        self._silent.set()

    def close(self) -> None:
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += (client, server)
                for source, sink in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=(source, sink)))
                    self._threads[-1].start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._silent.is_set():
                    sink.sendall(data)


def test_keepalive_finds_a_connection_that_fell_silent(server: "ScriptedServer", connect: "Connect") -> None:
    relay = Relay(server.port)
    release = threading.Event()

    def fall_silent(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        relay.fall_silent()
        release.wait(60)
        return b""

    server.script("Search", fall_silent)
    client = connect(address=relay.address, keepalive_time_ms=500, keepalive_timeout_ms=500, retry_max_attempts=1)
    try:
        begun = time.monotonic()
        with pytest.raises(UnavailableError):
            client.search("docs", [1.0], timeout=60)
        assert time.monotonic() - begun < 30
    finally:
        release.set()
        client.close()
        relay.close()
