"""The one background thread, and the memory budget of what it makes."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from engines.waiting import wait_until
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.engines.embedded.rows.memory_budget import Budget, OverBudget
from vectrograph.engines.embedded.upkeep.worker import GiveUp, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Provide a worker that ends with the test."""
    worker = Worker()
    yield worker
    worker.close()


class Task:
    """A job that is done by a function."""

    def __init__(self, run: Callable[[Callable[[], None]], float | None]) -> None:
        self._run = run

    def run(self, check_cancelled: Callable[[], None]) -> float | None:
        """Do it."""
        return self._run(check_cancelled)


# ------------------------------------------------------------ the worker


def test_a_program_that_does_not_close_its_engine_still_ends_in_good_order() -> None:
    program = """
        import threading, time
        from vectrograph.engines.embedded.upkeep.worker import Worker

        class Endless:
            def run(self, check_cancelled):
                try:
                    while True:
                        begun.set()
                        check_cancelled()
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

    def long(check_cancelled: Callable[[], None]) -> None:
        begun.set()
        while not done.is_set():
            check_cancelled()

    worker.schedule(Task(long))
    assert begun.wait(10.0)
    worker.schedule(short)
    assert done.wait(10.0)


def test_cancelling_waits_until_a_job_has_stopped(worker: Worker) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def forever(check_cancelled: Callable[[], None]) -> None:
        begun.set()
        try:
            while True:
                check_cancelled()
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

    def forever(check_cancelled: Callable[[], None]) -> None:
        begun.set()
        while True:
            check_cancelled()
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
