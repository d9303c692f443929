"""Planner: on every way the answer is that of the exact scan, or as good as the measured recall."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.distances import norms, scores
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.effort import Route
from vectrograph.engines.embedded.index.graph import Graph, ServedGraph
from vectrograph.engines.embedded.index.recall import recall
from vectrograph.engines.embedded.query.planner import ABANDONED, CODES, ROWS, WALK, Choice, Planner
from vectrograph.engines.embedded.rows.exact_scan import EXACT, ExactScan, Question, Ranking
from vectrograph.engines.embedded.rows.view import Mask, View

pytestmark = pytest.mark.slow


def forced(way: Route) -> Choice:
    return lambda nodes, allowed, dimension, beam: way


def nothing() -> None:
    """Never stops a search."""


def view_of(vectors: Vector, live: Mask | None = None) -> View:
    count = len(vectors)
    alive = np.ones(count, np.bool_) if live is None else live
    numbers = np.arange(1, count + 1, dtype=np.int64)
    return View(1, int(np.count_nonzero(alive)), vectors, norms(vectors), numbers, numbers, alive)


def served(
    view: View,
    distance: Distance,
    *,
    covered: int | None = None,
    beam: int | None = 64,
    quantisation: Quantisation = Quantisation.INT8,
) -> View:
    """Return the View with a graph over its first rows, dead ones included, as one that was built before they died."""
    size = len(view.labels) if covered is None else covered
    first = replace(view, vectors=view.vectors[:size], lengths=view.lengths[:size])
    graph = Graph.build(first, distance, quantisation=quantisation)
    return replace(view, served=ServedGraph(graph, beam))


def ask(
    view: View, distance: Distance, queries: Vector, planner: Planner | ExactScan, k: int = 10, **options: Any
) -> list[Ranking]:
    return planner.search(view, Question(distance=distance, queries=queries, best=k, **options), nothing)


def pairs(ranking: Ranking) -> list[tuple[int, float]]:
    return list(zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True))


def clustered(count: int, dimension: int, seed: int) -> Vector:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((20, dimension))
    rows = centres[generator.integers(0, 20, count)] + 0.4 * generator.standard_normal((count, dimension))
    return rows.astype(np.float32)


def odd_rows(count: int, dimension: int, seed: int) -> Vector:
    """Return small whole numbers, so that there are duplicates, ties and zero vectors; and some of extreme lengths."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(-2, 3, (count, dimension)).astype(np.float32)
    rows[generator.integers(0, count, 4)] = 0
    rows[generator.integers(0, count, 2)] *= np.float32(1e-30)
    rows[generator.integers(0, count, 2)] *= np.float32(1e30)
    return rows


@settings(max_examples=80, deadline=None)
@given(
    distance=st.sampled_from(Distance),
    way=st.sampled_from([Route.CODES, Route.ROWS]),
    quantisation=st.sampled_from(Quantisation),
    dimension=st.sampled_from([1, 2, 3, 17]),
    count=st.integers(1, 160),
    k=st.integers(1, 30),
    seed=st.integers(0, 9),
    share=st.sampled_from([None, 0.05, 0.5, 1.0]),
    covered=st.floats(0.1, 1.0),
    bound=st.sampled_from([None, 0.5, 3.0]),
)
def test_scans_are_exact(
    distance: Distance,
    way: Route,
    quantisation: Quantisation,
    dimension: int,
    count: int,
    k: int,
    seed: int,
    share: float | None,
    covered: float,
    bound: float | None,
) -> None:
    generator = np.random.default_rng(seed)
    rows = odd_rows(count, dimension, seed)
    live = generator.random(count) < 0.8
    view = served(view_of(rows, live), distance, covered=max(1, int(covered * count)), quantisation=quantisation)
    allowed = None if share is None else live & (generator.random(count) < share)
    queries = np.concatenate([rows[:3], generator.standard_normal((2, dimension)).astype(np.float32) * 3])
    queries = np.concatenate([queries, np.zeros((1, dimension), np.float32), queries[:1] * np.float32(1e-25)])
    given = ask(view, distance, queries, Planner(forced(way)), k, allowed=allowed, max_score=bound)
    wanted = ask(view, distance, queries, ExactScan(), k, allowed=allowed, max_score=bound)
    assert [pairs(each) for each in given] == [pairs(each) for each in wanted]


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("quantisation", Quantisation)
def test_a_walk_finds_nearly_all_and_ranks_by_the_kernel(distance: Distance, quantisation: Quantisation) -> None:
    everything = clustered(3_060, 32, 1)
    rows, queries = everything[:3_000], everything[3_000:]
    view = served(view_of(rows), distance, covered=2_800, beam=96, quantisation=quantisation)
    hits = []
    for query, ranking in zip(queries, ask(view, distance, queries, Planner(forced(Route.WALK))), strict=True):
        exact = scores(distance, query, rows)
        assert ranking.strategy == WALK
        assert ranking.scores.tolist() == exact[ranking.rows].tolist()
        assert ranking.scores.tolist() == sorted(ranking.scores.tolist())
        hits.append(recall(ranking.scores, np.sort(exact)[:10]))
    assert np.mean(hits) > 0.97


def test_more_alike_codes_than_a_walk_hands_out_at_first_hide_nobody() -> None:
    # A hundred rows within less than what codes can tell apart: the beam holds them all, its first thirty do not.
    generator = np.random.default_rng(3)
    vectors = clustered(3000, 64, seed=2)
    vectors[500:600] = vectors[500] + 0.004 * generator.standard_normal((100, 64)).astype(np.float32)
    view = served(view_of(vectors), Distance.EUCLIDEAN, beam=256)
    queries = vectors[500:520]
    found = ask(view, Distance.EUCLIDEAN, queries, Planner(forced(Route.WALK)))
    assert {(each.strategy, each.met) for each in found} == {(WALK, 256)}
    assert [pairs(each) for each in found] == [pairs(e) for e in ask(view, Distance.EUCLIDEAN, queries, ExactScan())]


@lru_cache
def filtered_view(distance: Distance) -> View:
    """Return three thousand rows in twenty clusters, all of them in the graph."""
    return served(view_of(clustered(3_008, 16, 3)[:3_000]), distance)


def outsiders() -> Vector:
    """Return eight more of the same clusters, each a query by itself."""
    return clustered(3_008, 16, 3)[3_000:, np.newaxis]


def chosen(view: View, distance: Distance, query: Vector, share: float, side: str) -> Mask:
    """Return a share of the rows: those nearest to a query, those farthest from it, or any."""
    order = np.argsort(scores(distance, query, view.vectors), kind="stable")
    few = int(share * len(order))
    if side == "anywhere":
        order = np.random.default_rng(5).permutation(order)
    allowed = np.zeros(len(order), np.bool_)
    allowed[order[-few:] if side == "far" else order[:few]] = True
    return allowed


@pytest.mark.parametrize("side", ["near", "far", "anywhere"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("distance", Distance)
def test_correlated_filters_find_all_there_is(distance: Distance, share: float, side: str) -> None:
    view = filtered_view(distance)
    found = []
    for query in outsiders():
        allowed = chosen(view, distance, query[0], share, side)
        wanted = ask(view, distance, query, ExactScan(), allowed=allowed)[0]
        for planner in (Planner(forced(Route.WALK)), Planner(), Planner(forced(Route.CODES))):
            given = ask(view, distance, query, planner, allowed=allowed)[0]
            assert len(given.rows) == min(10, int(share * 3_000))
            assert allowed[given.rows].all()
            found.append(recall(given.scores, wanted.scores))
            if WALK not in given.strategy:
                assert pairs(given) == pairs(wanted)
    assert np.mean(found) > 0.97


@pytest.mark.parametrize("near", [0, 12])
@pytest.mark.parametrize("distance", Distance)
def test_a_walk_that_meets_too_few_is_given_up(distance: Distance, near: int) -> None:
    """Half of all rows match, and all of them, or all but a few, are where the query is not."""
    view = filtered_view(distance)
    for query in outsiders():
        allowed = chosen(view, distance, query[0], 0.5, "far")
        if near:
            allowed |= chosen(view, distance, query[0], near / len(allowed), "near")
        given = ask(view, distance, query, Planner(forced(Route.WALK)), allowed=allowed)[0]
        assert given.strategy in {ABANDONED.format(CODES), ABANDONED.format(ROWS)}
        assert given.met is not None
        assert given.expected is not None
        assert given.met < given.expected / 2
        assert pairs(given) == pairs(ask(view, distance, query, ExactScan(), allowed=allowed)[0])


def test_a_walk_with_fewer_than_k_is_given_up() -> None:
    view = filtered_view(Distance.EUCLIDEAN)
    allowed = np.zeros(3_000, np.bool_)
    allowed[[5, 1_000, 2_999]] = True
    given = ask(view, Distance.EUCLIDEAN, view.vectors[:1], Planner(forced(Route.WALK)), allowed=allowed)[0]
    assert set(given.rows.tolist()) == {5, 1_000, 2_999}


@pytest.mark.parametrize(
    ("options", "strategy", "beam"),
    [
        ({}, WALK, 64),
        ({"beam": 33}, WALK, 33),
        ({"beam": 2}, WALK, 10),
        ({"exact": True}, EXACT, None),
    ],
)
def test_the_plan_says_what_was_done(options: dict[str, Any], strategy: str, beam: int | None) -> None:
    view = filtered_view(Distance.COSINE)
    given = ask(view, Distance.COSINE, view.vectors[:1], Planner(forced(Route.WALK)), **options)[0]
    assert (given.strategy, given.beam) == (strategy, beam)
    assert given.graph == (None if strategy == EXACT else "hnsw")
    assert given.scanned == (3_000 if beam is None else beam)


def test_a_graph_that_no_beam_makes_good_enough_is_not_walked() -> None:
    view = filtered_view(Distance.EUCLIDEAN)
    assert view.served is not None
    hopeless = replace(view, served=ServedGraph(view.served.graph, None))
    for planner in (Planner(), Planner(forced(Route.WALK))):
        for beam in (None, 64):
            given = ask(hopeless, Distance.EUCLIDEAN, view.vectors[:1], planner, beam=beam)[0]
            assert given.strategy in (CODES, ROWS)
            assert given.beam is None
            assert pairs(given) == pairs(ask(view, Distance.EUCLIDEAN, view.vectors[:1], ExactScan())[0])


@pytest.mark.parametrize("way", Route)
@pytest.mark.parametrize("distance", Distance)
def test_three_thousand_twins_hide_nobody(distance: Distance, way: Route) -> None:
    """The newest ten of three thousand equal vectors, some of them behind the graph, and what lies beyond them."""
    rows = clustered(3_400, 8, 6)
    rows[200:3_200] = rows[200]
    view = served(view_of(rows), distance, covered=3_100, beam=96)
    query = rows[200:201] if distance is not Distance.DOT else 100 * rows[200:201]
    twins = ask(view, distance, query, Planner(forced(way)), 10)[0]
    if distance is not Distance.DOT:
        assert twins.rows.tolist() == list(range(3_199, 3_189, -1))
    assert pairs(twins) == pairs(ask(view, distance, query, ExactScan(), 10)[0])
    allowed = np.ones(3_400, np.bool_)
    allowed[210:3_200] = False
    few = ask(view, distance, query, Planner(forced(way)), 20, allowed=allowed)[0]
    assert len(few.rows) == 20


@pytest.mark.parametrize("way", Route)
@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("dimension", [1, 100, 8_192])
def test_every_dimension(distance: Distance, way: Route, dimension: int) -> None:
    rows = np.random.default_rng(8).standard_normal((60, dimension)).astype(np.float32)
    rows[7] = 0
    view = served(view_of(rows), distance, covered=50, beam=64)
    queries = np.concatenate([rows[:3], rows[7:8], rows[:2] + np.float32(0.01)])
    planner = Planner(forced(way))
    given, wanted = (ask(view, distance, queries, each, 60) for each in (planner, ExactScan()))
    assert [pairs(each) for each in given] == [pairs(each) for each in wanted]


def test_a_deadline_is_kept_between_queries_and_chunks() -> None:
    class Late(Exception):
        pass

    def late() -> None:
        raise Late

    view = filtered_view(Distance.COSINE)
    for way in Route:
        question = Question(distance=Distance.COSINE, queries=view.vectors[:100], best=5)
        with pytest.raises(Late):
            Planner(forced(way)).search(view, question, late)
