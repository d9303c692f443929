"""Searches that answer in snapshots."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc
import pytest

from vectron_client import AsyncVectronClient, SearchResult
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


def snapshot(*ids: str) -> wire.SearchResponse:
    results = [wire.SearchResult(id=id, score=place, vector=[1.0]) for place, id in enumerate(ids)]
    return wire.SearchResponse(results=results)


def test_each_snapshot_is_there_as_soon_as_it_comes(server: "ScriptedServer", connect: "Connect") -> None:
    go_on = threading.Event()
    server.streams("SearchStream", snapshot("b"), go_on, snapshot("a", "b"))
    snapshots = connect().search_stream("docs", [1.0, 2.0], 2, include_payload=False, query="words")
    assert server.seen == [], "the call begins with the first snapshot"
    assert next(snapshots) == [SearchResult("b", 0.0)]
    assert not go_on.is_set()
    go_on.set()
    assert [[hit.id for hit in hits] for hits in snapshots] == [["a", "b"]]
    [seen] = server.seen
    assert wire.SearchRequest.FromString(seen.body) == wire.SearchRequest(
        collection="docs", vector=[1.0, 2.0], top_k=2, query="words", omit_payload=True, json_payload=True
    )
    assert seen.metadata["authorization"] == "Bearer key-1"


def test_vectors_come_along_when_asked_for(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("SearchStream", snapshot("a"))
    [[hit]] = connect().search_stream("docs", [1.0], include_vectors=True)
    assert hit.vector == [1.0]


def test_a_stream_without_a_snapshot_is_empty(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("SearchStream")
    assert list(connect().search_stream("docs", [1.0])) == []


def test_a_stream_that_does_not_begin_is_repeated(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("SearchStream", "UNAVAILABLE", times=2)
    server.streams("SearchStream", snapshot("a"))
    [[hit]] = connect().search_stream("docs", [1.0])
    assert (hit.id, len(server.seen)) == ("a", 3)


def test_a_stream_that_breaks_off_says_so_and_is_not_repeated(server: "ScriptedServer", connect: "Connect") -> None:
    def break_off(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield snapshot("a").SerializeToString()
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    server.script("SearchStream", break_off)
    snapshots = connect().search_stream("docs", [1.0])
    assert [hit.id for hit in next(snapshots)] == ["a"]
    with pytest.raises(UnavailableError, match="gone"):
        next(snapshots)
    assert len(server.seen) == 1


def test_errors_are_those_of_every_call(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("SearchStream", "NOT_FOUND", "no collection", x_error_code="COLLECTION_NOT_FOUND")
    with pytest.raises(NotFoundError) as caught:
        next(connect().search_stream("docs", [1.0]))
    assert caught.value.error_code == "COLLECTION_NOT_FOUND"


def test_an_answer_that_cannot_be_read(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("SearchStream", lambda _request, _context: iter([b"\xff"]))
    with pytest.raises(InternalServerError, match="the response to SearchStream cannot be decoded"):
        list(connect().search_stream("docs", [1.0]))


def test_the_timeout_is_for_the_whole_stream(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("SearchStream", snapshot("a"), threading.Event(), snapshot("b"))
    begun = time.monotonic()
    snapshots = connect().search_stream("docs", [1.0], timeout=1.5)
    next(snapshots)
    with pytest.raises(DeadlineExceededError, match=r"within 1\.5 s"):
        next(snapshots)
    assert time.monotonic() - begun < 20


def test_who_stops_looking_cancels_the_call(server: "ScriptedServer", connect: "Connect") -> None:
    cancelled = threading.Event()
    server.streams("SearchStream", snapshot("a"), cancelled, snapshot("b"))
    snapshots = connect(timeout_seconds=60).search_stream("docs", [1.0])
    next(snapshots)
    snapshots.close()  # type: ignore[attr-defined]  # what leaving a loop over it does
    assert cancelled.wait(30), "the server learns of it long before the deadline of 60 s"


# FINDINGS D7
def test_the_deadline_is_for_the_whole_stream(server: "ScriptedServer", connect: "Connect") -> None:
    over = threading.Event()

    def drip(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(over.set)
        while not over.wait(0.02):
            yield snapshot("a").SerializeToString()

    server.script("SearchStream", drip)
    snapshots = connect().search_stream("docs", [1.0], timeout=1.0)
    next(snapshots)
    with pytest.raises(DeadlineExceededError, match=r"within 1 s"):
        list(snapshots)
    assert over.wait(30), "the server learns of it"


def test_closing_the_client_ends_streams(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("SearchStream", snapshot("a"), threading.Event(), snapshot("b"))
    client = connect(timeout_seconds=60)
    snapshots = client.search_stream("docs", [1.0])
    next(snapshots)
    client.close()
    begun = time.monotonic()
    with pytest.raises(VectronError, match="closed"):
        next(snapshots)
    assert time.monotonic() - begun < 30, "long before the deadline of 60 s"


def test_cancelling_a_task_cancels_its_stream(server: "ScriptedServer") -> None:
    cancelled = threading.Event()
    server.streams("SearchStream", snapshot("a"), cancelled, snapshot("b"))

    async def main() -> None:
        async with AsyncVectronClient(server.address) as client:
            first = asyncio.Event()

            async def look() -> None:
                async for _ in client.search_stream("docs", [1.0]):
                    first.set()

            task = asyncio.create_task(look())
            await first.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(cancelled.wait, 5)

    asyncio.run(main())
