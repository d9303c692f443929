"""Every method of our own service does what its proto file says, over a real connection."""

import json
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import grpc
import pytest

from vectrograph.domain.access import Role
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTROGRAPH_SERVICE_METHODS
from vectrograph.services import Services

Send = Callable[..., Any]
names = (f"own-{number}" for number in count())
LATE = '{"path": "year", "gte": 1995}'


def status_of(call: Callable[[], Any]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return str(error.code().name)


@pytest.fixture
def years(send: Send) -> Iterator[str]:
    """Ten points on a line, each with its year."""
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2))
    points = [
        pb.Point(id=str(n), vector=[n, 0], payload_json=json.dumps({"year": 1990 + n}).encode()) for n in range(10)
    ]
    send("Upsert", pb.UpsertRequest(collection=name, points=points))
    yield name
    send("DeleteCollection", pb.DeleteCollectionRequest(name=name))


def test_a_batch_answers_each_query_as_a_search_of_its_own_would(send: Send, years: str) -> None:
    queries = [[0.0, 0.0], [9.0, 0.0], [4.25, 1.0]]
    request = own.SearchBatchRequest(
        collection=years,
        vectors=struct.pack("<6f", *(value for query in queries for value in query)),
        queries=3,
        top_k=2,
        include_vectors=True,
        filter_json=LATE,
    )
    single = [
        send("Search", pb.SearchRequest(collection=years, vector=q, top_k=2, include_vectors=True, filter_json=LATE))
        for q in queries
    ]
    assert list(send("SearchBatch", request).responses) == single
    assert [[hit.id for hit in answer.results] for answer in single] == [["5", "6"], ["9", "8"], ["5", "6"]]


def test_queries_without_a_hit_keep_their_place(send: Send, years: str) -> None:
    nothing = '{"path": "year", "gte": 3000}'
    request = own.SearchBatchRequest(collection=years, vectors=b"\0" * 16, queries=2, filter_json=nothing)
    assert [list(answer.results) for answer in send("SearchBatch", request).responses] == [[], []]


@pytest.mark.parametrize(("size", "queries"), [(0, 1), (16, 0), (15, 1), (16, 3), (8, 2**31), (24, 2)])
def test_batches_of_the_wrong_size_are_refused(send: Send, years: str, size: int, queries: int) -> None:
    request = own.SearchBatchRequest(collection=years, vectors=b"\0" * size, queries=queries)
    assert status_of(lambda: send("SearchBatch", request)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("descending", [False, True])
def test_a_scroll_visits_every_match_once(send: Send, years: str, descending: bool) -> None:
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        request = own.ScrollRequest(
            collection=years, limit=2, cursor=cursor, filter_json=LATE, descending=descending, include_vectors=True
        )
        page = send("Scroll", request)
        assert all(list(point.vector) == [float(point.id), 0.0] for point in page.points)
        assert all(json.loads(point.payload_json)["year"] == 1990 + int(point.id) for point in page.points)
        seen += [point.id for point in page.points]
        cursor = page.cursor
        if not cursor:
            break
    assert seen == sorted("56789", reverse=descending)


def test_scrolls_that_cannot_be(send: Send, years: str) -> None:
    for fields in ({"limit": 1001}, {"order_by": "year"}, {"cursor": "nonsense"}, {"filter_json": "["}):
        request = own.ScrollRequest(collection=years, **fields)
        assert status_of(lambda request=request: send("Scroll", request)) == "INVALID_ARGUMENT"  # type: ignore[misc]
    assert status_of(lambda: send("Scroll", own.ScrollRequest(collection="none-such"))) == "NOT_FOUND"


def test_counting_and_deleting_by_filter_agree(send: Send, years: str) -> None:
    def counted(text: str = "") -> int:
        return int(send("Count", own.CountRequest(collection=years, filter_json=text)).count)

    assert (counted(), counted(LATE)) == (10, 5)
    assert send("DeleteWhere", own.DeleteWhereRequest(collection=years, filter_json=LATE)).deleted == 5
    assert (counted(), counted(LATE)) == (5, 0)
    assert send("DeleteWhere", own.DeleteWhereRequest(collection=years, filter_json=LATE)).deleted == 0
    assert status_of(lambda: send("DeleteWhere", own.DeleteWhereRequest(collection=years))) == "INVALID_ARGUMENT"
    assert counted() == 5


def test_conditions_skip_points_and_leave_the_others(send: Send, years: str) -> None:
    def upsert(*ids: str, **condition: Any) -> list[tuple[str, str]]:
        points = [pb.Point(id=point_id, vector=[7, 7], payload={"new": "yes"}) for point_id in ids]
        answer = send("UpsertIf", own.UpsertIfRequest(collection=years, points=points, **condition))
        return [(outcome.id, outcome.status) for outcome in answer.outcomes]

    assert upsert("1", "new", if_absent=True) == [("1", "skipped"), ("new", "created")]
    assert list(send("Get", pb.GetRequest(collection=years, id="1")).point.vector) == [1, 0]
    assert list(send("Get", pb.GetRequest(collection=years, id="new")).point.vector) == [7, 7]
    assert upsert("2", "8", if_match_json=LATE) == [("2", "skipped"), ("8", "updated")]
    points = [pb.Point(id="3", vector=[3, 3])]
    [stored] = send("UpsertIf", own.UpsertIfRequest(collection=years, points=points)).outcomes
    assert upsert("3", if_version={"3": stored.version + 1}) == [("3", "skipped")]
    assert upsert("3", if_version={"3": stored.version}) == [("3", "updated")]
    assert upsert("3", if_version={"3": stored.version}) == [("3", "skipped")]
    assert status_of(upsert) == "INVALID_ARGUMENT"


def test_a_collection_in_numbers(send: Send, years: str) -> None:
    info = send("GetCollectionInfo", own.GetCollectionInfoRequest(name=years))
    assert (info.name, info.dimension, info.distance, info.count) == (years, 2, "euclidean", 10)
    assert info.state == "ready"
    assert 1_600_000_000 < info.created_at < 10_000_000_000


@pytest.mark.parametrize("quantization", ["int8", "float16", "float32"])
def test_a_collection_says_how_its_index_stores_components(send: Send, quantization: str) -> None:
    name = next(names)
    made = send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2, quantization=quantization))
    assert (made.success, made.quantization) == (True, quantization)
    assert send("GetCollectionInfo", own.GetCollectionInfoRequest(name=name)).quantization == quantization


def test_who_does_not_ask_gets_the_answer_of_the_contract(send: Send, years: str) -> None:
    """Nothing but `success`, so that no client sees what it does not know."""
    made = send("CreateCollection", pb.CreateCollectionRequest(name=next(names), dimension=2))
    assert made == pb.CreateCollectionResponse(success=True)
    assert send("GetCollectionInfo", own.GetCollectionInfoRequest(name=years)).quantization == "int8"
    unknown = pb.CreateCollectionRequest(name=next(names), dimension=2, quantization="int4")
    assert status_of(lambda: send("CreateCollection", unknown)) == "INVALID_ARGUMENT"


def test_the_limits_that_are_told_are_those_in_force(send: Send, years: str, services: Services) -> None:
    told = send("GetLimits")
    limits = services.limits
    assert (told.max_message_bytes, told.max_batch, told.max_top_k) == (
        limits.max_body_bytes, limits.max_batch, limits.max_top_k,
    )  # fmt: skip
    assert len(own.GetLimitsResponse.DESCRIPTOR.fields) == len(told.ListFields())
    fits = pb.SearchRequest(collection=years, vector=[0, 0], top_k=told.max_top_k)
    assert len(send("Search", fits).results) == 10
    fits.top_k += 1
    assert status_of(lambda: send("Search", fits)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("name", sorted(VECTROGRAPH_SERVICE_METHODS))
def test_every_method_but_the_limits_is_closed_and_survives_nonsense(send: Send, name: str) -> None:
    if name == "GetLimits":
        assert send(name, credential="").max_batch > 0
    else:
        assert status_of(lambda: send(name, b"", credential="")) == "UNAUTHENTICATED"
    assert status_of(lambda: send(name, b"\xff\xff")) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("DeleteWhere", lambda c: own.DeleteWhereRequest(collection=c, filter_json=LATE)),
        ("UpsertIf", lambda c: own.UpsertIfRequest(collection=c, points=[pb.Point(id="x", vector=[1, 1])])),
    ],
)
def test_readers_change_nothing(
    send: Send, key_of: Callable[..., str], years: str, name: str, request_of: Callable[[str], Any]
) -> None:
    reader = key_of(Role.DEVELOPER, ["collections:read"])
    assert status_of(lambda: send(name, request_of(years), credential=reader)) == "PERMISSION_DENIED"
    assert send("Count", own.CountRequest(collection=years), credential=reader).count == 10
