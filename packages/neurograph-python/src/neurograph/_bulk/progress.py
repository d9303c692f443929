"""Telling how far a long call has come."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

from neurograph.exceptions import ConfigurationError

Progress: TypeAlias = bool | Callable[[int, int | None], None] | None
"""A function of items done and items in all (None when unknown); True draws a bar with rich."""


@contextmanager
def reporting(progress: Progress, total: int | None, what: str) -> Generator[Callable[[int], None], None, None]:
    """Provide a function to call with the number of items done so far.

    Raises:
        ConfigurationError: a bar is wanted but rich is not installed.

    >>> seen = []
    >>> with reporting(lambda done, total: seen.append((done, total)), 3, "tokens") as report:
    ...     report(2)
    >>> seen
    [(2, 3)]
    """
    if not progress:
        yield lambda done: None
    elif callable(progress):
        report = progress
        yield lambda done: report(done, total)
    else:
        with _bar(total, what) as update:
            yield update


@contextmanager
def _bar(total: int | None, what: str) -> Generator[Callable[[int], None], None, None]:
    try:
        from rich import progress as rich
    except ImportError as error:
        raise ConfigurationError(
            "progress=True draws with rich, which is not installed: pip install rich, or pass a function of the "
            "items done and the items in all"
        ) from error
    with rich.Progress(
        rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeElapsedColumn()
    ) as drawn:
        task = drawn.add_task(what, total=total)
        yield lambda done: drawn.update(task, completed=done)
