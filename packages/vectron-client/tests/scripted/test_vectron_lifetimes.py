"""Opening, closing, forking, event loops, restarts of the server, and the end of the interpreter."""

import asyncio
import os
import subprocess
import sys
import textwrap
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


#: In development mode asyncio warns of every step over a tenth of a second, which tells of the machine only.
UNHURRIED = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


def run_script(script: str, address: str, **environment: str) -> str:
    """Runs a script in a fresh interpreter in development mode; returns what it printed, refuses anything on stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", UNHURRIED + textwrap.dedent(script), address],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_nothing_is_sent_before_the_first_call(connect: "Connect") -> None:
    connect(address="nobody.invalid:1").close()


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
        with pytest.raises(VectronError, match="this client is closed; make a new one") as caught:
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
    assert [str(error) for error in raised] == ["this client is closed; make a new one"]


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
    for _ in range(3):
        assert client.list_collections() == ["docs"]
        server.stop()
        with pytest.raises((UnavailableError, DeadlineExceededError)):
            client.list_collections(timeout=0.1)
        server = start(server.port)
        server.answers("ListCollections", NAMES)
        begun = time.monotonic()
        assert client.list_collections(timeout=20) == ["docs"]
        took.append(time.monotonic() - begun)
    assert min(took) < 0.7, "gRPC by itself waits about a second before it tries again"


FORK = """
    import os, sys
    from vectron_client import VectronClient

    client = VectronClient(sys.argv[1])
    if {used_before}:
        print("parent", client.list_collections(), flush=True)
    for number in range(2):
        child = os.fork()
        if child == 0:
            print("child", client.list_collections(timeout=20), client.list_collections(), flush=True)
            client.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    print("parent", client.list_collections())
"""


@pytest.mark.parametrize("used_before", [False, True])
def test_a_client_works_on_both_sides_of_a_fork(server: "ScriptedServer", used_before: bool) -> None:
    server.answers("ListCollections", NAMES)
    printed = run_script(FORK.format(used_before=used_before), server.address)
    child = "child ['docs'] ['docs']\n"
    assert printed == ("parent ['docs']\n" if used_before else "") + 2 * child + "parent ['docs']\n"


def test_an_async_client_that_was_closed_before_the_fork(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    script = """
        import asyncio, os, sys
        from vectron_client import AsyncVectronClient

        async def ask():
            async with AsyncVectronClient(sys.argv[1]) as client:
                print(await client.list_collections(), flush=True)

        asyncio.run(ask())
        child = os.fork()
        if child == 0:
            asyncio.run(ask())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        asyncio.run(ask())
    """
    assert run_script(script, server.address) == "['docs']\n" * 3


def test_an_async_client_that_was_open_at_the_fork_is_refused_in_the_child(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    script = """
        import asyncio, os, sys
        from vectron_client import AsyncVectronClient, VectronClient, VectronError

        client = AsyncVectronClient(sys.argv[1])
        blocking = VectronClient(sys.argv[1])
        print(asyncio.run(client.list_collections()), blocking.list_collections(), flush=True)
        child = os.fork()
        if child == 0:
            for other in (client, AsyncVectronClient(sys.argv[1])):
                try:
                    asyncio.run(other.list_collections())
                except VectronError as error:
                    print(error, flush=True)
            print(blocking.list_collections(), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(asyncio.run(client.list_collections()), blocking.list_collections())
    """
    printed = run_script(script, server.address, GRPC_VERBOSITY="NONE").splitlines()
    assert printed[0] == printed[4] == "['docs'] ['docs']"
    assert printed[3] == "['docs']", "the synchronous client works all the same, over a connection of its own"
    assert all("forked while an AsyncVectronClient was open" in line for line in printed[1:3])


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("kind", ["VectronClient", "AsyncVectronClient"])
def test_the_interpreter_ends_quietly(server: "ScriptedServer", kind: str, close: bool) -> None:
    server.answers("ListCollections", NAMES)
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    script = f"""
        import asyncio, sys
        from vectron_client import {kind}, Point

        client = {kind}(sys.argv[1])

        def finish(result):
            return asyncio.run(result) if asyncio.iscoroutine(result) else result

        print(finish(client.list_collections()))
        print(finish(client.upsert_batch("docs", [Point(str(n), [1.0]) for n in range(8)], 1, 4)))
        if {close}:
            finish(client.close())
    """
    assert run_script(script, server.address) == "['docs']\n8\n"


@pytest.mark.parametrize("close", [True, False], ids=["closed", "dropped"])
@pytest.mark.parametrize("kind", ["VectronClient", "AsyncVectronClient"])
def test_nothing_is_left_behind(server: "ScriptedServer", kind: str, close: bool) -> None:
    server.answers("ListCollections", NAMES)
    script = f"""
        import asyncio, gc, os, sys, threading, time
        from vectron_client import {kind}

        async def finish(result):
            return await result if asyncio.iscoroutine(result) else result

        def cycle(times):
            for _ in range(times):
                client = {kind}(sys.argv[1])
                asyncio.run(finish(client.list_collections()))
                if {close}:
                    asyncio.run(finish(client.close()))
                del client
                gc.collect()

        def held():
            return len(os.listdir("/dev/fd")), threading.active_count()

        cycle(3)
        before = held()
        cycle(15)
        until = time.monotonic() + 10  # gRPC closes sockets in its own time
        while any(now > then for now, then in zip(held(), before)) and time.monotonic() < until:
            time.sleep(0.02)
        print([now <= then for now, then in zip(held(), before)])
    """
    assert run_script(script, server.address) == "[True, True]\n"


def test_importing_is_quick_and_leaves_numpy_alone() -> None:
    script = """
        import sys, time
        begun = time.process_time()  # other programs may keep the machine busy
        import vectron_client
        print(time.process_time() - begun, "numpy" in sys.modules)
    """
    printed = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    assert {numpy for _, numpy in printed} == {"False"}
    assert min(float(seconds) for seconds, _ in printed) < 0.25


def test_importing_loads_little_beyond_grpc_and_protobuf() -> None:
    script = """
        import sys
        import grpc, grpc.aio
        import google.protobuf.descriptor_pool, google.protobuf.message_factory, google.protobuf.unknown_fields
        before = set(sys.modules)
        import vectron_client
        print(*sorted(set(sys.modules) - before))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    foreign = [name for name in loaded if name.partition(".")[0] not in ("vectron_client", "wirekit")]
    assert len(foreign) <= 15, foreign
    assert len(loaded) - len(foreign) <= 50


def test_everything_works_without_numpy(server: "ScriptedServer") -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    server.answers("Get", wire.GetResponse(point=wire.Point(id="a", vector=[1.0, 2.0])))
    script = """
        import array, sys
        sys.modules["numpy"] = None  # as if it were not installed
        from vectron_client import Point, VectronClient

        with VectronClient(sys.argv[1]) as client:
            print(client.upsert("docs", [Point("a", array.array("f", [1.0, 2.0]))]))
            point = client.get("docs", "a")
            client.upsert("docs", [point])
            print(point)
            try:
                point.vector_array
            except ImportError:
                print("no array")
    """
    assert run_script(script, server.address) == "1\nPoint(id='a', vector=[1.0, 2.0], payload={})\nno array\n"
    expected = wire.UpsertRequest(collection="docs", points=[wire.Point(id="a", vector=[1.0, 2.0])]).SerializeToString()
    assert [seen.body for seen in server.seen if seen.method == "Upsert"] == [expected] * 2


def test_options_are_copied(server: "ScriptedServer") -> None:
    server.answers("ListCollections", NAMES)
    options = ClientOptions(timeout_seconds=5)
    with VectronClient(server.address, options=options) as client:
        options.timeout_seconds = -1
        client.list_collections()
    remaining = server.seen[0].time_remaining
    assert remaining is not None
    assert remaining < 5.1
