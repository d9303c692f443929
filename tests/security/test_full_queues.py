"""More requests than can be answered in time: refused at once, in the words that say so, while probes are answered."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import httpx2
import pytest

from vectrograph import RunningServer, running
from vectrograph import http_app as app
from vectrograph.http.workers import Workers
from vectrograph.rpc import server as grpc_server
from vectrograph.rpc.methods import Unary, method_of
from vectrograph.services import Services
from vectrograph.services.limits.thread_pool import Pool
from vectrograph.services.points.collections import Catalog
from vectrograph.services.points.tokens import Tokens
from vectrograph.vectron.procedures import Procedure
from vectron_client import Point

LIST = "/vectron.v1.VectronService/ListCollections"
HEALTH = "/grpc.health.v1.Health/Check"
PER_GRPC_THREAD = 32


class Gate:
    """Work that is held up until the gate opens."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.held = threading.Semaphore(0)

    def hold(self, whole: Any) -> Any:
        """Return the same work, behind the gate."""

        def held(*arguments: Any, **named: Any) -> Any:
            self.held.release()
            assert self.open.wait(30)
            return whole(*arguments, **named)

        return held


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate()
    monkeypatch.setattr(Catalog, "list", made.hold(Catalog.list))
    monkeypatch.setattr(Tokens, "list", made.hold(Tokens.list))
    monkeypatch.setattr(app, "Workers", lambda **_: Workers(threads=1, max_waiting=2))
    yield made
    made.open.set()


@pytest.fixture
def server(gate: Gate) -> Iterator[RunningServer]:
    with running(grpc_threads=1) as started:
        yield started
        gate.open.set()


def test_rest_answers_503_with_retry_after(server: RunningServer, gate: Gate) -> None:
    headers = {"X-API-Key": server.api_key}
    with httpx2.Client(base_url=server.http_url, headers=headers, timeout=30) as client, ThreadPoolExecutor(8) as pool:
        first = pool.submit(client.get, "/api/v1/tokens")
        assert gate.held.acquire(timeout=10)
        others = [pool.submit(client.get, "/api/v1/tokens") for _ in range(7)]
        refused: list[httpx2.Response] = []
        while len(refused) < 5:
            refused = [one.result() for one in others if one.done()]
        for answer in refused:
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "1"
            assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert {client.get(path).status_code for path in ("/livez", "/readyz", "/api/v1/health")} == {200}
        assert_refused_before_anything_is_read(server)
        gate.open.set()
        assert first.result().status_code == 200
        assert sorted(one.result().status_code for one in others) == [200] * 2 + [503] * 5
        assert {client.get("/api/v1/tokens").status_code for _ in range(50)} == {200}


def test_grpc_answers_resource_exhausted_with_retry_after(server: RunningServer, gate: Gate) -> None:
    metadata = (("x-api-key", server.api_key),)
    with grpc.insecure_channel(server.grpc_address) as opened:
        channel: Any = opened
        first = channel.unary_unary(LIST).future(b"", metadata=metadata, timeout=30)
        assert gate.held.acquire(timeout=10)
        others = [channel.unary_unary(LIST).future(b"", metadata=metadata, timeout=30) for _ in range(40)]
        refused: list[Any] = []
        while len(refused) < 40 - PER_GRPC_THREAD:
            refused = [one for one in others if one.done()]
        for one in refused:
            assert one.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert dict(one.trailing_metadata())["retry-after"] == "1"
        assert channel.unary_unary(HEALTH)(b"", timeout=10) == b"\x08\x01"
        gate.open.set()
        assert first.result(timeout=30)
        codes = [one.code() for one in others]
        assert codes.count(grpc.StatusCode.OK) == PER_GRPC_THREAD
        for _ in range(50):
            assert channel.unary_unary(LIST)(b"", metadata=metadata, timeout=10) is not None


@pytest.mark.parametrize("method", ["SearchBatch", "Scroll", "Count"])
def test_calls_that_read_much_hold_up_no_search(gate: Gate, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """FINDINGS B5, a sibling: four batches of a thousand searches took all threads, and nobody else found anything."""

    def held_up(procedure: Procedure, services: Services) -> Unary:
        answer: Unary = method_of(procedure, services)
        return gate.hold(answer) if procedure.name == method else answer

    monkeypatch.setattr(grpc_server, "method_of", held_up)
    with running(grpc_threads=1) as server, server.vectron() as client:
        client.create_collection("docs", 2, "cosine")
        client.upsert("docs", [Point(id="a", vector=[1.0, 0.0])])
        with grpc.insecure_channel(server.grpc_address) as opened:
            channel: Any = opened
            call = channel.unary_unary(f"/vectrograph.v1.VectrographService/{method}")
            metadata = (("x-api-key", server.api_key),)
            held = [call.future(b"", metadata=metadata, timeout=30) for _ in range(4)]
            assert gate.held.acquire(timeout=10)
            assert [hit.id for hit in client.search("docs", [1.0, 0.0], top_k=1)] == ["a"]
            assert not any(one.done() for one in held)
            gate.open.set()
            assert {one.code() for one in held} == {grpc.StatusCode.INVALID_ARGUMENT}


def test_thousands_of_calls_at_once_are_all_told_that_it_is_too_much(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata, looked, unseen = (("x-request-id", "mine"),), threading.Event(), threading.Event()

    def is_full(_: Pool) -> bool:
        looked.set()
        assert unseen.wait(30)
        return True

    monkeypatch.setattr(Pool, "is_full", property(is_full))
    with ExitStack() as stack:
        channels: list[Any] = [
            stack.enter_context(grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]))
            for _ in range(4)
        ]
        calls = [
            channel.unary_unary(LIST).future(b"", metadata=metadata, timeout=60)
            for _ in range(700)
            for channel in channels
        ]
        assert looked.wait(10)
        unseen.set()
        assert {one.code() for one in calls} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert {one.trailing_metadata() for one in calls} == {
            (("x-request-id", "mine"), ("x-error-code", "RATE_LIMIT_EXCEEDED"), ("retry-after", "1"))
        }


def test_what_writes_is_answered_while_all_threads_that_read_are_taken(server: RunningServer, gate: Gate) -> None:
    metadata = (("x-api-key", server.api_key),)
    headers = {"X-API-Key": server.api_key}
    with grpc.insecure_channel(server.grpc_address) as opened, ThreadPoolExecutor(1) as pool:
        channel: Any = opened
        held = channel.unary_unary(LIST).future(b"", metadata=metadata, timeout=30)
        assert gate.held.acquire(timeout=10)
        with server.vectron() as client:
            client.create_collection("made", 2)
            client.upsert("made", [Point(id="a", vector=[1.0, 0.0])])
        listed = pool.submit(httpx2.get, f"{server.http_url}/api/v1/tokens", headers=headers, timeout=30)
        assert gate.held.acquire(timeout=10)
        made = httpx2.post(f"{server.http_url}/api/v1/tokens", headers=headers, json={"text": "a"}, timeout=10)
        assert made.status_code == 201
        gate.open.set()
        assert listed.result().status_code == 200
        assert held.result(timeout=30)


def assert_refused_before_anything_is_read(server: RunningServer) -> None:
    """No credentials, a body that never comes, a path of many: all the same 503, with an id and on a connection that
    goes on.
    """
    host, port = server.http_url.removeprefix("http://").split(":")
    head_of = "{} HTTP/1.1\r\nHost: elsewhere.example\r\nX-Request-ID: mine\r\nContent-Length: 10\r\n\r\n".format
    sent = head_of("GET /api/v1/tokens").encode()
    with socket.create_connection((host, int(port)), 10) as connection:
        for _ in range(3):
            connection.sendall(sent)
            head, body = answer_on(connection)
            assert head.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1" in head.lower()
            assert b"x-request-id: mine" in head.lower()
            assert b"x-content-type-options: nosniff" in head.lower()
            assert b'"request_id":"mine"' in body
            connection.sendall(b"0123456789")
        connection.sendall(head_of("PATCH /api/v1/tokens").encode())
        assert answer_on(connection)[0].startswith(b"HTTP/1.1 400")
    for path in ("/api/v1/tokens/1", "/v1/collections/some/points/1"):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(head_of(f"GET {path}").replace("elsewhere.example", host).encode())
            assert answer_on(connection)[0].startswith(b"HTTP/1.1 503")


def answer_on(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of the next answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head, body
