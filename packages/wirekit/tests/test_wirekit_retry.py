"""The retry decision, the loop around it, deadlines, and what a server says about coming back."""

import asyncio
import math
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirekit.attempts import attempts
from wirekit.budget import RetryBudget
from wirekit.deadline import Deadline
from wirekit.flow import Flow, Send, Sleep, pull, pull_async, run, run_async
from wirekit.retry import RetryPolicy, next_pause
from wirekit.retry_after import parse_retry_after


class PassingError(Exception):
    """An error that can go away."""

    retryable = True

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class LastingError(Exception):
    """An error that stays."""


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


NEVER = Deadline(math.inf)
policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 6),
    first_pause=st.floats(0, 5),
    multiplier=st.floats(1, 10),
    longest_pause=st.floats(0, 60),
    retry_after_ceiling=st.floats(0, 100),
)
fractions = st.floats(0, 1, exclude_max=True)


@given(policies, st.integers(1, 10), st.none() | st.floats(0, 200), st.floats(0, 300), fractions)
def test_a_pause_keeps_every_promise(
    policy: RetryPolicy, failures: int, told: float | None, seconds: float, fraction: float
) -> None:
    pause = next_pause(policy, PassingError(told), failures, Deadline.after(seconds, Clock()), lambda: fraction)
    if failures > (policy.max_retries or 0) or (told is not None and told > policy.retry_after_ceiling):
        assert pause is None
    elif pause is None:
        assert (told or 0) + policy.backoff(failures) >= seconds
    else:
        assert (told or 0) <= pause <= (told or 0) + min(policy.longest_pause, policy.backoff(failures))
        assert pause < seconds


@given(policies, st.integers(1, 10_000))
def test_backoff_grows_up_to_its_ceiling_and_never_overflows(policy: RetryPolicy, failures: int) -> None:
    assert policy.backoff(failures) <= policy.backoff(failures + 1) <= policy.longest_pause


def test_jitter_spans_the_whole_backoff() -> None:
    policy = RetryPolicy(first_pause=4.0)
    assert next_pause(policy, PassingError(), 1, NEVER, lambda: 0.0) == 0.0
    assert next_pause(policy, PassingError(), 1, NEVER, lambda: 0.5) == 2.0


def test_a_told_pause_of_zero_is_an_answer() -> None:
    assert next_pause(RetryPolicy(first_pause=0), PassingError(0.0), 1, NEVER) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": -1},
        {"multiplier": 0.5},
        {"multiplier": 11},
        {"first_pause": -1},
        {"longest_pause": math.nan},
    ],
)
def test_senseless_policies_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def scripted(clock: Clock, outcomes: list[Any]) -> tuple[Callable[[Any], Any], list[Any]]:
    """Return a shell that answers sends from a script and moves the clock instead of sleeping."""
    seen: list[Any] = []

    def perform(effect: Any) -> Any:
        seen.append(effect)
        if isinstance(effect, Sleep):
            clock.now += effect.seconds
            return None
        outcome = outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return perform, seen


def ask(clock: Clock, policy: RetryPolicy, seconds: float | None = None) -> Flow[Any]:
    deadline = Deadline.after(seconds, clock)

    def attempt() -> Flow[Any]:
        return (yield Send("question", deadline))

    return attempts(attempt, policy, deadline, lambda: 0.5)


def test_attempts_repeat_until_an_answer_comes() -> None:
    clock = Clock()
    perform, seen = scripted(clock, [PassingError(), PassingError(retry_after=3.0), "answer"])
    assert run(ask(clock, RetryPolicy(first_pause=1.0)), perform) == "answer"
    assert [effect.seconds for effect in seen if isinstance(effect, Sleep)] == [0.5, 4.0]


def test_attempts_raise_the_last_error_after_the_last_repeat() -> None:
    clock, last = Clock(), PassingError()
    perform, seen = scripted(clock, [PassingError(), PassingError(), last])
    with pytest.raises(PassingError) as caught:
        run(ask(clock, RetryPolicy(max_retries=2)), perform)
    assert caught.value is last
    assert sum(isinstance(effect, Send) for effect in seen) == 3


def test_lasting_errors_are_not_repeated() -> None:
    perform, seen = scripted(Clock(), [LastingError()])
    with pytest.raises(LastingError):
        run(ask(Clock(), RetryPolicy()), perform)
    assert len(seen) == 1


def test_the_deadline_is_checked_before_sleeping() -> None:
    clock = Clock()
    perform, seen = scripted(clock, [PassingError(retry_after=5.0), "too late"])
    with pytest.raises(PassingError):
        run(ask(clock, RetryPolicy(), seconds=5.0), perform)
    assert len(seen) == 1
    assert clock.now == 0.0


def test_interrupts_pass_through_the_flow_and_run_its_finally() -> None:
    cleaned = []

    def flow() -> Flow[None]:
        try:
            yield Send("question", NEVER)
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        run(flow(), scripted(Clock(), [KeyboardInterrupt()])[0])
    assert cleaned == [True]


def test_a_flow_may_return_without_an_effect() -> None:
    def flow() -> Flow[str]:
        yield from ()
        return "cached"

    assert run(flow(), lambda effect: pytest.fail("nothing to perform")) == "cached"


@pytest.mark.anyio
async def test_both_drivers_do_the_same() -> None:
    clock = Clock()
    perform, seen = scripted(clock, [PassingError(), "answer"])

    async def perform_async(effect: Any) -> Any:
        return perform(effect)

    assert await run_async(ask(clock, RetryPolicy()), perform_async) == "answer"
    assert [type(effect) for effect in seen] == [Send, Sleep, Send]

    perform, _ = scripted(clock, [LastingError()])
    with pytest.raises(LastingError):
        await run_async(ask(clock, RetryPolicy()), perform_async)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@given(st.floats(0, 1000), st.none() | st.floats(0, 1000), st.floats(0, 2000))
def test_a_child_never_outlives_its_parent(whole: float, part: float | None, later: float) -> None:
    clock = Clock()
    parent = Deadline.after(whole, clock)
    child = parent.child(part)
    assert child.at <= parent.at
    clock.now += later
    assert child.remaining() <= parent.remaining()
    assert child.expired == (child.remaining() == 0)


def test_no_deadline_is_told_as_none() -> None:
    assert Deadline.after(None).timeout() is None
    assert Deadline.after(5, Clock()).timeout() == 5.0
    assert not Deadline.after(None).child(None).expired


@given(st.integers(0, 10**9))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert parse_retry_after(f" {seconds} ") == seconds


@given(st.floats(0, 1e6))
def test_retry_after_in_decimals(seconds: float) -> None:
    assert parse_retry_after(f"{seconds:.6f}") == pytest.approx(seconds, abs=1e-6)


@given(st.integers(0, 2**32), st.integers(-(10**6), 10**6))
def test_retry_after_as_a_date(moment: int, ahead: int) -> None:
    told = parse_retry_after(formatdate(moment + ahead, usegmt=True), now=float(moment))
    assert told == max(0.0, ahead) or moment + ahead < 0


def test_retry_after_dates_use_the_wall_clock() -> None:
    told = parse_retry_after(formatdate(time.time() + 100, usegmt=True))
    assert told is not None
    assert 95 < told <= 100


@given(st.text())
def test_odd_retry_after_never_raises(text: str) -> None:
    told = parse_retry_after(text)
    assert told is None or (told >= 0 and math.isfinite(told))


@pytest.mark.parametrize("text", [None, "", "-5", "1e3", "nan", "inf", "soon", "٣", "Mon, 99 Foo 2020"])
def test_unusable_retry_after_is_none(text: str | None) -> None:
    assert parse_retry_after(text) is None


class TestWithoutEnd:
    """A policy without a bound, as streams have it."""

    ENDLESS = RetryPolicy(max_retries=None, first_pause=1.0, longest_pause=8.0)

    def test_it_repeats_until_it_works(self) -> None:
        perform, seen = scripted(Clock(), [*[PassingError()] * 50, "answer"])
        assert run(ask(Clock(), self.ENDLESS), perform) == "answer"
        assert sum(isinstance(effect, Sleep) for effect in seen) == 50

    def test_or_until_it_fails_for_good(self) -> None:
        perform, _ = scripted(Clock(), [PassingError(), LastingError()])
        with pytest.raises(LastingError):
            run(ask(Clock(), self.ENDLESS), perform)

    def test_a_spent_budget_makes_pauses_long_and_is_not_drawn_further(self) -> None:
        budget = RetryBudget(tokens=4, ratio=0.5)
        clock, outcomes = Clock(), [*[PassingError()] * 6, "answer"]
        perform, seen = scripted(clock, outcomes)
        deadline = Deadline.after(None, clock)
        flow = attempts(lambda: one(deadline), self.ENDLESS, deadline, lambda: 0.0, budget=budget)
        assert run(flow, perform) == "answer"
        assert [effect.seconds for effect in seen if isinstance(effect, Sleep)] == [0, 0, 8, 8, 8, 8]
        assert not budget.spent

    def test_progress_counts_failures_anew(self) -> None:
        told: list[int] = []
        progress = iter([False, False, True, False])
        perform, _ = scripted(Clock(), [*[PassingError()] * 4, "answer"])
        deadline = Deadline.after(None)
        flow = attempts(
            lambda: one(deadline),
            self.ENDLESS,
            deadline,
            on_retry=lambda error, failures, pause: told.append(failures),
            progressed=lambda: next(progress),
        )
        assert run(flow, perform) == "answer"
        assert told == [1, 2, 1, 2]


def one(deadline: Deadline) -> Flow[Any]:
    return (yield Send("question", deadline))


class Found(int):
    """A result among others."""


def counting() -> Flow[None]:
    yield Found((yield Send(0, NEVER)))
    try:
        yield Send(1, NEVER)
    except PassingError:
        yield Found(-1)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_flow_may_have_many_results(asynchronous: bool) -> None:
    perform, seen = scripted(Clock(), [5, PassingError()])

    async def perform_async(effect: Any) -> Any:
        return perform(effect)

    def pulled(flow: Flow[None]) -> int | None:
        effect = next(flow, None)
        if not asynchronous:
            return pull(flow, effect, perform, Found)
        return asyncio.run(pull_async(flow, effect, perform_async, Found))

    flow = counting()
    assert [pulled(flow) for _ in range(4)] == [5, -1, None, None]
    assert len(seen) == 2
