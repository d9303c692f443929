"""More requests than can be answered in time: refused at once, in the words that say so, while probes are answered."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx2
import pytest

from vectrograph import RunningServer, running
from vectrograph.rest import app
from vectrograph.rest.workers import Workers
from vectrograph.services.catalog import Catalog
from vectrograph.services.tokens import Tokens

LIST = "/vectron.v1.VectronService/ListCollections"
HEALTH = "/grpc.health.v1.Health/Check"
PER_GRPC_THREAD = 32


class Gate:
    """Work that is held up until the gate opens."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.held = threading.Semaphore(0)

    def hold(self, whole: Any) -> Any:
        """The same work, behind the gate."""

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
        gate.open.set()
        assert first.result().status_code == 200
        assert sorted(one.result().status_code for one in others) == [200] * 2 + [503] * 5


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
