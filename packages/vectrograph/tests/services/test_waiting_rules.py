"""Whether one more is let in to wait for a thread."""

from vectrograph.services.waiting import ALWAYS_LET_IN, MAX_WAIT_SECONDS, Queue


def served_every(seconds: float, waiting: int, *, starts: int = 100) -> Queue:
    """A queue that stays as long as this while one begins every so many seconds."""
    at = 0.0
    queue = Queue(lambda: at)
    for _ in range(waiting):
        queue.join()
    for _ in range(starts):
        at += seconds
        queue.join()
        queue.begin()
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
        queue.join()
        queue.begin()
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
            queue.join()
            queue.begin()
        assert queue.is_too_long is too_long


def test_who_gives_up_waits_no_more() -> None:
    queue = Queue()
    queue.join()
    queue.leave()
    assert queue.waiting == 0
