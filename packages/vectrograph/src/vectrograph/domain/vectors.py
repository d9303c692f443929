"""Vectors that a collection takes, and many of them as one matrix."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.points import Vector

_FLOAT32: Final = np.dtype(np.float32)


def stack(vectors: Sequence[Vector], dimension: int, place: Callable[[int], Place]) -> Vector:
    """Copy vectors into one matrix, shape (n, dimension), float32, C-contiguous.

    Args:
        vectors: each of shape (dimension,).
        dimension: components per vector.
        place: of the n-th vector in the request, for an error.

    Raises:
        InvalidArgument: a vector has another shape, or a component that is NaN or beyond float32; names the first such.

    >>> stack([np.ones(2, np.float32)], 2, lambda nth: ("points", nth, "vector"))
    array([[1., 1.]], dtype=float32)
    """
    if {type(vector) for vector in vectors} == {np.ndarray} and (
        {(vector.shape, vector.dtype) for vector in vectors} == {((dimension,), _FLOAT32)}
    ):
        matrix = np.concatenate(vectors).reshape(len(vectors), dimension)
    else:
        matrix = np.empty((len(vectors), dimension), np.float32)
        with np.errstate(over="ignore"):
            for position, vector in enumerate(vectors):
                row = np.asarray(vector)
                if row.shape != (dimension,) or row.dtype.kind not in "fiu":
                    raise InvalidArgument.of(place(position), _wrong_shape(row, dimension), "dimension_mismatch")
                matrix[position] = row
    require_finite(matrix, place)
    return matrix


def require_finite(matrix: Vector, place: Callable[[int], Place]) -> None:
    """Refuse NaN and infinities.

    Raises:
        InvalidArgument: there is one; its place is that of its row, and the component.
    """
    if np.isfinite(matrix).all():
        return
    row, component = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
    raise InvalidArgument.of(
        (*place(row), component), "is NaN, infinite or beyond float32; send finite numbers", "finite_number"
    )


def _wrong_shape(row: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", dimension: int) -> str:
    if row.ndim != 1 or row.dtype.kind not in "fiu":
        return f"must be a list of {dimension} numbers"
    return f"has {row.shape[0]} components and this collection needs {dimension}"
