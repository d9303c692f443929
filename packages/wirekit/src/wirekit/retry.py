"""Retries and their pauses: one policy, one decision, no loop and no sleep.

The decision is `next_pause`; the loop around it is `wirekit.attempts.attempts`.
"""

import random as _random
from collections.abc import Callable
from dataclasses import dataclass

from wirekit.deadline import Deadline


def says_retryable(error: Exception) -> bool:
    """Return whether the error's own attribute `retryable` is true; errors without one are not repeated.

    >>> says_retryable(ValueError("wrong for ever"))
    False
    """
    return bool(getattr(error, "retryable", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Number of repeats of a call and the pauses before them.

    The pause before repeat n is drawn evenly from zero to `min(longest_pause, first_pause * multiplier ** (n
    - 1))`: exponential backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015).

    Attributes:
        max_retries: repeats after the first attempt; 0 means one attempt. None repeats until an attempt succeeds or
            fails for good, which is for streams: nobody waits for their end.
        first_pause: upper end of the first pause, in seconds.
        multiplier: growth of that end from repeat to repeat, 1 to 10.
        longest_pause: where the growth stops, in seconds.
        retry_after_ceiling: the longest wait a server may ask for, in seconds. A server that asks for more
            ends the call: coming back earlier would be rude, and a caller that hangs for an hour is worse
            than an error that carries `retry_after`.
        retryable: whether this error can go away by itself.

    Raises:
        ValueError: a number is out of its range.
    """

    max_retries: int | None = 2
    first_pause: float = 0.25
    multiplier: float = 2.0
    longest_pause: float = 8.0
    retry_after_ceiling: float = 60.0
    retryable: Callable[[Exception], bool] = says_retryable

    def __post_init__(self) -> None:
        if self.max_retries is not None and self.max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, not {self.max_retries}")
        if not 1 <= self.multiplier <= 10:
            raise ValueError(f"multiplier must be between 1 and 10, not {self.multiplier}")
        for name in ("first_pause", "longest_pause", "retry_after_ceiling"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more seconds, not {getattr(self, name)}")

    def backoff(self, failures: int) -> float:
        """Upper end of the pause after so many failures, in seconds.

        >>> [RetryPolicy(first_pause=1, longest_pause=5).backoff(n) for n in (1, 2, 3, 4)]
        [1.0, 2.0, 4.0, 5]
        """
        # 60 doublings pass every ceiling; beyond that a float would overflow.
        return min(self.longest_pause, self.first_pause * self.multiplier ** min(failures - 1, 60))


def next_pause(
    policy: RetryPolicy,
    error: Exception,
    failures: int,
    deadline: Deadline,
    random: Callable[[], float] = _random.random,
) -> float | None:
    """Return the pause before the next attempt in seconds, or None to give up and raise the error.

    A server's `retry_after` (an attribute of the error, in seconds) is kept and the jitter comes on top, so
    that a crowd told the same second does not come back in the same second. The deadline is looked at before
    sleeping: a pause that would reach it is not begun.

    Args:
        policy: how often and how patiently.
        error: what the last attempt raised.
        failures: attempts that failed so far, 1 or more.
        deadline: of the whole call.
        random: a number from 0 up to 1.

    >>> next_pause(RetryPolicy(), ValueError("not retryable"), 1, Deadline.after(30)) is None
    True
    """
    if policy.max_retries is not None and failures > policy.max_retries:
        return None
    if not policy.retryable(error):
        return None
    pause = policy.backoff(failures) * random()
    told: float | None = getattr(error, "retry_after", None)
    if told is not None:
        if told > policy.retry_after_ceiling:
            return None
        pause += told
    return pause if pause < deadline.remaining() else None
