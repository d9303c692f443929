"""Vectors that a collection takes, and many of them as one matrix."""

from collections.abc import Callable, Sequence

import numpy as np

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Vector


def stack(vectors: Sequence[Vector], dimension: int, place: Callable[[int], str]) -> Vector:
    """Copy vectors into one matrix, shape (n, dimension), float32, C-contiguous.

    Args:
        vectors: each of shape (dimension,).
        dimension: components per vector.
        place: names the field of the n-th vector in an error.

    Raises:
        InvalidArgument: a vector has another shape, or a component that is NaN or beyond float32; names the first such.

    >>> stack([np.ones(2, np.float32)], 2, "points[{}].vector".format)
    array([[1., 1.]], dtype=float32)
    """
    matrix = np.empty((len(vectors), dimension), np.float32)
    with np.errstate(over="ignore"):
        for position, vector in enumerate(vectors):
            row = np.asarray(vector)
            if row.shape != (dimension,) or row.dtype.kind not in "fiu":
                raise InvalidArgument.of(place(position), _wrong_shape(row, dimension), "dimension_mismatch")
            matrix[position] = row
    require_finite(matrix, place)
    return matrix


def require_finite(matrix: Vector, place: Callable[[int], str]) -> None:
    """Refuse NaN and infinities.

    Raises:
        InvalidArgument: there is one; names its row by `place` and its component.
    """
    if np.isfinite(matrix).all():
        return
    row, component = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
    raise InvalidArgument.of(
        f"{place(row)}[{component}]", "is NaN, infinite or beyond float32; send finite numbers", "finite_number"
    )


def _wrong_shape(row: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", dimension: int) -> str:
    if row.ndim != 1 or row.dtype.kind not in "fiu":
        return f"must be a list of {dimension} numbers"
    return f"has {row.shape[0]} components and this collection takes {dimension}"
