"""Places where a process can be made to die: at calls that change files, and inside the engine's own steps."""

import importlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final
from unittest import mock

from torture.seam import Event

_NUMBER: Final = re.compile(r"-\d+")
_PACKAGE: Final = "vectrograph.engines.embedded"

STEPS: Final = {
    "before commit": ("truth.store", "Store", "apply", "before"),
    "after commit": ("truth.store", "Store", "apply", "after"),
    "before publication": ("rows.view", "ViewBuilder", "advance", "before"),
    "before checkpoint": ("truth.store", "Store", "_checkpoint", "before"),
    "after checkpoint": ("truth.store", "Store", "_checkpoint", "after"),
    "while loading": ("truth.store", "Store", "_load_after", "after"),
    "while resuming": ("truth.store", "Store", "labels_until", "after"),
    "while extending": ("index.graph", "Graph", "_add", "after"),
    "while saving": ("rows.derived_files", "DerivedFiles", "save", "before"),
    "after saving": ("rows.derived_files", "DerivedFiles", "save", "after"),
    "while copying": ("rows.compaction", "Compaction", "_copy", "after"),
    "while adopting": ("rows.view", "ViewBuilder", "adopt", "before"),
    "before trimming": ("truth.store", "Store", "trim_log", "before"),
    "after trimming": ("truth.store", "Store", "trim_log", "after"),
    "while closing": ("truth.store", "Store", "close", "before"),
}
"""Named places inside the engine: module, class, method, and which side of it."""

CALLS: Final = (
    "write of points.sqlite",
    "sync of points.sqlite",
    "write of points.sqlite-wal",
    "sync of points.sqlite-wal",
    "truncate of points.sqlite-wal",
    "create of points.sqlite-wal",
    "unlink of points.sqlite-wal",
    "write of points.sqlite-journal",
    "unlink of points.sqlite-journal",
    "write of manifest.json.tmp",
    "rename of manifest.json.tmp",
    "write of last-commit",
    "sync of last-commit",
    "create of vectors.f32",
    "write of vectors.f32",
    "sync of vectors.f32",
    "truncate of vectors.f32",
    "unlink of vectors.f32",
    "write of index.graph.tmp",
    "sync of index.graph.tmp",
    "rename of index.graph.tmp",
    "mkdir",
    "rmdir",
    "sync directory",
)
"""Named calls: before each of them, or after."""

STAGES: Final = ("build", "extend", "publish", "compact", "save", "trim")
"""Stages of background work, as the engine names them."""

POINTS: Final = (
    *STEPS,
    *(f"stage {stage}" for stage in STAGES),
    *(f"{side} {call}" for call in CALLS for side in ("before", "after")),
)
_SOMETIMES: Final = ("graph", "vectors", "stage", "extending", "saving", "copying", "trimming")
_OFTEN: Final = ("write of points.sqlite", "sync of points.sqlite", "commit", "publication")


def usual_turns(point: str) -> int:
    """Return how often a place is passed in a short life: to choose at which time to die."""
    if any(word in point for word in _OFTEN):
        return 60
    return 12 if any(word in point for word in _SOMETIMES) else 4


@dataclass(slots=True)
class Doom:
    """Kills this process at the n-th time that a place is reached, and says so on standard output first."""

    point: str
    turns: int

    def before(self, event: Event) -> None:
        """Count a call that is about to be made."""
        self.reached(f"before {name_of(event)}")

    def after(self, event: Event) -> None:
        """Count a call that was made."""
        self.reached(f"after {name_of(event)}")

    def stage(self, name: str) -> None:
        """Background work has come to a stage."""
        self.reached(f"stage {name}")

    def reached(self, point: str) -> None:
        """Note that the process is at a place."""
        if point == self.point:
            self.turns -= 1
            if self.turns <= 0:
                os.write(1, f"died {point}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


def name_of(event: Event) -> str:
    """Return a call in words: files by their name without its number, directories by none."""
    if not event.file:
        return str(event.kind)
    return f"{event.kind} of {_NUMBER.sub('', PurePath(event.path).name)}"


@contextmanager
def armed(doom: Doom) -> Iterator[None]:
    """Watch the engine's own steps for the length of the block."""
    with ExitStack() as stack:
        if doom.point in STEPS:
            module, owner, method, side = STEPS[doom.point]
            target = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), owner)
            wrapped = _wrapped(getattr(target, method), doom, side)
            stack.enter_context(mock.patch.object(target, method, wrapped))
        yield


def _wrapped(method: Callable[..., Any], doom: Doom, side: str) -> Callable[..., Any]:
    def around(*args: Any, **options: Any) -> Any:
        if side == "before":
            doom.reached(doom.point)
        result = method(*args, **options)
        if side == "after":
            doom.reached(doom.point)
        return result

    return around
