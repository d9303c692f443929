"""One call from its first attempt to its answer, or to giving up."""

import random as _random
from collections.abc import Callable
from typing import TypeVar

from wirekit.budget import RetryBudget
from wirekit.deadline import Deadline
from wirekit.flow import Flow, Sleep
from wirekit.retry import RetryPolicy, next_pause

T = TypeVar("T")


def attempts(
    attempt: Callable[[], Flow[T]],
    policy: RetryPolicy,
    deadline: Deadline,
    random: Callable[[], float] = _random.random,
    *,
    budget: RetryBudget | None = None,
    on_retry: Callable[[Exception, int, float], None] | None = None,
    progressed: Callable[[], bool] | None = None,
) -> Flow[T]:
    """Run an attempt until it succeeds or the policy gives up; the only retry loop there is.

    Args:
        attempt: makes a fresh flow for one attempt.
        policy: how often and how patiently.
        deadline: of all attempts and pauses together.
        random: a number from 0 up to 1, for the jitter.
        budget: of repeats, shared with other calls; None sets no bound besides the policy's. Where the policy sets
            no bound either, a spent budget makes the pause the longest one instead of ending the call.
        on_retry: told the error, the failures so far and the pause in seconds, before each pause. What it
            raises ends the call.
        progressed: asked after a failure, whether the attempt came so far that failures are counted anew.

    Yields:
        The effects of the attempts, and a Sleep between them.

    Returns:
        What the first successful attempt returns. Raises what the last attempt raised.

    >>> from wirekit.flow import Send, run
    >>> def ask():
    ...     return (yield Send("question", Deadline.after(1)))
    >>> run(attempts(ask, RetryPolicy(), Deadline.after(1)), lambda effect: "answer")
    'answer'
    """
    failures = 0
    while True:
        try:
            answer = yield from attempt()
        except Exception as error:
            failures = 1 if progressed is not None and progressed() else failures + 1
            pause = next_pause(policy, error, failures, deadline, random)
            if pause is None:
                raise
            if budget is not None:
                pause = _within(budget, policy, pause)
                if pause is None:
                    raise
            if on_retry is not None:
                on_retry(error, failures, pause)
        else:
            if budget is not None:
                budget.succeeded()
            return answer
        yield Sleep(pause)


def _within(budget: RetryBudget, policy: RetryPolicy, pause: float) -> float | None:
    """Return the pause that the budget leaves; None for no repeat.

    A call without an end never draws the last of the budget: it would be missing for all calls that come later.
    """
    if policy.max_retries is not None:
        return pause if budget.failed() else None
    if budget.spent:
        return max(pause, policy.longest_pause)
    budget.failed()
    return pause
