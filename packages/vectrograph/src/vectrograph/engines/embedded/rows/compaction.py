"""A new generation of rows without the dead ones, made beside the old one while that is written to."""

from typing import Final

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.vectors import MEMORY_BYTES, MemoryVectors, Vectors
from vectrograph.engines.embedded.rows.view import Columns, Generation, Rows, View

# Rows of room beyond half of the live ones, for what is written meanwhile to a small collection.
_SPARE_ROWS: Final = 1024
_COPY_BYTES: Final = 8 << 20
"""Copied at a time: a few milliseconds."""


class Compaction:
    """Live rows of a View under new numbers, then those that came later.

    Args:
        view: whose live rows are copied.
        files: makes a place for their vectors.
        check_cancelled: called every few milliseconds; may raise to stop.

    Raises:
        OSError, MemoryError: there is no room; nothing is left behind.
    """

    def __init__(self, view: View, files: DerivedFiles, check_cancelled: Cancellation) -> None:
        self._kept: Rows = np.flatnonzero(view.live)
        self._seen = len(view.labels)
        dimension, capacity = view.vectors.shape[1], len(self._kept) + len(self._kept) // 2 + _SPARE_ROWS
        small = 4 * dimension * capacity <= MEMORY_BYTES
        vectors: Vectors = MemoryVectors(dimension, capacity) if small else files.create_vectors()
        self.generation = Generation(vectors, Columns(capacity), 0)
        try:
            step = max(1, _COPY_BYTES // (4 * dimension))
            for start in range(0, len(self._kept), step):
                check_cancelled()
                self._copy(view, self._kept[start : start + step])
        except BaseException:
            self.discard()
            raise

    @staticmethod
    def bytes_for(view: View) -> int:
        """Return memory that it takes beside the old generation."""
        dimension = view.vectors.shape[1]
        capacity = view.count + view.count // 2 + _SPARE_ROWS
        vectors = 4 * dimension * view.count if 4 * dimension * capacity <= MEMORY_BYTES else 0
        return Columns.BYTES * capacity + vectors

    def follow(self, view: View) -> int:
        """Take over the rows that were added since; dead ones too, so that nothing needs to be looked for.

        Returns:
            How many they were.
        """
        added = np.arange(self._seen, len(view.labels))
        self._copy(view, added)
        self._kept = np.concatenate([self._kept, added])
        self._seen = len(view.labels)
        return len(added)

    def finish(self, view: View) -> Generation:
        """Return the new generation, as live as the View; the lock that guards writes is held."""
        self.follow(view)
        np.take(view.live, self._kept, out=self.generation.columns.live[: self.generation.size])
        return self.generation

    def discard(self) -> None:
        """Remove what was made."""
        self.generation.vectors.discard()

    def _copy(self, view: View, rows: Rows) -> None:
        new = self.generation
        end = new.size + len(rows)
        if end > new.columns.capacity:
            new.columns = new.columns.taken(slice(new.size), new.size, end + end // 2)
        new.vectors.append(view.vectors[rows])
        part = slice(new.size, end)
        new.columns.labels[part], new.columns.created[part] = view.labels[rows], view.created[rows]
        new.columns.lengths[part], new.columns.live[part] = view.lengths[rows], view.live[rows]
        new.size = end

    @property
    def view(self) -> View:
        """The rows so far, as something to build a graph from."""
        new = self.generation
        columns, end = new.columns, new.size
        live = columns.live[:end]
        return View(
            0,
            int(np.count_nonzero(live)),
            new.vectors.vectors[:end],
            columns.lengths[:end],
            columns.labels[:end],
            columns.created[:end],
            live,
        )
