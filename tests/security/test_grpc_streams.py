"""Streams that anyone may open, and callers who neither send nor read: nobody else waits for them, and the server stops
in time.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from benchmarks.attack.http2_frames import Connection, grpc_headers, grpc_message, reset
from tests.e2e.processes import ServerProcess, serve
from vectrograph.rpc.health import MAX_WATCHES_PER_ADDRESS
from vectron_client import Point, VectronClient

CHECK: Final = "/grpc.health.v1.Health/Check"
LIST: Final = "/grpc.health.v1.Health/List"
WATCH: Final = "/grpc.health.v1.Health/Watch"
REFLECT: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LOGIN: Final = "/vectron.auth.v1.AuthService/Login"
SEARCH_STREAM: Final = "/vectron.v1.VectronService/SearchStream"
STREAMS: Final = 2_000
SERVING: Final = b"\x08\x01"
# Another address of this machine, which the server tells apart from 127.0.0.1.
ELSEWHERE: Final = "127.0.0.2"
SHUTDOWN_SECONDS: Final = 2
# Documented: a stop takes five seconds more than `shutdown_seconds` at most. The rest is for a busy machine.
ENDS_WITHIN: Final = SHUTDOWN_SECONDS + 5 + 10


class Served:
    """A server process and an ordinary caller with a key."""

    def __init__(self, process: ServerProcess) -> None:
        started = process.serving()
        self.process = process
        self.grpc: str = started["grpc"]
        login = {"username": "developer", "password": "developer123"}
        token = httpx2.post(f"{started['http']}/api/v1/auth/login", json=login, timeout=30).json()["access_token"]
        made = httpx2.post(
            f"{started['http']}/api/v1/api-keys",
            json={"name": "streams"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        self.key: str = made.json()["api_key"]
        self.channel: Any = grpc.insecure_channel(self.grpc, [("grpc.use_local_subchannel_pool", 1)])

    def client(self) -> VectronClient:
        return VectronClient(self.grpc, api_key=self.key)

    def check(self) -> bytes:
        answer: bytes = self.channel.unary_unary(CHECK)(b"", timeout=20)
        return answer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("streams") / "data") as made:
        yield made


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[Served]:
    """Provide a server that the test may end."""
    with serving(tmp_path / "data") as made:
        yield made


@contextmanager
def serving(data: Path) -> Iterator[Served]:
    """Start a server with a collection of 200 points."""
    with serve(data, "--shutdown-seconds", str(SHUTDOWN_SECONDS)) as process:
        made = Served(process)
        with made.client() as client:
            client.create_collection("c", 512)
            client.upsert("c", [Point(id=str(n), vector=[float(n + m) for m in range(512)]) for n in range(200)])
        yield made
        made.channel.close()


def unless_busy(probe: Callable[[], bytes]) -> bytes:
    """Return a probe's answer; one that is told to come back comes back: a busy machine ends stalled calls late."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return probe()
        except grpc.RpcError as caught:
            error: Any = caught
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_watchers_that_do_not_read_hold_up_no_other_watcher(served: Served) -> None:
    """FINDINGS B1."""
    with Connection(served.grpc, window=0, source=ELSEWHERE) as deaf:
        deaf.send(*(grpc_headers(WATCH, stream) + grpc_message(stream) for stream in range(1, 400, 2)))
        for _ in range(10):
            watch = served.channel.unary_stream(WATCH)(b"", timeout=20)
            assert next(watch) == SERVING
            watch.cancel()
            assert served.check() == SERVING


def test_watches_of_one_address_are_counted_until_they_end(served: Served) -> None:
    """FINDINGS B1: bounded in number."""
    watches = []
    for _ in range(MAX_WATCHES_PER_ADDRESS):  # one after the other: calls that wait are limited too
        watches.append(served.channel.unary_stream(WATCH)(b"", timeout=60))
        assert next(watches[-1]) == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        next(served.channel.unary_stream(WATCH)(b"", timeout=20))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_WATCHES_PER_ADDRESS) in error.details()
    trailers = dict(error.trailing_metadata())
    assert (trailers["x-error-code"], trailers["retry-after"]) == ("RATE_LIMIT_EXCEEDED", "5")
    assert served.check() == SERVING
    with Connection(served.grpc, source=ELSEWHERE) as elsewhere:
        elsewhere.send(grpc_headers(WATCH, 1), grpc_message(1))
        assert any(payload.endswith(SERVING) for *_, payload in elsewhere.frames())
    for watch in watches:
        watch.cancel()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert next(served.channel.unary_stream(WATCH)(b"", timeout=20)) == SERVING
            return
        except grpc.RpcError:
            assert time.monotonic() < deadline, "the ended streams are still counted"


def test_watching_a_service_that_there_is_not(served: Served) -> None:
    stub = health_pb2_grpc.HealthStub(served.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="elsewhere.Service"), timeout=20)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_listing_all_services(served: Served) -> None:
    listed = health_pb2.HealthListResponse.FromString(served.channel.unary_unary(LIST)(b"", timeout=20))
    assert set(listed.statuses) == {
        "",
        "vectron.v1.VectronService",
        "vectron.auth.v1.AuthService",
        "vectrograph.v1.VectrographService",
    }
    assert {one.status for one in listed.statuses.values()} == {health_pb2.HealthCheckResponse.SERVING}


@pytest.mark.parametrize("path", [CHECK, LIST, WATCH, REFLECT])
def test_what_is_no_message_or_a_huge_one_is_refused(served: Served, path: str) -> None:
    stub = served.channel.stream_stream(path)
    for body, code in (
        (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x0a\xff\xff\x3f" + bytes(1 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            list(stub(iter([body]), timeout=20))
        error: Any = caught.value
        assert error.code() is code


@pytest.mark.parametrize("source", ["127.0.0.1", ELSEWHERE])
@pytest.mark.parametrize("path", [CHECK, LIST, WATCH])
def test_calls_without_a_message_keep_no_probe_from_its_answer(served: Served, path: str, source: str) -> None:
    """FINDINGS B1, B10: a stalled call gives way to a newcomer."""
    with Connection(served.grpc, source=source) as silent:
        silent.send(*(grpc_headers(path, stream) for stream in range(1, 200, 2)))
        for _ in range(10):
            assert unless_busy(served.check) == SERVING
            assert unless_busy(lambda: next(served.channel.unary_stream(WATCH)(b"", timeout=20))) == SERVING


@pytest.mark.parametrize("source", ["127.0.0.1", ELSEWHERE])
def test_idle_reflection_streams_starve_nobody(served: Served, source: str) -> None:
    """FINDINGS B10: with thirty of them, nobody else was answered."""
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with Connection(served.grpc, source=source) as idle:
        idle.send(*(grpc_headers(REFLECT, stream) for stream in range(1, 60, 2)))
        started = time.monotonic()
        for _ in range(5):
            [answer] = stub.ServerReflectionInfo(iter([question]), timeout=20)
            assert answer.list_services_response.service
        # Without a newcomer an idle stream has ten seconds.
        assert time.monotonic() - started < 9


def test_a_reflection_stream_may_ask_a_thousand_questions(served: Served) -> None:
    """FINDINGS B10, the second round: one that goes on holds its thread no longer."""
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    question = reflection_pb2.ServerReflectionRequest(file_by_filename="gone")
    answers = stub.ServerReflectionInfo(iter([question] * 1_001), timeout=60)
    for _ in range(1_000):
        assert next(answers).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1000 questions" in error.details()
    assert len(list(stub.ServerReflectionInfo(iter([question] * 1_000), timeout=60))) == 1_000


def test_logins_that_send_nothing_starve_no_login(served: Served) -> None:
    """FINDINGS B10, a sibling: anonymous calls share the threads of accounts."""
    with Connection(served.grpc, source=ELSEWHERE) as silent:
        silent.send(*(grpc_headers(LOGIN, stream) for stream in range(1, 200, 2)))
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                served.channel.unary_unary(LOGIN)(b"", timeout=20)
            error: Any = caught.value
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED), error.details()


def test_search_streams_that_nobody_reads_starve_no_search(served: Served) -> None:
    """FINDINGS B10, a sibling: a stream holds a thread until its answer is taken."""
    vector = b"".join((b"\x12\x80\x10", bytes(2_048)))
    body = b"\x0a\x01c" + vector + b"\x18\x64"
    # Flow control of streams is per connection too: more than one, so that none is held back there.
    with ExitStack() as stack:
        for _ in range(4):
            deaf = stack.enter_context(Connection(served.grpc, window=0))
            deaf.send(
                *(
                    grpc_headers(SEARCH_STREAM, stream, ("x-api-key", served.key)) + grpc_message(stream, body)
                    for stream in range(1, 40, 2)
                )
            )
        with served.client() as client:
            for _ in range(5):
                assert len(client.search("c", [0.0] * 512, top_k=3)) == 3
        seventeenth = served.channel.unary_stream(SEARCH_STREAM)
        codes = set()
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                list(seventeenth(body, metadata=(("x-api-key", served.key),), timeout=20))
            error: Any = caught.value
            codes.add((error.code(), dict(error.trailing_metadata()).get("x-error-code")))
        assert codes == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED")}
    deadline = time.monotonic() + 30
    while True:
        try:
            assert list(served.channel.unary_stream(SEARCH_STREAM)(body, metadata=(("x-api-key", served.key),)))
            return
        except grpc.RpcError:
            assert time.monotonic() < deadline, "the ended streams are still counted"


def test_thousands_of_watches_opened_and_cancelled_stop_neither_others_nor_sigterm(ending: Served) -> None:
    """FINDINGS B1."""
    over, answered, failed = threading.Event(), [0], list[Exception]()

    def go_on_calling() -> None:
        try:
            with ending.client() as client:
                while not over.is_set():
                    assert "tokens" in client.list_collections()
                    assert ending.check() == SERVING
                    answered[0] += 1
        except Exception as error:  # noqa: BLE001  (shown by the test)
            failed.append(error)

    other = threading.Thread(target=go_on_calling)
    other.start()
    deadline, first = time.monotonic() + 60, 1
    with Connection(ending.grpc) as attacker:
        # Goes on until the other caller was answered a few times in the midst of it.
        while first < 2 * STREAMS or (answered[0] < 5 and not failed and time.monotonic() < deadline):
            streams = range(first, first + 8, 2)
            attacker.send(*(grpc_headers(WATCH, stream) + grpc_message(stream) for stream in streams))
            # Between the opening and the end of a stream, where a lock was held.
            time.sleep(0.001)
            attacker.send(*(reset(stream) for stream in streams))
            first += 8
    over.set()
    other.join(60)
    assert not other.is_alive()
    assert failed == []
    assert answered[0] >= 5
    with ExitStack() as stack:
        # Streams of every kind stay open, and their callers neither read nor send.
        for path in (WATCH, CHECK, REFLECT, LOGIN):
            silent = stack.enter_context(Connection(ending.grpc, window=0))
            silent.send(*(grpc_headers(path, stream) for stream in range(1, 60, 2)))
        deaf = stack.enter_context(Connection(ending.grpc, window=0))
        deaf.send(*(grpc_headers(WATCH, stream) + grpc_message(stream) for stream in range(1, 600, 2)))
        assert ending.check() == SERVING
        started = time.monotonic()
        assert ending.process.terminate(60) == 0
        assert time.monotonic() - started < ENDS_WITHIN
