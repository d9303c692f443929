"""CPU affinity of threads, as the kernel reports it."""

import os
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.distances import norms
from vectrograph.domain.filters.evaluation import Compare, Comparison
from vectrograph.domain.points import Put, Vector
from vectrograph.domain.queries import DenseLeg, SearchRequest
from vectrograph.embedding import wordllama
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.columns.store import ColumnStore
from vectrograph.engines.embedded.index.effort import Route
from vectrograph.engines.embedded.index.graph import Graph, ServedGraph
from vectrograph.engines.embedded.query.planner import Planner
from vectrograph.engines.embedded.rows.exact_scan import Question
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.upkeep.worker import Worker
from vectrograph.inprocess import RunningServer, running
from vectrograph.process import affinity as module
from vectrograph.process.affinity import CpuAffinity
from vectron_client import Point

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="there is no core to choose"
)


def mine() -> set[int]:
    """Return cores of the calling thread."""
    return os.sched_getaffinity(0)


def on_a_thread(act: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@pytest.fixture
def everywhere() -> Iterator[set[int]]:
    before = mine()
    yield before
    assert mine() == before, "the test's own thread was left on other cores"


def test_a_thread_stays_pinned_and_so_do_those_it_starts(everywhere: set[int]) -> None:
    affinity = CpuAffinity()

    def act() -> None:
        affinity.pin()
        assert mine() == {affinity.core}
        on_a_thread(lambda: assert_on({affinity.core}))
        on_a_thread(wander)

    on_a_thread(act)


def wander() -> None:
    CpuAffinity().unpin()
    assert mine() == os.sched_getaffinity(os.getpid())


def assert_on(cores: Collection[int | None]) -> None:
    assert mine() == set(cores)


def test_long_work_runs_anywhere_and_the_next_pinned_again(everywhere: set[int]) -> None:
    affinity = CpuAffinity()

    def act() -> None:
        affinity.pin()
        for long in (True, True, False, False, True):
            affinity.before_native_work(0.01 if long else 1e-4)
            assert mine() == (everywhere if long else {affinity.core})

    on_a_thread(act)
    affinity.before_native_work(1e-4)
    assert mine() == everywhere, "a thread that is not pinned was moved"


def test_what_a_call_pinned_starts_runs_there(everywhere: set[int]) -> None:
    affinity = CpuAffinity()
    affinity.run_pinned(lambda: on_a_thread(lambda: assert_on({affinity.core})))
    assert mine() == everywhere

    def fail() -> None:
        raise LookupError("for a reason")

    with pytest.raises(LookupError, match="for a reason"):
        affinity.run_pinned(fail)


def test_where_the_kernel_tells_nothing_the_server_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_STAT", tmp_path / "hidden")
    affinity = CpuAffinity()
    affinity.watch()
    affinity.close()
    assert f"stays on core {affinity.core}" in caplog.text


def test_a_server_that_cannot_look_for_a_while_goes_on_looking(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """FINDINGS B4, the second round: without a descriptor for a moment it stopped looking for good."""
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    refused, moved, stat = threading.Event(), threading.Event(), Path("/proc/stat")
    looks = iter([OSError(24, "Too many open files"), OSError(24, "Too many open files"), *[None] * 5])

    class Descriptors:
        """Read `/proc/stat`, unless there is no descriptor."""

        def read_text(self, **how: Any) -> str:
            if (error := next(looks, None)) is not None:
                refused.set()
                raise error
            return stat.read_text(**how)

    def choose(self: Any, before: Any, allowed: Collection[int]) -> int | None:
        moved.set()
        return None

    monkeypatch.setattr(module, "_STAT", Descriptors())
    monkeypatch.setattr(module._Load, "better_core", choose)
    affinity = CpuAffinity()
    affinity.watch()
    try:
        assert refused.wait(30)
        assert moved.wait(30)
    finally:
        affinity.close()
    assert caplog.text.count("Too many open files") == 1


def test_all_that_live_pinned_move_with_it(everywhere: set[int]) -> None:
    affinity, go, seen = CpuAffinity(), threading.Event(), list[set[int]]()
    old = affinity.core

    def act() -> None:
        affinity.pin()
        ready.set()
        go.wait(30)
        seen.append(mine())
        affinity.before_native_work(0.01)
        seen.append(mine())
        affinity.before_native_work(1e-4)
        seen.append(mine())

    ready, thread = threading.Event(), threading.Thread(target=act)
    thread.start()
    assert ready.wait(30)
    other = min(everywhere - {old})
    affinity._move(other)
    go.set()
    thread.join()
    assert affinity.core == other
    assert seen == [{other}, everywhere, {other}]


@pytest.mark.parametrize(
    ("idle", "own", "better"),
    [
        ({0: 9.0, 1: 0.0}, 9.0, None),  # Busy with its own work.
        ({0: 9.0, 1: 1.0}, 2.0, 0),  # Others take most of it, and the other core is free.
        ({0: 2.0, 1: 1.0}, 2.0, None),  # Nothing better is there.
        ({0: 9.0, 1: 8.0}, 0.0, None),  # Hardly anybody is there.
        ({0: 7.0, 1: 0.0, 2: 9.0}, 0.0, 0),  # Core 2 is idle and not for this process.
    ],
)
def test_a_crowded_core_is_left_for_a_free_one(idle: dict[int, float], own: float, better: int | None) -> None:
    before = module._Load(1, 100.0, {0: 50.0, 1: 50.0, 2: 50.0}, 20.0)
    after = module._Load(1, 110.0, {core: 50.0 + seconds for core, seconds in idle.items()}, 20.0 + own)
    assert after.better_core(before, {0, 1}) == better


def test_the_load_of_this_machine_can_be_read() -> None:
    affinity = CpuAffinity()

    def act() -> None:
        affinity.pin()
        before = module._Load.now(affinity.core)
        end = os.times().elapsed + 0.2
        while os.times().elapsed < end:
            pass
        after = module._Load.now(affinity.core)
        assert after._own - before._own > 0.02
        assert after._idle.keys() >= {affinity.core}

    on_a_thread(act)


def test_the_more_cores_there_are_the_sooner_work_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    long = []
    for count in (2, 4, 64):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=count: set(range(count)))
        long.append(CpuAffinity().long)
    assert long == [1e-3, 5e-4, 3.5e-4]


def test_where_there_is_one_core_nothing_happens(everywhere: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    affinity = CpuAffinity()
    assert affinity.core is None
    monkeypatch.undo()
    affinity.run_pinned(lambda: assert_on(everywhere))
    affinity.pin()
    affinity.watch()
    affinity.close()
    assert mine() == everywhere


@pytest.mark.parametrize(("rows", "long"), [(100, False), (40_000, True)])
def test_a_long_scan_runs_anywhere(rows: int, long: bool, everywhere: set[int]) -> None:
    vectors = np.ones((rows, 256), np.float32)
    view = seen_of(vectors)
    question = Question(distance=Distance.COSINE, queries=vectors[:1], best=10)
    affinity = CpuAffinity()

    def act() -> None:
        affinity.pin()
        Planner(placement=affinity).search(view, question, lambda: assert_on(everywhere if long else {affinity.core}))

    on_a_thread(act)


def seen_of(vectors: Vector, served: ServedGraph | None = None) -> View:
    numbers = np.arange(1, len(vectors) + 1)
    live = np.ones(len(vectors), np.bool_)
    return View(len(vectors), len(vectors), vectors, norms(vectors), numbers, numbers, live, served)


def test_walks_are_long_or_short_by_what_they_took(everywhere: set[int]) -> None:
    vectors = np.random.default_rng(1).normal(size=(2_000, 32)).astype(np.float32)
    graph = Graph.build(seen_of(vectors), Distance.COSINE)
    view = seen_of(vectors, ServedGraph(graph, 64))
    affinity = CpuAffinity()
    planner = Planner(lambda *_: Route.WALK, affinity)
    assert graph.hnsw.pace == 0.0

    def act() -> None:
        affinity.pin()
        for count, pace, long in ((1, 0.0, False), (64, 0.0, True), (1, 1e-4, True), (1, 1e-9, False)):
            graph.hnsw.pace = pace
            question = Question(distance=Distance.COSINE, queries=vectors[:count], best=10)
            planner.search(view, question, lambda: None)
            assert mine() == (everywhere if long else {affinity.core}), (count, pace)
            assert graph.hnsw.pace > 0.0

    on_a_thread(act)


class Seen:
    """A job that looks where it runs."""

    def __init__(self) -> None:
        self.cores: set[int] = set()
        self.done = threading.Event()

    def run(self, between: Callable[[], None]) -> None:
        self.cores = mine()
        self.done.set()


def test_background_work_that_a_reader_sets_off_runs_anywhere(everywhere: set[int]) -> None:
    affinity, job = CpuAffinity(), Seen()
    worker = Worker(affinity)

    def act() -> None:
        affinity.pin()
        worker.schedule(job)

    on_a_thread(act)
    assert job.done.wait(30)
    worker.close()
    assert job.cores == everywhere


def test_columns_are_filled_and_models_loaded_anywhere(
    everywhere: set[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[set[int]] = []
    prepare, read = ColumnStore.prepare, wordllama._read_model

    def preparing(*given: Any) -> Any:
        seen.append(mine())
        return prepare(*given)

    def reading(*given: Any) -> Any:
        seen.append(mine())
        return read(*given)

    monkeypatch.setattr(ColumnStore, "prepare", preparing)
    monkeypatch.setattr(wordllama, "_read_model", reading)
    affinity = CpuAffinity()
    engine = EmbeddedEngine.open(tmp_path, placement=affinity)
    ref, vector = CollectionRef("t", "docs"), np.ones(2, np.float32)
    engine.create(CollectionSpec.dense(ref, 2, Distance.COSINE))
    engine.write(ref, [Put(id="a", vector=vector, payload={"n": 1})])

    def act() -> None:
        affinity.pin()
        wanted = Compare(("n",), Comparison.EQ, 1)
        request = SearchRequest(legs=(DenseLeg(vectors=vector[None]),), k=1, filter=wanted)
        assert engine.search(ref, request)[0].hits
        assert mine() == {affinity.core}
        wordllama.WordllamaEmbedder(affinity).load()

    on_a_thread(act)
    engine.close()
    assert seen == [everywhere, everywhere]


@pytest.mark.parametrize("pinned", [True, False])
def test_the_server_answers_reads_pinned_and_writes_anywhere(pinned: bool) -> None:
    everywhere, before = frozenset(mine()), server_threads()
    with running(cpu_affinity=pinned) as server:
        ask(server)
        fresh = [thread for thread in server_threads() if thread not in before]
        threads = [(thread.name, frozenset(os.sched_getaffinity(thread.native_id or 0))) for thread in fresh]
    # The last is grpc's own, which takes calls in.
    reading = lived(threads, "rpc-reading", "rest-threaded", "vectrograph-http", "(_serve)")
    writing = lived(threads, "rpc-writing", "rest-writing", "rest-hashing")
    assert writing == {everywhere}
    assert len(reading) == 1
    assert len(next(iter(reading))) == (1 if pinned else len(everywhere))
    assert frozenset(mine()) == everywhere
    assert not [thread for thread in server_threads() if thread.name == "vectrograph-affinity"]


def ask(server: RunningServer) -> None:
    with server.neurograph() as client, server.vectron() as other:
        client.tokens.create(text="hello")
        assert client.tokens.query(text="hello", top_k=1)
        other.create_collection("docs", 2)
        other.upsert("docs", [Point(id="a", vector=[1.0, 2.0])])
        assert other.search("docs", [1.0, 2.0])


def server_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.current_thread()]


def lived(threads: list[tuple[str, frozenset[int]]], *names: str) -> set[frozenset[int]]:
    """Return the cores of all threads whose names have one of these in them; there are some of each."""
    found = {name: {cores for thread, cores in threads if name in thread} for name in names}
    assert all(found.values()), found
    return set().union(*found.values())
