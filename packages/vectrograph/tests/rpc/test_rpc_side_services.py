"""Health and reflection: open to everyone, answering while every worker is busy."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from vectrograph.domain.access import Role
from vectrograph.domain.limits import Limits
from vectrograph.rpc._pb.methods import AUTH_SERVICE, VECTROGRAPH_SERVICE, VECTRON_SERVICE, VECTRON_SERVICE_METHODS
from vectrograph.rpc.load_shedding import OwnQueue
from vectrograph.rpc.server import MAX_UNSEEN_CALLS, build_grpc_server
from vectrograph.services.call import Principal
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.limits.thread_pool import Pool
from vectrograph.services.traffic import Traffic

WATCH = "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
# Calls of each method.
FLOOD = 200
SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    VECTROGRAPH_SERVICE,
    AUTH_SERVICE,
    VECTRON_SERVICE,
]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Busy:
    """Services that hold every call until released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.inside = threading.Semaphore(0)

    def authenticate(self, credential: str) -> Principal:
        return Principal("u", "u", Role.ADMIN, frozenset())

    def look(self, *_: Any) -> None:
        """Development mode is nothing that these tests are about."""

    def count_request(self) -> None:
        pass

    def list(self, call: Any) -> list[Any]:
        self.inside.release()
        assert self.release.wait(20)
        return []


@pytest.fixture
def busy(serve: Callable[..., tuple[grpc.Server, Any]]) -> Iterator[tuple[Any, list[Any]]]:
    """Provide a server with two workers, both in the middle of a call, and two more calls waiting."""
    script = Busy()
    _, channel = serve(
        SimpleNamespace(
            sessions=script,
            health=script,
            development=script,
            catalog=script,
            limits=Limits(),
            rate_limits=RateLimits(),
            concurrency=Concurrency(),
            traffic=Traffic(),
        ),
        threads=2,
    )
    stub = channel.unary_unary(VECTRON_SERVICE_METHODS["ListCollections"].path)
    calls = [stub.future(b"", metadata=(("x-api-key", "k"),), timeout=30) for _ in range(4)]
    for _ in range(2):
        assert script.inside.acquire(timeout=20)
    yield channel, calls
    script.release.set()
    assert [call.result(timeout=20) for call in calls] == [b""] * 4


def reflect(channel: Any, **question: Any) -> Any:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(**question)
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=20)
    return answer


@pytest.mark.parametrize("service", ["", VECTRON_SERVICE])
def test_health_answers_without_credentials_while_all_workers_are_busy(
    busy: tuple[Any, list[Any]], service: str
) -> None:
    stub = health_pb2_grpc.HealthStub(busy[0])
    assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status == SERVING
    assert not any(call.done() for call in busy[1])


def test_health_does_not_know_other_services(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="x"), timeout=20)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


def test_watchers_hold_no_threads(busy: tuple[Any, list[Any]]) -> None:
    stub = health_pb2_grpc.HealthStub(busy[0])
    watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=20) for _ in range(8)]
    assert [next(watch).status for watch in watches] == [SERVING] * 8
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=20).status == SERVING
    for watch in watches:
        watch.cancel()


def test_reflection_lists_exactly_what_is_served(busy: tuple[Any, list[Any]]) -> None:
    listed = reflect(busy[0], list_services="").list_services_response.service
    assert [service.name for service in listed] == SERVICES


def files_of(answer: Any) -> list[FileDescriptorProto]:
    return [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto]


def test_reflection_describes_every_service_with_what_it_imports(channel: Any) -> None:
    for name in SERVICES:
        files = files_of(reflect(channel, file_containing_symbol=name))
        found = {f"{file.package}.{service.name}": service for file in files for service in file.service}
        assert name in found
        if name == VECTRON_SERVICE:
            assert {method.name for method in found[name].method} == set(VECTRON_SERVICE_METHODS)
            assert {file.package for file in files} == {"vectron.v1", "vectron.auth.v1"}


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "vectrograph.bytesview.v1.Point"},
        {"file_by_filename": "vectrograph/bytesview/v1/bytesview.proto"},
    ],
)
def test_the_bytes_view_stays_private(channel: Any, question: dict[str, str]) -> None:
    assert reflect(channel, **question).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_idle_reflection_streams_stop_nobody_else(channel: Any, key: str) -> None:
    hold = threading.Event()

    def idle() -> Iterator[Any]:
        hold.wait(20)
        yield from ()

    streams = [reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(idle()) for _ in range(12)]
    try:
        stub = channel.unary_unary(VECTRON_SERVICE_METHODS["ListCollections"].path)
        assert stub(b"", metadata=(("x-api-key", key),), timeout=20)
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == SERVING
        # Those who ask get their answer: the idle are ended, and so are the twelve within a few seconds.
        assert reflect(channel, list_services="").list_services_response.service
    finally:
        hold.set()
        for stream in streams:
            stream.cancel()


if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler


class Gate(Handler):
    """Stops grpc's serving thread at the method `Hold`, and counts what was handed out before `Note`."""

    def __init__(self, handed_out: Callable[[], int]) -> None:
        self._handed_out = handed_out
        self.entered = threading.Event()
        self.release = threading.Event()
        self.before_note: int | None = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        """Know no method; grpc answers UNIMPLEMENTED."""
        if handler_call_details.method == "/test/Hold":
            self.entered.set()
            assert self.release.wait(20)
        elif handler_call_details.method == "/test/Note":
            self.before_note = self._handed_out()


# Methods that anyone may call, also without credentials.
FLOODED: Final = (WATCH, REFLECT, "/vectron.auth.v1.AuthService/Login", "/vectron.v1.VectronService/Search")


def test_calls_that_anyone_may_make_delay_no_other_method(
    serve: Callable[..., tuple[grpc.Server, Any]], services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FINDINGS B1: watches opened as fast as a connection carries them made every other caller wait for a second."""
    handed_out, submit = 0, OwnQueue.submit

    def counted(queue: OwnQueue, *arguments: Any) -> Any:
        nonlocal handed_out
        handed_out += 1
        return submit(queue, *arguments)

    monkeypatch.setattr(OwnQueue, "submit", counted)
    server, channel = serve(services)
    gate = Gate(lambda: handed_out)
    server.add_generic_rpc_handlers([gate])
    held = channel.unary_unary("/test/Hold").future(b"", timeout=20)
    assert gate.entered.wait(20)
    flood = [channel.stream_stream(path)(iter([b""]), timeout=20) for _ in range(FLOOD) for path in FLOODED]
    noted = channel.unary_unary("/test/Note").future(b"", timeout=20)
    # Refused by grpc's core itself, which reads what comes over one connection in its order: all calls are there.
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test/Huge")(b"", metadata=(("x", "x" * 40_000),), timeout=20)
    refused: Any = caught.value
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    gate.release.set()
    assert {held.code(), noted.code()} == {grpc.StatusCode.UNIMPLEMENTED}
    assert gate.before_note is not None
    assert gate.before_note < FLOOD / 2
    for call in flood:
        call.cancel()


def test_calls_that_nobody_takes_are_ended_beyond_a_limit(services: Any) -> None:
    """While the serving thread is held up, grpc's core keeps so many calls of a method and no more."""
    server = build_grpc_server(services, threads=4)
    port = server.add_insecure_port("127.0.0.1:0")
    gate = Gate(lambda: 0)
    server.add_generic_rpc_handlers([gate])
    server.start()
    with ExitStack() as stack:
        stack.callback(lambda: server.stop(0).wait())
        # A connection carries 1,024 calls at a time.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        channels: list[Any] = [
            stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", alone))
            for _ in range(3 * MAX_UNSEEN_CALLS // 2 // 1024)
        ]
        held = channels[0].unary_unary("/test/Hold").future(b"", timeout=60)
        assert gate.entered.wait(20)
        flood = [each.unary_unary(FLOODED[-1]).future(b"", timeout=60) for _ in range(1024) for each in channels]
        ended = threading.Semaphore(0)
        for call in flood:
            call.add_done_callback(lambda _: ended.release())
        for _ in range(MAX_UNSEEN_CALLS // 2):
            assert ended.acquire(timeout=30), "grpc's core keeps them all"
        gate.release.set()
        assert held.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("path", [WATCH, REFLECT, "/grpc.health.v1.Health/Check"])
def test_calls_are_refused_while_too_many_wait(channel: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "is_full", True)
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(path)(iter([b""]), timeout=20))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())["x-error-code"] == "RATE_LIMIT_EXCEEDED"
