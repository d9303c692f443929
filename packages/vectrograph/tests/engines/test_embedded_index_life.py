"""The index keeps up with the rows: built, extended, compacted, saved and resumed, while answers stay exact."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.waiting import wait_until

from vectrograph.domain.errors import DeadlineExceeded, OutOfSpace
from vectrograph.domain.values import (
    CollectionRef,
    CollectionSpec,
    Delete,
    Distance,
    MaintenanceTask,
    Put,
    Vector,
)
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.background import Rhythm
from vectrograph.engines.embedded.files import INDEX_FILE
from vectrograph.engines.embedded.graph.vector_file import VectorFile
from vectrograph.engines.embedded.view import View

DOCS = CollectionRef(TENANT, "docs")
QUICK = Rhythm(first_rows=(300, 300), swap_rows=200, lag_rows=100_000, idle_seconds=0.2)
DIMENSION = 128


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors go to a file soon."""
    for module in ("view", "compaction"):
        monkeypatch.setattr(f"vectrograph.engines.embedded.{module}.MEMORY_BYTES", 1 << 14)


@pytest.fixture
def opened() -> Iterator[Callable[..., EmbeddedEngine]]:
    """Opens engines with a quick rhythm and closes them."""
    engines: list[EmbeddedEngine] = []

    def open_engine(directory: Path, **options: Any) -> EmbeddedEngine:
        engines.append(EmbeddedEngine.open(directory, **{"rhythm": QUICK, **options}))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()


def rows(count: int, seed: int = 1) -> Vector:
    """Some clusters."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((20, DIMENSION))
    noise = generator.standard_normal((count, DIMENSION))
    return (centres[generator.integers(0, 20, count)] + 0.5 * noise).astype(np.float32)


def fill(engine: EmbeddedEngine, vectors: Vector, first: int = 0) -> None:
    """Put vectors under their numbers, a hundred at a time."""
    if not engine.list(TENANT):
        engine.create(CollectionSpec.dense(DOCS, DIMENSION, Distance.EUCLIDEAN))
    for start in range(0, len(vectors), 100):
        part = vectors[start : start + 100]
        engine.write(DOCS, [Put(id=f"{first + start + n}", vector=row) for n, row in enumerate(part)])


def flush(engine: EmbeddedEngine) -> None:
    """Wait until every row is in the index."""
    assert engine.maintain(MaintenanceTask.FLUSH, DOCS).healthy


def view(engine: EmbeddedEngine) -> View:
    """The newest View of the collection."""
    return engine._catalog.find(DOCS).view()


def covered(engine: EmbeddedEngine) -> int:
    """Rows that the published graph covers."""
    served = view(engine).served
    return 0 if served is None else served.graph.covered


def graph_bytes(seen: View) -> int:
    """What the graph of a View takes."""
    return 0 if seen.served is None else seen.served.graph.nbytes


def home(directory: Path) -> Path:
    """The directory of the one collection."""
    (path,) = (directory / "collections").iterdir()
    return path


def assert_whole(seen: View, vectors: Vector, alive: set[int]) -> None:
    """A View shows exactly the vectors of these numbers (those that were not overwritten have label number + 1)."""
    assert seen.count == len(alive)
    labels = seen.labels[seen.live]
    assert set((labels - 1).tolist()) == alive
    np.testing.assert_array_equal(seen.vectors[seen.live], vectors[labels - 1])
    np.testing.assert_allclose(seen.lengths[seen.live], np.linalg.norm(vectors[labels - 1], axis=1), rtol=1e-5)


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
    scratch: Path, opened: Callable[..., EmbeddedEngine], end: str
) -> None:
    stages: list[str] = []
    begun = threading.Event()

    def reached(stage: str) -> None:
        stages.append(stage)
        begun.set()

    engine = opened(scratch / "data", rhythm=replace(QUICK, first_rows=(15_000, 15_000)), reached=reached)
    fill(engine, rows(15_000))
    assert begun.wait(30.0)
    began = time.monotonic()
    if end == "drop":
        engine.drop(DOCS)
        assert engine.list(TENANT) == []
        wait_until(lambda: not list((scratch / "data" / "collections").iterdir()))
    else:
        engine.close()
    assert time.monotonic() - began < 2.0
    assert "publish" not in stages


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
    monkeypatch.setattr("vectrograph.engines.embedded.view.MEMORY_BYTES", 1 << 30)
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


@pytest.mark.slow
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


# ------------------------------------------------------------ budget


def test_writes_beyond_the_budget_are_refused_and_the_rest_goes_on(
    scratch: Path, opened: Callable[..., EmbeddedEngine]
) -> None:
    engine = opened(scratch / "data", memory_bytes=80_000)
    vectors = rows(5000)
    with pytest.raises(OutOfSpace, match="memory budget of 80000 bytes") as raised:
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


# ------------------------------------------------------------ save and resume


def test_reopening_resumes_the_index(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    vectors = rows(1000)
    fill(engine, vectors[:900])
    engine.write(DOCS, [Delete(id="5")])
    flush(engine)
    before = view(engine)
    engine.close()

    def reached(stage: str) -> None:
        assert stage not in ("build", "compact"), "nothing needs to be built"

    again = opened(scratch / "data", reached=reached)
    after = view(again)
    assert (after.seq, after.count, covered(again)) == (before.seq, before.count, 900)
    for part in ("labels", "created", "lengths", "live", "vectors"):
        np.testing.assert_array_equal(getattr(after, part), getattr(before, part))
    assert isinstance(after.vectors.base, np.ndarray)
    fill(again, vectors[900:], first=900)
    flush(again)
    assert covered(again) == 1000


def test_what_came_after_the_last_save_is_caught_up(
    scratch: Path, opened: Callable[..., EmbeddedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: the index is older than the file."""
    engine = opened(scratch / "data")
    vectors = rows(1000)
    fill(engine, vectors[:800])
    flush(engine)
    engine.close()
    saved = (home(scratch / "data") / INDEX_FILE).read_bytes()
    engine = opened(scratch / "data", rhythm=replace(QUICK, idle_seconds=1000.0))
    fill(engine, vectors[800:], first=800)
    engine.write(DOCS, [Delete(id=f"{n}") for n in (3, 799, 950)])
    engine.close()
    (home(scratch / "data") / INDEX_FILE).write_bytes(saved)
    again = opened(scratch / "data", rhythm=replace(QUICK, idle_seconds=1000.0, swap_rows=100_000))
    assert covered(again) == 800
    assert_whole(view(again), vectors, set(range(1000)) - {3, 799, 950})


def test_an_index_of_another_history_is_not_used(
    scratch: Path, opened: Callable[..., EmbeddedEngine], caplog: pytest.LogCaptureFixture
) -> None:
    """A backup of the file was restored beside a newer index, and others were written since: as many, but others."""
    engine = opened(scratch / "data")
    vectors = rows(1400)
    fill(engine, vectors[:400])
    flush(engine)
    engine.close()
    path = home(scratch / "data")
    backup = (path / "points.sqlite").read_bytes()
    engine = opened(scratch / "data")
    fill(engine, vectors[400:800], first=400)
    flush(engine)
    engine.close()
    newer = {each.name: each.read_bytes() for each in path.iterdir() if each.suffix in (".graph", ".f32")}
    (path / "points.sqlite").write_bytes(backup)
    for name in newer:
        (path / name).unlink()
    engine = opened(scratch / "data")
    fill(engine, vectors[1000:1400], first=1000)
    engine.close()
    for name, content in newer.items():
        (path / name).write_bytes(content)
    again = opened(scratch / "data")
    assert "another history" in caplog.text
    np.testing.assert_array_equal(view(again).vectors, np.concatenate([vectors[:400], vectors[1000:]]))
    flush(again)


def test_small_collections_have_no_files_and_no_thread(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    threads = threading.active_count()
    for n in range(20):
        ref = CollectionRef(TENANT, f"c{n}")
        engine.create(CollectionSpec.dense(ref, 8, Distance.DOT))
        engine.write(ref, [Put(id="a", vector=np.ones(8, np.float32))])
    assert threading.active_count() == threads
    assert list((scratch / "data").rglob("vectors-*")) == []
    assert list((scratch / "data").rglob(INDEX_FILE)) == []


def test_vectors_of_large_collections_lie_in_a_file(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    fill(engine, rows(300))
    content = engine._catalog.find(DOCS)._content
    assert content is not None
    assert isinstance(content.builder.generation.vectors, VectorFile)
