"""The same test text for threads and for tasks: do several things at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def gather(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run calls at once in threads of their own; an exception takes the place of its result."""
    todo = list(calls)

    with ThreadPoolExecutor(len(todo)) as threads:
        started = [threads.submit(call) for call in todo]
    return [done.exception() or done.result() for done in started]


async def async_gather(calls: Iterable[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Run calls at once in tasks of their own; an exception takes the place of its result."""
    return await asyncio.gather(*(call() for call in calls), return_exceptions=True)


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that waits."""
    return function(*arguments)


async def async_apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that waits, in a thread."""
    return await asyncio.to_thread(function, *arguments)
