"""The tokens of one grid in memory, and exact scans over them.

Measured on one core with 100,000 tokens: a scan of one space takes 0.3 ms and one of all spaces 2 to 5 ms, so that no
index is needed. Columns are contiguous, one for each axis of each level.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.grid import AXES, COMPONENTS, LEVELS, Coordinates

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

MEMBER_BYTES: Final = 270
"""Memory of a token of a grid, in bytes: 27 numbers of 8 bytes, and a quarter to spare."""
# Rows compared at a time: their columns of one level fit into a processor's second cache.
_BLOCK_ROWS: Final = 16_384
# Relative error that sums of squares in another order may have; candidates are compared again in the defined order.
_ROUNDING: Final = 1e-9
# Share of a block that must be left for its columns to be read whole: gathering single values takes four times as long.
_GATHER_BELOW: Final = 0.25


@dataclass(frozen=True, slots=True)
class Region:
    """A ball in one space, or across all of them.

    Attributes:
        space: index of the level; None for all.
        center: three coordinates, or 24 for all spaces.
        radius: largest distance.
        scales: of each level, for distances across all: √(Σ sᵢ² · |pᵢ − qᵢ|²).
    """

    space: int | None
    center: tuple[float, ...]
    radius: float
    scales: tuple[float, ...]

    @property
    def dimensions(self) -> int:
        """Dimensions of the ball."""
        return COMPONENTS if self.space is None else AXES


@dataclass(frozen=True, slots=True)
class Near:
    """Tokens of a region: rows of the arrays, and their distances from its center."""

    rows: Rows
    distances: Floats


class GridArrays:
    """Members of one grid, ascending by token. Not thread-safe: its users hold the grid's lock."""

    def __init__(self) -> None:
        self._count = 0
        self._ids = np.empty(0, np.int64)
        self._coordinates = np.empty((COMPONENTS, 0))
        self._radii = np.empty(0)
        self._strengths = np.empty(0)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return self._ids.nbytes + self._coordinates.nbytes + self._radii.nbytes + self._strengths.nbytes

    @property
    def ids(self) -> Ids:
        """Numbers of the tokens, ascending."""
        return self._ids[: self._count]

    @property
    def radii(self) -> Floats:
        """Field radius of each token."""
        return self._radii[: self._count]

    @property
    def strengths(self) -> Floats:
        """Field strength of each token."""
        return self._strengths[: self._count]

    def row(self, token: int) -> int | None:
        """Return the row of a token; None when it is not here."""
        place = int(np.searchsorted(self.ids, token))
        return place if place < self._count and self._ids[place] == token else None

    def among(self, ids: Ids) -> Ids:
        """Return those of some tokens that are here."""
        places = np.searchsorted(self.ids, ids)
        places[places == self._count] = 0
        return ids[self._ids[places] == ids] if self._count else ids[:0]

    def coordinates(self, row: int) -> tuple[float, ...]:
        """Return the 24 coordinates of a row."""
        values: list[float] = self._coordinates[:, row].tolist()
        return tuple(values)

    def position(self, row: int, space: int) -> list[float]:
        """Return the coordinates of a row in one space."""
        values: list[float] = self._coordinates[space * AXES : (space + 1) * AXES, row].tolist()
        return values

    def put(self, ids: Ids, coordinates: Coordinates, radii: Floats, strengths: Floats) -> None:
        """Store tokens, those that are here already anew.

        Args:
            ids: ascending, each once.
            coordinates: shape (tokens, 24).
            radii, strengths: of their fields.
        """
        places = np.searchsorted(self.ids, ids)
        inside = places < self._count
        known = np.zeros(len(ids), bool)
        known[inside] = self._ids[places[inside]] == ids[inside]
        here = places[known]
        self._coordinates[:, here] = coordinates[known].T
        self._radii[here] = radii[known]
        self._strengths[here] = strengths[known]
        if known.all():
            return
        new = ~known
        first, last = self._count, self._count + int(new.sum())
        self.reserve(last)
        self._ids[first:last] = ids[new]
        self._coordinates[:, first:last] = coordinates[new].T
        self._radii[first:last] = radii[new]
        self._strengths[first:last] = strengths[new]
        self._count = last
        if first and self._ids[first] < self._ids[first - 1]:
            self._arrange(np.argsort(self.ids, kind="stable"))

    def drop(self, ids: Ids) -> None:
        """Remove tokens; those that are not here are left out."""
        keep = np.flatnonzero(~np.isin(self.ids, ids))
        if len(keep) < self._count:
            self._arrange(keep)

    def reserve(self, count: int) -> None:
        """Make room for so many tokens, with a quarter to spare where rows are here already."""
        if count <= len(self._ids):
            return
        size = count + count // 4 if self._count else count
        for name in ("_ids", "_coordinates", "_radii", "_strengths"):
            old = getattr(self, name)
            grown = np.empty((*old.shape[:-1], size), old.dtype)
            grown[..., : self._count] = old[..., : self._count]
            setattr(self, name, grown)

    def near(self, region: Region, nearest: int | None = None) -> Near:
        """Return the tokens of a region, ascending by row.

        Args:
            region: where to look.
            nearest: if given, only so many are wanted: farther ones than these may be left out.
        """
        bound = region.radius * region.radius * (1 + _ROUNDING)
        center = np.array(region.center)
        rows: list[Rows] = []
        squares: list[Floats] = []
        for first in range(0, self._count, _BLOCK_ROWS):
            last = min(self._count, first + _BLOCK_ROWS)
            found, squared = self._scan(first, last, region, center, bound)
            rows.append(found)
            squares.append(squared)
            if nearest is not None and sum(map(len, squares)) > nearest:
                together = np.concatenate(squares)
                farthest = float(np.partition(together, nearest - 1)[nearest - 1])
                # Squares that differ in the last bits may have the same root.
                bound = min(bound, farthest * (1 + _ROUNDING))
                keep = together <= bound
                rows, squares = [np.concatenate(rows)[keep]], [together[keep]]
        if not rows:
            return Near(np.empty(0, np.intp), np.empty(0))
        distances = np.sqrt(np.concatenate(squares))
        inside = distances <= region.radius
        return Near(np.concatenate(rows)[inside], distances[inside])

    def ranked(self, near: Near, offset: int, limit: int) -> Near:
        """Return part of what is near, ascending by distance, equals by token."""
        rows, distances = near.rows, near.distances
        wanted = offset + limit
        if wanted < len(rows):
            keep = distances <= np.partition(distances, wanted - 1)[wanted - 1]
            rows, distances = rows[keep], distances[keep]
        order = np.lexsort((rows, distances))[offset:wanted]
        return Near(rows[order], distances[order])

    def _scan(self, first: int, last: int, region: Region, center: Floats, bound: float) -> tuple[Rows, Floats]:
        """Return the rows of a block whose squared distance is within the bound, with that square."""
        block = self._coordinates[:, first:last]
        if region.space is not None:
            squared = _squared(block[region.space * AXES : (region.space + 1) * AXES], center)
            rows = np.flatnonzero(squared <= bound)
            return rows + first, squared[rows]
        rows = self._candidates(block, region, center, bound)
        total = np.zeros(len(rows))
        for level, scale in enumerate(region.scales):
            axes = slice(level * AXES, (level + 1) * AXES)
            total += scale * scale * _squared(block[axes].take(rows, axis=1), center[axes])
        inside = total <= bound
        return rows[inside] + first, total[inside]

    def _candidates(self, block: Floats, region: Region, center: Floats, bound: float) -> Rows:
        """Return the rows of a block that may be within the bound in all spaces.

        The levels with the largest scales come first: what is too far there need not be looked at in the others.
        """
        limit = bound * (1 + _ROUNDING)
        rows: Rows | None = None
        partial = np.zeros(block.shape[1])
        for level in sorted(range(len(LEVELS)), key=lambda level: -region.scales[level]):
            axes = slice(level * AXES, (level + 1) * AXES)
            columns = block[axes] if rows is None else block[axes].take(rows, axis=1)
            squared = _squared(columns, center[axes])
            squared *= region.scales[level] ** 2
            partial += squared
            keep = np.flatnonzero(partial <= limit)
            if len(keep) < _GATHER_BELOW * len(partial):
                rows = keep if rows is None else rows[keep]
                partial = partial[keep]
        keep = np.flatnonzero(partial <= limit)
        return keep if rows is None else rows[keep]

    def _arrange(self, order: Rows) -> None:
        """Keep these rows in this order."""
        count = len(order)
        self._ids[:count] = self._ids[order]
        self._radii[:count] = self._radii[order]
        self._strengths[:count] = self._strengths[order]
        for column in self._coordinates:
            column[:count] = column[order]
        self._count = count


def _squared(columns: Floats, center: Floats) -> Floats:
    """Return the squared distances of columns x, y and z from a point: (Δx² + Δy²) + Δz²."""
    difference = columns - center[:, np.newaxis]
    difference *= difference
    squared: Floats = difference[0]
    squared += difference[1]
    squared += difference[2]
    return squared
