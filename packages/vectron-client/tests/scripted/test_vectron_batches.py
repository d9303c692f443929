"""`upsert_batch`: how points are cut into messages, sent side by side, and what an error leaves behind."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc
import pytest

from vectron_client import Point
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import InternalServerError, InvalidArgumentError, UnavailableError

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer


def made(count: int) -> list[Point]:
    return [Point(f"id-{number}", [float(number), 0.5]) for number in range(count)]


def store(body: bytes, _context: grpc.ServicerContext | None = None) -> bytes:
    """Answer as a server that stores everything."""
    return wire.UpsertResponse(upserted=len(wire.UpsertRequest.FromString(body).points)).SerializeToString()


def ids(server: "ScriptedServer") -> list[list[str]]:
    return [[point.id for point in wire.UpsertRequest.FromString(seen.body).points] for seen in server.seen]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_points_are_cut_by_count(server: "ScriptedServer", connect: "Connect", concurrency: int) -> None:
    server.script("Upsert", store)
    points = made(10)
    assert connect().upsert_batch("docs", iter(points), 4, concurrency) == 10
    assert sorted(ids(server)) == [
        [f"id-{number}" for number in numbers] for numbers in (range(4), range(4, 8), range(8, 10))
    ]
    assert all(wire.UpsertRequest.FromString(seen.body).collection == "docs" for seen in server.seen)


def test_the_default_batch_has_256_points(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Upsert", store)
    assert connect().upsert_batch("docs", made(600)) == 600
    assert [len(batch) for batch in ids(server)] == [256, 256, 88]


@pytest.mark.parametrize("option", ["max_batch_bytes", "max_send_message_length"])
def test_points_are_cut_by_bytes(server: "ScriptedServer", connect: "Connect", option: str) -> None:
    server.script("Upsert", store)
    points = [Point(f"{number}", [0.5, 0.5], {"text": "x" * number * 3}) for number in range(120)]
    assert connect(**{option: 2000}).upsert_batch("docs", points) == len(points)
    assert [id_ for batch in ids(server) for id_ in batch] == [point.id for point in points]
    sizes = [len(seen.body) for seen in server.seen]
    assert all(size <= 2000 for size in sizes)
    assert all(size > 1000 for size in sizes[:-1]), "batches must be filled"


def test_a_point_over_max_batch_bytes_travels_alone(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Upsert", store)
    points = [Point("a", [0.5] * 2), Point("b", [0.25] * 2, {"text": "x" * 900}), Point("c", [0.5] * 2)]
    assert connect(max_batch_bytes=100).upsert_batch("docs", points) == 3
    assert ids(server) == [["a"], ["b"], ["c"]]


def test_points_are_read_as_they_are_needed(server: "ScriptedServer", connect: "Connect") -> None:
    drawn = 0

    def points() -> Iterator[Point]:
        nonlocal drawn
        for number in itertools.count():
            drawn += 1
            yield Point(str(number), [1.0])

    server.script("Upsert", *[store] * 3)
    server.fails("Upsert", "INTERNAL")
    with pytest.raises(InternalServerError):
        connect().upsert_batch("docs", points(), 10)
    assert drawn == 41, "four batches and the point that showed the fourth was full"


@pytest.mark.parametrize("concurrency", [2, 5])
def test_messages_are_under_way_at_once(server: "ScriptedServer", connect: "Connect", concurrency: int) -> None:
    together = threading.Barrier(concurrency, timeout=10)
    under_way, most = 0, 0
    lock = threading.Lock()

    def wait_for_the_others(body: bytes, _context: grpc.ServicerContext) -> bytes:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()
        with lock:
            under_way -= 1
        return store(body)

    server.script("Upsert", wait_for_the_others)
    assert connect().upsert_batch("docs", made(3 * concurrency), 1, concurrency) == 3 * concurrency
    assert most == concurrency


def test_one_at_a_time_is_in_order(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Upsert", store)
    connect().upsert_batch("docs", made(20), 3)
    assert [id_ for batch in ids(server) for id_ in batch] == [point.id for point in made(20)]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_first_error_ends_it_and_tells_how_far_it_came(
    server: "ScriptedServer", connect: "Connect", concurrency: int
) -> None:
    followers = threading.Semaphore(0)
    cancelled = threading.Event()

    def behave(body: bytes, context: grpc.ServicerContext) -> bytes:
        id_ = wire.UpsertRequest.FromString(body).points[0].id
        if id_ == "id-6":
            for _ in range(concurrency - 1):  # a follower under way means that one before has been confirmed
                followers.acquire(timeout=10)
            context.set_trailing_metadata((("x-error-code", "INTERNAL_ERROR"), ("x-request-id", "r-3")))
            context.abort(grpc.StatusCode.INTERNAL, "fourth message refused")
        if id_ in ("id-8", "id-10", "id-12"):
            own = threading.Event()
            context.add_callback(own.set)
            followers.release()
            # Its own: one that ended as another was cancelled would be stored, and rightly counted.
            if own.wait(60):
                cancelled.set()
        return store(body)

    server.script("Upsert", behave)
    begun = time.monotonic()
    with pytest.raises(InternalServerError, match="fourth message refused") as caught:
        connect(timeout_seconds=60).upsert_batch("docs", made(100), 2, concurrency)
    assert time.monotonic() - begun < 30
    assert caught.value.details == {"upserted": 6}
    assert caught.value.request_id == "r-3"
    assert concurrency == 1 or cancelled.wait(30), "the message under way must be cancelled"
    assert len(server.seen) < 10, "no message may begin after the error"


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_wrong_point_stops_it_where_it_stands(server: "ScriptedServer", connect: "Connect", concurrency: int) -> None:
    server.script("Upsert", store)
    points = [*made(7), Point("bad", [float("nan"), 1.0]), *made(50)]
    with pytest.raises(InvalidArgumentError, match=r"point 'bad' \(position 7\): vector\[0\] is nan") as caught:
        connect().upsert_batch("docs", points, 2, concurrency)
    assert caught.value.details["point_id"] == "bad"
    stored = caught.value.details["upserted"]
    assert stored % 2 == 0
    assert stored <= 6
    assert concurrency > 1 or stored == 6


@pytest.mark.parametrize("concurrency", [1, 3])
def test_each_message_is_repeated_on_its_own(server: "ScriptedServer", connect: "Connect", concurrency: int) -> None:
    refused: set[bytes] = set()

    def refuse_once(body: bytes, context: grpc.ServicerContext) -> bytes:
        if body not in refused:
            refused.add(body)
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return store(body)

    server.script("Upsert", refuse_once)
    server.answers("GetLimits", b"")
    client = connect(retry_on_writes=True)
    assert client.upsert_batch("docs", made(12), 2, concurrency) == 12
    assert server.methods().count("Upsert") == 12
    assert len(refused) == 6


def test_repeats_end_here_too(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Upsert", "UNAVAILABLE")
    with pytest.raises(UnavailableError):
        connect(retry_on_writes=True).upsert_batch("docs", made(2), 1, 2)
    assert 3 <= len(server.seen) <= 6


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_timeout_is_for_each_message(server: "ScriptedServer", connect: "Connect", concurrency: int) -> None:
    def slowly(body: bytes, _context: grpc.ServicerContext) -> bytes:
        time.sleep(0.5)
        return store(body)

    server.script("Upsert", slowly)
    assert connect().upsert_batch("docs", made(4 * concurrency), 1, concurrency, timeout=1.6) == 4 * concurrency


def test_errors_of_the_callers_generator_pass_untouched(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Upsert", store)

    def points() -> Iterator[Point]:
        yield from made(3)
        raise KeyError("mine")

    for concurrency in (1, 2):
        with pytest.raises(KeyError, match="mine"):
            connect().upsert_batch("docs", points(), 1, concurrency)
