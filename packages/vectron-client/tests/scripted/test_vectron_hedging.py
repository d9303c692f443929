"""Reads that are sent twice: who wins, what becomes of the loser, and that nothing ever hangs."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from vectron_client import AsyncVectronClient, ClientOptions, Point, VectronClient
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import (
    DeadlineExceededError,
    InternalServerError,
    NotFoundError,
    UnavailableError,
    VectronError,
)

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

LATE, PROMPT = (wire.ListCollectionsResponse(collections=[name]).SerializeToString() for name in ("late", "prompt"))


def waits(until: threading.Event) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """Return answers late: when the event is set, which the end of the call does as well."""

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(until.set)
        until.wait(60)
        return LATE

    return answer


def fails(status: str, when: Callable[[], object] = lambda: None) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """Fails as soon as `when` returns."""

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        when()
        context.abort(grpc.StatusCode[status], "no")
        raise AssertionError("abort raises")

    return answer


def test_a_prompt_answer_is_asked_for_once(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("ListCollections", PROMPT)
    client = connect(hedged_reads=True, hedge_delay_ms=5_000)
    assert client.list_collections() == ["prompt"]
    assert len(server.seen) == 1


def test_the_second_call_wins_and_the_first_is_cancelled(server: "ScriptedServer", connect: "Connect") -> None:
    cancelled = threading.Event()
    server.script("ListCollections", waits(cancelled))
    server.answers("ListCollections", PROMPT)
    begun = time.monotonic()
    client = connect(hedged_reads=True, hedge_delay_ms=50, timeout_seconds=60)
    assert client.list_collections() == ["prompt"]
    assert 0.05 <= time.monotonic() - begun < 30
    assert cancelled.wait(30), "the server learns of it long before the deadline"
    first, second = server.seen
    assert second.at - begun >= 0.05, "the second call waits, however late the first arrives"
    assert first.body == second.body


def test_the_first_call_may_still_win(server: "ScriptedServer", connect: "Connect") -> None:
    first, second = threading.Event(), threading.Event()

    def release_the_first(request: bytes, context: grpc.ServicerContext) -> bytes:
        first.set()
        return waits(second)(request, context)

    server.script("ListCollections", waits(first), release_the_first)
    assert connect(hedged_reads=True, hedge_delay_ms=20).list_collections() == ["late"]
    assert second.wait(5), "the second call was cancelled"


def test_reads_are_hedged_and_nothing_else(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect(hedged_reads=True, hedge_delay_ms=0)
    everything: dict[str, Callable[[], object]] = {
        "Search": lambda: client.search("docs", [1.0]),
        "Get": lambda: client.get("docs", "a"),
        "GetCollectionStatus": lambda: client.get_collection_status("docs"),
        "Upsert": lambda: client.upsert("docs", [Point("a", [1.0])]),
        "Delete": lambda: client.delete("docs", "a"),
        "CreateCollection": lambda: client.create_collection("docs", 1),
        "SearchStream": lambda: list(client.search_stream("docs", [1.0])),
    }
    for method, operation in everything.items():
        release = threading.Event()
        twice = method in {"Search", "Get", "GetCollectionStatus"}
        if method == "SearchStream":
            server.streams(method, wire.SearchResponse())
        else:
            answer = wire.GetResponse(point=wire.Point(id="a")) if method == "Get" else wire.CreateCollectionResponse()
            body = wire.CreateCollectionResponse(success=True) if method == "CreateCollection" else answer

            def behave(
                _request: bytes,
                _context: grpc.ServicerContext,
                release: threading.Event = release,
                twice: bool = twice,
                method: str = method,
                body: bytes = body.SerializeToString(),
            ) -> bytes:
                # With a second call on its way both wait for each other: neither is answered before both are there.
                if server.methods().count(method) == 2:
                    release.set()
                assert not twice or release.wait(10)
                return body

            server.script(method, behave)
        operation()
        assert server.methods().count(method) == (2 if twice else 1), method


def test_a_failure_before_the_delay_is_left_to_the_repeats(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("ListCollections", fails("UNAVAILABLE"))
    server.answers("ListCollections", PROMPT)
    client = connect(hedged_reads=True, hedge_delay_ms=5_000)
    assert client.list_collections() == ["prompt"]
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL"])
def test_after_a_failure_the_other_call_has_its_chance(
    server: "ScriptedServer", connect: "Connect", status: str
) -> None:
    failed = threading.Event()

    def answer_after_the_failure(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        failed.wait(10)
        return LATE

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(failed.set)
        return fails(status)(request, context)

    server.script("ListCollections", answer_after_the_failure, fail)
    assert connect(hedged_reads=True, hedge_delay_ms=20, retry_max_attempts=1).list_collections() == ["late"]


def test_a_definite_error_waits_for_nobody(server: "ScriptedServer", connect: "Connect") -> None:
    cancelled = threading.Event()
    server.script("ListCollections", waits(cancelled), fails("NOT_FOUND"))
    with pytest.raises(NotFoundError):
        connect(hedged_reads=True, hedge_delay_ms=20).list_collections()
    assert cancelled.wait(5)


def test_a_definite_error_counts_more_than_one_that_passes(server: "ScriptedServer", connect: "Connect") -> None:
    failed = threading.Event()

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(failed.set)
        return fails("UNAVAILABLE")(request, context)

    server.script("ListCollections", fails("NOT_FOUND", when=lambda: failed.wait(10)), fail)
    with pytest.raises(NotFoundError):
        connect(hedged_reads=True, hedge_delay_ms=20, retry_max_attempts=1).list_collections()


def test_both_fail(server: "ScriptedServer", connect: "Connect") -> None:
    both = threading.Barrier(2, timeout=60)
    server.script("ListCollections", fails("UNAVAILABLE", both.wait), fails("INTERNAL", both.wait))
    begun = time.monotonic()
    with pytest.raises((UnavailableError, InternalServerError)):
        connect(hedged_reads=True, hedge_delay_ms=20, retry_max_attempts=1, timeout_seconds=60).list_collections()
    assert time.monotonic() - begun < 30
    assert len(server.seen) == 2


def test_both_fail_and_the_repeat_succeeds(server: "ScriptedServer", connect: "Connect") -> None:
    both = threading.Barrier(2, timeout=60)
    server.script("ListCollections", fails("UNAVAILABLE", both.wait), fails("UNAVAILABLE", both.wait))
    server.answers("ListCollections", PROMPT)
    assert connect(hedged_reads=True, hedge_delay_ms=20).list_collections() == ["prompt"]
    assert len(server.seen) >= 3


def test_the_deadline_ends_both(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("ListCollections", waits(threading.Event()), waits(threading.Event()))
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        connect(hedged_reads=True, hedge_delay_ms=20).list_collections(timeout=1)
    assert 0.9 < time.monotonic() - begun < 20
    assert len(server.seen) == 2


def test_a_server_that_is_not_there(connect: "Connect") -> None:
    client = connect(address="127.0.0.1:1", hedged_reads=True, hedge_delay_ms=0, retry_max_attempts=1)
    with pytest.raises(UnavailableError):
        client.list_collections(timeout=5)


def test_a_closed_client_says_so_at_once(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect(hedged_reads=True)
    client.close()
    with pytest.raises(VectronError, match="closed"):
        client.list_collections()


@pytest.mark.parametrize("delay", [0, 5_000], ids=["both on their way", "one on its way"])
def test_closing_ends_hedged_calls_of_other_threads(server: "ScriptedServer", delay: int) -> None:
    server.script("ListCollections", waits(threading.Event()))
    client = VectronClient(server.address, options=ClientOptions(hedged_reads=True, hedge_delay_ms=delay))
    caught: list[VectronError] = []

    def call() -> None:
        with pytest.raises(VectronError, match="closed") as error:
            client.list_collections()
        caught.append(error.value)

    thread = threading.Thread(target=call)
    thread.start()
    server.wait_for_calls()
    client.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(caught) == 1


@pytest.mark.parametrize("delay", [0, 5_000], ids=["both on their way", "one on its way"])
def test_closing_ends_hedged_calls_of_other_tasks(server: "ScriptedServer", delay: int) -> None:
    server.script("ListCollections", waits(threading.Event()))

    async def main() -> None:
        client = AsyncVectronClient(server.address, options=ClientOptions(hedged_reads=True, hedge_delay_ms=delay))
        task = asyncio.create_task(client.list_collections())
        await asyncio.to_thread(server.wait_for_calls)
        await client.close()
        with pytest.raises(VectronError, match="closed"):
            await asyncio.wait_for(task, 5)

    asyncio.run(main())


def test_cancelling_a_task_cancels_both_calls(server: "ScriptedServer") -> None:
    ends = threading.Event(), threading.Event()
    server.script("ListCollections", waits(ends[0]), waits(ends[1]))

    async def main() -> None:
        options = ClientOptions(hedged_reads=True, hedge_delay_ms=0)
        async with AsyncVectronClient(server.address, options=options) as client:
            task = asyncio.create_task(client.list_collections())
            await asyncio.to_thread(server.wait_for_calls, 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for end in ends:
                assert await asyncio.to_thread(end.wait, 5)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
