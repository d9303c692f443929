"""Repeats, as the function passed as `on_retry` is told of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from neurograph.wire import Request

__all__ = ["OnRetry", "Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """A repeat that is about to happen.

    Attributes:
        request: what is sent again; its repr shows no secret.
        error: why.
        attempt: attempts that have failed so far, 1 or more.
        pause: seconds until it is sent.
    """

    request: Request
    error: Exception
    attempt: int
    pause: float


OnRetry: TypeAlias = Callable[[Retry], None]
