"""Binding, stopping, and what callers see of it."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vectrograph.domain.access import Role
from vectrograph.domain.limits import Limits
from vectrograph.rpc._pb.methods import VECTRON_SERVICE_METHODS
from vectrograph.rpc.server import build_grpc_server
from vectrograph.services.call import Principal
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.traffic import Traffic

LIST = VECTRON_SERVICE_METHODS["ListCollections"].path
KEY = (("x-api-key", "k"),)


class Gate:
    """Services that let a call through when told."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def authenticate(self, credential: str) -> Principal:
        return Principal("u", "u", Role.ADMIN, frozenset())

    def count_request(self) -> None:
        pass

    def look(self, address: str, given: Any) -> None:
        pass

    def list(self, call: Any) -> list[Any]:
        self.entered.set()
        self.open.wait(20)
        return []


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def running(serve: Callable[..., tuple[grpc.Server, Any]], gate: Gate) -> tuple[grpc.Server, Any]:
    return serve(
        SimpleNamespace(
            sessions=gate,
            health=gate,
            development=gate,
            catalog=gate,
            limits=Limits(),
            rate_limits=RateLimits(),
            concurrency=Concurrency(),
            traffic=Traffic(),
        ),
        threads=2,
    )


def test_a_call_in_flight_is_finished_and_a_new_one_refused(running: tuple[grpc.Server, Any], gate: Gate) -> None:
    server, channel = running
    stub = channel.unary_unary(LIST)
    in_flight = stub.future(b"", metadata=KEY, timeout=20)
    assert gate.entered.wait(20)
    stopped = server.stop(20)
    with pytest.raises(grpc.RpcError) as caught:
        stub(b"", metadata=KEY, timeout=20)
    error: Any = caught.value
    # CANCELLED where the call and the news of the stop cross on the wire: grpc itself answers so.
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert not stopped.is_set()
    gate.open.set()
    assert in_flight.result(timeout=20) == b""
    assert stopped.wait(20)
    assert not server.wait_for_termination(20)


def test_a_call_that_outlasts_the_grace_period_is_cut_off(running: tuple[grpc.Server, Any], gate: Gate) -> None:
    server, channel = running
    call = channel.unary_unary(LIST).future(b"", metadata=KEY, timeout=20)
    assert gate.entered.wait(20)
    stopped = server.stop(0.1)
    assert call.exception(timeout=20).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    gate.open.set()
    assert stopped.wait(20)


def test_watchers_of_health_hear_of_it_and_do_not_delay_it(running: tuple[grpc.Server, Any]) -> None:
    server, channel = running
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    stopped = server.stop(60)
    assert [answer.status for answer in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]
    assert stopped.wait(30)


def test_stopping_twice_is_fine_and_leaves_no_threads(running: tuple[grpc.Server, Any], gate: Gate) -> None:
    server, channel = running
    gate.open.set()
    before = set(threading.enumerate())
    assert channel.unary_unary(LIST)(b"", metadata=KEY, timeout=20) == b""
    mine = {thread for thread in threading.enumerate() if thread.name.startswith("rpc-reading_")} - before
    assert mine
    assert server.stop(5).wait(20)
    assert server.stop(5).wait(20)
    for thread in mine:
        thread.join(20)
        assert not thread.is_alive()


def test_a_port_in_use_is_refused_rather_than_shared(gate: Gate) -> None:
    services: Any = SimpleNamespace(
        sessions=gate, health=gate, limits=Limits(), concurrency=Concurrency(), traffic=Traffic()
    )
    first, second = (build_grpc_server(services, threads=1) for _ in range(2))
    port = first.add_insecure_port("127.0.0.1:0")
    with pytest.raises(RuntimeError):
        second.add_insecure_port(f"127.0.0.1:{port}")
    for server in (first, second):
        assert server.stop(0).wait(20)
