import time

import numpy as np
import pytest
from services.house import LIMITS, House

from vectrograph.domain.errors import (
    CollectionNotFound,
    DeadlineExceeded,
    DomainError,
    InvalidArgument,
    PointNotFound,
    TooLarge,
)
from vectrograph.domain.filters.evaluation import Compare, Comparison
from vectrograph.domain.points import KEEP, Put, Vector
from vectrograph.domain.queries import Include
from vectrograph.services.call import Call


def vector(*values: float) -> Vector:
    return np.array(values, np.float32)


def put(id: str, *values: float, **payload: object) -> Put:
    return Put(id=id, vector=vector(*values), payload=payload)


@pytest.fixture
def docs(house: House, call: Call) -> House:
    house.services.catalog.create(call, "docs", 2, "euclidean")
    return house


def field_of(error: DomainError) -> str:
    return str(error.details["errors"][0]["field"])


def test_points_are_stored_read_and_deleted(docs: House, call: Call) -> None:
    points = docs.services.points
    assert points.upsert(call, "docs", [put("a", 1, 0, kind="x"), put("b", 0, 1)]) == 2
    found = points.get(call, "docs", "a", Include(vector=True))
    assert found.vector is not None
    assert (found.id, found.payload, found.vector.tolist()) == ("a", {"kind": "x"}, [1, 0])
    points.delete(call, "docs", "a")
    points.delete(call, "docs", "a")
    with pytest.raises(PointNotFound, match="'a'") as caught:
        points.get(call, "docs", "a", Include())
    assert caught.value.details == {"collection": "docs", "id": "a"}


def test_a_repeated_id_counts_twice_and_the_last_wins(docs: House, call: Call) -> None:
    assert docs.services.points.upsert(call, "docs", [put("a", 1, 0), put("a", 0, 1)]) == 2
    found = docs.services.points.get(call, "docs", "a", Include(vector=True))
    assert found.vector is not None
    assert found.vector.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (put("b", 1, 2, 3), "points[1].vector"),
        (put("b", 1, float("nan")), "points[1].vector[1]"),
        (put("b", float("-inf"), 1), "points[1].vector[0]"),
        (put("", 1, 2), "points[1].id"),
        (put("x" * 513, 1, 2), "points[1].id"),
        (put("b", 1, 2)._replace(id=None), "points[1].id"),
        (put("b", 1, 2, n=float("nan")), "points[1].payload"),
        (put("b", 1, 2, n={1, 2}), "points[1].payload"),
        (put("b", 1, 2)._replace(text=" "), "points[1].text"),
        (put("b", 1, 2)._replace(text="x" * 101), "points[1].text"),
    ],
)
def test_a_bad_point_is_named_by_position_and_nothing_is_written(docs: House, call: Call, bad: Put, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        docs.services.points.upsert(call, "docs", [put("a", 1, 2), bad])
    assert field_of(caught.value) == field
    assert caught.value.message.startswith(field)
    assert docs.services.catalog.describe(call, "docs").count == 0


def test_batches_and_payloads_over_the_limit_are_too_large(docs: House, call: Call) -> None:
    with pytest.raises(TooLarge, match="max_batch is 20") as caught:
        docs.services.points.upsert(call, "docs", [put(str(i), 1, 2) for i in range(21)])
    assert caught.value.details == {"field": "points", "limit": 20, "unit": "items"}
    with pytest.raises(TooLarge, match="max_payload_bytes is 200") as caught:
        docs.services.points.upsert(call, "docs", [put("a", 1, 2, note="x" * 200)])
    assert caught.value.details == {"field": "points[0].payload", "limit": 200, "unit": "bytes"}
    docs.services.points.upsert(call, "docs", [put("a", 1, 2, note="x" * 150, big=2**70)])
    with pytest.raises(TooLarge):
        docs.services.points.upsert(call, "docs", [put("a", 1, 2, note="x" * 200, big=2**70)])


def test_keep_is_not_looked_at(docs: House, call: Call) -> None:
    docs.services.points.upsert(call, "docs", [Put(id="a", vector=vector(1, 2), payload={"n": 1}, text="keep")])
    docs.services.points.upsert(call, "docs", [Put(id="a", vector=vector(3, 4), payload=KEEP, text=KEEP)])
    found = docs.services.points.get(call, "docs", "a", Include())
    assert (found.payload, found.text) == ({"n": 1}, "keep")


def test_missing_collections_are_not_found_whatever_is_asked(house: House, call: Call) -> None:
    points, search = house.services.points, house.services.search
    for points_sent in ([], [put("a", 1, 2)]):
        with pytest.raises(CollectionNotFound):
            points.upsert(call, "nope", points_sent)
    with pytest.raises(CollectionNotFound):
        points.get(call, "nope", "a", Include())
    with pytest.raises(CollectionNotFound):
        points.delete(call, "nope", "a")
    with pytest.raises(CollectionNotFound):
        search.search(call, "nope", vector(1, 2)[None], 1)


def test_empty_ids_are_refused(docs: House, call: Call) -> None:
    with pytest.raises(InvalidArgument):
        docs.services.points.get(call, "docs", "", Include())
    with pytest.raises(InvalidArgument):
        docs.services.points.delete(call, "docs", "")
    with pytest.raises(InvalidArgument) as caught:
        docs.services.points.delete(call, "docs", "\ud800")
    assert field_of(caught.value) == "id"


def test_hits_ascend_by_distance_and_ties_come_newest_first(docs: House, call: Call) -> None:
    docs.services.points.upsert(call, "docs", [put("old", 1, 0), put("far", 5, 0), put("new", 1, 0)])
    [result] = docs.services.search.search(call, "docs", vector(0, 0)[None], 10)
    assert [(hit.point.id, hit.score) for hit in result.hits] == [("new", 1.0), ("old", 1.0), ("far", 25.0)]


def test_several_queries_a_filter_and_a_bound(docs: House, call: Call) -> None:
    docs.services.points.upsert(call, "docs", [put("a", 1, 0, kind="x"), put("b", 2, 0), put("c", 3, 0, kind="x")])
    results = docs.services.search.search(
        call,
        "docs",
        np.array([[0, 0], [3, 0]], np.float32),
        1,
        filter=Compare(("kind",), Comparison.EQ, "x"),
        include=Include(vector=True, payload=False),
    )
    assert [result.hits[0].point.id for result in results] == ["a", "c"]
    assert results[0].hits[0].point.payload is None
    assert results[0].hits[0].point.vector is not None
    [near] = docs.services.search.search(call, "docs", vector(0, 0)[None], 5, max_score=4.0)
    assert [hit.point.id for hit in near.hits] == ["a", "b"]


def test_top_k_zero_is_the_default_and_the_maximum_is_kept(docs: House, call: Call) -> None:
    docs.services.points.upsert(call, "docs", [put(str(i), i, 0) for i in range(15)])

    def hits(top_k: int) -> int:
        [result] = docs.services.search.search(call, "docs", vector(0, 0)[None], top_k)
        return len(result.hits)

    assert hits(0) == LIMITS.default_top_k == 10
    assert hits(3) == 3
    assert hits(LIMITS.max_top_k) == 15
    for bad in (-1, LIMITS.max_top_k + 1):
        with pytest.raises(InvalidArgument, match=str(LIMITS.max_top_k)) as caught:
            hits(bad)
        assert field_of(caught.value) == "top_k"


def test_many_queries_cannot_ask_for_endless_hits(docs: House, call: Call) -> None:
    with pytest.raises(InvalidArgument, match="max_hits of 200"):
        docs.services.search.search(call, "docs", np.zeros((5, 2), np.float32), 50)
    assert len(docs.services.search.search(call, "docs", np.zeros((4, 2), np.float32), 50)) == 4
    with pytest.raises(TooLarge):
        docs.services.search.search(call, "docs", np.zeros((21, 2), np.float32), 1)


@pytest.mark.parametrize(
    "vectors", [np.zeros((0, 2), np.float32), np.zeros(2, np.float32), np.zeros((1, 0), np.float32)]
)
def test_empty_and_misshapen_queries_are_refused(docs: House, call: Call, vectors: Vector) -> None:
    with pytest.raises(InvalidArgument):
        docs.services.search.search(call, "docs", vectors, 1)


def test_a_zero_vector_is_at_distance_one_under_cosine(house: House, call: Call) -> None:
    house.services.catalog.create(call, "angles", 2, "cosine")
    house.services.points.upsert(call, "angles", [put("zero", 0, 0), put("one", 1, 0)])
    [result] = house.services.search.search(call, "angles", vector(0, 0)[None], 5)
    assert [hit.score for hit in result.hits] == [1.0, 1.0]


def test_a_deadline_that_has_passed_stops_work(docs: House, call: Call) -> None:
    late = call._replace(deadline=time.monotonic() - 1)
    with pytest.raises(DeadlineExceeded):
        docs.services.points.upsert(late, "docs", [put("a", 1, 2)])
    with pytest.raises(DeadlineExceeded):
        docs.services.search.search(late, "docs", vector(0, 0)[None], 1)
    assert docs.services.catalog.describe(call, "docs").count == 0
