"""Repeated calls: which, when, and how long that may take in all."""

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from vectron_client import Point
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import (
    DeadlineExceededError,
    InvalidArgumentError,
    RateLimitError,
    UnavailableError,
    VectronError,
)

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

POINT = Point("a", [1.0])
NAMES = wire.ListCollectionsResponse(collections=["docs"])


@pytest.mark.parametrize("status", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_reads_are_repeated(server: "ScriptedServer", connect: "Connect", status: str) -> None:
    client = connect()
    reads: dict[str, Callable[[], Any]] = {
        "ListCollections": client.list_collections,
        "GetCollectionStatus": lambda: client.get_collection_status("docs"),
        "Search": lambda: client.search("docs", [1.0]),
        "Get": lambda: client.get("docs", "a"),
    }
    for method, read in reads.items():
        server.fails(method, status, times=2, retry_after="0")
        server.answers(method, wire.GetResponse(point=wire.Point(id="a")) if method == "Get" else b"")
        read()
    assert server.methods() == [method for method in reads for _ in range(3)]


def test_attempts_end(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Search", "UNAVAILABLE", "busy", x_request_id="r-9")
    with pytest.raises(UnavailableError, match="busy"):
        connect(retry_max_attempts=4).search("docs", [1.0])
    assert len(server.seen) == 4
    with pytest.raises(UnavailableError):
        connect(retry_max_attempts=1).search("docs", [1.0])
    assert len(server.seen) == 5


@pytest.mark.parametrize("status", ["INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "UNKNOWN"])
def test_lasting_errors_are_not_repeated(server: "ScriptedServer", connect: "Connect", status: str) -> None:
    server.fails("Search", status)
    with pytest.raises(VectronError):
        connect().search("docs", [1.0])
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "error_code"),
    [
        ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE"),
        ("RESOURCE_EXHAUSTED", "OUT_OF_SPACE"),
        ("UNAVAILABLE", "STORAGE_READ_ONLY"),
        ("UNAVAILABLE", "COLLECTION_QUARANTINED"),
    ],
)
def test_a_lasting_error_code_stops_repeats(
    server: "ScriptedServer", connect: "Connect", status: str, error_code: str
) -> None:
    server.fails("Search", status, x_error_code=error_code)
    with pytest.raises(VectronError) as caught:
        connect().search("docs", [1.0])
    assert len(server.seen) == 1
    assert not caught.value.retryable


def test_other_statuses_can_be_chosen(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect(retryable_statuses=[grpc.StatusCode.INTERNAL])
    server.fails("ListCollections", "INTERNAL")
    server.answers("ListCollections", NAMES)
    server.fails("Search", "UNAVAILABLE")
    assert client.list_collections() == ["docs"]
    with pytest.raises(UnavailableError):
        client.search("docs", [1.0])
    assert server.methods() == ["ListCollections", "ListCollections", "Search"]


def test_a_wait_the_server_asked_for_is_kept(server: "ScriptedServer", connect: "Connect", pauses: list[float]) -> None:
    server.fails("Search", "RESOURCE_EXHAUSTED", retry_after="0.3")
    server.answers("Search", b"")
    connect().search("docs", [1.0])
    first, second = server.seen
    assert second.at - first.at >= 0.3
    assert 0.3 <= sum(pauses) < 1.5


def test_a_rate_limit_without_a_word_outlasts_a_window_of_a_second(
    server: "ScriptedServer", connect: "Connect"
) -> None:
    server.fails("Search", "RESOURCE_EXHAUSTED", "rate limit of 100 RPS exceeded")
    server.answers("Search", b"")
    connect().search("docs", [1.0])
    assert server.seen[1].at - server.seen[0].at >= 1


def test_a_wait_beyond_the_deadline_is_not_begun(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Search", "RESOURCE_EXHAUSTED", retry_after="50")
    begun = time.monotonic()
    with pytest.raises(RateLimitError) as caught:
        connect().search("docs", [1.0], timeout=40)
    assert time.monotonic() - begun < 20
    assert caught.value.retry_after == 50


def test_all_attempts_share_one_deadline(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Search", "UNAVAILABLE", retry_after="0.2", times=2)
    server.answers("Search", b"")
    connect().search("docs", [1.0], timeout=3)
    remaining = [seen.time_remaining or 0 for seen in server.seen]
    assert remaining[0] <= 3.1
    assert remaining[1] <= remaining[0] - 0.15
    assert remaining[2] <= remaining[1] - 0.15


def test_a_deadline_ends_the_call_in_the_middle_of_its_attempts(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Search", "UNAVAILABLE")
    release = server.hangs("Search")
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"within 1\.5 s"):
        connect().search("docs", [1.0], timeout=1.5)
    release.set()
    assert 1.4 < time.monotonic() - begun < 20
    assert len(server.seen) == 2


def test_pauses_grow_by_the_options(server: "ScriptedServer", connect: "Connect", pauses: list[float]) -> None:
    server.fails("Search", "UNAVAILABLE")
    client = connect(
        retry_max_attempts=5,
        retry_initial_backoff_ms=50,
        retry_backoff_multiplier=4,
        retry_max_backoff_ms=200,
        retry_jitter=0.1,
    )
    with pytest.raises(UnavailableError):
        client.search("docs", [1.0])
    times = [seen.at for seen in server.seen]
    apart = [later - earlier for earlier, later in itertools.pairwise(times)]
    for pause, seconds, expected in zip(pauses, apart, (0.05, 0.2, 0.2, 0.2), strict=True):
        assert 0.9 * expected <= pause <= 1.1 * expected
        assert seconds >= 0.9 * expected


def test_options_of_a_single_call(server: "ScriptedServer", connect: "Connect") -> None:
    peers = []

    def refuse(_request: bytes, context: grpc.ServicerContext) -> bytes:
        peers.append(context.peer())
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        raise AssertionError("abort raises")

    server.script("Delete", refuse)
    server.script("Search", refuse)
    server.answers("GetLimits", b"")
    client = connect(timeout_seconds=30, retry_max_attempts=2)
    patient = client.with_options(retry_on_writes=True, retry_max_attempts=4, timeout_seconds=5)
    for one, attempts in ((patient, 4), (client, 1)):
        before = server.methods().count("Delete")
        with pytest.raises(UnavailableError):
            one.delete("docs", "a")
        assert server.methods().count("Delete") - before == attempts
    assert [round(seen.time_remaining or 0) for seen in (server.seen[0], server.seen[-1])] == [5, 30]
    with pytest.raises(UnavailableError):
        client.search("docs", [1.0])
    assert server.methods().count("Search") == 2
    assert len(set(peers)) == 1, "all over one connection"
    with pytest.raises(InvalidArgumentError, match="expected_vector_dim is 3"):
        client.with_options(expected_vector_dim=3).search("docs", [1.0])


def test_closing_a_client_with_other_options_closes_both(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect()
    client.with_options(timeout_seconds=1).close()
    with pytest.raises(VectronError, match="closed"):
        client.list_collections()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_tls": True}, "use_tls belongs to the connection; make another client"),
        ({"timeout": 3}, "timeout is no option. Calls may differ in timeout_seconds, "),
        ({"retry_max_attempts": 0}, "ClientOptions.retry_max_attempts must be an integer from 1"),
    ],
)
def test_options_that_no_call_can_change(connect: "Connect", changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        connect().with_options(**changes)
