"""A progress bar on standard error, when that is a terminal."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

Meter: TypeAlias = Callable[[int], None]
"""A function to call with the number of rows done so far."""


@contextmanager
def metered(source: BinaryIO | None, what: str, quiet: bool) -> Generator[Meter, None, None]:
    """Provide a bar that grows with the bytes read of a file, and counts rows.

    Args:
        source: what is being read; None, a pipe or a terminal has no known end, and only rows are counted.
        what: the word in front of the bar.
        quiet: draw nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    size = _size(source)
    columns = [TextColumn("{task.description}"), BarColumn()]
    known = [] if size is None else [TaskProgressColumn()]
    rows_done = TextColumn("{task.fields[rows]:,} rows")
    with Progress(*columns, *known, rows_done, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=size, rows=0)

        def move(rows: int) -> None:
            position = 0 if size is None or source is None else source.tell()
            bar.update(task, completed=position, rows=rows)

        yield move
        if size is not None:
            move_to_end = bar.tasks[0].fields["rows"]
            move(move_to_end)


def _size(source: BinaryIO | None) -> int | None:
    """Return bytes of a regular file; None for anything else."""
    if source is None or not source.seekable():
        return None
    return os.fstat(source.fileno()).st_size or None
