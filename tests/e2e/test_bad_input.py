"""Bad input, through both clients and over bare HTTP: the documented exception, words that help, and nothing
half-written.
"""

import math
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

import neurograph
import vectron_client
from neurograph import NeuroGraphClient
from vectrograph import RunningServer, running
from vectron_client import Point, VectronClient

LIMITS: dict[str, Any] = {"max_text_bytes": 1000, "max_top_k": 50, "max_body_bytes": 200_000, "max_batch": 20}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(**LIMITS) as server:
        yield server


@pytest.fixture(scope="module")
def rest(server: RunningServer) -> Iterator[NeuroGraphClient]:
    with server.neurograph() as client:
        yield client


@pytest.fixture(scope="module")
def grpc(server: RunningServer) -> Iterator[VectronClient]:
    with server.vectron() as client:
        client.create_collection("docs", dimension=3, distance="cosine")
        client.upsert("docs", [Point("a", [1, 0, 0])])
        yield client


@pytest.fixture(scope="module")
def bearer(server: RunningServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.api_key}"}


@pytest.fixture
def nothing_written(rest: NeuroGraphClient, grpc: VectronClient) -> Iterator[None]:
    def state() -> tuple[int, list[str], list[str]]:
        ids = [hit.id for hit in grpc.search("docs", vector=[1, 0, 0], top_k=50)]
        return rest.health.status().tokens_count, sorted(ids), grpc.list_collections()

    before = state()
    yield
    assert state() == before


RestCase = Callable[[NeuroGraphClient], Any]
REST_CASES: list[tuple[str, RestCase, type[Exception], str]] = [
    ("unknown id", lambda c: c.tokens.get(999_999), neurograph.NotFoundError, "999999"),
    ("unknown id, update", lambda c: c.tokens.update(999_999, text="x"), neurograph.NotFoundError, "999999"),
    ("unknown id, delete", lambda c: c.tokens.delete(999_999), neurograph.NotFoundError, "999999"),
    ("empty text", lambda c: c.tokens.create(text=""), neurograph.ValidationError, "text"),
    ("blank text", lambda c: c.tokens.create(text=" \n\t"), neurograph.ValidationError, "text"),
    ("text too long", lambda c: c.tokens.create(text="é" * 501), neurograph.ValidationError, "1000"),
    ("one bad of many", lambda c: c.tokens.create_many(["good", ""]), neurograph.ValidationError, "text"),
    ("wrong dimension", lambda c: c.tokens.query(query_vector=[1.0, 2.0]), neurograph.ValidationError, "256"),
    ("empty vector", lambda c: c.tokens.query(query_vector=[]), neurograph.ValidationError, "query_vector"),
    ("top_k negative", lambda c: c.tokens.query([1.0] * 256, top_k=-1), neurograph.ValidationError, "top_k"),
    ("top_k over limit", lambda c: c.tokens.query([1.0] * 256, top_k=51), neurograph.ValidationError, "50"),
    ("NaN", lambda c: c.tokens.query([math.nan] * 256), neurograph.ValidationError, "query_vector"),
    (
        "infinity",
        lambda c: c.tokens.query([1.0] * 255 + [math.inf]),
        neurograph.ValidationError,
        "query_vector",
    ),
    ("limit 0", lambda c: c.tokens.list(limit=0), neurograph.ValidationError, "limit"),
    ("offset negative", lambda c: c.tokens.list(offset=-1), neurograph.ValidationError, "offset"),
    (
        "unknown key",
        lambda c: c.api_keys.get("ffffffffffffffff"),
        neurograph.NotFoundError,
        "ffffffffffffffff",
    ),
    (
        "unknown scope",
        lambda c: c.api_keys.create("k", scopes=["no:such"]),
        neurograph.ValidationError,
        "no:such",
    ),
    (
        "wider scope",
        lambda c: c.api_keys.create("k", scopes=["users:admin"]),
        neurograph.NeuroGraphError,
        "users:admin",
    ),
    (
        "expiry",
        lambda c: c.api_keys.create("k", expires_in_days=0),
        neurograph.ValidationError,
        "expires_in_days",
    ),
    (
        "body over the limit",
        lambda c: c.tokens.create("x", metadata={"a": "b" * 200_001}),
        neurograph.PayloadTooLargeError,
        "200000",
    ),
]


@pytest.mark.parametrize(("call", "error", "named"), [case[1:] for case in REST_CASES], ids=[c[0] for c in REST_CASES])
@pytest.mark.usefixtures("nothing_written")
def test_neurograph(rest: NeuroGraphClient, call: RestCase, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as caught:
        call(rest)
    assert named.replace(",", "") in str(caught.value).replace(",", "")


GrpcCase = Callable[[VectronClient], Any]
GRPC_CASES: list[tuple[str, GrpcCase, type[Exception], str]] = [
    ("unknown id", lambda c: c.get("docs", "nope"), vectron_client.NotFoundError, "nope"),
    ("unknown collection, get", lambda c: c.get("nope", "a"), vectron_client.NotFoundError, "nope"),
    (
        "unknown collection, search",
        lambda c: c.search("nope", [1, 0, 0]),
        vectron_client.NotFoundError,
        "nope",
    ),
    (
        "unknown collection, upsert",
        lambda c: c.upsert("nope", [Point("a", [1])]),
        vectron_client.NotFoundError,
        "nope",
    ),
    ("unknown collection, delete", lambda c: c.delete("nope", "a"), vectron_client.NotFoundError, "nope"),
    ("unknown collection, drop", lambda c: c.delete_collection("nope"), vectron_client.NotFoundError, "nope"),
    (
        "unknown collection, status",
        lambda c: c.get_collection_status("nope"),
        vectron_client.NotFoundError,
        "nope",
    ),
    (
        "duplicate collection",
        lambda c: c.create_collection("docs", 3),
        vectron_client.AlreadyExistsError,
        "docs",
    ),
    (
        "reserved collection",
        lambda c: c.delete_collection("tokens"),
        vectron_client.FailedPreconditionError,
        "tokens",
    ),
    (
        "distance",
        lambda c: c.create_collection("x", 3, "manhattan"),
        vectron_client.InvalidArgumentError,
        "cosine",
    ),
    ("dimension 0", lambda c: c.create_collection("x", 0), vectron_client.InvalidArgumentError, "dimension"),
    (
        "dimension too large",
        lambda c: c.create_collection("x", 10_000),
        vectron_client.InvalidArgumentError,
        "8192",
    ),
    (
        "wrong dimension",
        lambda c: c.upsert("docs", [Point("b", [1, 0])]),
        vectron_client.InvalidArgumentError,
        "3",
    ),
    (
        "one bad of many",
        lambda c: c.upsert("docs", [Point("b", [1, 0, 0]), Point("c", [1])]),
        vectron_client.InvalidArgumentError,
        "3",
    ),
    ("search dimension", lambda c: c.search("docs", [1, 0]), vectron_client.InvalidArgumentError, "3"),
    ("empty vector", lambda c: c.search("docs", []), vectron_client.InvalidArgumentError, "vector"),
    (
        "NaN",
        lambda c: c.upsert("docs", [Point("b", [1, math.nan, 0])]),
        vectron_client.InvalidArgumentError,
        "1",
    ),
    ("infinity", lambda c: c.search("docs", [math.inf, 0, 0]), vectron_client.InvalidArgumentError, "0"),
    (
        "empty id",
        lambda c: c.upsert("docs", [Point("", [1, 0, 0])]),
        vectron_client.InvalidArgumentError,
        "id",
    ),
    (
        "id too long",
        lambda c: c.upsert("docs", [Point("x" * 513, [1, 0, 0])]),
        vectron_client.InvalidArgumentError,
        "512",
    ),
    (
        "token id",
        lambda c: c.upsert("tokens", [Point("x", [1] * 256)]),
        vectron_client.InvalidArgumentError,
        "points[0].id",
    ),
    (
        "top_k over limit",
        lambda c: c.search("docs", [1, 0, 0], top_k=51),
        vectron_client.InvalidArgumentError,
        "50",
    ),
    (
        "top_k negative",
        lambda c: c.search("docs", [1, 0, 0], top_k=-1),
        vectron_client.InvalidArgumentError,
        "top_k",
    ),
    (
        "too many points",
        lambda c: c.upsert("docs", [Point(str(i), [1, 0, 0]) for i in range(21)]),
        vectron_client.VectronError,
        "20",
    ),
]


@pytest.mark.parametrize(("call", "error", "named"), [case[1:] for case in GRPC_CASES], ids=[c[0] for c in GRPC_CASES])
@pytest.mark.usefixtures("nothing_written")
def test_vectron(grpc: VectronClient, call: GrpcCase, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as caught:
        call(grpc)
    assert named in str(caught.value)


def test_top_k_0_means_10(rest: NeuroGraphClient, grpc: VectronClient) -> None:
    vectors = np.eye(12, 256, dtype=np.float32)
    grpc.upsert("tokens", [Point(str(1000 + i), vector) for i, vector in enumerate(vectors)])
    assert len(grpc.search("tokens", vectors[0], top_k=0)) == 10
    assert len(rest.tokens.query(vectors[0].tolist(), top_k=0)) == 10


HTTP_CASES: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/api/v1/tokens", {"content": b'{"text": '}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens", {"content": b"\xff\xfe"}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens", {"json": {"text": 7}}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens", {"json": {"text": "x", "metadata": [1]}}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens", {"json": []}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens", {"json": {}}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens/query", {"json": {"query_vector": ["a"]}}, 422, "VALIDATION_ERROR"),
    (
        "POST",
        "/api/v1/tokens/query",
        {"json": {"query_vector": [1], "top_k": "many"}},
        422,
        "VALIDATION_ERROR",
    ),
    ("GET", "/api/v1/tokens/zero", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/v1/tokens?limit=many", {}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/v1/tokens", {"content": b"text=x", "headers": {"Content-Type": "text/plain"}}, 415, ""),
    ("GET", "/api/v1/nothing", {}, 404, "ROUTE_NOT_FOUND"),
    ("GET", "/nothing", {}, 404, "ROUTE_NOT_FOUND"),
    ("PATCH", "/api/v1/tokens", {}, 405, ""),
]


@pytest.mark.parametrize(("method", "path", "request_options", "status", "code"), HTTP_CASES)
@pytest.mark.usefixtures("nothing_written")
def test_bare_http(
    server: RunningServer,
    bearer: dict[str, str],
    method: str,
    path: str,
    request_options: dict[str, Any],
    status: int,
    code: str,
) -> None:
    headers = {**bearer, "Content-Type": "application/json", **request_options.pop("headers", {})}
    response = httpx2.request(method, server.http_url + path, headers=headers, **request_options)
    body = response.json()
    assert response.status_code == status, body
    assert body["success"] is False
    assert body["error"]["message"]
    assert body["error"]["request_id"] == response.headers["X-Request-ID"]
    if code:
        assert body["error"]["code"] == code
    if status == 422:
        assert {"field", "message", "type"} <= body["error"]["details"]["errors"][0].keys()


@pytest.mark.usefixtures("nothing_written")
def test_a_chunked_body_over_the_limit_is_cut_off(server: RunningServer, bearer: dict[str, str]) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(1000):
            yield b"x" * 1000
        yield b'"}'

    headers = {**bearer, "Content-Type": "application/json"}
    response = httpx2.post(f"{server.http_url}/api/v1/tokens", headers=headers, content=endless())
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "REQUEST_TOO_LARGE"


def test_missing_and_wrong_credentials(server: RunningServer) -> None:
    with server.neurograph(api_key="ng_live_" + "x" * 43) as client:
        with pytest.raises(neurograph.AuthenticationError) as wrong:
            client.tokens.list()
        assert wrong.value.status_code == 401
    with server.neurograph(username="developer", password="wrong-password") as client:
        with pytest.raises(neurograph.AuthenticationError) as password:
            client.tokens.list()
        assert "wrong-password" not in str(password.value)
    for key in (None, "vkey-no-such-key", "a.b.c"):
        with server.vectron(api_key=key) as client, pytest.raises(vectron_client.AuthenticationError):
            client.list_collections()
    assert httpx2.get(f"{server.http_url}/api/v1/tokens").status_code == 401


@pytest.mark.usefixtures("nothing_written")
def test_missing_scope(server: RunningServer, rest: NeuroGraphClient) -> None:
    with server.neurograph(username="viewer", password="viewer123") as viewer:
        viewer.tokens.list()
        with pytest.raises(neurograph.AuthorizationError, match="tokens:write"):
            viewer.tokens.create(text="not mine to write")
    reader = rest.api_keys.create(name="reader", scopes=["collections:read"])
    with server.vectron(api_key=reader.api_key) as client:
        client.search("docs", [1, 0, 0])
        with pytest.raises(vectron_client.PermissionDeniedError, match="collections:write"):
            client.upsert("docs", [Point("b", [1, 0, 0])])
        with pytest.raises(vectron_client.PermissionDeniedError, match="tokens:read"):
            client.search("tokens", [1] * 256)


def test_a_revoked_key_stops_working_at_once_on_both_transports(server: RunningServer, rest: NeuroGraphClient) -> None:
    key = rest.api_keys.create(name="short-lived")
    with server.neurograph(api_key=key.api_key) as client, server.vectron(api_key=key.api_key) as vectron:
        client.tokens.list()
        vectron.list_collections()
        rest.api_keys.revoke(key.key_id)
        with pytest.raises(neurograph.AuthenticationError):
            client.tokens.list()
        with pytest.raises(vectron_client.AuthenticationError):
            vectron.list_collections()


def test_the_server_is_gone() -> None:
    with running() as server:
        rest, grpc = server.neurograph(max_retries=0, timeout=5), server.vectron()
        rest.health.check()
        grpc.list_collections()
    with rest, pytest.raises(neurograph.ConnectionError):
        rest.health.check()
    with grpc, pytest.raises(vectron_client.UnavailableError):
        grpc.list_collections()


def test_the_server_is_slow() -> None:
    accepted = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    connections.append(silent.accept()[0])
                except OSError:
                    return
                accepted.set()

        connections: list[socket.socket] = []
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        with NeuroGraphClient(f"http://127.0.0.1:{port}", api_key="ng_x", timeout=0.2, max_retries=0) as rest:
            with pytest.raises(neurograph.TimeoutError):
                rest.tokens.list()
        options = vectron_client.ClientOptions(timeout_seconds=0.2)
        with VectronClient(f"127.0.0.1:{port}", api_key="k", options=options) as grpc:
            with pytest.raises((vectron_client.DeadlineExceededError, vectron_client.UnavailableError)):
                grpc.list_collections()
        assert accepted.is_set()
        silent.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for connection in connections:
        connection.close()
