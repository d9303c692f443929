"""Watching a collection: what is sent and read, and how a watch goes on when its call breaks."""

import asyncio
import gc
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from vectron_client import (
    AsyncVectronClient,
    AuthenticationError,
    ChangedPoint,
    ChangeEvent,
    ClientOptions,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    PositionExpiredError,
    RateLimitError,
    UnavailableError,
    VectronClient,
    VectronError,
)
from vectron_client._execution.feeds import Begin, Take
from vectron_client._execution.retries import RetryPlan
from vectron_client._pb.vectrograph_pb import ChangedPoint as WirePoint
from vectron_client._pb.vectrograph_pb import ChangeEvent as WireEvent
from vectron_client._pb.vectrograph_pb import WatchRequest, WatchResponse
from vectron_client._protocol import watching
from vectron_client._transport.concurrency import AsyncBell, Bell
from vectron_client._transport.streams import Feed

if TYPE_CHECKING:
    from scripted.conftest import Connect, RunScript, ScriptedServer

# Seconds after which something that should have happened has not.
PATIENCE = 30.0


def at(position: str) -> WatchResponse:
    """Return a response without events."""
    return WatchResponse(position=position)


def events(*ids: str) -> WatchResponse:
    """Return a response with events; the position of each is its id with a mark before it."""
    changes = [WireEvent(id=id, type="created", version=7, time_us=1, position=f"p{id}") for id in ids]
    return WatchResponse(events=changes, position=f"p{ids[-1]}")


def then_fails(*answers: WatchResponse, status: str = "UNAVAILABLE", **trailers: str | bytes) -> Any:
    """Return a behaviour: some answers, and an error."""

    def stream(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for answer in answers:
            yield answer.SerializeToString()
        context.set_trailing_metadata(tuple((key.replace("_", "-"), value) for key, value in trailers.items()))
        context.abort(grpc.StatusCode[status], "broken")

    return stream


def then_waits(*answers: WatchResponse) -> tuple[Any, threading.Event]:
    """Return a behaviour: some answers, and silence; and the event of its end."""
    over = threading.Event()

    def stream(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(over.set)
        for answer in answers:
            yield answer.SerializeToString()
        over.wait(60)

    return stream, over


def requests(server: "ScriptedServer") -> list[WatchRequest]:
    return [WatchRequest.FromString(seen.body) for seen in server.seen]


def take(watch: Any, number: int) -> list[str]:
    return [change.id for change in itertools.islice(watch, number)]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the pauses between calls, which are not made."""
    noted: list[float] = []

    async def note(_: Any, seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(Bell, "pause", lambda _, seconds: noted.append(seconds))
    monkeypatch.setattr(AsyncBell, "pause", note)
    return noted


def test_the_request_has_what_was_asked_for_and_no_deadline(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("Watch", at("p0"), threading.Event())
    with connect(timeout_seconds=5).watch(
        "docs", filter={"path": "a", "eq": 1}, since="p9", include_payload=True, include_text=True
    ) as watch:
        assert watch.position == "p0"
        assert not watch.closed
    [seen] = server.seen
    assert WatchRequest.FromString(seen.body) == WatchRequest(
        collection="docs", filter_json='{"path":"a","eq":1}', since="p9", include_payload=True, include_text=True
    )
    assert seen.metadata["authorization"] == "Bearer key-1"
    assert seen.time_remaining is None or seen.time_remaining > 365 * 86_400


def test_every_part_of_a_change_is_read(server: "ScriptedServer", connect: "Connect") -> None:
    whole = WirePoint(version=9, payload_json=b'{"a":[1,null]}', text="hello")
    changes = [
        WireEvent(id="a", type="updated", version=8, time_us=1_700_000_000_123_456, position="pa", matches=False),
        WireEvent(id="b", type="created", version=9, position="pb", matches=True, point=whole),
        WireEvent(id="c", type="created", version=10, position="pc", point=WirePoint(version=10)),
        WireEvent(id="d", type="deleted", version=11, position="pd"),
    ]
    server.streams("Watch", at("p0"), WatchResponse(events=changes, position="pd"), threading.Event())
    with connect().watch("docs") as watch:
        a, b, c, d = itertools.islice(watch, 4)
    at_a = datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=timezone.utc)
    assert a == ChangeEvent("a", "updated", 8, at_a, "pa", False, None)
    assert (b.matches, b.point) == (True, ChangedPoint(9, {"a": [1, None]}, "hello"))
    assert (c.matches, c.point) == (None, ChangedPoint(10, None, None))
    assert (d.type, d.point) == ("deleted", None)


def test_the_position_follows_what_was_given_out(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("Watch", at("p0"), events("1", "2"), at("p5"), events("6"), threading.Event())
    with connect().watch("docs") as watch:
        seen = [watch.position]
        for _ in range(3):
            change = next(watch)
            seen += [change.id, watch.position]
    assert seen == ["p0", "1", "p1", "2", "p2", "6", "p6"]


def test_a_call_that_breaks_is_made_again_from_the_last_change(
    server: "ScriptedServer", connect: "Connect", noted: list[float]
) -> None:
    server.script("Watch", then_fails(at("p0"), events("1", "2")), then_fails(at("p2"), events("3")))
    server.streams("Watch", at("p3"), events("4"), threading.Event())
    with connect().watch("docs") as watch:
        assert take(watch, 4) == ["1", "2", "3", "4"]
    assert [request.since for request in requests(server)] == ["", "p2", "p3"]
    assert len(noted) == 2


def test_a_call_that_breaks_before_its_first_change_loses_and_repeats_nothing(
    server: "ScriptedServer", connect: "Connect", noted: list[float]
) -> None:
    """Pauses grow as long as nothing but a first answer comes, and begin anew when something does."""
    server.script("Watch", then_fails(at("p0")), then_fails(at("p0")), then_fails(), then_fails(at("p0")))
    server.script("Watch", then_fails(at("p0"), at("p4")), then_fails(at("p4"), events("5")))
    server.streams("Watch", at("p5"), events("6"), threading.Event())
    with connect(retry_initial_backoff_ms=100, retry_jitter=0).watch("docs") as watch:
        assert take(watch, 2) == ["5", "6"]
    assert [request.since for request in requests(server)] == ["", "p0", "p0", "p0", "p0", "p4", "p5"]
    assert noted == [0.1, 0.2, 0.4, 0.8, 0.1, 0.1]


def test_an_opened_watch_is_opened_again_however_often_it_takes(
    server: "ScriptedServer", connect: "Connect", noted: list[float]
) -> None:
    server.script("Watch", then_fails(at("p0"), events("1")))
    server.fails("Watch", "UNAVAILABLE", times=10)
    server.streams("Watch", at("p1"), events("2"), threading.Event())
    with connect(retry_max_attempts=1, retry_jitter=0, retry_max_backoff_ms=40).watch("docs") as watch:
        assert take(watch, 2) == ["1", "2"]
    assert len(noted) == 11
    assert noted[-1] == 0.04


def test_opening_is_repeated_as_other_calls_are(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Watch", "UNAVAILABLE", times=2)
    server.streams("Watch", at("p0"), threading.Event())
    connect().watch("docs").close()
    assert len(server.seen) == 3
    server.seen.clear()
    with pytest.raises(UnavailableError):
        connect(address="127.0.0.1:9").watch("docs", timeout=5)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("UNAUTHENTICATED", "INVALID_API_KEY", AuthenticationError),
        ("NOT_FOUND", "COLLECTION_NOT_FOUND", NotFoundError),
        ("OUT_OF_RANGE", "POSITION_EXPIRED", PositionExpiredError),
        ("FAILED_PRECONDITION", "COLLECTION_QUARANTINED", FailedPreconditionError),
    ],
)
def test_an_error_that_stays_ends_the_watch(
    server: "ScriptedServer", connect: "Connect", status: str, code: str, kind: type[VectronError]
) -> None:
    fails = then_fails(at("p0"), events("1"), status=status, x_error_code=code, x_error_details_bin=b'{"oldest":"p3"}')
    server.script("Watch", fails)
    watch = connect().watch("docs")
    assert take(watch, 1) == ["1"]
    with pytest.raises(kind) as caught:
        next(watch)
    assert caught.value.error_code == code
    assert caught.value.details == {"oldest": "p3"}
    assert (watch.closed, watch.position, list(watch), len(server.seen)) == (True, "p1", [], 1)


@pytest.mark.parametrize("status", ["CANCELLED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"])
def test_an_error_that_passes_does_not(
    server: "ScriptedServer", connect: "Connect", noted: list[float], status: str
) -> None:
    """CANCELLED is how a server ends a reader that took nothing for a while."""
    server.script("Watch", then_fails(at("p0"), events("1"), status=status, retry_after="3"))
    server.streams("Watch", at("p1"), events("2"), threading.Event())
    with connect().watch("docs") as watch:
        assert take(watch, 2) == ["1", "2"]
    assert 3 <= noted[0] < 3.1


def test_the_ways_in_which_proxies_end_streams() -> None:
    comes_back = RetryPlan(ClientOptions()).reopening.retryable
    reset = InternalServerError("Received RST_STREAM with error code 2", code="INTERNAL")
    assert comes_back(reset)
    assert comes_back(RateLimitError("too many streams"))
    assert not comes_back(InternalServerError("internal error; see request", error_code="INTERNAL_ERROR"))
    assert not comes_back(ValueError("a defect"))


def test_a_call_that_ends_without_an_error_is_made_again(
    server: "ScriptedServer", connect: "Connect", noted: list[float]
) -> None:
    server.streams("Watch", at("p0"), events("1"))
    server.streams("Watch", at("p1"), events("2"), threading.Event())
    with connect().watch("docs") as watch:
        assert take(watch, 2) == ["1", "2"]


def test_an_answer_that_makes_no_sense(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Watch", lambda _request, _context: iter([at("p0").SerializeToString(), b"\xff"]))
    watch = connect().watch("docs")
    with pytest.raises(InternalServerError, match="the response to Watch cannot be decoded"):
        next(watch)
    assert watch.closed


def test_a_server_that_has_no_watch(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Watch", "UNIMPLEMENTED", "unknown method")
    with pytest.raises(VectronError, match="does not have Watch") as caught:
        connect().watch("docs")
    assert caught.value.code == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"since": 7}, "since"),
        ({"since": ""}, "since"),
        ({"filter": 1}, "filter"),
        ({"include_text": "yes"}, "include_text"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_arguments_are_checked_at_once(
    server: "ScriptedServer", connect: "Connect", given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        connect().watch("docs", **given)
    assert caught.value.details["field"] == field
    assert server.seen == []


# ---------------------------------------------------------------- time


def test_the_timeout_is_for_opening(server: "ScriptedServer", connect: "Connect") -> None:
    silent, over = then_waits()
    server.script("Watch", silent)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"not opened within 0\.5 s"):
        connect().watch("docs", timeout=0.5)
    assert time.monotonic() - begun < 20
    assert over.wait(PATIENCE), "the server learns of it"


def test_the_timeout_is_not_for_changes(server: "ScriptedServer", connect: "Connect") -> None:
    def late(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield at("p0").SerializeToString()
        time.sleep(1.0)
        yield events("1").SerializeToString()

    server.script("Watch", late)
    with connect().watch("docs", timeout=0.3) as watch:
        assert take(watch, 1) == ["1"]
    assert len(server.seen) == 1


def test_three_missed_heartbeats_are_a_broken_call(
    server: "ScriptedServer", connect: "Connect", noted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENCE_SECONDS", 0.5)
    # The first answers have the changes: the limit for them is the timeout, so that a busy machine does not matter.
    silent, over = then_waits(events("1"))
    server.script("Watch", silent)
    server.streams("Watch", events("2"), threading.Event())
    with connect().watch("docs") as watch:
        assert take(watch, 2) == ["1", "2"]
        assert over.wait(PATIENCE), "the server learns of it"
    assert [request.since for request in requests(server)] == ["", "p1"]


class StillFeed:
    """A call that the test answers for."""

    is_usable = True

    def take(self, seconds: float | None) -> None: ...

    def cancel(self) -> None: ...


def test_each_heartbeat_gives_the_server_as_much_time_again() -> None:
    options = ClientOptions()
    watch = watching.Watching(
        "docs", RetryPlan(options), 10, filter=None, since=None, include_payload=False, include_text=False
    )
    reading = watch.next()
    assert isinstance(next(reading), Begin)
    opening = reading.send(StillFeed())
    assert isinstance(opening, Take)
    assert opening.seconds is not None
    assert 0 < opening.seconds <= 10
    waits = [reading.send(at("p0").SerializeToString())]
    waits += [reading.send(b"") for _ in range(3)]
    assert [wait.seconds for wait in waits] == [45.0] * 4
    with pytest.raises(StopIteration) as end:
        reading.send(events("1").SerializeToString())
    assert end.value.value.id == "1"


# ---------------------------------------------------------------- closing


def test_leaving_the_block_ends_the_call(server: "ScriptedServer", connect: "Connect") -> None:
    silent, over = then_waits(at("p0"), events("1", "2"))
    server.script("Watch", silent)
    with connect().watch("docs") as watch:
        assert take(watch, 1) == ["1"]
    assert over.wait(PATIENCE)
    assert (list(watch), watch.position, watch.closed) == ([], "p1", True)
    watch.close()


@pytest.mark.parametrize("answers", [[at("p0")], []], ids=["waiting", "opening"])
def test_closing_from_another_thread(server: "ScriptedServer", connect: "Connect", answers: list[Any]) -> None:
    silent, over = then_waits(*answers)
    server.script("Watch", then_fails(at("p0"), events("1")), silent)
    watch = connect(timeout_seconds=60).watch("docs")
    assert take(watch, 1) == ["1"]

    def close() -> None:
        server.wait_for_calls(2)
        time.sleep(0.2)
        watch.close()

    closing = threading.Thread(target=close)
    closing.start()
    begun = time.monotonic()
    assert list(watch) == []
    assert time.monotonic() - begun < 20
    closing.join(PATIENCE)
    assert over.wait(PATIENCE)


def test_closing_while_it_waits_to_open_again(server: "ScriptedServer", connect: "Connect") -> None:
    server.script("Watch", then_fails(at("p0"), events("1")))
    server.fails("Watch", "UNAVAILABLE", retry_after="60")
    watch = connect().watch("docs")
    assert take(watch, 1) == ["1"]

    def close() -> None:
        server.wait_for_calls(2)
        time.sleep(0.2)
        watch.close()

    closing = threading.Thread(target=close)
    closing.start()
    begun = time.monotonic()
    assert list(watch) == []
    assert time.monotonic() - begun < 20
    closing.join(PATIENCE)


def test_closing_the_client_ends_its_watches(server: "ScriptedServer", connect: "Connect") -> None:
    silent, over = then_waits(at("p0"))
    server.script("Watch", silent)
    client = connect()
    watch = client.watch("docs")
    client.close()
    with pytest.raises(VectronError, match="closed"):
        next(watch)
    assert watch.closed
    assert over.wait(PATIENCE)


def test_a_forgotten_watch_ends_its_call(server: "ScriptedServer") -> None:
    silent, over = then_waits(at("p0"), events("1"))
    server.script("Watch", silent)
    with VectronClient(server.address) as client:
        assert take(client.watch("docs"), 1) == ["1"]
        gc.collect()
        assert over.wait(PATIENCE)


def test_a_forgotten_asynchronous_watch_ends_its_call(server: "ScriptedServer") -> None:
    silent, over = then_waits(at("p0"), events("1"))
    server.script("Watch", silent)

    async def main() -> None:
        async with AsyncVectronClient(server.address) as client:
            watch = client.watch("docs")
            assert (await anext(watch)).id == "1"
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(watch), 0.05)
            del watch
            gc.collect()
            assert await asyncio.to_thread(over.wait, PATIENCE)

    asyncio.run(main())


# ---------------------------------------------------------------- threads, tasks, processes, signals


def test_one_thread_reads_at_a_time(server: "ScriptedServer") -> None:
    silent, _ = then_waits(at("p0"))
    server.script("Watch", silent)
    with VectronClient(server.address) as client, client.watch("docs") as watch:
        reading = threading.Thread(target=lambda: list(watch))
        reading.start()
        deadline = time.monotonic() + PATIENCE
        while not watch._watching._is_reading:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        with pytest.raises(FailedPreconditionError, match="make a watch for each"):
            next(watch)
        assert not watch.closed
        watch.close()
        reading.join(PATIENCE)
        assert not reading.is_alive()


def test_the_synchronous_client_starts_no_thread(server: "ScriptedServer", monkeypatch: pytest.MonkeyPatch) -> None:
    silent, _ = then_waits(at("p0"), events("1"))
    server.script("Watch", silent)
    started: list[str] = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        started.append(sys._getframe(1).f_globals["__name__"])
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note)
    with VectronClient(server.address) as client, client.watch("docs") as watch:
        assert take(watch, 1) == ["1"]
    # gRPC looks after the connection, and the scripted server answers.
    assert {name.partition(".")[0] for name in started} <= {"grpc", "concurrent"}


def test_a_task_that_gives_up_waiting_loses_nothing(server: "ScriptedServer") -> None:
    go_on = threading.Event()
    server.streams("Watch", at("p0"), events("1"), go_on, events("2"), threading.Event())

    async def main() -> None:
        async with AsyncVectronClient(server.address) as client, client.watch("docs") as watch:
            assert (await anext(watch)).id == "1"
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(watch), 0.05)
            go_on.set()
            assert (await anext(watch)).id == "2"

    asyncio.run(main())
    assert len(server.seen) == 1, "over the same call"


def test_a_watch_goes_on_in_another_event_loop(server: "ScriptedServer") -> None:
    server.streams("Watch", at("p0"), events("1"), threading.Event())
    server.streams("Watch", at("p1"), events("2"), threading.Event())
    client = AsyncVectronClient(server.address)
    watch = client.watch("docs")

    async def one() -> str:
        return (await anext(watch)).id

    assert [asyncio.run(one()), asyncio.run(one())] == ["1", "2"]
    asyncio.run(client.close())


def test_nothing_is_opened_before_it_is_awaited(server: "ScriptedServer") -> None:
    server.streams("Watch", at("p0"), threading.Event())

    async def main() -> None:
        async with AsyncVectronClient(server.address) as client:
            watch = client.watch("docs")
            assert (watch.position, server.seen) == (None, [])
            assert await watch is watch
            assert watch.position == "p0"
            await watch.close()

    asyncio.run(main())


def test_signals(server: "ScriptedServer", run_script: "RunScript") -> None:
    """A handler may close a watch that is waiting; Ctrl-C loses no change."""
    silent, over = then_waits(at("p0"), events("1"))
    server.script("Watch", silent)
    go_on, _ = then_waits(at("p1"), events("2"))
    server.script("Watch", go_on)
    script = """
        import signal, sys, time
        from vectron_client import VectronClient

        def interrupt(*_):
            raise KeyboardInterrupt

        client = VectronClient(sys.argv[1])
        watch = client.watch("docs")
        print(next(watch).id)
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            next(watch)
        except KeyboardInterrupt:
            print("interrupted at", watch.position, watch.closed)
        print(next(watch).id)
        signal.signal(signal.SIGALRM, lambda *_: watch.close())
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        begun = time.monotonic()
        print(list(watch), time.monotonic() - begun < 20, watch.position)
        client.close()
    """
    assert run_script(script, server.address) == "1\ninterrupted at p1 False\n2\n[] True p2\n"
    assert over.wait(PATIENCE)
    assert [request.since for request in requests(server)] == ["", "p1"]


def test_a_watch_goes_on_on_both_sides_of_a_fork(server: "ScriptedServer", run_script: "RunScript") -> None:
    """Several times: a child that inherits a running call crashes in one of three cases only."""
    forks = 4

    def next_change(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        over = threading.Event()
        context.add_callback(over.set)
        number = int(WatchRequest.FromString(request).since[1:] or 0)
        yield at(f"p{number}").SerializeToString()
        yield events(str(number + 1)).SerializeToString()
        over.wait(60)

    server.script("Watch", *[next_change] * (1 + 2 * forks))
    script = f"""
        import os, sys
        from vectron_client import VectronClient

        client = VectronClient(sys.argv[1])
        watch = client.watch("docs")
        print(next(watch).id, flush=True)
        for _ in range({forks}):
            child = os.fork()
            if child == 0:
                print("child", next(watch).id, flush=True)
                watch.close()
                client.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print("parent", next(watch).id, flush=True)
        client.close()
    """
    printed = [f"{side} {number}" for number in range(2, 2 + forks) for side in ("child", "parent")]
    assert run_script(script, server.address).splitlines() == ["1", *printed]
    again = [f"p{number}" for number in range(1, 1 + forks) for _ in range(2)]
    assert [request.since for request in requests(server)] == ["", *again]


# ---------------------------------------------------------------- gRPC's own


def test_waiting_can_be_ended_with_the_installed_grpcio(server: "ScriptedServer") -> None:
    silent, _ = then_waits(at("p0"))
    server.script("Watch", silent)
    with VectronClient(server.address) as client, client.watch("docs") as watch:
        feed: Any = watch._watching._feed
        assert isinstance(feed, Feed)
        assert feed._patience.works


def test_a_grpcio_without_a_condition_is_used_without_a_limit() -> None:
    """Heartbeats still end each wait of a server that is there."""
    cancelled: list[bool] = []

    class Call:
        def __next__(self) -> bytes:
            return b"answer"

        def cancel(self) -> None:
            cancelled.append(True)

    feed = Feed(Call(), nullcontext)
    assert not feed._patience.works
    assert feed.take(0.0) == b"answer"
    feed.cancel()
    assert cancelled == [True]
    assert not feed.is_usable


def test_a_bell_that_has_rung_ends_every_pause() -> None:
    bell = Bell()
    bell.pause(0.01)
    threading.Timer(0.05, bell.ring).start()
    begun = time.monotonic()
    bell.pause(60)
    bell.pause(60)
    assert time.monotonic() - begun < 20

    async def main() -> None:
        other = AsyncBell()
        await other.pause(0.01)
        asyncio.get_running_loop().call_later(0.05, other.ring)
        await other.pause(60)
        await other.pause(60)

    asyncio.run(main())
    assert time.monotonic() - begun < 40
