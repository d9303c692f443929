"""Memory budget of an index, and the slowing of writers while it lags."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engines.indexed_rows import (
    DOCS,
    QUICK,
    assert_whole,
    covered,
    fill,
    flush,
    graph_bytes,
    rows,
    view,
)
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.errors import DeadlineExceeded, OutOfSpace
from vectrograph.domain.points import Delete, Put
from vectrograph.engines.embedded import EmbeddedEngine

pytestmark = pytest.mark.usefixtures("vectors_in_files")


# ------------------------------------------------------------ budget


def test_writes_beyond_the_budget_are_refused_and_the_rest_goes_on(
    scratch: Path, opened: Callable[..., EmbeddedEngine]
) -> None:
    engine = opened(scratch / "data", memory_bytes=80_000)
    vectors = rows(5000)
    with pytest.raises(OutOfSpace, match="memory limit of 80000 bytes") as raised:
        fill(engine, vectors)
    assert raised.value.details["memory_bytes"] == 80_000
    count = engine.count(DOCS)
    assert 1000 < count < 4000
    assert engine._background.budget.used <= 80_000
    engine.write(DOCS, [Delete(id="0")])
    assert engine.count(DOCS) == count - 1
    assert engine.get(DOCS, ["1"])[0] is not None


def test_an_index_that_does_not_fit_is_not_built_and_says_so(
    scratch: Path, opened: Callable[..., EmbeddedEngine]
) -> None:
    engine = opened(scratch / "data", memory_bytes=150_000)
    fill(engine, rows(900))
    wait_until(lambda: engine.describe(DOCS).index_problem is not None)
    assert "no room for the index" in str(engine.describe(DOCS).index_problem)
    assert (covered(engine), engine.describe(DOCS).indexed) == (0, 0)
    report = engine.maintain(MaintenanceTask.FLUSH, DOCS)
    assert not report.healthy
    assert "no room" in report.details["docs"]


def test_a_graph_that_cannot_be_copied_makes_room_for_a_new_one(
    scratch: Path, opened: Callable[..., EmbeddedEngine]
) -> None:
    stages: list[str] = []
    used: list[int] = []

    def reached(stage: str) -> None:
        stages.append(stage)
        used.append(engine._background.budget.used)

    engine = opened(scratch / "data", memory_bytes=400_000, reached=reached)
    vectors = rows(600)
    fill(engine, vectors[:400])
    flush(engine)
    wait_until(lambda: engine.describe(DOCS).indexed == 400)
    stages.clear()
    # A copy with room for half as many again would be a third graph's worth beside the first.
    fill(engine, vectors[400:], first=400)
    flush(engine)
    assert [stage for stage in stages if stage != "save"] == ["extend", "publish", "build", "publish"]
    assert (covered(engine), engine.describe(DOCS).index_problem) == (600, None)
    assert_whole(view(engine), vectors, set(range(600)))
    assert max(used) <= 400_000


def test_graphs_give_their_memory_back_with_their_last_reader(
    scratch: Path, opened: Callable[..., EmbeddedEngine]
) -> None:
    engine = opened(scratch / "data", memory_bytes=100_000_000)
    budget = engine._background.budget
    fill(engine, rows(400))
    flush(engine)
    old = view(engine)
    fill(engine, rows(400, seed=3), first=400)
    flush(engine)
    columns = engine._catalog.find(DOCS)._content.builder._room.amount  # type: ignore[union-attr]
    assert budget.used == columns + graph_bytes(old) + graph_bytes(view(engine))
    del old
    assert budget.used == columns + graph_bytes(view(engine))
    engine.drop(DOCS)
    assert budget.used == 0


# ------------------------------------------------------------ back-pressure


def test_writers_are_slowed_while_the_index_lags(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    holding, held, let_go = threading.Event(), threading.Event(), threading.Event()

    def reached(stage: str) -> None:
        if stage == "extend" and holding.is_set():
            held.set()
            assert let_go.wait(30.0)

    engine = opened(scratch / "data", rhythm=replace(QUICK, lag_rows=500, lag_floats=0), reached=reached)
    vectors = rows(2000)
    fill(engine, vectors[:400])
    flush(engine)
    holding.set()
    fill(engine, vectors[400:600], first=400)
    assert held.wait(30.0)
    # Work begins with at most 600 rows; 500 more may come before anybody is slowed.
    fill(engine, vectors[600:1200], first=600)
    began = time.monotonic()
    fill(engine, vectors[1200:1400], first=1200)
    # Twice 100 rows of 128 components at a million components a second, slowed by the square of 600 / 500 and more.
    assert time.monotonic() - began >= 2 * 0.0128 * 1.44
    ops = [Put(id="late", vector=row) for row in vectors]
    with pytest.raises(DeadlineExceeded, match="nothing was written"):
        engine.write(DOCS, ops, deadline=time.monotonic() + 0.05)
    assert engine.get(DOCS, ["late"]) == [None]
    let_go.set()
    flush(engine)
    fill(engine, vectors[1400:1500], first=1400)
    assert engine.describe(DOCS).count == 1500
