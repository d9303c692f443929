"""Graphs are measured, and served as well as they deserve."""

import time
from pathlib import Path

import numpy as np
import pytest

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import CollectionNotFound, InvalidArgument
from vectrograph.domain.filters.evaluation import Range
from vectrograph.domain.points import Put, Vector
from vectrograph.domain.queries import DenseLeg, SearchRequest
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.index.effort import Route, beam_for, cheapest_route, trustworthy
from vectrograph.engines.embedded.index.graph import BEAM, Graph, ServedGraph
from vectrograph.engines.embedded.index.recall import Measurement, judge, measure, narrowest, recall, sample, tune
from vectrograph.engines.embedded.query.planner import CODES, ROWS, WALK
from vectrograph.engines.embedded.rows.view import Addition, View, ViewBuilder
from vectrograph.engines.embedded.upkeep.background import Rhythm
from vectrograph.engines.embedded.upkeep.query_sample import QuerySample
from vectrograph.engines.embedded.upkeep.recall_monitor import RECENT, STORED

pytestmark = pytest.mark.slow

COUNT = 4_000
NONE = np.empty(0, np.int64)


def easy(count: int) -> Vector:
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((40, 16))
    return (centres[generator.integers(0, 40, count)] + 0.5 * generator.standard_normal((count, 16))).astype(np.float32)


def hubs(count: int) -> Vector:
    """Short vectors that under L2 are nearer to everything than anything else is: no walk gets past them."""
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((count, 96))
    rows *= generator.lognormal(0, 0.7, (count, 1))
    return rows.astype(np.float32)


def view_of(rows: Vector) -> View:
    builder = ViewBuilder(rows.shape[1])
    numbers = np.arange(1, len(rows) + 1, dtype=np.int64)
    return builder.advance(1, NONE, Addition(rows, numbers, numbers))


def graph_of(rows: Vector, distance: Distance, covered: int) -> tuple[Graph, View]:
    return Graph.build(view_of(rows[:covered]), distance), view_of(rows)


def test_recall_counts_equals_as_found() -> None:
    exact = np.array([0.0, 1.0, 1.0], np.float32)
    assert recall(np.array([0.0, 1.0, 1.0, 1.0], np.float32), exact) == 1.0
    assert recall(np.array([0.0, 2.0], np.float32), exact) == pytest.approx(1 / 3)
    assert recall(np.empty(0, np.float32), exact[:0]) == 1.0


def test_the_narrowest_beam_that_is_good_and_quick() -> None:
    good = [Measurement(64, 0.9, 1e-4), Measurement(96, 0.99, 2e-4), Measurement(144, 0.999, 3e-4)]
    assert narrowest(good, 1e-3) == 96
    assert narrowest(good, 1e-4) is None
    assert narrowest(good[:1], 1e-3) is None


def test_what_beams_and_ways_cost() -> None:
    assert beam_for(10, 144) < beam_for(11, 144) < beam_for(11, 144, 0.5)
    assert cheapest_route(31_000, 31_000, 256, 144) is Route.WALK
    assert cheapest_route(31_000, 6_200, 256, 720) is Route.CODES
    assert cheapest_route(31_000, 3_100, 256, 1_440) is Route.ROWS
    assert cheapest_route(31_000, 31, 256, 31_000) is Route.ROWS
    assert (trustworthy(72, 144), trustworthy(71, 144)) == (True, False)


def test_measuring_finds_what_is_missed() -> None:
    rows = easy(COUNT + 60)
    graph, view = graph_of(rows[:COUNT], Distance.COSINE, COUNT)
    asked = sample(graph, view, rows[COUNT:], None, lambda: None)
    assert len(asked.queries) == 60
    narrow, wide = (measure(graph, view, asked, beam) for beam in (10, 400))
    assert narrow.recall < wide.recall
    assert wide.recall > 0.99
    assert narrow.doubt > 0
    own = sample(graph, view, np.zeros((1, 16), np.float32), None, lambda: None)
    assert own.queries == []


@pytest.mark.parametrize("foreign", [100, 0])
def test_an_easy_graph_is_walked(foreign: int) -> None:
    graph, view = graph_of(easy(COUNT + 100), Distance.COSINE, COUNT)
    served = tune(graph, view, view.live, np.arange(COUNT, COUNT + foreign))
    assert served.graph is graph
    assert served.beam is None or served.beam >= (96 if foreign else BEAM)


@pytest.mark.parametrize("foreign", [100, 0])
def test_a_graph_full_of_hubs_is_not_walked(foreign: int) -> None:
    graph, view = graph_of(hubs(COUNT + 100), Distance.EUCLIDEAN, COUNT)
    assert tune(graph, view, view.live, np.arange(COUNT, COUNT + foreign)).beam is None


def test_a_graph_that_has_hardly_grown_is_served_as_before() -> None:
    rows = hubs(930)
    graph, view = graph_of(rows, Distance.EUCLIDEAN, 900)
    grown = graph.extend(view)
    for beam in (None, 77):
        before = ServedGraph(graph, beam)
        assert tune(grown, view, view.live, NONE, before) == ServedGraph(grown, beam)


def test_live_rows_only_are_asked_for_and_none_is_no_trouble() -> None:
    graph, view = graph_of(easy(500), Distance.COSINE, 500)
    nobody = np.zeros(500, np.bool_)
    assert tune(graph, view, nobody, NONE).beam == BEAM
    assert judge(ServedGraph(graph, 10), view, nobody, view.vectors[:5]).beam == 10


def test_a_beam_is_widened_when_what_is_asked_is_not_found() -> None:
    rows = hubs(COUNT + 60)
    graph, view = graph_of(rows[:COUNT], Distance.EUCLIDEAN, COUNT)
    assert judge(ServedGraph(graph, 96), view, view.live, rows[COUNT:]).beam is None
    already = ServedGraph(graph, None)
    assert judge(already, view, view.live, rows[COUNT:]) is already
    good = ServedGraph(graph, COUNT)
    assert judge(good, view, view.live, rows[COUNT:]) is good


def test_asked_keeps_every_sixteenth_of_the_latest() -> None:
    asked = QuerySample(1)
    full = [asked.note(np.full((2, 1), n, np.float32)) for n in range(1, 16 * 300 + 1)]
    assert asked.vectors()[:, 0].tolist() == [16.0 * n for n in range(300 - 127, 301)]
    assert full.index(True) == 16 * 128 - 1
    asked.mark_judged()
    assert not asked.note(np.zeros((1, 1), np.float32))
    assert len(QuerySample(8_192)._kept or []) == 0
    assert QuerySample(8_192).vectors().shape == (0, 8_192)


# ---------------------------------------------------------------- in an engine


def filled(directory: Path, rows: Vector, distance: Distance, beam: int | None) -> tuple[EmbeddedEngine, CollectionRef]:
    """Return an engine whose graph is served with this beam, whatever it finds."""
    engine = EmbeddedEngine.open(
        directory,
        rhythm=Rhythm(first_rows=(100, 100), idle_seconds=1000.0),
        tune=lambda graph, *_: ServedGraph(graph, beam),
        choose=lambda *_: Route.WALK,
    )
    ref = CollectionRef("default", "rows")
    engine.create(CollectionSpec.dense(ref, rows.shape[1], distance))
    for start in range(0, len(rows), 2_000):
        part = rows[start : start + 2_000]
        engine.write(ref, [Put(id=f"{start + n}", vector=row, payload={"n": n}) for n, row in enumerate(part)])
    engine.maintain(MaintenanceTask.FLUSH, ref)
    return engine, ref


def test_recall_can_be_measured(scratch: Path) -> None:
    rows = hubs(COUNT)
    engine, ref = filled(scratch / "data", rows, Distance.EUCLIDEAN, 64)
    poor = engine.measure_recall(ref, 40)
    assert (poor.queries, poor.k, poor.source, poor.beam) == (40, 10, STORED, 64)
    assert poor.recall < 0.9
    assert not poor.good
    assert poor.strategies == {WALK: 40}
    assert engine.measure_recall(ref, 40, filter=Range(("n",), lt=20)).recall == 1.0
    report = engine.maintain(MaintenanceTask.MEASURE_RECALL)
    assert not report.healthy
    assert report.details["rows"]["recall"] < 0.9
    with pytest.raises(InvalidArgument, match="sample"):
        engine.measure_recall(ref, 0)
    with pytest.raises(InvalidArgument, match="k: is"):
        engine.measure_recall(ref, k=0)
    with pytest.raises(CollectionNotFound):
        engine.measure_recall(CollectionRef("default", "other"))
    engine.close()


def test_an_index_that_misses_what_is_asked_is_served_otherwise(scratch: Path) -> None:
    """Background sampling of real queries: after two thousand of them nothing is missed any more."""
    rows = hubs(COUNT + 200)
    engine, ref = filled(scratch / "data", rows[:COUNT], Distance.EUCLIDEAN, 64)
    strategies = set()
    for n in range(16 * 128 + 1):
        query = rows[COUNT + n % 200][None]
        plan = engine.search(ref, SearchRequest(legs=(DenseLeg(vectors=query),), k=1, explain=True))[0].plan
        strategies.add(plan.strategy if plan is not None else "")
    # One or another query has no place in the space of the codes.
    assert WALK in strategies <= {WALK, ROWS}
    until = time.monotonic() + 20
    while (report := engine.measure_recall(ref, 50)).beam is not None:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert (report.source, report.recall, report.strategies) == (RECENT, 1.0, {CODES: 50})
    engine.close()


def test_an_index_that_was_judged_is_judged_again_after_many_more_queries() -> None:
    asked, query = QuerySample(4), np.ones((1, 4), np.float32)
    apart = []
    for _ in range(4):
        count = 1
        while not asked.note(query):
            count += 1
        asked.mark_judged()
        apart.append(count)
    assert [count / apart[0] for count in apart] == [1, 8, 64, 64]
