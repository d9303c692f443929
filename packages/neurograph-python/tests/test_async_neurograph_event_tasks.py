"""Streams of events of the asynchronous client: waits that are given up, tasks that share a stream, ended loops."""

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from event_log import EVENTS, EventLog, bare, change, end, framed
from scripted_server import LOGIN, Feed, ScriptedServer, until_left

from neurograph import AsyncEventStream, AsyncNeuroGraphClient, ClientClosedError
from neurograph.middleware import AsyncHandler
from neurograph.wire import Request, Response

LONG = 300.0


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def log(server: ScriptedServer) -> EventLog:
    return EventLog(hint=0).serve(server)


def client_of(server: ScriptedServer) -> AsyncNeuroGraphClient:
    return AsyncNeuroGraphClient(server.url, api_key="k", timeout=LONG)


async def rest(events: AsyncEventStream) -> list[str | None]:
    return [event.id async for event in events]


def test_a_wait_that_is_given_up_loses_nothing(server: ScriptedServer, log: EventLog) -> None:
    async def use() -> None:
        async with client_of(server) as client, client.events.subscribe("tokens") as events:
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(events), 0.02)
            log.add(3)
            assert [(await anext(events)).id for _ in range(3)] == ["p1", "p2", "p3"]

    asyncio.run(use())
    assert log.began == [0], "giving up a wait has broken the connection"


def test_the_position_is_that_of_what_was_handed_out(server: ScriptedServer, log: EventLog) -> None:
    async def use() -> None:
        async with client_of(server) as client, client.events.subscribe("tokens") as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            waiting.cancel()
            log.add()
            # The event arrives while nobody waits for it.
            task = events._listener._puller._task
            assert task is not None
            await asyncio.wait({task}, timeout=10)
            assert task.done()
            assert events.position == "p0"
            assert (await anext(events)).id == events.position == "p1"

    asyncio.run(use())


def test_tasks_share_a_stream(server: ScriptedServer, log: EventLog) -> None:
    async def use() -> None:
        async with client_of(server) as client, client.events.subscribe("tokens") as events:
            readers = [asyncio.ensure_future(anext(events)) for _ in range(5)]
            await asyncio.sleep(0)
            readers[2].cancel()
            log.add(4)
            found = await asyncio.gather(*readers, return_exceptions=True)
            assert sorted(event.id or "" for event in found if not isinstance(event, BaseException)) == [
                f"p{n}" for n in range(1, 5)
            ]

    asyncio.run(use())


@pytest.mark.parametrize("answer", ["events", "nothing", "login"])
def test_close_ends_a_wait(server: ScriptedServer, log: EventLog, answer: str) -> None:
    async def use() -> None:
        login: dict[str, Any] = {"username": "a", "password": "b"} if answer == "login" else {"api_key": "k"}
        async with AsyncNeuroGraphClient(server.url, timeout=LONG, **login) as client:
            if answer == "login":
                server.on("POST", LOGIN, Feed(until_left))
            if answer == "nothing":
                server.on("GET", EVENTS, Feed(until_left))
            events = client.events.subscribe("tokens")
            if answer == "events":
                await events
            waiting = asyncio.ensure_future(rest(events))
            path = ("POST", LOGIN) if answer == "login" else ("GET", EVENTS)
            assert await asyncio.to_thread(server.wait_for, *path, 1, 10)
            await client.events.close()
            if answer == "events":
                assert await asyncio.wait_for(waiting, 10) == []
            else:
                with pytest.raises(ClientClosedError):
                    await asyncio.wait_for(waiting, 10)
            assert await asyncio.to_thread(server.wait_until_left, 10)

    asyncio.run(use())


def test_close_ends_a_pause(server: ScriptedServer, log: EventLog) -> None:
    async def use() -> None:
        paused = asyncio.Event()
        async with AsyncNeuroGraphClient(server.url, api_key="k", on_retry=lambda retry: paused.set()) as client:
            events = await client.events.subscribe("tokens")
            log.say(b"retry: 60000\n\n")
            waiting = asyncio.ensure_future(rest(events))
            await asyncio.wait_for(paused.wait(), 10)
            await events.close()
            assert await asyncio.wait_for(waiting, 10) == []

    asyncio.run(use())


def test_an_opening_that_is_given_up_leaves_the_server(server: ScriptedServer) -> None:
    server.on("GET", EVENTS, Feed(until_left))

    async def use() -> None:
        async with client_of(server) as client:
            opening = asyncio.ensure_future(rest(client.events.subscribe("tokens")))
            assert await asyncio.to_thread(server.wait_for, "GET", EVENTS, 1, 10)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            gc.collect()
            assert await asyncio.to_thread(server.wait_until_left, 10)

    asyncio.run(use())


def test_a_stream_that_is_forgotten_in_the_middle_of_a_wait_leaves_the_server(
    server: ScriptedServer, log: EventLog
) -> None:
    async def use() -> None:
        async with client_of(server) as client:
            events = await client.events.subscribe("tokens")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.02)
            del events
            gc.collect()
            assert await asyncio.to_thread(server.wait_until_left, 10)

    asyncio.run(use())


def test_a_loop_that_ends_leaves_nothing_open(server: ScriptedServer, log: EventLog) -> None:
    """Neither closed nor forgotten: a stream between two events, one in the middle of a wait, one never opened."""
    program = f"""
        import asyncio, gc
        from neurograph import AsyncNeuroGraphClient

        client = AsyncNeuroGraphClient({server.url!r}, api_key="k")

        async def use():
            global streams
            streams = [await client.events.subscribe("tokens") for _ in range(2)] + [client.events.subscribe("tokens")]
            try:
                await asyncio.wait_for(anext(streams[1]), 0.02)
            except asyncio.TimeoutError:
                print("waited")

        asyncio.run(use())
        asyncio.run(use())
        del client, streams
        gc.collect()
        print("done")
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("waited\nwaited\ndone\n", "")
    assert server.wait_until_left(10)


def test_another_loop_ends_a_wait(server: ScriptedServer, log: EventLog) -> None:
    async def use() -> None:
        async with client_of(server) as client:
            events = await client.events.subscribe("tokens")
            waiting = asyncio.ensure_future(rest(events))
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: asyncio.run(events.close()))
            assert await asyncio.wait_for(waiting, 10) == []
            assert events.closed

    asyncio.run(use())


class Pieces:
    """An asynchronous iterable that is no iterator: each pass begins at the first piece."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield bare("p0")
        yield framed(change(1), "", "p1")
        yield framed(change(2), "", "p2") + end("END_OF_LOG", reconnect=False)


def test_an_answer_of_a_middleware_is_read_once_from_beginning_to_end() -> None:
    async def canned(request: Request, call_next: AsyncHandler) -> Response:
        pieces: Any = Pieces()
        return Response(request, 200, {"content-type": "text/event-stream"}, b"", pieces)

    async def use() -> list[str | None]:
        async with AsyncNeuroGraphClient("http://localhost:1", api_key="k", middleware=[canned]) as client:
            return await rest(client.events.subscribe("tokens"))

    assert asyncio.run(asyncio.wait_for(use(), 10)) == ["p1", "p2"]
