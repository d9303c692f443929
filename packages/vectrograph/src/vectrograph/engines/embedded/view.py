"""What a search sees: one immutable state of a collection's vectors, and how the next one is made from it."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.distances import Norms, norms
from vectrograph.domain.values import Vector
from vectrograph.engines.embedded.graph.served import ServedGraph

Labels: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_SMALLEST: Final = 256
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
        """The rows of labels that are all present."""
        rows: Rows = np.searchsorted(self.labels, labels).astype(np.int64)
        return rows


@dataclass(frozen=True, slots=True)
class Addition:
    """Rows to append: labels above all present ones, ascending."""

    vectors: Vector
    labels: Labels
    created: Labels


class ViewBuilder:
    """The writer's side of the Views of one collection; the caller makes sure that only one thread is in here.

    Successive Views share buffers with room to spare: a row that is appended lies beyond the end of every View handed
    out before. Only marking rows dead copies something, the bits; room that has become too small, or too full of dead
    rows, is replaced by a copy.

    Args:
        dimension: of the vectors.
        capacity: rows to make room for.
        seq: of the first, empty View.
    """

    def __init__(self, dimension: int, capacity: int = 0, seq: int = 0) -> None:
        self._dimension = dimension
        self._allocate(max(capacity, _SMALLEST))
        self._size = 0
        self.view = self._publish(seq, 0)

    def _allocate(self, capacity: int) -> None:
        vectors, lengths = np.empty((capacity, self._dimension), np.float32), np.empty(capacity, np.float32)
        labels, created, live = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.bool_)
        # All or none: an allocation that fails leaves the old buffers together.
        self._vectors, self._lengths, self._labels, self._created, self._live = vectors, lengths, labels, created, live

    def make_room(self, rows: int) -> None:
        """Take the memory for as many more rows now, before anything is committed; Views stay as they are.

        Raises:
            MemoryError: there is none; nothing has changed.
        """
        dead = self._size - self.view.count
        if dead > max(_SMALLEST, self._size // _DEAD_SHARE):
            live = np.flatnonzero(self._live[: self._size])
            self._move(live, len(live) + rows)
        elif self._size + rows > len(self._labels):
            self._move(np.arange(self._size), self._size + rows)

    def advance(self, seq: int, gone: Labels, added: Addition) -> View:
        """The next View: rows of labels `gone` are dead, `added` are there. Room was made before."""
        if len(gone):
            self._live = self._live.copy()
            self._live[np.searchsorted(self._labels[: self._size], gone)] = False
        self._append(added)
        self.view = self._publish(seq, self.view.count - len(gone) + len(added.labels))
        return self.view

    def _append(self, added: Addition) -> None:
        end = self._size + len(added.labels)
        self._vectors[self._size : end] = added.vectors
        self._lengths[self._size : end] = norms(added.vectors)
        self._labels[self._size : end] = added.labels
        self._created[self._size : end] = added.created
        self._live[self._size : end] = True
        self._size = end

    def _move(self, rows: Rows, needed: int) -> None:
        """Copy some rows into buffers with room for `needed` and half as many again."""
        vectors, lengths, labels, created, live = self._vectors, self._lengths, self._labels, self._created, self._live
        size = len(rows)
        self._allocate(max(_SMALLEST, needed + needed // 2))
        np.take(vectors, rows, axis=0, out=self._vectors[:size])
        self._lengths[:size], self._labels[:size] = lengths[rows], labels[rows]
        self._created[:size], self._live[:size] = created[rows], live[rows]
        self._size = size

    def _publish(self, seq: int, count: int) -> View:
        end = self._size
        view = View(
            seq,
            count,
            self._vectors[:end],
            self._lengths[:end],
            self._labels[:end],
            self._created[:end],
            self._live[:end],
        )
        for part in (view.vectors, view.lengths, view.labels, view.created, view.live):
            part.flags.writeable = False
        return view
