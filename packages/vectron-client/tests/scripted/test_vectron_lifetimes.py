"""Opening, closing, threads, event loops, restarts of the server."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from vectron_client import AsyncVectronClient, ClientOptions, Point, VectronClient
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import DeadlineExceededError, UnavailableError, VectronError

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

NAMES = wire.ListCollectionsResponse(collections=["docs"])


def test_nothing_is_sent_before_the_first_call(connect: "Connect") -> None:
    connect(address="nobody.invalid:1").close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        connect(address=f"127.0.0.1:{listener.getsockname()[1]}").close()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_leaving_the_block_closes(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    with VectronClient(server.address) as client:
        assert client.list_collections() == ["docs"]
    with pytest.raises(VectronError, match="closed"):
        client.list_collections()

    async def main() -> None:
        async with AsyncVectronClient(server.address) as client:
            assert await client.list_collections() == ["docs"]
        with pytest.raises(VectronError, match="closed"):
            await client.list_collections()

    asyncio.run(main())


def test_closing_twice_and_calling_afterwards(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("ListCollections", NAMES)
    client = connect()
    assert client.list_collections() == ["docs"]
    client.close()
    client.close()
    for call in (
        client.list_collections,
        lambda: client.upsert_batch("docs", [Point("a", [1.0])]),
        lambda: client.upsert_batch("docs", [Point("a", [1.0])], 1, 2),
    ):
        with pytest.raises(VectronError, match="this client is closed; create a new one") as caught:
            call()
        assert not caught.value.retryable
    assert len(server.seen) == 1


def test_a_client_that_was_never_used_closes(connect: "Connect") -> None:
    client = connect()
    client.close()
    with pytest.raises(VectronError, match="closed"):
        client.list_collections()


def test_closing_ends_calls_of_other_threads(server: "ScriptedServer") -> None:
    release = server.hangs("Search")
    client = VectronClient(server.address)
    raised: list[BaseException] = []

    def call() -> None:
        try:
            client.search("docs", [1.0])
        except VectronError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    server.wait_for_calls()
    client.close()
    thread.join(5)
    release.set()
    assert [str(error) for error in raised] == ["this client is closed; create a new one"]


def test_closing_ends_calls_of_other_tasks_without_cancelling_them(server: "ScriptedServer") -> None:
    release = server.hangs("Search")

    async def main() -> None:
        client = AsyncVectronClient(server.address)
        call = asyncio.create_task(client.search("docs", [1.0]))
        await asyncio.to_thread(server.wait_for_calls)
        await client.close()
        with pytest.raises(VectronError, match="this client is closed"):
            await call

    asyncio.run(main())
    release.set()


def test_cancelling_a_task_cancels_the_call(server: "ScriptedServer") -> None:
    cancelled = threading.Event()

    def wait(_request: bytes, context: object) -> bytes:
        context.add_callback(cancelled.set)  # type: ignore[attr-defined]
        cancelled.wait(10)
        return b""

    server.script("Search", wait)

    async def main() -> None:
        async with AsyncVectronClient(server.address) as client:
            call = asyncio.create_task(client.search("docs", [1.0]))
            await asyncio.to_thread(server.wait_for_calls)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(main())
    assert cancelled.wait(5)


def test_threads_share_a_client(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    results: list[list[str]] = []
    begin = threading.Barrier(8)
    with VectronClient(server.address) as client:

        def call() -> None:
            begin.wait()
            results.append(client.list_collections())

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [["docs"]] * 8


def test_one_event_loop_after_another(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    client = AsyncVectronClient(server.address)  # made outside of any loop
    for _ in range(3):
        assert asyncio.run(client.list_collections()) == ["docs"]
    asyncio.run(client.close())
    with pytest.raises(VectronError, match="closed"):
        asyncio.run(client.list_collections())


def test_two_event_loops_at_once(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    client = AsyncVectronClient(server.address)
    results: list[list[str]] = []

    async def call_often() -> None:
        for _ in range(20):
            results.extend(await asyncio.gather(*[client.list_collections() for _ in range(4)]))

    threads = [threading.Thread(target=lambda: asyncio.run(call_often())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(client.close())
    assert results == [["docs"]] * 160


def test_a_client_without_an_event_loop_says_so() -> None:
    call = AsyncVectronClient("127.0.0.1:1").list_collections()
    with pytest.raises(VectronError, match="needs a running asyncio event loop"):
        call.send(None)


def test_a_restarted_server_is_found_again_soon(start: "Callable[..., ScriptedServer]", connect: "Connect") -> None:
    server = start()
    server.answers("ListCollections", NAMES)
    client = connect(
        address=server.address, retry_max_attempts=50, retry_initial_backoff_ms=10, retry_max_backoff_ms=10
    )
    took = []
    for _ in range(10):
        assert client.list_collections() == ["docs"]
        server.stop()
        with pytest.raises((UnavailableError, DeadlineExceededError)):
            client.list_collections(timeout=0.1)
        server = start(server.port)
        server.answers("ListCollections", NAMES)
        begun = time.monotonic()
        assert client.list_collections(timeout=20) == ["docs"]
        took.append(time.monotonic() - begun)
        if took[-1] < 0.7:  # on a busy machine not every time
            break
    assert min(took) < 0.7, "gRPC by itself waits about a second before it tries again"


def test_options_are_copied(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    options = ClientOptions(timeout_seconds=5)
    with VectronClient(server.address, options=options) as client:
        options.timeout_seconds = -1
        client.list_collections()
    remaining = server.seen[0].time_remaining
    assert remaining is not None
    assert remaining < 5.1
