"""Protocol of every measured engine: the same few verbs, so that no figure knows whom it measures."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final, Protocol

from benchmarks.engine.conditions import Condition
from benchmarks.engine.datasets import Vectors

M: Final = 16
"""Links per node of every HNSW graph in this bench (32 on the ground layer, as all of them do)."""

EF_CONSTRUCTION: Final = 200
"""Breadth of the search that builds every HNSW graph in this bench."""


USUAL_BREADTH: Final = 128
"""Breadth of a search where no recall is asked for."""


class Durability(StrEnum):
    """Moment at which an acknowledged batch is on the disk.

    batch: before it is acknowledged. request: when the engine is asked to flush. never: it offers no way.
    """

    BATCH = "batch"
    REQUEST = "request"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Shape:
    """Content and use of a collection.

    distance: cosine, dot or euclidean. threads: how many the engine may use. filterable: build the indexes on labels
    that the engine's documentation advises for filtered search.
    """

    dimension: int
    distance: str
    threads: int
    filterable: bool = False


@dataclass(frozen=True, slots=True)
class Effort:
    """Effort of a search: the beam width (ef), and the style of the subject."""

    breadth: int
    style: str


class Subject(Protocol):
    """One collection in one engine; the constructor opens the one in a directory, or creates it in an empty directory.

    Rows are named by their position. Not thread-safe, except `search`.
    """

    durability: ClassVar[Durability]
    styles: ClassVar[tuple[str, ...]]
    """Ways to search that trade speed for recall, beside the breadth; the fastest good enough one counts."""

    filters: ClassVar[bool]
    """True when searches can be restricted by a condition."""

    def __init__(self, directory: Path, shape: Shape) -> None: ...

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Store rows from position `first`; returns when the engine has acknowledged all of them."""
        ...

    def sync(self) -> None:
        """Return when everything acknowledged is on the disk; nothing to do where `durability` is not request."""
        ...

    def wait_indexed(self) -> None:
        """Return when every row is in the index, whatever call that takes."""
        ...

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Fix how the searches that follow are done."""
        ...

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return positions of the rows nearest to one vector, nearest first; neither payload nor vectors are
        fetched.
        """
        ...

    def close(self) -> None:
        """Release everything; what was acknowledged is found when the directory is opened again."""
        ...
