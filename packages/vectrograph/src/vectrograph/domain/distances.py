"""The one distance kernel: whatever path found a candidate, its score is computed here.

Lower is closer under every distance, and every score is a finite float32:

- cosine: 1 - cos(q, v), computed as half of |q/|q| - v/|v||², which loses nothing near 0: a vector is at exactly
  0 from itself. In [0, 2]; 1 when either vector is zero.
- euclidean: |q - v|², squared.
- dot: minus the inner product of q and v.

BLAS and SIMD libraries round differently with the shape of the call, so that two equal vectors may get two
scores and ties would depend on the path. Here every row is summed by itself in float64 (numpy's pairwise sum
along the row, whose order depends on the dimension alone) and rounded once to float32: equal vectors have equal
scores, alone or in any company. What overflows float32 is clamped to ±3.4e38. A faster path may choose its
candidates with other arithmetic, if it allows for the rounding of that; it never reports a score of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.collections import Distance
from vectrograph.domain.points import Vector

Wide: TypeAlias = NDArray[np.float64]
Norms: TypeAlias = NDArray[np.float32]

CHUNK_BYTES: Final = 1 << 18
"""Size of the float64 intermediate of one chunk: stays in a core's cache, takes well under a millisecond."""

_LARGEST: Final = float(np.finfo(np.float32).max)


def scores(distance: Distance, query: Vector, rows: Vector, *, between: Callable[[], None] | None = None) -> Vector:
    """The distance of each row from the query.

    Args:
        distance: which one.
        query: shape (d,), float32, finite.
        rows: shape (n, d), float32, finite.
        between: called between chunks of less than a millisecond; may raise to stop, as a deadline does.

    Returns:
        Shape (n,), float32, finite.

    >>> one_two = np.array([1, 2], np.float32)
    >>> scores(Distance.COSINE, one_two, np.array([[2, 4], [-1, -2], [0, 0]], np.float32)).tolist()
    [0.0, 2.0, 1.0]
    """
    kernel, wide = _KERNELS[distance], query.astype(np.float64)
    if 8 * rows.size <= CHUNK_BYTES:
        return _narrowed(kernel(wide, rows.astype(np.float64)))
    result = np.empty(len(rows), np.float32)
    for start, chunk in _chunks(rows):
        if between is not None and start:
            between()
        result[start : start + len(chunk)] = _narrowed(kernel(wide, chunk))
    return result


def _narrowed(values: Wide) -> Vector:
    """In float32, finite; minus zero becomes zero: it would be printed as such."""
    narrow = np.minimum(np.maximum(values, -_LARGEST), _LARGEST).astype(np.float32)
    narrow += np.float32(0.0)
    return narrow


def norms(rows: Vector) -> Norms:
    """The Euclidean length of each row, shape (n,), float32; infinite where that overflows.

    >>> norms(np.array([[3, 4], [0, 0]], np.float32)).tolist()
    [5.0, 0.0]
    """
    result = np.empty(len(rows), np.float32)
    with np.errstate(over="ignore"):
        for start, chunk in _chunks(rows):
            result[start : start + len(chunk)] = _lengths(chunk)
    return result


def _chunks(rows: Vector) -> Iterator[tuple[int, Wide]]:
    """The rows in float64, a cacheful at a time, each with the number of its first row."""
    step = max(1, CHUNK_BYTES // (8 * max(1, rows.shape[1])))
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step].astype(np.float64)


def _lengths(rows: Wide) -> Wide:
    lengths: Wide = np.sqrt(np.add.reduce(rows * rows, axis=1))
    return lengths


def _cosine(query: Wide, rows: Wide) -> Wide:
    own, lengths = _lengths(query[np.newaxis, :]), _lengths(rows)
    if own[0] == 0.0:
        return np.ones(len(rows))
    zero = None if lengths.all() else lengths == 0.0
    if zero is not None:
        lengths[zero] = 1.0
    rows /= lengths[:, np.newaxis]
    halves: Wide = 0.5 * _euclidean(query / own, rows)
    np.minimum(halves, 2.0, out=halves)
    if zero is not None:
        halves[zero] = 1.0
    return halves


def _euclidean(query: Wide, rows: Wide) -> Wide:
    rows -= query
    rows *= rows
    sums: Wide = np.add.reduce(rows, axis=1)
    return sums


def _dot(query: Wide, rows: Wide) -> Wide:
    rows *= query
    sums: Wide = np.add.reduce(rows, axis=1)
    return -sums


_KERNELS: Final[Mapping[Distance, Callable[[Wide, Wide], Wide]]] = {
    Distance.COSINE: _cosine,
    Distance.EUCLIDEAN: _euclidean,
    Distance.DOT: _dot,
}
