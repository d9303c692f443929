"""The index keeps up with the rows: built, extended and compacted, while answers stay exact."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from engines.indexed_rows import (
    DOCS,
    QUICK,
    assert_whole,
    covered,
    fill,
    flush,
    home,
    rows,
    view,
)
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.points import Delete, Vector
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.index.graph import ServedGraph
from vectrograph.engines.embedded.index.hnsw import Hnsw

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vectors_in_files")]


# ------------------------------------------------------------ build and extend


def test_a_graph_is_built_and_extended_by_itself(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    vectors = rows(1000)
    fill(engine, vectors[:200])
    assert (covered(engine), engine.describe(DOCS).indexed) == (0, 200)
    fill(engine, vectors[200:700], first=200)
    wait_until(lambda: covered(engine) >= 300)
    fill(engine, vectors[700:], first=700)
    # The last few rows are indexed when nothing is written for a while.
    wait_until(lambda: engine.describe(DOCS).indexed == 1000)
    assert_whole(view(engine), vectors, set(range(1000)))
    served = view(engine).served
    assert served is not None
    assert sorted(served.graph.table.rows.tolist()) == list(range(1000))


def test_flush_does_not_wait_for_work_that_fails(
    scratch: Path, opened: Callable[..., EmbeddedEngine], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> ServedGraph:
        raise ZeroDivisionError("a defect")

    engine = opened(scratch / "data", tune=broken)
    fill(engine, rows(500))
    report = engine.maintain(MaintenanceTask.FLUSH, DOCS)
    assert not report.healthy
    assert "the log says why" in report.details[str(DOCS)]
    wait_until(lambda: "ZeroDivisionError: a defect" in caplog.text)
    wait_until(lambda: engine.describe(DOCS).index_problem is not None)
    assert_whole(view(engine), rows(500), set(range(500)))


def test_flush_returns_when_everything_is_indexed(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data", rhythm=replace(QUICK, idle_seconds=1000.0, swap_rows=100_000))
    fill(engine, rows(1000))
    assert engine.describe(DOCS).indexed < 1000
    flush(engine)
    assert engine.describe(DOCS).indexed == 1000
    fill(engine, rows(50, seed=2), first=1000)
    assert engine.describe(DOCS).indexed == 1000
    flush(engine)
    assert engine.describe(DOCS).indexed == 1050


def test_a_published_graph_never_changes(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    vectors = rows(1200)
    fill(engine, vectors[:400])
    flush(engine)
    old = view(engine)
    assert old.served is not None
    graph = old.served.graph
    before = (len(graph.hnsw), graph.table.rows.tobytes(), graph.hnsw.codes(np.arange(400)).tobytes())
    fill(engine, vectors[400:], first=400)
    engine.write(DOCS, [Delete(id=f"{n}") for n in range(0, 1200, 2)])
    flush(engine)
    wait_until(lambda: len(view(engine).labels) == 600)
    assert (len(graph.hnsw), graph.table.rows.tobytes(), graph.hnsw.codes(np.arange(400)).tobytes()) == before
    # A reader with the old View goes on reading the old file, which has no name any more.
    assert_whole(old, vectors, set(range(400)))
    assert_whole(view(engine), vectors, set(range(1, 1200, 2)))


@pytest.mark.parametrize("end", ["drop", "close"])
def test_nobody_waits_for_a_graph_that_is_no_longer_wanted(
    scratch: Path, opened: Callable[..., EmbeddedEngine], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropping and closing wait for the thousand rows under way; the others are not added any more."""
    added: list[int] = []
    stages: list[str] = []
    begun, going_on = threading.Event(), threading.Event()
    add = Hnsw.add

    def counted(self: Hnsw, points: Vector, threads: int) -> None:
        add(self, points, threads)
        added.append(len(points))

    def reached(stage: str) -> None:
        stages.append(stage)
        if stage == "build":
            begun.set()
            assert going_on.wait(30.0)

    monkeypatch.setattr(Hnsw, "add", counted)
    engine = opened(scratch / "data", rhythm=replace(QUICK, first_rows=(4_000, 4_000)), reached=reached)
    fill(engine, rows(4_000))
    assert begun.wait(30.0)
    worker, upkeep = engine._background.worker, engine._catalog.find(DOCS).upkeep
    ending = threading.Thread(target=engine.close if end == "close" else partial(engine.drop, DOCS))
    ending.start()
    wait_until(lambda: worker._closing or upkeep in worker._unwanted)
    going_on.set()
    ending.join(30.0)
    assert not ending.is_alive()
    assert sum(added) <= 1024
    assert "publish" not in stages
    if end == "drop":
        assert engine.list(TENANT) == []
        wait_until(lambda: not list((scratch / "data" / "collections").iterdir()))


# ------------------------------------------------------------ compaction


def test_dead_rows_are_left_out_in_the_background(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    vectors = rows(2000)
    fill(engine, vectors)
    flush(engine)
    engine.write(DOCS, [Delete(id=f"{n}") for n in range(900)])
    wait_until(lambda: len(view(engine).labels) == 1100)
    flush(engine)
    assert_whole(view(engine), vectors, set(range(900, 2000)))
    served = view(engine).served
    assert served is not None
    assert len(served.graph.hnsw) == 1100
    wait_until(lambda: len(list(home(scratch / "data").glob("vectors-*"))) == 1)


def test_what_happens_while_rows_are_compacted_is_kept(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    """Rows put and deleted between the copy and the swap are in the new generation as they are in the old."""
    vectors = rows(1500)
    waiting, going_on = threading.Event(), threading.Event()

    def reached(stage: str) -> None:
        if stage == "adopt":
            waiting.set()
            assert going_on.wait(30.0)

    engine = opened(scratch / "data", reached=reached)
    fill(engine, vectors[:1000])
    flush(engine)
    engine.write(DOCS, [Delete(id=f"{n}") for n in range(500)])
    assert waiting.wait(30.0)
    fill(engine, vectors[1000:], first=1000)
    engine.write(DOCS, [Delete(id=f"{n}") for n in (700, 999, 1000, 1499)])
    going_on.set()
    wait_until(lambda: len(view(engine).labels) < 1100)
    # Labels count writes, and 500 were deletions before the second half: numbers come from the ids' order instead.
    seen = view(engine)
    wanted = [n for n in range(500, 1500) if n not in (700, 999, 1000, 1499)]
    np.testing.assert_array_equal(seen.vectors[seen.live], vectors[wanted])
    flush(engine)
    assert engine.count(DOCS) == len(wanted) == engine.describe(DOCS).indexed


def test_a_graph_of_rows_with_other_numbers_is_not_published(
    scratch: Path, opened: Callable[..., EmbeddedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small collections in memory are compacted by the writer, perhaps while a graph is built over their rows."""
    monkeypatch.setattr("vectrograph.engines.embedded.rows.view.MEMORY_BYTES", 1 << 30)
    vectors = rows(1800)
    stages: list[str] = []
    written = threading.Event()

    def reached(stage: str) -> None:
        stages.append(stage)
        if stages == ["build"]:
            for start in (600, 1200):
                engine.write(DOCS, [Delete(id=f"{n}") for n in range(start - 600, start)])
                fill(engine, vectors[start : start + 600], first=start)
            written.set()

    engine = opened(scratch / "data", reached=reached, rhythm=replace(QUICK, first_rows=(600, 600)))
    fill(engine, vectors[:600])
    assert written.wait(30.0)
    flush(engine)
    seen = view(engine)
    assert seen.served is not None
    np.testing.assert_array_equal(seen.vectors[seen.live], vectors[1200:1800])
    nodes = seen.served.graph.table.rows
    assert set(nodes.tolist()) >= set(np.flatnonzero(seen.live).tolist())
    placed, _ = seen.served.graph.space.place(seen.vectors[nodes], seen.lengths[nodes])
    codes = seen.served.graph.hnsw.codes(np.arange(len(nodes)))
    np.testing.assert_array_equal(seen.served.graph.hnsw.encode(placed), codes)


def test_the_old_graph_grows_while_a_new_one_is_built(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    """A rebuild may take minutes; rows that are put meanwhile do not pile up."""
    vectors = rows(5000)
    stages: list[str] = []

    def reached(stage: str) -> None:
        stages.append(stage)
        if stages[-2:] == ["compact", "build"]:
            # Eight hundred rows would be left to the next round, more are not.
            fill(engine, vectors[4000:], first=4000)

    engine = opened(scratch / "data", reached=reached)
    fill(engine, vectors[:4000])
    flush(engine)
    stages.clear()
    engine.write(DOCS, [Delete(id=f"{n}") for n in range(1500)])
    wait_until(lambda: "adopt" in stages and len(view(engine).labels) < 4000)
    begun = stages.index("compact")
    assert stages[begun : begun + 5] == ["compact", "build", "extend", "publish", "adopt"]
    flush(engine)
    np.testing.assert_array_equal(view(engine).vectors, vectors[1500:])
