"""Servers whose answers make no sense, are missing or too large, and loops that are not asyncio's: clear errors."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from vectron_client import AsyncVectronClient, ClientOptions, Point, VectronError
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import (
    DeadlineExceededError,
    FailedPreconditionError,
    InternalServerError,
    MessageTooLargeError,
)

if TYPE_CHECKING:
    from scripted.conftest import Connect, RunScript, ScriptedServer

CALLS: dict[str, Callable[[Any], Any]] = {
    "CreateCollection": lambda c: c.create_collection("docs", 2),
    "DeleteCollection": lambda c: c.delete_collection("docs"),
    "ListCollections": lambda c: c.list_collections(),
    "GetCollectionStatus": lambda c: c.get_collection_status("docs"),
    "Upsert": lambda c: c.upsert("docs", [Point("a", [1.0])]),
    "Search": lambda c: c.search("docs", [1.0]),
    "SearchBatch": lambda c: c.search_many("docs", [[1.0]]),
    "Get": lambda c: c.get("docs", "a"),
    "Delete": lambda c: c.delete("docs", "a"),
    "Scroll": lambda c: list(c.scroll("docs")),
    "Count": lambda c: c.count("docs"),
    "DeleteWhere": lambda c: c.delete_where("docs", {"path": "a", "eq": 1}),
    "UpsertIf": lambda c: c.upsert_if("docs", [Point("a", [1.0])], if_absent=True),
    "GetCollectionInfo": lambda c: c.get_collection_info("docs"),
    "GetLimits": lambda c: c.get_limits(),
    "SubmitFeedback": lambda c: c.update_user_profile("FREE"),
}


class _Silent(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Ends every call with OK and without a message."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_stream_rpc_method_handler(lambda _body, _context: iter(()))


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Silent()], options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


# FINDINGS D9
@pytest.mark.parametrize("method", CALLS)
def test_an_end_without_an_answer_is_an_error_of_this_library(connect: "Connect", silent: str, method: str) -> None:
    with pytest.raises(VectronError) as caught:
        CALLS[method](connect(address=silent))
    assert isinstance(caught.value, InternalServerError), repr(caught.value)


# FINDINGS D9
@pytest.mark.parametrize(
    "garbage", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x03\x80\x80\x80", b"\x08\x01" * 9]
)
def test_answers_that_are_garbage_are_errors_of_this_library(
    server: "ScriptedServer", connect: "Connect", garbage: bytes
) -> None:
    client = connect()
    for method, call in CALLS.items():
        server.answers(method, garbage)
        try:
            result = call(client)
            repr(result), list(result[0]) if method == "SearchBatch" else None
        except Exception as error:  # noqa: BLE001
            assert isinstance(error, VectronError), repr(error)


# FINDINGS D9, B10
def test_trailers_that_make_no_sense_do_not_replace_the_error(server: "ScriptedServer", connect: "Connect") -> None:
    trailers: dict[str, Any] = {
        "retry_after": "nan",
        "x_error_details_bin": b"\xff[",
        "x_error_code": "A" * 300,
        "x_request_id": "r",
    }
    server.fails("GetLimits", "NOT_FOUND", "go\x1b[2J\r\naway\u202e", times=1, **trailers)
    with pytest.raises(VectronError) as caught:
        connect().get_limits()
    assert caught.value.code == "NOT_FOUND"
    assert caught.value.message.isprintable()
    assert "away" in caught.value.message
    assert caught.value.details == {}


def _pages(points: int, payload: str, limit: int) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """Return a server of so many points, each with the same payload."""

    def scroll(body: bytes, _context: grpc.ServicerContext) -> bytes:
        request = extensions.ScrollRequest.FromString(body)
        first = int(request.cursor or 0)
        end = min(points, first + request.limit)
        made = [wire.Point(id=str(number), payload={"text": payload}) for number in range(first, end)]
        return extensions.ScrollResponse(points=made, cursor=str(end) if end < points else "").SerializeToString()

    return scroll


# FINDINGS D3
def test_pages_shrink_until_they_fit_and_every_point_comes_once(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Scroll", _pages(60, "x" * 9_000, 0))
    client = connect(max_recv_message_length=100_000)
    assert [point.id for point in client.scroll("docs")] == [str(number) for number in range(60)]
    page = client.scroll_page("docs")
    assert 5 <= len(page.points) <= 11
    assert page.cursor == str(len(page.points))
    # Most requests bring points: a page that had to shrink is remembered.
    assert len(server.seen) < 25


def test_a_point_that_fits_into_no_answer_is_an_error(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Scroll", _pages(3, "x" * 200_000, 0))
    with pytest.raises(MessageTooLargeError, match="max_recv_message_length"):
        list(connect(max_recv_message_length=100_000).scroll("docs"))


# FINDINGS D3
def test_many_searches_shrink_until_their_answers_fit(server: "ScriptedServer", connect: "Connect") -> None:
    def batch(body: bytes, _context: grpc.ServicerContext) -> bytes:
        request = extensions.SearchBatchRequest.FromString(body)
        first = memoryview(request.vectors).cast("f")
        responses = [
            wire.SearchResponse(results=[wire.SearchResult(id=f"{value:g}", payload={"t": "x" * 9_000})])
            for value in first
        ]
        return extensions.SearchBatchResponse(responses=responses).SerializeToString()

    server.script("SearchBatch", batch)
    found = connect(max_recv_message_length=100_000).search_many("docs", [[float(n)] for n in range(40)], top_k=1)
    assert [hits.ids for hits in found] == [[str(number)] for number in range(40)]


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = connection.recv(size - len(read))
        if not part:
            raise ConnectionError
        read += part
    return read


def _frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


@pytest.fixture
def dripping() -> Iterator[tuple[str, threading.Event]]:
    """Provide a server that promises an answer of 10 MB and sends a byte now and then, and an event: its call was given
    up.
    """
    over, given_up = threading.Event(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            _read(connection, len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            connection.sendall(_frame(4, 0, 0))
            stream, kind = 0, -1
            while kind != 1:  # HEADERS: the call
                head = _read(connection, 9)
                kind, stream = head[3], int.from_bytes(head[5:], "big")
                _read(connection, int.from_bytes(head[:3], "big"))
                if kind == 4 and not head[4]:
                    connection.sendall(_frame(4, 1, 0))
            headers = b"\x88\x0f\x10\x10application/grpc"  # :status 200 and content-type
            connection.sendall(_frame(1, 4, stream, headers))
            connection.sendall(_frame(0, 0, stream, b"\0" + (10_000_000).to_bytes(4, "big")))
            threading.Thread(target=watch, args=(connection,), daemon=True).start()
            while not over.wait(0.02):
                connection.sendall(_frame(0, 0, stream, b"\x0a"))

    def watch(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                head = _read(connection, 9)
                _read(connection, int.from_bytes(head[:3], "big"))
                if head[3] == 3:  # RST_STREAM
                    given_up.set()

    server = threading.Thread(target=serve)
    server.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", given_up
    over.set()
    listener.close()
    server.join()


# FINDINGS D7
def test_an_answer_that_drips_ends_with_the_deadline(connect: "Connect", dripping: tuple[str, threading.Event]) -> None:
    address, given_up = dripping
    with pytest.raises(DeadlineExceededError, match=r"within 1 s"):
        connect(address=address, timeout_seconds=1, retry_max_attempts=1).search("docs", [1.0])
    assert given_up.wait(5), "the server learns of it"


# FINDINGS D7
def test_pieces_that_never_end_are_too_much_at_some_point(server: "ScriptedServer", connect: "Connect") -> None:
    """The limit on all pieces ends it, not the deadline of a minute; the server learns of it."""
    over, sent = threading.Event(), []

    def endless(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(over.set)
        piece = wire.SearchResponse(piece=True, results=[wire.SearchResult(id="x" * 500)]).SerializeToString()
        while not over.is_set():
            sent.append(len(piece))
            yield piece

    server.answers("Search", b"\x0a" * 5000)
    server.script("SearchStream", endless)
    client = connect(max_recv_message_length=1000, timeout_seconds=60)
    with pytest.raises(MessageTooLargeError, match="longer than 16000 bytes, 16 times"):
        client.search("docs", [1.0])
    assert over.wait(10)
    assert sum(sent) > 16_000


class _NoLoop:
    """A coroutine that is driven by hand, as another library's loop would."""

    def __init__(self, coroutine: Any) -> None:
        with pytest.raises(FailedPreconditionError, match=r"asyncio event loop.*trio"):
            coroutine.send(None)


# FINDINGS D9
@pytest.mark.parametrize("options", [{}, {"hedged_reads": True}])
def test_other_event_loops_are_refused_with_advice(options: dict[str, Any]) -> None:
    client = AsyncVectronClient("127.0.0.1:9", options=ClientOptions(**options))
    for coroutine in (
        client.list_collections(),
        client.search_many("docs", [[1.0]]),
        client.upsert_batch("docs", [Point("a", [1.0])], concurrency=4),
        client.scroll_page("docs"),
    ):
        _NoLoop(coroutine)
    asyncio.run(client.close())


# FINDINGS D10
def test_a_failed_tls_handshake_writes_nothing_to_stderr(server: "ScriptedServer", run_script: "RunScript") -> None:
    script = """
        import os, sys
        from vectron_client import ClientOptions, VectronClient, VectronError
        options = ClientOptions(use_tls=True, retry_max_attempts=1, timeout_seconds=20)
        with VectronClient(sys.argv[1], options=options) as client:
            try:
                client.list_collections()
            except VectronError as error:
                print(error.code)
        print("GRPC_VERBOSITY" in os.environ)
    """
    assert run_script(script, server.address).split() == ["UNAVAILABLE", "False"]
