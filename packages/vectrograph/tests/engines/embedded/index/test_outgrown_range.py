"""The first rows fix what a byte of a code can hold; when later ones are beyond that, a new graph gets a new range."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engines.indexed_rows import DIMENSION, DOCS, QUICK, fill, flush, rows, view
from engines.waiting import wait_until

from vectrograph.domain.collections import CollectionSpec, Distance
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.index.effort import Route
from vectrograph.engines.embedded.index.graph import Graph
from vectrograph.engines.embedded.index.recall import TARGET, recall
from vectrograph.engines.embedded.query.planner import Planner
from vectrograph.engines.embedded.rows.exact_scan import ExactScan, Question
from vectrograph.engines.embedded.rows.view import View

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vectors_in_files")]

_TIMES = 8
"""Factor by which the later vectors are longer."""


def graph_of(engine: EmbeddedEngine) -> Graph:
    """Return the graph that is published."""
    served = view(engine).served
    assert served is not None
    return served.graph


def recall_of(seen: View, distance: Distance, queries: Vector, way: Route) -> float:
    """Return mean share of the truly nearest ten that a way to answer finds, however quick another one would be."""
    question = Question(distance=distance, queries=queries, best=10)
    found = Planner(lambda *_: way).search(seen, question, lambda: None)
    truths = ExactScan().search(seen, question, lambda: None)
    return float(np.mean([recall(mine.scores, truth.scores) for mine, truth in zip(found, truths, strict=True)]))


@pytest.mark.parametrize("distance", [Distance.EUCLIDEAN, Distance.DOT])
def test_a_graph_whose_range_the_data_have_left_is_built_anew(
    scratch: Path, opened: Callable[..., EmbeddedEngine], distance: Distance
) -> None:
    stages: list[str] = []
    engine = opened(scratch / "data", reached=stages.append)
    engine.create(CollectionSpec.dense(DOCS, DIMENSION, distance))
    wide = _TIMES * rows(50, seed=4)
    fill(engine, rows(1000))
    flush(engine)
    before = graph_of(engine).space.scale
    stages.clear()
    fill(engine, _TIMES * rows(1500, seed=2), first=1000)
    wait_until(lambda: "adopt" in stages and graph_of(engine).space.scale < before / 4)
    flush(engine)
    assert not QUICK.outgrown(graph_of(engine), view(engine).lengths)
    # Nothing was dead: that was not the reason.
    assert engine.count(DOCS) == len(view(engine).labels) == graph_of(engine).covered == 2500
    assert recall_of(view(engine), distance, wide, Route.WALK) >= TARGET
    # Once is enough: rows of the same kind have their place in the new range.
    stages.clear()
    fill(engine, _TIMES * rows(600, seed=3), first=2500)
    flush(engine)
    assert "extend" in stages
    assert "compact" not in stages


@pytest.mark.parametrize("distance", [Distance.EUCLIDEAN, Distance.DOT])
def test_until_then_what_is_beyond_the_range_is_found_all_the_same(
    scratch: Path, opened: Callable[..., EmbeddedEngine], distance: Distance
) -> None:
    """Building anew may take minutes, and a few such rows are no reason for it at all."""
    held, let_go = threading.Event(), threading.Event()

    def reached(stage: str) -> None:
        if stage == "compact":
            held.set()
            assert let_go.wait(30.0)

    engine = opened(scratch / "data", reached=reached)
    engine.create(CollectionSpec.dense(DOCS, DIMENSION, distance))
    fill(engine, rows(1000))
    flush(engine)
    fill(engine, _TIMES * rows(200, seed=2), first=1000)
    assert held.wait(30.0)
    seen = view(engine)
    assert (graph_of(engine).covered, seen.buffered) == (1200, 0)
    for times in (1, _TIMES):
        for way in (Route.WALK, Route.CODES):
            assert recall_of(seen, distance, times * rows(50, seed=4), way) >= TARGET
    let_go.set()
    flush(engine)
