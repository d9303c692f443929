"""The threads that answer calls."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vectrograph.services.limits.thread_pool import Pool, Task


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(4, thread_name_prefix="trial")
    yield made
    made.shutdown()


def finished(work: Task) -> threading.Event:
    over = threading.Event()
    work.add_done_callback(lambda _: over.set())
    return over


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


def occupy(pool: Pool, count: int) -> tuple[threading.Event, list[threading.Event]]:
    """Return threads that wait for the event which comes first, and events for each that is done."""
    go, begun = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        go.wait(10)

    done = [finished(pool.submit(hold)) for _ in range(count)]
    for _ in range(min(count, 4)):
        assert begun.acquire(timeout=10)
    return go, done


def test_the_thread_that_was_busy_last_is_asked_first(pool: Pool) -> None:
    go, done = occupy(pool, 4)
    go.set()
    assert all(event.wait(10) for event in done)
    used: list[int] = []
    for _ in range(50):
        assert finished(pool.submit(lambda: used.append(threading.get_ident()))).wait(10)
        # It tells that it is done a moment before it is idle.
        wait_for(lambda: len(pool._idle) == 4)
    assert len(used) == 50
    assert len(set(used)) == 1


def test_there_are_never_more_threads_than_allowed_and_those_who_wait_are_counted(pool: Pool) -> None:
    go, done = occupy(pool, 4)
    order: list[int] = []
    more = [finished(pool.submit(order.append, number)) for number in range(9)]
    assert pool.waiting == 9
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("trial_")]) == 4
    go.set()
    assert all(event.wait(10) for event in [*done, *more])
    assert pool.waiting == 0
    assert sorted(order) == list(range(9))


def test_who_waits_is_served_in_order() -> None:
    pool = Pool(1, thread_name_prefix="trial")
    go = threading.Event()
    pool.submit(go.wait, 10)
    order: list[int] = []
    last = [finished(pool.submit(order.append, number)) for number in range(20)][-1]
    go.set()
    assert last.wait(10)
    assert order == list(range(20))
    pool.shutdown()


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_a_thread_survives_what_it_is_asked_to_do(
    pool: Pool, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise kind("no")

    with caplog.at_level(logging.ERROR):
        assert finished(pool.submit(fail)).wait(10)
    assert any(record.exc_info and record.exc_info[0] is kind for record in caplog.records)
    wait_for(lambda: len(pool._idle) == 1)
    assert finished(pool.submit(lambda: None)).wait(10)
    assert len(pool._started) == 1


def test_each_callback_is_called_once_whoever_comes_first(pool: Pool) -> None:
    told: list[Task] = []
    works = []
    for _ in range(500):
        work = pool.submit(lambda: None)
        work.add_done_callback(told.append)
        works.append(work)
    wait_for(lambda: len(told) >= 500)
    assert sorted(map(id, told)) == sorted(map(id, works))


def test_shutting_down_finishes_what_waits_ends_all_threads_and_takes_no_more(pool: Pool) -> None:
    go, done = occupy(pool, 6)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        pool.submit(lambda: None)
    go.set()
    pool.shutdown()
    assert all(event.is_set() for event in done)
    assert not any(thread.is_alive() for thread in pool._started)


def test_an_idle_thread_keeps_nothing_of_the_last_call(pool: Pool) -> None:
    class Large:
        def __del__(self) -> None:
            gone.set()

    gone = threading.Event()
    work = pool.submit(lambda _: None, Large())
    assert finished(work).wait(10)
    del work
    assert gone.wait(10)
