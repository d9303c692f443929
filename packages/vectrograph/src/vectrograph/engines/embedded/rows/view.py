"""Views: immutable states of a collection's vectors, and the way from one to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.distances import Norms, norms
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.graph import ServedGraph
from vectrograph.engines.embedded.rows.memory_budget import Budget, OverBudget
from vectrograph.engines.embedded.rows.vectors import MEMORY_BYTES, MemoryVectors, Vectors

Labels: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

# Rows of the smallest arrays that are made, and dead rows that are left in any collection.
_MIN_ROWS: Final = 256
# A collection is compacted when one of so many rows is dead. Chosen: a quarter of the memory at most is wasted.
_DEAD_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class View:
    """Rows of vectors and what ranking needs; shape (n, …). Never changed once a reader can see it.

    Attributes:
        seq: of the last change it contains.
        count: live rows.
        vectors: float32, (n, dimension).
        lengths: Euclidean length of each vector.
        labels: ascending.
        created: `created_seq` of each point.
        live: False where the row was deleted or replaced.
        served: the index over the first rows, None while there is none.
    """

    seq: int
    count: int
    vectors: Vector
    lengths: Norms
    labels: Labels
    created: Labels
    live: Mask
    served: ServedGraph | None = None

    def rows_of(self, labels: Labels) -> Rows:
        """Return the rows of labels that are all present."""
        rows: Rows = np.searchsorted(self.labels, labels).astype(np.int64)
        return rows

    @property
    def buffered(self) -> int:
        """Rows, dead ones included, that no graph covers."""
        return len(self.labels) - (self.served.graph.covered if self.served is not None else 0)


@dataclass(frozen=True, slots=True)
class Addition:
    """Rows to append: labels above all present ones, ascending."""

    vectors: Vector
    labels: Labels
    created: Labels


class Columns:
    """Columns of each row besides its vector, in arrays with room to grow.

    Args:
        capacity: rows to make room for.
    """

    BYTES: Final = 8 + 8 + 4 + 1
    """Per row."""

    def __init__(self, capacity: int) -> None:
        self.labels: Labels = np.empty(capacity, np.int64)
        self.created: Labels = np.empty(capacity, np.int64)
        self.lengths: Norms = np.empty(capacity, np.float32)
        self.live: Mask = np.empty(capacity, np.bool_)

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self.labels)

    def taken(self, rows: Rows | slice, size: int, capacity: int) -> "Columns":
        """Return a copy of `size` chosen rows with room for more."""
        other = Columns(capacity)
        for mine, copy in zip(self._parts(), other._parts(), strict=True):
            copy[:size] = mine[rows]
        return other

    def put(self, first: int, added: Addition) -> None:
        """Fill the rows of an addition; all are live."""
        part = slice(first, first + len(added.labels))
        self.labels[part], self.created[part] = added.labels, added.created
        self.lengths[part] = norms(added.vectors)
        self.live[part] = True

    def _parts(self) -> tuple[NDArray[np.generic], ...]:
        return self.labels, self.created, self.lengths, self.live


@dataclass(slots=True, eq=False)
class Generation:
    """Numbered rows: vectors, columns, and how many there are. A row keeps its number within one generation.

    Attributes:
        vectors: may hold rows beyond `size` that are not committed yet.
        columns: of as many rows at least.
        size: rows that are part of Views.
    """

    vectors: Vectors
    columns: Columns
    size: int


class ViewBuilder:
    """The writer's side of the Views of one collection; the caller makes sure that only one thread is in here.

    Successive Views share buffers with room to spare: a row that is appended lies beyond the end of every View handed
    out before. Only marking rows dead copies something, the bits. Rows get new numbers only in a new generation, of
    which the old Views know nothing: small collections without a graph are compacted on the way, others in the
    background (`adopt`).

    Args:
        dimension: of the vectors.
        capacity: rows to make room for.
        seq: of the first, empty View.
        spill: makes an empty place for the vectors once they are too many for the memory; None keeps them there.
    """

    def __init__(
        self, dimension: int, capacity: int = 0, seq: int = 0, *, spill: Callable[[], Vectors] | None = None
    ) -> None:
        self._budget = Budget()
        self._room = self._budget.reserve(0)
        self._dimension = dimension
        self._spill = spill
        capacity = max(capacity, _MIN_ROWS)
        many = spill is not None and 4 * dimension * capacity > MEMORY_BYTES
        vectors = spill() if spill is not None and many else MemoryVectors(dimension, capacity)
        self.generation = Generation(vectors, Columns(capacity), 0)
        self._prepared: Addition | None = None
        self.view = self._shown(0, seq, 0, None)

    @classmethod
    def resume(
        cls, generation: Generation, seq: int, served: ServedGraph | None, spill: Callable[[], Vectors] | None
    ) -> "ViewBuilder":
        """Go on from rows that were saved; `seq` of the last change they contain."""
        builder = cls(generation.vectors.vectors.shape[1], spill=spill)
        builder.generation = generation
        live = generation.columns.live[: generation.size]
        builder.view = builder._shown(generation.size, seq, int(np.count_nonzero(live)), served)
        return builder

    def charge(self, budget: Budget) -> None:
        """Take the memory from a budget from now on; what is there already is taken even if it is not left."""
        self._budget, self._room = budget, budget.reserve(0)
        self._recount(anyway=True)

    def release(self) -> None:
        """Give the memory back to the budget; this was the last View."""
        self._room.release()

    @property
    def in_memory(self) -> bool:
        """Return whether the vectors lie in memory and in no file."""
        return isinstance(self.generation.vectors, MemoryVectors)

    def prepare(self, added: Addition) -> None:
        """Take the room for an addition and put its vectors there, before anything is committed.

        Views stay as they are; `advance` shows the rows, and what is not shown is overwritten by the next addition.

        Raises:
            OSError, MemoryError: there is no room; nothing has changed.
            OutOfSpace: the budget has none; nothing has changed.
        """
        self.forget()
        if self._mostly_dead() and self.in_memory and self.view.served is None:
            self._compact(len(added.labels))
        now, needed = self.generation, self.generation.size + len(added.labels)
        try:
            if needed > now.columns.capacity:
                self._grow(needed)
            if self.in_memory and self._spill is not None and 4 * self._dimension * needed > MEMORY_BYTES:
                now.vectors = self._spilled(self._spill())
            if len(added.labels):
                self._recount(needed)
        except OverBudget as error:
            raise self._budget.refusal(f"{len(added.labels)} more points") from error
        now.vectors.append(added.vectors)
        self._prepared = added

    def _grow(self, needed: int) -> None:
        """Make the columns long enough, by half as many again if the budget allows."""
        now = self.generation
        for capacity in (needed + needed // 2, needed + _MIN_ROWS):
            try:
                self._room.resize(self._bytes(capacity, now.size))
            except OverBudget:
                if capacity == needed + _MIN_ROWS:
                    raise
            else:
                now.columns = now.columns.taken(slice(now.size), now.size, capacity)
                return

    def _recount(self, rows: int | None = None, *, anyway: bool = False) -> None:
        now = self.generation
        self._room.resize(self._bytes(now.columns.capacity, now.size if rows is None else rows), anyway=anyway)

    def _bytes(self, capacity: int, rows: int) -> int:
        return Columns.BYTES * capacity + (4 * self._dimension * rows if self.in_memory else 0)

    def forget(self) -> None:
        """Drop what was prepared and not committed."""
        self._prepared = None
        self.generation.vectors.forget(self.generation.size)

    def advance(self, seq: int, gone: Labels, added: Addition) -> View:
        """Return the next View: rows of labels `gone` are dead, `added` are there."""
        if self._prepared is not added:
            self.prepare(added)
        now = self.generation
        if len(gone):
            live = now.columns.live.copy()
            live[np.searchsorted(now.columns.labels[: now.size], gone)] = False
            now.columns.live = live
        now.columns.put(now.size, added)
        end = now.size + len(added.labels)
        view = self._shown(end, seq, self.view.count - len(gone) + len(added.labels), self.view.served)
        # No call from here on: Ctrl-C comes before, and then the same can be done again, or after.
        now.size = end
        self._prepared = None
        self.view = view
        return view

    def serve(self, served: ServedGraph | None) -> None:
        """Show the same rows with another index, which is of this generation."""
        self.view = replace(self.view, served=served)

    def adopt(self, generation: Generation, served: ServedGraph | None) -> Vectors:
        """Show the same live rows under new numbers; returns the old vectors, which Views handed out still read.

        Args:
            generation: of the rows that are live now, and perhaps of some that are dead.
            served: the index over it.
        """
        self.forget()
        old, self.generation = self.generation.vectors, generation
        self._recount(anyway=True)
        self.view = self._shown(generation.size, self.view.seq, self.view.count, served)
        return old

    def _mostly_dead(self) -> bool:
        dead = self.generation.size - self.view.count
        return dead > max(_MIN_ROWS, self.generation.size // _DEAD_SHARE)

    def _compact(self, more: int) -> None:
        now = self.generation
        kept = np.flatnonzero(now.columns.live[: now.size])
        capacity = max(_MIN_ROWS, len(kept) + more + (len(kept) + more) // 2)
        vectors = MemoryVectors(self._dimension, capacity)
        vectors.append(now.vectors.vectors[kept])
        self.adopt(Generation(vectors, now.columns.taken(kept, len(kept), capacity), len(kept)), None)

    def _spilled(self, vectors: Vectors) -> Vectors:
        try:
            vectors.append(self.generation.vectors.vectors)
        except BaseException:
            vectors.discard()
            raise
        return vectors

    def _shown(self, end: int, seq: int, count: int, served: ServedGraph | None) -> View:
        now = self.generation
        columns = now.columns
        view = View(
            seq,
            count,
            now.vectors.vectors[:end],
            columns.lengths[:end],
            columns.labels[:end],
            columns.created[:end],
            columns.live[:end],
            served,
        )
        for part in (view.vectors, view.lengths, view.labels, view.created, view.live):
            part.flags.writeable = False
        return view
