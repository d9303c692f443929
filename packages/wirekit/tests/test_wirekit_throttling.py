"""The circuit breaker, the budget of repeats, and lines out of a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirekit.attempts import attempts
from wirekit.breaker import CircuitBreaker, CircuitState
from wirekit.budget import RetryBudget
from wirekit.deadline import Deadline
from wirekit.flow import Flow, Sleep, run
from wirekit.line_splitter import LineSplitter
from wirekit.retry import RetryPolicy


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class PassingError(Exception):
    retryable = True


def test_a_circuit_opens_probes_and_closes() -> None:
    clock = Clock()
    breaker = CircuitBreaker(threshold=3, recovery=10, clock=clock)
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.wait() == 0
        breaker.failed()
    assert (breaker.state, breaker.wait()) == (CircuitState.OPEN, 10)
    clock.now = 10
    assert (breaker.wait(), breaker.state) == (0, CircuitState.HALF_OPEN)
    assert breaker.wait() > 0, "one probe at a time"
    breaker.failed()
    assert (breaker.state, breaker.wait()) == (CircuitState.OPEN, 10)
    clock.now = 20
    assert breaker.wait() == 0
    breaker.succeeded()
    assert (breaker.state, breaker.wait()) == (CircuitState.CLOSED, 0)


def test_a_probe_that_is_never_told_of_does_not_block_for_ever() -> None:
    clock = Clock()
    breaker = CircuitBreaker(threshold=1, recovery=5, clock=clock)
    breaker.failed()
    clock.now = 5
    assert breaker.wait() == 0
    clock.now = 10
    assert breaker.wait() == 0


def test_a_threshold_of_zero_never_opens() -> None:
    breaker = CircuitBreaker(threshold=0)
    for _ in range(100):
        breaker.failed()
    assert breaker.wait() == 0
    with pytest.raises(ValueError, match="threshold"):
        CircuitBreaker(threshold=-1)


def test_an_empty_budget_ends_repeats_and_successes_fill_it() -> None:
    budget = RetryBudget(tokens=4, ratio=1)
    told: list[object] = []

    def failing() -> Flow[str]:
        yield Sleep(0)
        raise PassingError

    def working() -> Flow[str]:
        yield Sleep(0)
        return "done"

    policy = RetryPolicy(max_retries=10, first_pause=0)
    for expected in (1, 0):
        told.clear()
        with pytest.raises(PassingError):
            run(
                attempts(failing, policy, Deadline.after(5), budget=budget, on_retry=lambda *seen: told.append(seen)),
                lambda effect: None,
            )
        assert len(told) == expected
    for _ in range(4):
        assert run(attempts(working, policy, Deadline.after(5), budget=budget), lambda effect: None) == "done"
    assert budget.failed()


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line and bool(line.strip()))), st.integers(1, 9))
def test_lines_are_the_same_wherever_the_stream_is_cut(lines: list[bytes], size: int) -> None:
    stream = b"\n".join(lines)
    splitter = LineSplitter()
    found = [line for at in range(0, len(stream), size) for line in splitter.feed(stream[at : at + size])]
    assert found + splitter.flush() == lines
