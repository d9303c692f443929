"""Hints to grpc about the threads that a method runs on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OnThreads:
    """A method's behaviour that grpc runs on the given pool instead of the server's.

    The two `experimental_…` names are grpc's own (`grpc/_server.py`): it looks for them on the behaviour. Non-blocking
    behaviours get a function to send each response with, as a third argument, and hold no thread between responses.
    """

    behaviour: Callable[..., Any]
    experimental_thread_pool: ThreadPoolExecutor
    experimental_non_blocking: bool = False

    def __call__(self, *arguments: Any) -> Any:
        """Run the behaviour."""
        return self.behaviour(*arguments)
