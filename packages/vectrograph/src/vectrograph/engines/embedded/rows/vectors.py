"""Vectors of a collection: in memory while they are few, in a mapped file when they are many."""

from typing import Final, Protocol

import numpy as np

from vectrograph.domain.points import Vector

MEMORY_BYTES: Final = 1 << 20
"""Vectors kept in memory: many small collections then need no file, no map and no descriptor each."""

# Rows of the smallest array that is made.
_MIN_ROWS: Final = 256


class Vectors(Protocol):
    """Rows that are appended to by one thread and read by any number; arrays that were handed out stay valid."""

    @property
    def rows(self) -> int:
        """Number of vectors."""
        ...

    @property
    def vectors(self) -> Vector:
        """All of them, shape (rows, dimension), read-only."""
        ...

    def append(self, vectors: Vector) -> int:
        """Add vectors of shape (n, dimension); returns the row of the first.

        Raises:
            OSError, MemoryError: there is no room; nothing was added.
        """
        ...

    def forget(self, rows: int) -> None:
        """Keep this many; only rows that nobody was shown may be forgotten."""
        ...

    def close(self) -> None:
        """Append no more."""
        ...

    def discard(self) -> None:
        """Append no more, and leave nothing on the disk."""
        ...


class MemoryVectors:
    """Vectors in memory.

    Args:
        dimension: of the vectors.
        capacity: rows to make room for.
    """

    def __init__(self, dimension: int, capacity: int = 0) -> None:
        self._everything: Vector = np.empty((max(capacity, _MIN_ROWS), dimension), np.float32)
        self._rows = 0

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return self._rows

    @property
    def vectors(self) -> Vector:
        """All of them, shape (rows, dimension), read-only."""
        shown = self._everything[: self._rows]
        shown.flags.writeable = False
        return shown

    def append(self, vectors: Vector) -> int:
        """Add vectors of shape (n, dimension); returns the row of the first.

        Raises:
            MemoryError: there is no room; nothing was added.
        """
        first, end = self._rows, self._rows + len(vectors)
        if end > len(self._everything):
            larger = np.empty((end + end // 2, self._everything.shape[1]), np.float32)
            larger[:first] = self._everything[:first]
            self._everything = larger
        self._everything[first:end] = vectors
        self._rows = end
        return first

    def forget(self, rows: int) -> None:
        """Keep this many; only rows that nobody was shown may be forgotten."""
        self._rows = min(self._rows, rows)

    def close(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""
