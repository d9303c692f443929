"""Queues for threads."""

import os

import pytest

from vectrograph.services.limits.queueing import (
    ALWAYS_LET_IN,
    MAX_ACTUAL_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    Queue,
    worker_threads,
)


def served_every(seconds: float, waiting: int, *, starts: int = 100) -> Queue:
    """Return a queue that stays as long as this while one begins every so many seconds."""
    at = 0.0
    queue = Queue(lambda: at)
    for _ in range(waiting):
        queue.join()
    for _ in range(starts):
        at += seconds
        assert queue.begin(queue.join())
    assert queue.waiting == waiting
    return queue


def test_as_many_may_wait_as_begin_within_a_second() -> None:
    pace = 0.02
    most = int(MAX_WAIT_SECONDS / pace)
    assert not served_every(pace, most - 2).is_too_long
    assert served_every(pace, most + 2).is_too_long


def test_a_few_may_wait_however_slow_the_work_is() -> None:
    assert not served_every(5.0, ALWAYS_LET_IN - 1).is_too_long
    assert served_every(5.0, ALWAYS_LET_IN).is_too_long


def test_idle_time_is_no_slowness() -> None:
    at = 0.0
    queue = Queue(lambda: at)
    for _ in range(50):
        at += 10.0
        queue.begin(queue.join())
    for _ in range(500):
        queue.join()
    assert not queue.is_too_long


def test_a_slow_time_is_forgotten_when_work_is_quick_again() -> None:
    at = 0.0
    queue = Queue(lambda: at)
    for _ in range(50):
        queue.join()
    for pace, too_long in ((1.0, True), (0.001, False)):
        for _ in range(80):
            at += pace
            queue.begin(queue.join())
        assert queue.is_too_long is too_long


def test_who_gives_up_waits_no_more() -> None:
    queue = Queue()
    queue.join()
    queue.leave()
    assert queue.waiting == 0


def test_nobody_is_let_in_behind_work_that_does_not_end() -> None:
    at = 0.0
    queue = Queue(lambda: at)
    for _ in range(ALWAYS_LET_IN):
        queue.join()
    found = []
    for at in (MAX_WAIT_SECONDS * 0.9, MAX_WAIT_SECONDS * 1.1):  # noqa: B007  (the queue's clock)
        found.append(queue.is_too_long)
    queue.begin(at)
    queue.join()
    assert [*found, queue.is_too_long] == [False, True, False]


def test_who_waited_too_long_among_many_is_not_begun_and_the_next_in_time_is() -> None:
    at = 0.0
    queue = Queue(lambda: at)
    early = [queue.join() for _ in range(50)]
    at = MAX_ACTUAL_WAIT_SECONDS + 0.1
    late = [queue.join() for _ in range(ALWAYS_LET_IN + 1)]
    assert not any(queue.begin(since) for since in early)
    assert queue.begin(late[0])


def test_few_wait_as_long_as_it_takes() -> None:
    at = 0.0
    queue = Queue(lambda: at)
    waiting = [queue.join() for _ in range(ALWAYS_LET_IN)]
    at = 100 * MAX_ACTUAL_WAIT_SECONDS
    assert all(queue.begin(since) for since in waiting)


def test_threads_follow_the_processors_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, threads in ((1, 4), (2, 4), (6, 12), (64, 32)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=processors: set(range(n)), raising=False)
        assert worker_threads() == threads
