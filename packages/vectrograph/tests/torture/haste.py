"""Housekeeping that comes after a few steps and not after hours, so that a short story has all of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from unittest import mock

from torture.oracle import KEPT_CHANGES
from torture.story import Clock
from vectrograph.domain.log_retention import LogRetention
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.index.effort import Route
from vectrograph.engines.embedded.query.planner import Planner
from vectrograph.engines.embedded.rows import compaction, view
from vectrograph.engines.embedded.truth import store
from vectrograph.engines.embedded.upkeep import index_upkeep, log_trimming
from vectrograph.engines.embedded.upkeep.background import Rhythm

RHYTHM: Final = Rhythm(
    first_floats=0,
    first_rows=(24, 24),
    swap_rows=24,
    swap_share=0.0,
    idle_seconds=0.01,
    dead_share=0.2,
    save_share=0.1,
    trim_seconds=0.005,
)
"""A graph from 24 rows on, extended, compacted and saved all the time; a log that is shortened all the time."""
RETENTION: Final = LogRetention(max_changes=KEPT_CHANGES)

_CHECKPOINT_PAGES: Final = 40
_MEMORY_BYTES: Final = 512
_MIN_UNSAVED_ROWS: Final = 8
_PORTION: Final = 16
_BALLAST_BYTES: Final = 1 << 16
"""Little, because directories are copied again and again."""


@contextmanager
def hastened() -> Iterator[None]:
    """Checkpoints after 160 kB, vectors in a file from 16 rows on, a few changes removed at a time; for the length of
    the block.
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(log_trimming, "_PORTION", _PORTION))
        stack.enter_context(mock.patch.object(store, "_CHECKPOINT_PAGES", _CHECKPOINT_PAGES))
        stack.enter_context(mock.patch.object(index_upkeep, "_MIN_UNSAVED_ROWS", _MIN_UNSAVED_ROWS))
        for module in (view, compaction):
            stack.enter_context(mock.patch.object(module, "MEMORY_BYTES", _MEMORY_BYTES))
        yield


def open_hastily(
    directory: Path,
    clock: Clock,
    *,
    vfs: str | None = None,
    retention: LogRetention = RETENTION,
    reached: Callable[[str], None] = lambda _: None,
) -> EmbeddedEngine:
    """Return an engine that is always at its housekeeping; to be called inside `hastened`."""
    return EmbeddedEngine.open(
        directory,
        clock=clock,
        vfs=vfs,
        rhythm=RHYTHM,
        retention=retention,
        reached=reached,
        ballast_bytes=_BALLAST_BYTES,
    )


@contextmanager
def walking(engine: EmbeddedEngine) -> Iterator[None]:
    """Let an engine search by its graph wherever there is one, although a scan would be quicker."""
    with mock.patch.object(engine, "_searcher", Planner(lambda *_: Route.WALK)):
        yield
