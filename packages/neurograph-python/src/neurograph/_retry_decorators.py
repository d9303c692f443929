"""Repeat functions of your own as the client repeats its calls; under the names of the official package.

The client repeats its own calls already (`max_retries`). These decorators are for what you build around it: they share
its policy, its only retry loop, and its idea of which errors can pass.
"""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from neurograph._concurrency import async_sleep, sleep
from neurograph._wirekit.attempts import attempts
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.flow import Flow, Send, run, run_async
from neurograph._wirekit.options import OptionError, flag, number, whole
from neurograph._wirekit.retry import RetryPolicy
from neurograph.exceptions import ConfigurationError, NeuroGraphError

P = ParamSpec("P")
T = TypeVar("T")

# Longest pause that may be asked for, in seconds: a day.
_DAY = 86_400.0


@dataclass(frozen=True)
class RetryConfig:
    """Number of repetitions of a function, and the pauses between them.

    Attributes:
        max_retries: repeats after the first attempt.
        initial_delay: longest first pause, in seconds.
        max_delay: where pauses stop growing, in seconds.
        exponential_base: growth of the pause from repeat to repeat, 1 to 10.
        jitter: whether a pause is drawn between zero and its length, so that many callers do not come back together.

    Raises:
        ConfigurationError: a value that cannot work; names it.

    >>> [RetryConfig(jitter=False).get_delay(attempt) for attempt in (0, 1, 9)]
    [1.0, 2.0, 60.0]
    """

    __module__ = "neurograph"  # where users find it

    max_retries: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        problem = None
        try:
            whole("max_retries", self.max_retries, 0, 1_000)
            number("initial_delay", self.initial_delay, 0, _DAY, "seconds")
            number("max_delay", self.max_delay, 0, _DAY, "seconds")
            number("exponential_base", self.exponential_base, 1, 10)
            flag("jitter", self.jitter)
        except OptionError as error:
            problem = str(error)
        if problem is not None:
            raise ConfigurationError(problem)

    def policy(self) -> RetryPolicy:
        """Return the policy of the client's own retry layer that these values describe.

        >>> RetryConfig(max_retries=1).policy().max_retries
        1
        """
        return RetryPolicy(
            max_retries=self.max_retries,
            first_pause=self.initial_delay,
            multiplier=self.exponential_base,
            longest_pause=self.max_delay,
        )

    def get_delay(self, attempt: int) -> float:
        """Return the longest pause after this attempt, counted from 0, in seconds.

        >>> RetryConfig(jitter=False).get_delay(1)
        2.0
        """
        return float(self.policy().backoff(attempt + 1))

    def should_retry(self, exception: Exception, attempt: int) -> bool:
        """Return whether to repeat after this error of this attempt, counted from 0.

        >>> RetryConfig().should_retry(ValueError("wrong for ever"), 0)
        False
        """
        return attempt < self.max_retries and isinstance(exception, NeuroGraphError) and exception.retryable


def retry_with_backoff(
    config: RetryConfig | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator that repeats a function whose NeuroGraphError can pass.

    The function is called again as a whole, so it must be safe to repeat. A server's `retry_after` is kept.

    Args:
        config: how often and with what pauses; the default when absent.

    >>> @retry_with_backoff(RetryConfig(max_retries=1))
    ... def ask():
    ...     return "answer"
    >>> ask()
    'answer'
    """
    chosen = RetryConfig() if config is None else config

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
            def perform(effect: Any) -> Any:
                return function(*args, **kwargs) if isinstance(effect, Send) else sleep(effect.seconds)

            answer: T = run(_flow(chosen), perform)
            return answer

        return repeated

    return decorate


def async_retry_with_backoff(
    config: RetryConfig | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Make a decorator as `retry_with_backoff` does, for coroutine functions.

    >>> @async_retry_with_backoff(RetryConfig(max_retries=1))
    ... async def ask():
    ...     return "answer"
    >>> await ask()
    'answer'
    """
    chosen = RetryConfig() if config is None else config

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
            async def perform(effect: Any) -> Any:
                return await (function(*args, **kwargs) if isinstance(effect, Send) else async_sleep(effect.seconds))

            answer: T = await run_async(_flow(chosen), perform)
            return answer

        return repeated

    return decorate


def _flow(config: RetryConfig) -> Flow[Any]:
    never = Deadline.after(None)

    def attempt() -> Flow[Any]:
        return (yield Send(None, never))

    if config.jitter:
        return attempts(attempt, config.policy(), never)
    return attempts(attempt, config.policy(), never, random=lambda: 1.0)


for _function in (retry_with_backoff, async_retry_with_backoff):
    _function.__module__ = "neurograph"  # where users find it
