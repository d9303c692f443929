"""The one distance kernel: whatever path found a candidate, its score is computed here.

Lower is closer under every distance, and every score is a finite float32:

- cosine: 1 - cos(q, v), near 0 computed as half of |q/|q| - v/|v||², which loses nothing there: a vector is at
  exactly 0 from itself. In [0, 2]; 1 when either vector is zero.
- euclidean: |q - v|², squared.
- dot: minus the inner product of q and v.

BLAS and SIMD libraries round differently with the shape of the call, so that two equal vectors may get two
scores and ties would depend on the path. Here every row is summed by itself in float64 (`numpy.vecdot`: one dot
product a row, whose order depends on the dimension alone) and rounded once to float32: equal vectors have equal
scores, alone or in any company. What overflows float32 is clamped to ±3.4e38. A faster path may choose its
candidates with other arithmetic, if it allows for the rounding of that; it never reports a score of its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import Distance
from vectrograph.domain.points import Vector

Wide: TypeAlias = NDArray[np.float64]
Norms: TypeAlias = NDArray[np.float32]

CHUNK_BYTES: Final = 1 << 18
"""Size of the float64 intermediate of one chunk: stays in a core's cache, takes well under a millisecond."""

_LARGEST: Final = float(np.finfo(np.float32).max)
_NEAR: Final = 1e-6
"""Cosine distances below are computed from the difference of the directions. Above, the rounding of 1 - cos(q, v) in
float64, some 10⁻¹⁶, is less than a hundredth of the rounding to float32."""


def scores(distance: Distance, query: Vector, rows: Vector, *, check_cancelled: Cancellation | None = None) -> Vector:
    """Return the distance of each row from the query.

    Args:
        distance: which one.
        query: shape (d,), float32, finite.
        rows: shape (n, d), float32, finite.
        check_cancelled: called between chunks of less than a millisecond; may raise to stop, as a deadline does.

    Returns:
        Shape (n,), float32, finite.

    >>> one_two = np.array([1, 2], np.float32)
    >>> scores(Distance.COSINE, one_two, np.array([[2, 4], [-1, -2], [0, 0]], np.float32)).tolist()
    [0.0, 2.0, 1.0]
    """
    kernel, wide = _KERNELS[distance], query.astype(np.float64)
    if 8 * rows.size <= CHUNK_BYTES:
        result: Vector = kernel(wide, rows.astype(np.float64)).astype(np.float32)
    else:
        result = np.empty(len(rows), np.float32)
        for start, chunk in _chunks(rows):
            if check_cancelled is not None and start:
                check_cancelled()
            result[start : start + len(chunk)] = kernel(wide, chunk)
    # Minus zero becomes zero: it would be printed as such.
    result += np.float32(0.0)
    return result


def norms(rows: Vector) -> Norms:
    """Return the Euclidean length of each row, shape (n,), float32; infinite where that overflows.

    >>> norms(np.array([[3, 4], [0, 0]], np.float32)).tolist()
    [5.0, 0.0]
    """
    result = np.empty(len(rows), np.float32)
    with np.errstate(over="ignore"):
        for start, chunk in _chunks(rows):
            result[start : start + len(chunk)] = _lengths(chunk)
    return result


def _chunks(rows: Vector) -> Iterator[tuple[int, Wide]]:
    """Yield the rows in float64, a cacheful at a time, each with the number of its first row."""
    step = max(1, CHUNK_BYTES // (8 * max(1, rows.shape[1])))
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step].astype(np.float64)


def _lengths(rows: Wide) -> Wide:
    lengths: Wide = np.sqrt(np.vecdot(rows, rows))
    return lengths


def _cosine(query: Wide, rows: Wide) -> Wide:
    own, lengths = math.sqrt(float(np.vecdot(query, query))), _lengths(rows)
    if own == 0.0:
        return np.ones(len(rows))
    zero = None if lengths.all() else lengths == 0.0
    if zero is not None:
        lengths[zero] = 1.0
    result: Wide = 1.0 - np.vecdot(rows, query) / (lengths * own)
    np.minimum(result, 2.0, out=result)
    if result.min(initial=2.0) < _NEAR:
        # What is left of 1 - cos(q, v) when the cosine is nearly 1 is mostly the rounding of the cosine.
        near = result < _NEAR
        result[near] = 0.5 * _euclidean(query / own, rows[near] / lengths[near, np.newaxis])
    return result


def _euclidean(query: Wide, rows: Wide) -> Wide:
    rows -= query
    sums: Wide = np.vecdot(rows, rows)
    return np.minimum(sums, _LARGEST, out=sums)


def _dot(query: Wide, rows: Wide) -> Wide:
    sums: Wide = np.vecdot(rows, query)
    np.minimum(np.maximum(sums, -_LARGEST, out=sums), _LARGEST, out=sums)
    return np.negative(sums, out=sums)


_KERNELS: Final[Mapping[Distance, Callable[[Wide, Wide], Wide]]] = {
    Distance.COSINE: _cosine,
    Distance.EUCLIDEAN: _euclidean,
    Distance.DOT: _dot,
}
