"""The one background thread, the budget, and what the index costs those in the foreground."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.waiting import wait_until
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import OutOfSpace
from vectrograph.domain.values import CollectionRef, CollectionSpec, Delete, Distance, MaintenanceTask, Put
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.background import Rhythm
from vectrograph.engines.embedded.budget import Budget, OverBudget
from vectrograph.engines.embedded.foreground import Foreground, available_cores
from vectrograph.engines.embedded.worker import GiveUp, Worker

DOCS = CollectionRef(TENANT, "docs")


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker that ends with the test."""
    worker = Worker()
    yield worker
    worker.close()


class Task:
    """A job that is done by a function."""

    def __init__(self, run: Callable[[Callable[[], None]], float | None]) -> None:
        self._run = run

    def run(self, between: Callable[[], None]) -> float | None:
        """Do it."""
        return self._run(between)


# ------------------------------------------------------------ the worker


def test_a_program_that_does_not_close_its_engine_still_ends_in_good_order() -> None:
    program = """
        import threading, time
        from vectrograph.engines.embedded.worker import Worker

        class Endless:
            def run(self, between):
                try:
                    while True:
                        begun.set()
                        between()
                        time.sleep(0.001)
                finally:
                    print("the work was ended, not abandoned")

        begun, worker = threading.Event(), Worker()
        worker.schedule(Endless())
        begun.wait(10)
        raise SystemExit(3)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (3, "the work was ended, not abandoned\n"), done.stderr


def test_jobs_run_when_they_are_due_and_again_when_they_say_so(worker: Worker) -> None:
    times: list[float] = []
    begun = time.monotonic()

    def run(_: Callable[[], None]) -> float | None:
        times.append(time.monotonic() - begun)
        return 0.05 if len(times) < 3 else None

    worker.schedule(Task(run), 0.1)
    wait_until(lambda: len(times) == 3)
    time.sleep(0.1)
    assert len(times) == 3
    assert times[0] >= 0.1
    assert times[1] - times[0] >= 0.05


def test_earlier_wins(worker: Worker) -> None:
    done = threading.Event()
    task = Task(lambda _: done.set())
    worker.schedule(task, 1000.0)
    worker.schedule(task)
    worker.schedule(task, 1000.0)
    assert done.wait(10.0)


def test_a_job_that_fails_does_not_end_the_thread(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fail(_: Callable[[], None]) -> None:
        raise ZeroDivisionError

    worker.schedule(Task(fail))
    worker.schedule(Task(lambda _: done.set()))
    assert done.wait(10.0)
    assert "background work failed" in caplog.text


def test_others_get_their_turn_in_the_middle_of_long_work(worker: Worker) -> None:
    done, begun = threading.Event(), threading.Event()
    short = Task(lambda _: done.set())

    def long(between: Callable[[], None]) -> None:
        begun.set()
        while not done.is_set():
            between()

    worker.schedule(Task(long))
    assert begun.wait(10.0)
    worker.schedule(short)
    assert done.wait(10.0)


def test_cancelling_waits_until_a_job_has_stopped(worker: Worker) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def forever(between: Callable[[], None]) -> None:
        begun.set()
        try:
            while True:
                between()
                time.sleep(0.01)
        except GiveUp:
            time.sleep(0.05)
            stopped.set()
            raise

    task = Task(forever)
    worker.schedule(task)
    assert begun.wait(10.0)
    worker.cancel(task)
    assert stopped.is_set()
    begun.clear()
    worker.schedule(task)
    assert not begun.wait(0.1)


def test_closing_stops_what_is_under_way() -> None:
    worker, begun = Worker(), threading.Event()

    def forever(between: Callable[[], None]) -> None:
        begun.set()
        while True:
            between()
            time.sleep(0.01)

    worker.schedule(Task(forever))
    assert begun.wait(10.0)
    before = threading.active_count()
    worker.close()
    assert threading.active_count() == before - 1
    worker.schedule(Task(forever))
    assert threading.active_count() == before - 1


# ------------------------------------------------------------ the budget


@given(st.lists(st.integers(0, 400), max_size=30))
def test_no_more_is_taken_than_there_is(amounts: list[int]) -> None:
    budget = Budget(1000)
    taken = []
    for amount in amounts:
        fits = budget.used + amount <= 1000
        try:
            taken.append(budget.reserve(amount))
        except OverBudget:
            assert not fits
        else:
            assert fits
        assert budget.used == sum(each.amount for each in taken) <= 1000
        if len(taken) > 4:
            taken.pop(0).release()
    for each in taken:
        each.release()
    assert budget.used == 0


def test_bytes_go_with_their_owner() -> None:
    class Owner:
        pass

    budget, owner = Budget(100), Owner()
    with budget.reserve(60) as room:
        room.leave_to(owner)
    assert (budget.used, budget.free) == (60, 40)
    del owner
    assert budget.used == 0


def test_what_is_there_already_is_counted_and_leaves_no_room() -> None:
    budget = Budget(100)
    budget.reserve(0).resize(150, anyway=True)
    assert (budget.used, budget.free) == (150, 0)
    with pytest.raises(OverBudget):
        budget.reserve(1)


# ------------------------------------------------------------ beside the foreground


def test_the_background_leaves_the_cores_to_those_who_ask() -> None:
    foreground = Foreground()
    assert foreground.threads() == available_cores()
    foreground.touch()
    assert foreground.threads() == 1
    wait_until(lambda: foreground.threads() == available_cores())


_HEARTBEAT = """
import sys, time
worst, end = 0.0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    before = time.monotonic()
    time.sleep(0.001)
    worst = max(worst, time.monotonic() - before)
print(worst)
"""


@pytest.mark.slow
def test_no_thread_is_held_up_by_the_index(scratch: Path) -> None:
    """Beside building and extending, a Python thread sleeps hardly longer than one of another process does."""
    engine = EmbeddedEngine.open(
        scratch / "data", rhythm=Rhythm(first_rows=(6_000, 6_000), swap_rows=1_000_000, idle_seconds=1000.0)
    )
    engine.create(CollectionSpec.dense(DOCS, 128, Distance.COSINE))
    generator = np.random.default_rng(4)
    for start in range(0, 6_000, 1000):
        rows = generator.standard_normal((1000, 128)).astype(np.float32)
        engine.write(DOCS, [Put(id=f"{start + n}", vector=row) for n, row in enumerate(rows)])
    seconds = 2.0
    with subprocess.Popen([sys.executable, "-c", _HEARTBEAT, str(seconds)], stdout=subprocess.PIPE, text=True) as other:
        flushing = threading.Thread(target=engine.maintain, args=(MaintenanceTask.FLUSH, DOCS))
        flushing.start()
        worst, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            before = time.monotonic()
            time.sleep(0.001)
            worst = max(worst, time.monotonic() - before)
        flushing.join()
        apart = float(other.communicate()[0])
    assert engine.describe(DOCS).indexed == 6_000
    engine.close()
    if apart > 0.05:
        pytest.skip(
            f"the machine is overloaded: a process apart was held up for {apart:.3f} s, this one for {worst:.3f}"
        )
    assert worst < 0.05 + apart


def test_faiss_is_imported_with_the_first_graph_and_not_before() -> None:
    code = (
        "import sys, vectrograph.app, vectrograph.engines.embedded.planner;"
        "assert not [name for name in sys.modules if 'faiss' in name], 'imported at start'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ------------------------------------------------------------ disks that refuse


@pytest.fixture
def filled(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedEngine]:
    """An engine with vectors in a file."""
    monkeypatch.setattr("vectrograph.engines.embedded.view.MEMORY_BYTES", 1 << 12)
    engine = EmbeddedEngine.open(scratch / "data", rhythm=replace(Rhythm(), first_rows=(100, 100), idle_seconds=1000.0))
    engine.create(CollectionSpec.dense(DOCS, 64, Distance.EUCLIDEAN))
    put(engine, range(200))
    yield engine
    engine.close()


def put(engine: EmbeddedEngine, numbers: range) -> None:
    """One batch of points."""
    vectors = np.random.default_rng(numbers.start).standard_normal((len(numbers), 64)).astype(np.float32)
    engine.write(DOCS, [Put(id=f"{n}", vector=row) for n, row in zip(numbers, vectors, strict=True)])


def full(*_: Any) -> int:
    """A disk that is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_vectors_that_find_no_room_are_not_written(filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    seq = filled.describe(DOCS).seq
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OutOfSpace, match="nothing was written"):
            put(filled, range(200, 300))
        assert (filled.count(DOCS), filled.describe(DOCS).seq) == (200, seq)
        filled.write(DOCS, [Delete(id="7")])
        assert filled.get(DOCS, ["7", "8"])[0] is None
    put(filled, range(200, 300))
    assert filled.count(DOCS) == 299
    assert filled.maintain(MaintenanceTask.VERIFY).healthy
    view = filled._catalog.find(DOCS).view()
    np.testing.assert_array_equal(
        view.vectors[-100:], np.random.default_rng(200).standard_normal((100, 64)).astype(np.float32)
    )


def test_an_index_that_cannot_be_saved_serves_and_complains(
    filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.files.save_rows", full)
        filled.maintain(MaintenanceTask.FLUSH, DOCS)
        wait_until(lambda: filled.describe(DOCS).index_problem is not None)
        assert "No space left" in str(filled.describe(DOCS).index_problem)
        assert filled._catalog.find(DOCS).view().served is not None
    filled.close()
    again = EmbeddedEngine.open(scratch / "data")
    assert (again.count(DOCS), again.describe(DOCS).indexed) == (200, 200)
    again.close()


def test_what_fails_is_not_tried_again_with_every_write(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = EmbeddedEngine.open(scratch / "data", rhythm=replace(Rhythm(), first_rows=(100, 100), swap_rows=64))
    engine.create(CollectionSpec.dense(DOCS, 64, Distance.EUCLIDEAN))
    worker = engine._background.worker

    def idle() -> bool:
        return not worker._running and all(due > time.monotonic() for due in list(worker._due.values()))

    with monkeypatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.indexing.GraphMaker.built", full)
        for start in range(0, 2_000, 100):
            put(engine, range(start, start + 100))
            wait_until(idle)
    complaints = [record for record in caplog.records if "No space left" in record.getMessage()]
    assert 1 <= len(complaints) <= 3
    engine.maintain(MaintenanceTask.FLUSH, DOCS)
    assert (engine.describe(DOCS).index_problem, engine.describe(DOCS).indexed) == (None, 2_000)
    engine.close()


def test_a_refused_commit_leaves_no_rows_behind(filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are in the file before the commit; when that fails they are overwritten, not shown."""
    import apsw

    with monkeypatch.context() as patch:

        def refuse(*_: Any) -> None:
            raise apsw.FullError("test")

        patch.setattr("vectrograph.engines.embedded.store.Store.apply", refuse)
        with pytest.raises(OutOfSpace):
            put(filled, range(500, 600))
    put(filled, range(200, 260))
    view = filled._catalog.find(DOCS).view()
    assert (view.count, len(view.labels)) == (260, 260)
    np.testing.assert_array_equal(
        view.vectors[200:], np.random.default_rng(200).standard_normal((60, 64)).astype(np.float32)
    )


def test_checkpoints_do_not_hold_up_writers(filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log is folded into the file, for as long as that takes, writes go on."""
    folding, going_on = threading.Event(), threading.Event()
    store = filled._catalog.find(DOCS)._content.store  # type: ignore[union-attr]
    original = type(store).fold

    def slow(self: Any, writing: Any) -> None:
        folding.set()
        assert going_on.wait(30.0)
        original(self, writing)

    monkeypatch.setattr("vectrograph.engines.embedded.store._CHECKPOINT_PAGES", 1)
    monkeypatch.setattr(type(store), "fold", slow)
    put(filled, range(200, 300))
    assert folding.wait(30.0)
    put(filled, range(300, 400))
    assert filled.count(DOCS) == 400
    before = store._checkpointed
    going_on.set()
    wait_until(lambda: store._checkpointed > before)


_GIVE_BACK = """
import numpy as np
from vectrograph.engines.embedded.allocator import give_back

def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

del (a := [np.ones(30 << 20, np.uint8)])[:]
blocks = [np.ones(1 << 20, np.uint8) for _ in range(41)]
del blocks[:40]
before = anonymous()
give_back()
print(before - anonymous())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not say")
def test_what_copies_of_graphs_took_goes_back_to_the_system() -> None:
    answer = subprocess.run([sys.executable, "-c", _GIVE_BACK], check=True, capture_output=True, text=True, timeout=60)
    assert int(answer.stdout) > 30 << 10
