"""Exact answers, and how much of them an approximate one has found.

Recall is judged by distance, not by id: a returned row counts when it is as near as the k-th exact neighbour, so that
an engine is not blamed for choosing another one of several equal rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.conditions import Condition, Labels, matching
from benchmarks.engine.datasets import DataSet, Vectors

K: Final = 10
_SPARE: Final = 54
_BLOCK: Final = 20_000
_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class Truth:
    """The exact distance of the k-th neighbour of each query (float64), and how many there are to find (k or fewer)."""

    distance: str
    kth: NDArray[np.float64]
    available: int


def exact_distances(query: Vectors, rows: Vectors, distance: str) -> NDArray[np.float64]:
    """Return distances of some rows from one query in double precision; lower is closer.

    cosine: 1 − cos. euclidean: squared L2. dot: −⟨q, v⟩.

    >>> exact_distances(np.array([1, 0], np.float32), np.array([[3, 4]], np.float32), "cosine").round(6).tolist()
    [0.4]
    """
    wide, other = rows.astype(np.float64), query.astype(np.float64)
    if distance == "euclidean":
        squared: NDArray[np.float64] = ((wide - other) ** 2).sum(axis=1)
        return squared
    product = wide @ other
    if distance == "dot":
        return np.negative(product)
    norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(other)
    return 1.0 - product / np.where(norms == 0, 1, norms)


def truth_of(
    data: DataSet, labels: Labels, queries: Vectors, distance: str, condition: Condition | None, name: str
) -> Truth:
    """Return exact answers for some queries, among the rows that match a condition; computed once and kept beside the
    data.

    Args:
        data: the stored rows.
        labels: their labels.
        queries: (n, dimension).
        distance: cosine, dot or euclidean.
        condition: None for all rows.
        name: tells this set of queries and condition from others of the same data.
    """
    rows = np.arange(data.rows) if condition is None else matching(labels, condition)
    path = data.folder / f"truth-{distance}-{name}-{len(queries)}.npy"
    if path.exists():
        kth = np.load(path)
    else:
        kth = _kth_distances(data.mapped(), rows, queries, distance)
        _save(path, kth)
    return Truth(distance, kth, min(K, len(rows)))


def _save(path: Path, kth: NDArray[np.float64]) -> None:
    partial = path.with_suffix(".partial.npy")
    np.save(partial, kth)
    partial.replace(path)


def _kth_distances(vectors: Vectors, rows: NDArray[np.int64], queries: Vectors, distance: str) -> NDArray[np.float64]:
    """Return single precision finds some candidates more than k, double precision decides."""
    keep = min(K + _SPARE, len(rows))
    near = np.full((len(queries), keep), np.inf, np.float32)
    who = np.zeros((len(queries), keep), np.int64)
    for start in range(0, len(rows), _BLOCK):
        chosen = rows[start : start + _BLOCK]
        block = np.asarray(vectors[chosen])
        found = np.concatenate([near, _rough_distances(queries, block, distance)], axis=1)
        names = np.concatenate([who, np.broadcast_to(chosen, (len(queries), len(chosen)))], axis=1)
        best = np.argpartition(found, keep - 1, axis=1)[:, :keep]
        near, who = np.take_along_axis(found, best, axis=1), np.take_along_axis(names, best, axis=1)
    k = min(K, keep)
    exact = (exact_distances(q, np.asarray(vectors[ids]), distance) for q, ids in zip(queries, who, strict=True))
    return np.array([np.partition(distances, k - 1)[k - 1] for distances in exact])


def _rough_distances(queries: Vectors, block: Vectors, distance: str) -> Vectors:
    product = queries @ block.T
    if distance == "dot":
        rough = -product
    elif distance == "euclidean":
        rough = (block**2).sum(axis=1)[None, :] - 2 * product
    else:
        rough = -product / np.maximum(np.linalg.norm(block, axis=1), 1e-30)[None, :]
    return np.asarray(rough, np.float32)


def recall(
    truth: Truth, data: DataSet, labels: Labels, queries: Vectors, answers: list[list[int]], condition: Condition | None
) -> float:
    """Return share of the true neighbours that were found, over the queries that were answered (the first
    `len(answers)`).

    A row returned twice counts once; a row that does not match the condition does not count.
    """
    vectors, column = data.mapped(), None if condition is None else labels.column(condition.label)
    found = 0
    for number, answer in enumerate(answers):
        ids = np.unique(np.asarray(answer, np.int64))
        if column is not None and condition is not None:
            ids = ids[(column[ids] >= condition.low) & (column[ids] < condition.high)]
        limit = truth.kth[number] + _TOLERANCE * abs(truth.kth[number]) + 1e-9
        found += int((exact_distances(queries[number], np.asarray(vectors[ids]), truth.distance) <= limit).sum())
    most = truth.available * len(answers)
    return min(1.0, found / most) if most else 1.0
