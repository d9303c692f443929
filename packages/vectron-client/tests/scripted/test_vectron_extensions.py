"""Extensions of this project's server: the messages for them, and servers that lack them."""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vectron_client import (
    DeadlineExceededError,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    Point,
    SearchHits,
    SearchResult,
    VectronClient,
    VectronError,
    field,
)
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb import vectron_pb as wire

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)


def hit(id: str, score: float = 0.0, **parts: Any) -> wire.SearchResult:
    return wire.SearchResult(id=id, score=score, **parts)


def batch(*queries: list[wire.SearchResult]) -> extensions.SearchBatchResponse:
    return extensions.SearchBatchResponse(responses=[wire.SearchResponse(results=results) for results in queries])


def echo_batch(body: bytes, _context: Any) -> bytes:
    """Return answers each query with one result whose id is the query's first component."""
    request = extensions.SearchBatchRequest.FromString(body)
    queries = np.frombuffer(request.vectors, "<f4").reshape(request.queries, -1)
    return batch(*[[hit(f"{query[0]:g}")] for query in queries]).SerializeToString()


def echo_single(body: bytes, _context: Any) -> bytes:
    query = wire.SearchRequest.FromString(body)
    return wire.SearchResponse(results=[hit(f"{query.vector[0]:g}")]).SerializeToString()


@pytest.mark.parametrize(
    "vectors",
    [
        MATRIX,
        MATRIX.astype(np.float64),
        np.asfortranarray(MATRIX),
        MATRIX.tolist(),
        [tuple(row) for row in MATRIX.tolist()],
        list(MATRIX),
    ],
    ids=["float32", "float64", "columns", "lists", "tuples", "rows"],
)
def test_many_vectors_travel_in_one_message(server: "ScriptedServer", connect: "Connect", vectors: Any) -> None:
    server.script("SearchBatch", echo_batch)
    found = connect().search_many("docs", vectors, 5, filter={"path": "n", "eq": 1}, exact=True, ef=7, timeout=2)
    assert [hits.ids for hits in found] == [["0"], ["3"], ["6"], ["9"]]
    [seen] = server.seen
    assert extensions.SearchBatchRequest.FromString(seen.body) == extensions.SearchBatchRequest(
        collection="docs",
        vectors=MATRIX.tobytes(),
        queries=4,
        top_k=5,
        filter_json='{"path":"n","eq":1}',
        exact=True,
        ef=7,
        timeout_ms=2000,
        json_payload=True,
    )


def test_results_are_made_when_looked_at(server: "ScriptedServer", connect: "Connect") -> None:
    results = [hit("a", 0.25, payload={"k": "v"}, vector=[1.0, 2.0, 3.0]), hit("b", 0.5, vector=[4.0, 5.0, 6.0])]
    server.answers("SearchBatch", batch(results, []))
    first, second = connect().search_many("docs", MATRIX[:2], include_vectors=True)
    assert (len(first), len(second), first.ids, first.scores.tolist()) == (2, 0, ["a", "b"], [0.25, 0.5])
    assert first[0] is first[0]
    assert first[-1] == SearchResult("b", 0.5, {}, [4.0, 5.0, 6.0])
    assert first == [SearchResult("a", 0.25, {"k": "v"}, [1.0, 2.0, 3.0]), first[1]]
    assert first != second
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301
    with pytest.raises(IndexError):
        first[2]


def test_a_payload_that_cannot_be_read_is_an_error_when_looked_at(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("SearchBatch", batch([hit("a", payload_json=b"{")]))
    [hits] = connect().search_many("docs", MATRIX[:1])
    assert hits.ids == ["a"]
    with pytest.raises(InternalServerError, match="SearchBatch cannot be decoded"):
        list(hits)


def test_vectors_in_unusual_encodings_are_understood(server: "ScriptedServer", connect: "Connect") -> None:
    split = hit("a", vector=[1.0]).SerializeToString() + wire.SearchResult(vector=[2.0, 3.0]).SerializeToString()
    response = b"\x0a" + bytes([len(split)]) + split
    server.answers("SearchBatch", b"\x0a" + bytes([len(response)]) + response)
    [[found]] = connect().search_many("docs", MATRIX[:1], include_vectors=True)
    assert found.vector == [1.0, 2.0, 3.0]


def test_an_answer_to_fewer_queries_is_an_error(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("SearchBatch", batch([hit("a")]))
    with pytest.raises(InternalServerError, match="1 results for 4 queries"):
        connect().search_many("docs", MATRIX)


@pytest.mark.parametrize(("top_k", "limit", "messages"), [(5_000, -1, 4), (1, 65_536 + 24, 2), (1, -1, 1)])
def test_messages_stay_below_the_limits(
    server: "ScriptedServer", connect: "Connect", top_k: int, limit: int, messages: int
) -> None:
    server.script("SearchBatch", echo_batch)
    found = connect(max_send_message_length=limit).search_many("docs", MATRIX, top_k)
    assert [hits.ids for hits in found] == [["0"], ["3"], ["6"], ["9"]]
    assert len(server.seen) == messages


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"vectors\[1\]: vector has 1 components; the first one has 2"),
        ([[1.0], []], r"vectors\[1\]: vector is empty"),
        ([[1.0], [float("nan")]], r"vectors\[1\]: vector\[0\] is nan"),
        (np.array([[1.0, 2.0], [3.0, np.inf]]), r"vectors\[1\]\[1\] is inf"),
        (np.zeros((2, 0)), "is empty"),
        (np.zeros((2, 2, 2)), r"vectors\[0\]: vector has 2 dimensions"),
        ("text", "vectors must be a list or another iterable, not str"),
        (5, "vectors must be a list or another iterable, not int"),
    ],
)
def test_vectors_are_checked_before_they_are_sent(
    server: "ScriptedServer", connect: "Connect", vectors: Any, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        connect().search_many("docs", vectors)
    with pytest.raises(InvalidArgumentError, match="expected_vector_dim is 9"):
        connect(expected_vector_dim=9).search_many("docs", MATRIX)
    assert server.seen == []


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_server_without_batches_gets_single_searches(
    server: "ScriptedServer", connect: "Connect", concurrency: int
) -> None:
    server.fails("SearchBatch", "UNIMPLEMENTED")
    lock, running, most = threading.Lock(), [0], [0]

    def slow(body: bytes, context: Any) -> bytes:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        return echo_single(body, context)

    server.script("Search", slow)
    rows = np.repeat(np.arange(20, dtype=np.float32), 3).reshape(20, 3)
    found = connect().search_many("docs", rows, 1, concurrency=concurrency)
    assert [hits.ids for hits in found] == [[f"{n}"] for n in range(20)]
    assert type(found[0]) is SearchHits
    assert most[0] <= concurrency
    assert server.methods().count("Search") == 20


def test_other_errors_do_not_lead_to_single_searches(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("SearchBatch", "NOT_FOUND")
    with pytest.raises(NotFoundError):
        connect().search_many("docs", MATRIX)
    assert server.methods() == ["SearchBatch"]


def test_the_timeout_is_for_all_of_it(server: "ScriptedServer", connect: "Connect") -> None:
    def slow(body: bytes, context: Any) -> bytes:
        time.sleep(0.2)
        return echo_batch(body, context)

    server.script("SearchBatch", slow)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        connect().search_many("docs", np.ones((40, 3)), 5_000, timeout=0.5)
    assert time.monotonic() - begun < 20
    assert len(server.seen) < 10


#: Operations that would be wrong if a server passed over a part of them in silence.
GUARDED: dict[str, Callable[[VectronClient], Any]] = {
    "filter": lambda c: c.search("docs", [1.0], filter=field("n") == 1),
    "exact": lambda c: c.search("docs", [1.0], exact=True),
    "ef": lambda c: c.search("docs", [1.0], ef=64),
    "explain": lambda c: c.explain_search("docs", [1.0]),
    "many": lambda c: c.search_many("docs", [[1.0]], filter=field("n") == 1),
}


@pytest.mark.parametrize("name", GUARDED)
def test_a_server_that_passes_over_extensions_is_found_out(
    server: "ScriptedServer", connect: "Connect", name: str
) -> None:
    server.script("Search", echo_single)
    with pytest.raises(VectronError, match="the server ignores filter") as caught:
        GUARDED[name](connect())
    assert (caught.value.code, caught.value.retryable) == ("UNIMPLEMENTED", False)


def test_a_stream_with_a_filter_is_guarded_too(server: "ScriptedServer", connect: "Connect") -> None:
    server.streams("SearchStream", wire.SearchResponse(results=[hit("a")]))
    with pytest.raises(VectronError, match="the server ignores filter"):
        next(connect().search_stream("docs", [1.0], filter=field("n") == 1))


MISSING: dict[str, Callable[[VectronClient], Any]] = {
    "Scroll": lambda c: next(c.scroll("docs")),
    "Count": lambda c: c.count("docs"),
    "DeleteWhere": lambda c: c.delete_where("docs", field("n") == 1),
    "UpsertIf": lambda c: c.upsert_if("docs", [Point("a", [1.0])], if_absent=True),
    "GetCollectionInfo": lambda c: c.get_collection_info("docs"),
    "GetLimits": lambda c: c.get_limits(),
}


@pytest.mark.parametrize("method", MISSING)
def test_a_server_without_the_operation_is_named(server: "ScriptedServer", connect: "Connect", method: str) -> None:
    with pytest.raises(VectronError, match=f"the server at 127.0.0.1:.* does not have {method}") as caught:
        MISSING[method](connect())
    assert caught.value.code == "UNIMPLEMENTED"


def test_how_an_index_stores_components_travels_when_it_is_said(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("CreateCollection", wire.CreateCollectionResponse(success=True, quantization="float16"))
    client = connect()
    client.create_collection("docs", 4, quantization="float16")
    client.create_collection("docs", 4)
    asked, silent = (wire.CreateCollectionRequest.FromString(seen.body) for seen in server.seen)
    assert asked == wire.CreateCollectionRequest(name="docs", dimension=4, distance="euclidean", quantization="float16")
    assert silent == wire.CreateCollectionRequest(name="docs", dimension=4, distance="euclidean")


def test_a_server_that_ignores_how_an_index_is_stored_is_told_apart(
    server: "ScriptedServer", connect: "Connect"
) -> None:
    server.answers("CreateCollection", wire.CreateCollectionResponse(success=True))
    with pytest.raises(VectronError, match="'docs' was created, but the server ignores quantization") as caught:
        connect().create_collection("docs", 4, quantization="float16")
    assert caught.value.code == "UNIMPLEMENTED"
    assert len(server.seen) == 1


def test_a_time_for_one_search_travels_and_the_default_does_not(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Search", b"")
    client = connect()
    client.search("docs", [1.0], timeout=0.7501)
    client.search("docs", [1.0])
    assert [wire.SearchRequest.FromString(seen.body).timeout_ms for seen in server.seen] == [751, 0]


def test_a_walk_fetches_a_page_when_it_is_needed(server: "ScriptedServer", connect: "Connect") -> None:
    pages = [("a", "b", "next"), ("c", "d", "")]
    for one, other, cursor in pages:
        points = [wire.Point(id=one, vector=[1.0, 2.0]), wire.Point(id=other, vector=[3.0, 4.0], payload={"k": "v"})]
        server.answers("Scroll", extensions.ScrollResponse(points=points, cursor=cursor))
    walk: Iterator[Point] = connect().scroll("docs", include_vectors=True, page_size=2, order_by="created")
    assert server.seen == []
    assert [next(walk), next(walk)] == [Point("a", [1.0, 2.0]), Point("b", [3.0, 4.0], {"k": "v"})]
    assert len(server.seen) == 1
    assert [point.id for point in walk] == ["c", "d"]
    assert [extensions.ScrollRequest.FromString(seen.body) for seen in server.seen] == [
        extensions.ScrollRequest(
            collection="docs",
            limit=2,
            order_by="created",
            include_vectors=True,
            cursor=cursor,
            json_payload=True,
        )
        for cursor in ("", "next")
    ]


def test_a_page_is_repeated_and_a_circle_is_noticed(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Scroll", "UNAVAILABLE")
    server.answers("Scroll", extensions.ScrollResponse(points=[wire.Point(id="a")], cursor="same"))
    with pytest.raises(InternalServerError, match="again and again"):
        list(connect().scroll("docs"))


def test_arguments_are_checked_at_once(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect()
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: client.scroll("docs", order_by="size"), "order_by must be one of id, created, updated"),
        (lambda: client.scroll("docs", page_size=0), "page_size must be 1 or more"),
        (lambda: client.scroll("docs", timeout=-1), "timeout must be"),
        (lambda: client.delete_where("docs", None), "filter must not be empty"),  # type: ignore[arg-type]
        (lambda: client.upsert_if("docs", [Point("a", [1.0])]), "if_absent or if_version or if_match must be given"),
        (lambda: client.upsert_if("docs", [], if_version=[1]), "if_version must be a mapping"),  # type: ignore[arg-type]
        (lambda: client.search_many("docs", MATRIX, concurrency=0), "concurrency must be 1 or more"),
        (lambda: client.search("docs", [1.0], ef=-1), "ef must be 0 or more"),
    ]
    for call, message in wrong:
        with pytest.raises(InvalidArgumentError, match=message):
            call()
    assert server.seen == []
