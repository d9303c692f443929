"""Many query vectors in one piece of bytes."""

from typing import Final

import numpy as np

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Vector

_FLOAT: Final = np.dtype("<f4")


def query_matrix(buffer: bytes, queries: int) -> Vector:
    """Return query vectors from little-endian 32-bit floats, one vector after the other; shape (queries, dimension).

    Raises:
        InvalidArgument: the bytes are no whole number of floats for each query.

    >>> query_matrix(bytes(16), 2).shape
    (2, 2)
    """
    if queries < 1 or not buffer or len(buffer) % (queries * _FLOAT.itemsize):
        raise InvalidArgument.of(
            "vectors",
            f"is {len(buffer)} bytes, which is no whole number of 32-bit floats for each of {queries} queries",
            "dimension_mismatch",
        )
    return np.frombuffer(buffer, _FLOAT).reshape(queries, -1)
