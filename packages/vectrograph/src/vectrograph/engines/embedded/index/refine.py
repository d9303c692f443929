"""From rows that may be nearest to rows that are, with the scores of the one kernel.

Three sieves, each finer and dearer than the one before: codes (the caller's), the original vectors in float32, the
kernel in float64. The second is allowed its rounding error (see `float32_arithmetic`), so that the kernel sees every
row that could be among the best k.
"""

import math
from typing import Final, NamedTuple, Protocol

import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.collections import Distance
from vectrograph.domain.distances import Norms, norms, scores
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.float32_arithmetic import relative_error
from vectrograph.engines.embedded.index.hnsw import inner_products, squared_distances
from vectrograph.engines.embedded.index.nodes import Rows

_BLOCK_FLOATS: Final = 1 << 22
"""Components looked at between two calls of `check_cancelled`: one to four milliseconds."""


class Originals(Protocol):
    """The vectors of a collection by row, and their Euclidean lengths."""

    @property
    def vectors(self) -> Vector:
        """Shape (n, dimension), C-contiguous."""
        ...

    @property
    def lengths(self) -> Norms:
        """Shape (n,)."""
        ...


class Query(NamedTuple):
    """Query in the form that refinement needs.

    Attributes:
        distance: which one.
        vector: shape (dimension,), float32, contiguous.
        length: Euclidean.
        k: how many rows are wanted.
    """

    distance: Distance
    vector: Vector
    length: float
    k: int

    @classmethod
    def of(cls, distance: Distance, vectors: Vector, k: int) -> list["Query"]:
        """Return one for each vector; shape (m, dimension)."""
        if len(vectors) == 1:
            wide = vectors[0].astype(np.float64)
            return [cls(distance, vectors[0], math.sqrt(float(np.dot(wide, wide))), k)]
        lengths = norms(vectors).tolist()
        return [cls(distance, vector, length, k) for vector, length in zip(vectors, lengths, strict=True)]


def contenders(
    query: Query,
    originals: Originals,
    rows: Rows,
    limit: float = np.inf,
    check_cancelled: Cancellation = never_cancelled,
) -> tuple[Rows, float]:
    """Return positions of rows that may be among the best k, and a score that the k-th best does not exceed.

    Rows and query must have lengths between which float32 products neither vanish nor overflow.

    Args:
        query: what is looked for.
        originals: the vectors.
        rows: shape (m,).
        limit: such a score already known.
        check_cancelled: called every few milliseconds; may raise to stop.
    """
    step = max(1, _BLOCK_FLOATS // originals.vectors.shape[1])
    if len(rows) <= step:
        low, limit = _bounds(query, originals, rows, limit)
        return np.flatnonzero(low <= limit), limit
    parts: list[Vector] = []
    for start in range(0, len(rows), step):
        check_cancelled()
        low, limit = _bounds(query, originals, rows[start : start + step], limit)
        parts.append(low)
    return np.flatnonzero(np.concatenate(parts) <= limit), limit


def _bounds(query: Query, originals: Originals, rows: Rows, limit: float) -> tuple[Vector, float]:
    """Return the least score each row may have, float32, and a score that the k-th best row does not exceed."""
    vectors = originals.vectors
    # Twice the bound: room for underflow, for the rounding of the lengths, and of the kernel's own result.
    relative = 2 * relative_error(vectors.shape[1])
    if query.distance is Distance.EUCLIDEAN:
        values = squared_distances(query.vector, vectors, rows)
        # Scaling keeps the order: the k-th largest possible score is that of the k-th row.
        return values * np.float32(1 - relative), min(limit, _kth(values, query.k) * (1 + relative))
    products = inner_products(query.vector, vectors, rows)
    sizes = originals.lengths[rows] * np.float32(query.length)
    if query.distance is Distance.COSINE:
        products /= sizes
        values = np.float32(1) - products
        return values - np.float32(relative), min(limit, _kth(values, query.k) + relative)
    margins = sizes * np.float32(relative)
    return -products - margins, min(limit, _kth(margins - products, query.k))


def _kth(values: Vector, k: int) -> float:
    return float(np.partition(values, k - 1)[k - 1]) if len(values) >= k else np.inf


def score(
    query: Query, originals: Originals, rows: Rows, firsts: Rows, check_cancelled: Cancellation = never_cancelled
) -> tuple[Rows, Vector]:
    """Return the best k of some rows and all that equal the last of them, best first, with the kernel's scores.

    Args:
        query: what is looked for.
        originals: the vectors.
        rows: shape (m,).
        firsts: rows that hold the same vectors, shape (m,); each is scored once.
        check_cancelled: called about every millisecond; may raise to stop.
    """
    if firsts is rows:
        exact = scores(
            query.distance, query.vector, originals.vectors.take(rows, axis=0), check_cancelled=check_cancelled
        )
    else:
        distinct, back = np.unique(firsts, return_inverse=True)
        exact = scores(query.distance, query.vector, originals.vectors[distinct], check_cancelled=check_cancelled)[back]
    return nearest(rows, exact, query.k)


def nearest(rows: Rows, exact: Vector, k: int) -> tuple[Rows, Vector]:
    """Return the best k of some rows and all that equal the last of them, best first; `exact` are their scores, shape
    (m,).
    """
    order = exact.argsort(kind="stable")
    rows, exact = rows[order], exact[order]
    if len(rows) > k:
        end = int(exact.searchsorted(exact[k - 1], "right"))
        rows, exact = rows[:end], exact[:end]
    return rows, exact
