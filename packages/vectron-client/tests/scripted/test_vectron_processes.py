"""Forking before and after first use, and the end of the interpreter: scripts of their own in fresh interpreters."""

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from vectron_client._pb import vectron_pb as wire
from vectron_client._pb.vectrograph_pb import ChangeEvent, WatchResponse

if TYPE_CHECKING:
    from scripted.conftest import RunScript, ScriptedServer

NAMES = wire.ListCollectionsResponse(collections=["docs"])

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
def test_a_client_works_on_both_sides_of_a_fork(
    server: "ScriptedServer", run_script: "RunScript", used_before: bool
) -> None:
    server.answers("ListCollections", NAMES)
    printed = run_script(FORK.format(used_before=used_before), server.address)
    child = "child ['docs'] ['docs']\n"
    assert printed == ("parent ['docs']\n" if used_before else "") + 2 * child + "parent ['docs']\n"


CLOSED = """
    import asyncio, os, sys, time
    from vectron_client import AsyncVectronClient, VectronClient

    def threads():
        return len(os.listdir("/proc/self/task"))  # those of gRPC as well

    async def ask_async():
        async with AsyncVectronClient(sys.argv[1]) as client:
            print(await client.list_collections(), flush=True)

    def ask():
        with VectronClient(sys.argv[1]) as client:
            print(client.list_collections(), flush=True)

    def ask_in_child():
        child = os.fork()
        if child == 0:
            {ask}
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("ask", ["ask()", "asyncio.run(ask_async())"])
def test_a_client_that_was_closed_before_the_fork(server: "ScriptedServer", run_script: "RunScript", ask: str) -> None:
    server.answers("ListCollections", NAMES)
    script = f"""
    for _ in range(5):
        {ask}
        ask_in_child()
    {ask}
    """
    assert run_script(CLOSED.format(ask=ask) + script, server.address) == "['docs']\n" * 11


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("ask", ["ask()", "asyncio.run(ask_async())"])
def test_grpc_stays_to_look_after_forks(server: "ScriptedServer", run_script: "RunScript", ask: str) -> None:
    server.answers("ListCollections", NAMES)
    script = f"""
    {ask}
    time.sleep(0.2)  # for what would end
    assert threads() > 1
    """
    assert run_script(CLOSED.format(ask=ask) + script, server.address) == "['docs']\n"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("ask", ["ask()", "asyncio.run(ask_async())"])
def test_grpc_ends_where_it_may_not_look_after_forks(
    server: "ScriptedServer", run_script: "RunScript", ask: str
) -> None:
    server.answers("ListCollections", NAMES)
    script = f"""
    {ask}
    until = time.monotonic() + 30
    while threads() > 1:
        assert time.monotonic() < until
        time.sleep(0.01)
    ask_in_child()
    """
    printed = run_script(CLOSED.format(ask=ask) + script, server.address, GRPC_ENABLE_FORK_SUPPORT="0")
    assert printed == "['docs']\n" * 2


def test_an_async_client_that_was_open_at_the_fork_is_refused_in_the_child(
    server: "ScriptedServer", run_script: "RunScript"
) -> None:
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
def test_the_interpreter_ends_quietly(
    server: "ScriptedServer", run_script: "RunScript", kind: str, close: bool
) -> None:
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


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("kind", ["VectronClient", "AsyncVectronClient"])
def test_the_interpreter_ends_quietly_while_a_watch_is_open(
    server: "ScriptedServer", run_script: "RunScript", kind: str, close: bool
) -> None:
    change = ChangeEvent(id="1", position="p1")
    server.streams("Watch", WatchResponse(position="p0"), WatchResponse(events=[change]), threading.Event())
    script = f"""
        import asyncio, sys
        from vectron_client import {kind}

        client = {kind}(sys.argv[1])
        watch = client.watch("docs")

        async def main():
            first = next(watch) if "{kind}" == "VectronClient" else await anext(watch)
            print(first.id)
            if {close}:
                closing = watch.close()
                if closing is not None:
                    await closing

        asyncio.run(main())
    """
    assert run_script(script, server.address) == "1\n"


@pytest.mark.parametrize("close", [True, False], ids=["closed", "dropped"])
@pytest.mark.parametrize("kind", ["VectronClient", "AsyncVectronClient"])
def test_nothing_is_left_behind(server: "ScriptedServer", run_script: "RunScript", kind: str, close: bool) -> None:
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
