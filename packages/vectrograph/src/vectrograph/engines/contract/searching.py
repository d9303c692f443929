"""Nearest neighbours: scores, order, ties, completeness."""

# ruff: noqa: S101

import ast
import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from vectrograph.domain.collections import CollectionRef, Distance
from vectrograph.domain.errors import TooLarge
from vectrograph.domain.filters.evaluation import And, Compare, Comparison, Not, Range
from vectrograph.domain.points import Delete, Patch, Put
from vectrograph.domain.queries import DenseLeg, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import SELECTIONS, Subject, found, make, nearest, put, put_many, vector

GRID = [(float(x), float(y)) for x, y in product(range(-3, 4), repeat=2)]
"""Small whole numbers: every score is exact, and there are many ties."""


def expected_score(distance: Distance, q: Sequence[float], v: Sequence[float]) -> float:
    """Return the score as its definition says it, in plain Python."""
    inner = math.fsum(a * b for a, b in zip(q, v, strict=True))
    if distance is Distance.DOT:
        return -inner
    if distance is Distance.EUCLIDEAN:
        return math.fsum((a - b) ** 2 for a, b in zip(q, v, strict=True))
    lengths = math.sqrt(math.fsum(a * a for a in q) * math.fsum(b * b for b in v))
    return 1.0 - inner / lengths if lengths else 1.0


class SearchContract(Subject):
    """A search is answered exactly, or so that nobody can tell in collections this small."""

    @pytest.fixture(params=list(Distance))
    def distance(self, request: pytest.FixtureRequest, engine: Engine) -> Distance:
        """Provide each distance that the engine offers."""
        chosen = Distance(request.param)
        if chosen not in engine.capabilities.distances:
            pytest.skip("not among the engine's distances")
        return chosen

    def test_scores_are_distances(self, engine: Engine, distance: Distance) -> None:
        """Each score is its definition's value, and they ascend."""
        ref = make(engine, "points", distance=distance)
        put_many(engine, ref, [(f"{at}", at) for at in GRID])
        for query in [(1.0, 2.0), (-2.5, 0.5), (0.0, 0.0), (1e-3, 1e3)]:
            hits = nearest(engine, ref, query, len(GRID))
            assert len(hits) == len(GRID)
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores)
            for hit in hits:
                at = ast.literal_eval(hit.point.id)
                assert hit.score == pytest.approx(expected_score(distance, query, at), rel=1e-5, abs=1e-6)

    def test_ties_are_newest_first(self, engine: Engine, distance: Distance) -> None:
        """By creation: a replaced point keeps its place, a deleted and recreated one is new."""
        ref = make(engine, "points", distance=distance)
        put_many(engine, ref, [(name, (1, 1)) for name in "abcde"])
        assert found(engine, ref, (1, 1)) == list("edcba")
        put(engine, ref, "a", (1, 1))
        engine.write(ref, [Delete(id="c")])
        put(engine, ref, "c", (1, 1))
        assert found(engine, ref, (1, 1)) == list("cedba")
        assert found(engine, ref, (1, 1), 2) == list("ce")
        assert found(engine, ref, (1, 1), 2, offset=2) == list("db")

    @pytest.mark.parametrize("kind", [Distance.EUCLIDEAN, Distance.DOT])
    def test_rank_is_score_then_age(self, engine: Engine, kind: Distance) -> None:
        """On whole numbers every score is exact, so the whole order is known; for every k."""
        ref = make(engine, "points", distance=kind)
        put_many(engine, ref, [(f"{n}", at) for n, at in enumerate(GRID * 3)])
        for query in [(0.0, 0.0), (2.0, -1.0), (5.0, 5.0)]:
            ranked = sorted(range(len(GRID) * 3), key=lambda n: (expected_score(kind, query, GRID[n % len(GRID)]), -n))
            for k in (1, 7, 50, 500):
                assert found(engine, ref, query, k) == [str(n) for n in ranked[:k]]

    def test_a_vector_finds_itself(self, engine: Engine, distance: Distance) -> None:
        """At exactly 0 under cosine and L2, whatever its length; equal vectors are at equal scores."""
        if distance is Distance.DOT:
            pytest.skip("the nearest under dot is the longest")
        ref = make(engine, "points", dimension=17, distance=distance)
        rows = np.random.default_rng(7).standard_normal((40, 17)).astype(np.float32)
        rows *= np.logspace(-6, 6, 40, dtype=np.float32)[:, None]
        engine.write(ref, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows)])
        engine.write(ref, [Put(id=f"twin {n}", vector=row) for n, row in enumerate(rows)])
        for n, row in enumerate(rows):
            hits = nearest(engine, ref, row.tolist(), 2)
            assert [hit.point.id for hit in hits] == [f"twin {n}", f"{n}"]
            assert [hit.score for hit in hits] == [0.0, 0.0]

    def test_zero_vectors(self, engine: Engine) -> None:
        """Under cosine they are at distance 1 from everything, as is everything from them."""
        ref = make(engine, "points", distance=Distance.COSINE)
        put_many(engine, ref, [("zero", (0, 0)), ("same", (1, 1)), ("right", (-1, 1)), ("back", (-1, -1))])
        hits = nearest(engine, ref, (2, 2))
        assert [(hit.point.id, hit.score) for hit in hits] == [
            ("same", 0.0),
            ("right", pytest.approx(1.0)),
            ("zero", 1.0),
            ("back", 2.0),
        ]
        assert [(hit.point.id, hit.score) for hit in nearest(engine, ref, (0, 0))] == [
            (name, 1.0) for name in ("back", "right", "same", "zero")
        ]

    def test_extreme_lengths_stay_finite(self, engine: Engine, distance: Distance) -> None:
        """Vectors at the ends of float32 are found where they belong; scores are clamped, never infinite."""
        ref = make(engine, "points", distance=distance)
        huge, tiny = 3e38, 1e-44
        put_many(
            engine, ref, [("huge", (huge, huge)), ("tiny", (tiny, tiny)), ("one", (1, 1)), ("away", (-huge, huge))]
        )
        for query in [(huge, huge), (tiny, tiny), (1.0, 1.0), (-huge, -huge)]:
            hits = nearest(engine, ref, query)
            assert len(hits) == 4
            assert all(math.isfinite(hit.score) for hit in hits)
        if distance is Distance.COSINE:
            assert [hit.score for hit in nearest(engine, ref, (1, 1), 3)] == pytest.approx([0, 0, 0], abs=1e-6)
        elif distance is Distance.EUCLIDEAN:
            assert found(engine, ref, (huge, huge), 1) == ["huge"]
        else:
            assert found(engine, ref, (1, 1), 1) == ["huge"]

    def test_three_hundred_twins_hide_nobody(self, engine: Engine, distance: Distance) -> None:
        """The newest ten of many equal vectors come first, in order."""
        ref = make(engine, "points", distance=distance)
        put_many(engine, ref, [(f"{n}", (1, 2)) for n in range(300)])
        assert found(engine, ref, (1, 2), 10) == [f"{n}" for n in range(299, 289, -1)]

    def test_fewer_than_k(self, engine: Engine, docs: CollectionRef) -> None:
        """All that there are, none from an empty collection, none past the end."""
        assert nearest(engine, docs, (0, 0)) == ()
        put_many(engine, docs, [("a", (0, 0)), ("b", (1, 1))])
        assert found(engine, docs, (0, 0), 100) == ["a", "b"]
        assert found(engine, docs, (0, 0), 5, offset=2) == []

    def test_max_score_is_inclusive(self, engine: Engine, docs: CollectionRef) -> None:
        """Hits at exactly that distance stay."""
        put_many(engine, docs, [("a", (0, 0)), ("b", (1, 0)), ("c", (2, 0))])
        assert found(engine, docs, (0, 0), max_score=1.0) == ["a", "b"]
        assert found(engine, docs, (0, 0), max_score=0.999) == ["a"]
        assert found(engine, docs, (0, 0), max_score=-1.0) == []
        assert found(engine, docs, (0, 0), max_score=math.inf) == ["a", "b", "c"]

    @pytest.mark.parametrize("count", [1, 2, 20, 200])
    def test_many_queries_are_many_answers(self, engine: Engine, count: int) -> None:
        """Each as if it had been asked alone, bit by bit."""
        ref = make(engine, "points", dimension=33, distance=Distance.COSINE)
        rows = np.random.default_rng(count).standard_normal((300, 33)).astype(np.float32)
        engine.write(ref, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows)])
        queries = rows[:count] + np.float32(0.25)
        results = engine.search(ref, SearchRequest(legs=(DenseLeg(vectors=queries),), k=5))
        assert len(results) == count
        for query, result in zip(queries, results, strict=True):
            alone = nearest(engine, ref, query.tolist(), 5)
            assert [(h.point.id, h.score) for h in result.hits] == [(h.point.id, h.score) for h in alone]
        assert engine.search(ref, SearchRequest(legs=(DenseLeg(vectors=queries[:0]),), k=5)) == []

    def test_it_follows_every_change(self, engine: Engine, docs: CollectionRef) -> None:
        """A moved point is found where it is, once; a deleted one nowhere; a patched one with its new payload."""
        put_many(engine, docs, [(f"{n}", (n, 0)) for n in range(10)])
        put(engine, docs, "3", (100, 0))
        engine.write(docs, [Delete(id="4"), Patch(id="5", payload={"new": True})])
        assert found(engine, docs, (3, 0), 20) == list("251607893")
        assert found(engine, docs, (100, 0), 1) == ["3"]
        assert nearest(engine, docs, (5, 0), 1)[0].point.payload == {"new": True}

    def test_parts_are_returned_as_asked(self, engine: Engine, docs: CollectionRef) -> None:
        """Vector, payload and text each by itself; times and versions always."""
        version = put(engine, docs, "a", (1, 2), {"k": 1}, "text").seq
        for include in SELECTIONS:
            point = nearest(engine, docs, (1, 2), include=include)[0].point
            assert (point.payload, point.text) == (
                {"k": 1} if include.payload else None,
                "text" if include.text else None,
            )
            assert (None if point.vector is None else point.vector.tolist()) == ([1, 2] if include.vector else None)
            assert (point.version, point.created_seq) == (version, version)

    @pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 1.0])
    @pytest.mark.parametrize("side", ["near", "far", "anywhere"])
    def test_a_filtered_search_is_complete(self, engine: Engine, share: float, side: str) -> None:
        """min(k, matches) rows, and the right ones, also when all matches are far from the query, or near it."""
        count, k = 1000, 10
        ref = make(engine, "points")
        order = np.random.default_rng(3).permutation(count)
        places = {"near": list(range(count)), "far": list(range(count, 0, -1)), "anywhere": order.tolist()}[side]
        points = [Put(id=f"{n}", vector=vector(at, 0), payload={"n": n}) for n, at in enumerate(places)]
        engine.write(ref, points)
        matching = sorted((places[n], n) for n in range(int(count * share)))
        hits = found(engine, ref, (0, 0), k, filter=Range(("n",), lt=int(count * share)))
        assert hits == [f"{n}" for _, n in matching[:k]]

    @pytest.mark.parametrize("matching", [0, 3, 200])
    def test_a_filtered_search_returns_all_that_it_can(self, engine: Engine, distance: Distance, matching: int) -> None:
        """min(k, matches) rows, and says that this is complete; whatever the distance, k and offset."""
        ref = make(engine, "points", dimension=8, distance=distance)
        rows = np.random.default_rng(matching).standard_normal((400, 8)).astype(np.float32)
        engine.write(ref, [Put(id=f"{n}", vector=row, payload={"n": n}) for n, row in enumerate(rows)])
        for k, offset in [(1, 0), (10, 0), (10, 5), (500, 0)]:
            legs = (DenseLeg(vectors=rows[-3:]),)
            request = SearchRequest(legs=legs, k=k, offset=offset, filter=Range(("n",), lt=matching), explain=True)
            for result in engine.search(ref, request):
                assert result.complete
                assert len(result.hits) == min(k, max(0, matching - offset))
                assert all((hit.point.payload or {})["n"] < matching for hit in result.hits)
                assert result.plan is not None
                assert result.plan.matches == matching

    @pytest.mark.parametrize("side", ["near", "far"])
    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_filters_correlated_with_distance(
        self, engine: Engine, distance: Distance, side: str, share: float
    ) -> None:
        """All matches near the query or all far from it: the answer is that of an exact search."""
        ref = make(engine, "points", dimension=12, distance=distance)
        rows = np.random.default_rng(4).standard_normal((600, 12)).astype(np.float32)
        order = np.argsort([expected_score(distance, rows[0].tolist(), row.tolist()) for row in rows], kind="stable")
        ranks = np.empty(600, np.int64)
        ranks[order] = np.arange(600)
        points = [Put(id=f"{n}", vector=row, payload={"rank": int(ranks[n])}) for n, row in enumerate(rows)]
        engine.write(ref, points)
        few = int(600 * share)
        condition = Range(("rank",), lt=few) if side == "near" else Range(("rank",), gte=600 - few)
        given = nearest(engine, ref, rows[0].tolist(), 10, filter=condition)
        assert given == nearest(engine, ref, rows[0].tolist(), 10, filter=condition, exact=True)
        assert len(given) == min(10, few)

    def test_a_patch_moves_a_point_in_and_out_of_a_filter(self, engine: Engine, docs: CollectionRef) -> None:
        """Though its vector and its place in any index stay."""
        engine.write(docs, [Put(id=f"{n}", vector=vector(n, 0), payload={"on": n < 5}) for n in range(10)])
        on = Compare(("on",), Comparison.EQ, True)
        assert found(engine, docs, (0, 0), filter=on) == list("01234")
        engine.write(docs, [Patch(id="1", payload={"on": False}), Patch(id="9", payload={"on": True}), Delete(id="0")])
        assert found(engine, docs, (0, 0), filter=on) == list("2349")
        assert found(engine, docs, (0, 0), filter=Not(on)) == list("15678")

    def test_filter_offset_and_bound_together(self, engine: Engine, docs: CollectionRef) -> None:
        """They all apply before k does."""
        engine.write(docs, [Put(id=f"{n}", vector=vector(n, 0), payload={"even": n % 2 == 0}) for n in range(20)])
        even = Compare(("even",), Comparison.EQ, True)
        assert found(engine, docs, (0, 0), 3, filter=even, offset=1) == ["2", "4", "6"]
        assert found(engine, docs, (0, 0), 10, filter=even, max_score=36.0) == ["0", "2", "4", "6"]
        assert found(engine, docs, (0, 0), 10, filter=And((even, Not(even)))) == []

    def test_exact_is_the_same_question(self, engine: Engine, docs: CollectionRef) -> None:
        """The breadth of a graph search, and doing without, change no answer here."""
        put_many(engine, docs, [(f"{at}", at) for at in GRID])
        plain = nearest(engine, docs, (0.5, 0.25), 10)
        assert nearest(engine, docs, (0.5, 0.25), 10, exact=True) == plain
        assert nearest(engine, docs, (0.5, 0.25), 10, ef=200) == plain

    def test_explain_tells_the_plan(self, engine: Engine, docs: CollectionRef) -> None:
        """Only when asked."""
        put_many(engine, docs, [("a", (0, 0)), ("b", (1, 1))])
        legs = (DenseLeg(vectors=vector(0, 0)[None, :]),)
        assert engine.search(docs, SearchRequest(legs=legs, k=1))[0].plan is None
        result = engine.search(docs, SearchRequest(legs=legs, k=1, explain=True))[0]
        assert result.plan is not None
        assert result.complete
        assert result.plan.strategy
        assert result.plan.rows_scanned >= 1
        assert result.plan.matches == 2
        assert result.plan.milliseconds >= 0.0
        none = engine.search(docs, SearchRequest(legs=legs, k=1, filter=Range(("n",), gt=0), explain=True))[0]
        assert none.complete
        assert none.plan is not None
        assert none.plan.matches == 0

    def test_an_answer_that_holds_too_much_is_refused(self, engine: Engine, docs: CollectionRef) -> None:
        """Count the parts that are asked for, of each hit in each answer; an answer may reach the limit."""
        # 8 bytes of vector, 12 of payload, 10 of text.
        engine.write(
            docs, [Put(id=str(n), vector=vector(n, 0), payload={"s": "a" * 4}, text="é" * 5) for n in range(150)]
        )
        for queries, k in ((1, 10), (3, 10), (1, 150)):
            legs = (DenseLeg(vectors=np.tile(vector(0, 0), (queries, 1))),)
            for include in SELECTIONS:
                size = queries * k * (8 * include.vector + 12 * include.payload + 10 * include.text)
                # Twice: what is remembered counts as what is read does.
                for _ in range(2):
                    request = SearchRequest(legs=legs, k=k, include=include, max_bytes=size)
                    assert [len(result.hits) for result in engine.search(docs, request)] == [k] * queries
                    if size:
                        with pytest.raises(TooLarge, match="max_answer_bytes") as caught:
                            engine.search(docs, request._replace(max_bytes=size - 1))
                        assert caught.value.details["limit"] == size - 1
                        assert caught.value.details["cost"] >= size
