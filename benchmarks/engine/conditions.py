"""Labels that every stored row carries, and conditions on them that match 1 %, 10 % or 50 % of the rows.

`shuffle` has nothing to do with the vectors. `zone_a` and `zone_b` rank the rows by their distance from two pivots,
so that a low zone lies near the queries that are asked and a high one far away: the filters on which a graph search
fails or flies.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.datasets import SEED, DataSet, Vectors

ZONES: Final = ("zone_a", "zone_b")
NAMES: Final = ("shuffle", *ZONES)
PLACES: Final = ("random", "near", "far")
_BLOCK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Condition:
    """`low` <= label < `high`; labels are whole numbers from 0 to 99, each carried by one row in a hundred."""

    label: str
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.label}-{self.low}-{self.high}"


@dataclass(frozen=True)
class Labels:
    """The labels of all rows: (rows, 3) whole numbers from 0 to 99 in the order of `NAMES`."""

    values: NDArray[np.int8]

    def column(self, label: str) -> NDArray[np.int8]:
        """Return one label of all rows."""
        return self.values[:, NAMES.index(label)]

    def of(self, first: int, count: int) -> list[dict[str, int]]:
        """Return the labels of some rows, as the payload of each."""
        rows = self.values[first : first + count].tolist()
        return [dict(zip(NAMES, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class Group:
    """Queries that are asked under one condition; `name` tells them from others of the same data."""

    name: str
    queries: Vectors
    condition: Condition | None


def labels_of(data: DataSet, distance: str) -> Labels:
    """Return the labels of a data set, computed once and kept beside it."""
    path = data.folder / f"labels-{distance}.npy"
    if not path.exists():
        generator = np.random.default_rng((SEED, 1))
        columns = [_percentiles(generator.random(data.rows))]
        columns += [_percentiles(_from_pivot(data.mapped(), pivot, distance)) for pivot in _pivots(data)]
        np.save(path, np.stack(columns, axis=1).astype(np.int8))
    return Labels(np.load(path))


def matching(labels: Labels, condition: Condition) -> NDArray[np.int64]:
    """Return positions of the rows that match, ascending."""
    column = labels.column(condition.label)
    return np.flatnonzero((column >= condition.low) & (column < condition.high))


def unfiltered(data: DataSet, count: int) -> list[Group]:
    """Return the first `count` queries, asked without a condition."""
    return [Group("all", data.queries[:count], None)]


def filtered(data: DataSet, distance: str, place: str, percent: int, count: int) -> list[Group]:
    """Return queries under a condition that `percent` of the rows match: random, near the queries, or far from them."""
    if place == "random":
        condition = Condition("shuffle", 0, percent)
        return [Group(str(condition), data.queries[:count], condition)]
    groups = []
    for zone, pivot in zip(ZONES, _pivots(data), strict=True):
        nearest = np.argsort(_from_pivot(data.queries, pivot, distance), kind="stable")[: max(1, count // 2)]
        condition = Condition(zone, 0, percent) if place == "near" else Condition(zone, 100 - percent, 100)
        groups.append(Group(str(condition), data.queries[nearest], condition))
    return groups


def _pivots(data: DataSet) -> list[Vectors]:
    """Return two held-out queries that are not alike: the last one, and of the fifty before it the one least
    like it.
    """
    last, before = data.queries[-1], data.queries[-51:-1]
    return [last, before[int(np.argmax(_from_pivot(before, last, "euclidean")))]]


def _from_pivot(vectors: Vectors, pivot: Vectors, distance: str) -> NDArray[np.float64]:
    parts = []
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], np.float64)
        if distance == "cosine":
            parts.append(-(block @ pivot) / np.maximum(np.linalg.norm(block, axis=1), 1e-30))
        else:
            parts.append(-(block @ pivot) if distance == "dot" else ((block - pivot) ** 2).sum(axis=1))
    return np.concatenate(parts)


def _percentiles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks * 100 // len(values)
