"""A connection that is cut after the server has written and before it could say so: exactly one effect all the same."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from vectrograph import RunningServer, running
from vectrograph.domain.collections import CollectionRef
from vectron_client import AsyncVectronClient, ClientOptions, Point, UnavailableError, VectronClient, field

#: Takes what to do at the moment; gives a counter of writes.
Arrange: TypeAlias = Callable[[Callable[[], None]], list[int]]

PATIENT = ClientOptions(retry_on_writes=True, retry_max_attempts=5, retry_initial_backoff_ms=20)


class CuttingProxy:
    """A TCP proxy that can drop every connection it has at a moment's notice, and then takes new ones."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads[0].start()

    def cut(self) -> None:
        with self._lock:
            ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                with self._lock:
                    self._open += (near, far)
                for source, sink in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=(source, sink)))
                    self._threads[-1].start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        yield server


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(server.grpc_address)
    yield proxy
    proxy.close()


@pytest.fixture
def docs(server: RunningServer) -> Iterator[CollectionRef]:
    with server.vectron() as client:
        client.create_collection("docs", 2, "euclidean")
        client.upsert("docs", [Point("a", [1.0, 0.0], {"n": 1}), Point("b", [2.0, 0.0], {"n": 2})])
        yield CollectionRef("default", "docs")
        client.delete_collection("docs")


@pytest.fixture
def after_the_write(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Arrange:
    """Call back once, when the engine has written for the first time and nothing is answered yet."""

    def arrange(event: Callable[[], None]) -> list[int]:
        engine, writes = server.server.engine, [0]
        inner = engine.write

        def write(*args: Any, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            writes[0] += 1
            if writes[0] == 1:
                event()
            return result

        monkeypatch.setattr(engine, "write", write)
        return writes

    return arrange


WRITES: dict[str, tuple[Callable[[Any], Any], int, Any]] = {
    "upsert": (lambda c: c.upsert("docs", [Point("a", [5.0, 0.0]), Point("new", [6.0, 0.0])]), 2, 2),
    "upsert_batch": (lambda c: c.upsert_batch("docs", [Point("a", [5.0, 0.0])]), 1, 1),
    "delete": (lambda c: c.delete("docs", "a"), 1, None),
    "delete_where": (lambda c: c.delete_where("docs", field("n") == 2), 1, 1),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", WRITES)
def test_a_lost_answer_means_one_effect(
    server: RunningServer,
    proxy: CuttingProxy,
    docs: CollectionRef,
    after_the_write: Arrange,
    name: str,
    kind: str,
) -> None:
    write, changed, wanted = WRITES[name]
    before = server.server.engine.describe(docs).seq
    writes = after_the_write(proxy.cut)
    if kind == "sync":
        with VectronClient(proxy.address, server.api_key, PATIENT) as client:
            answer = write(client)
    else:

        async def main() -> Any:
            async with AsyncVectronClient(proxy.address, server.api_key, PATIENT) as client:
                return await write(client)

        answer = asyncio.run(main())
    assert answer == wanted
    assert writes == [2], "the write came twice"
    assert server.server.engine.describe(docs).seq - before == changed, "and changed things once"


def test_a_repeat_of_a_conditional_upsert_answers_what_the_first_did(
    server: RunningServer,
    proxy: CuttingProxy,
    docs: CollectionRef,
    after_the_write: Arrange,
) -> None:
    writes = after_the_write(proxy.cut)
    with VectronClient(proxy.address, server.api_key, PATIENT) as client:
        [outcome] = client.upsert_if("docs", [Point("new", [5.0, 0.0])], if_absent=True)
    assert (outcome.status, writes) == ("created", [2])


def test_a_repeat_does_not_undo_what_others_wrote_meanwhile(
    server: RunningServer,
    proxy: CuttingProxy,
    docs: CollectionRef,
    after_the_write: Arrange,
) -> None:
    with server.vectron() as other, VectronClient(proxy.address, server.api_key, PATIENT) as client:

        def overwrite_and_cut() -> None:
            other.upsert("docs", [Point("a", [9.0, 0.0])])
            proxy.cut()

        writes = after_the_write(overwrite_and_cut)
        assert client.upsert("docs", [Point("a", [5.0, 0.0])]) == 1
        assert writes == [3]
        assert other.get("docs", "a").vector == [9.0, 0.0]


def test_without_the_option_the_error_says_that_nothing_is_known(
    server: RunningServer,
    proxy: CuttingProxy,
    docs: CollectionRef,
    after_the_write: Arrange,
) -> None:
    writes = after_the_write(proxy.cut)
    with VectronClient(proxy.address, server.api_key) as client:
        with pytest.raises(UnavailableError):
            client.upsert("docs", [Point("a", [5.0, 0.0])])
        assert writes == [1]
        assert client.get("docs", "a").vector == [5.0, 0.0], "the same client goes on over a new connection"
