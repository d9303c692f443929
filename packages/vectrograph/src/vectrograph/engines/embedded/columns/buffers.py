"""Arrays that grow without disturbing who reads them."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item", bound=np.generic)

# Items of the smallest array that is made. Chosen: small beside everything else of a collection.
_MIN_ITEMS = 256


def appended(array: NDArray[Item], more: NDArray[Any]) -> NDArray[Item]:
    """`array` followed by `more`; only the newest result may be appended to again.

    The result shares its memory with `array` where there is room behind it, which nobody sees who holds `array`.

    Args:
        array: a result of this function, or any array of one dimension.
        more: shape (n,).
    """
    size, end = len(array), len(array) + len(more)
    room = array.base
    if not isinstance(room, np.ndarray) or room.ndim != 1 or room.dtype != array.dtype or len(room) < end:
        room = np.empty(max(_MIN_ITEMS, end + end // 4), array.dtype)
        room[:size] = array
    room[size:end] = more
    return room[:end]


def replaced(array: NDArray[Item], places: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Item]:
    """Return a copy with other values at some places."""
    copy = array.copy()
    copy[places] = values
    return copy


def held(array: NDArray[Any] | None) -> int:
    """Return bytes of memory that an array keeps, room to grow included."""
    if array is None:
        return 0
    room = array.base
    return int(room.nbytes if isinstance(room, np.ndarray) else array.nbytes)
