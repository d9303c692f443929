"""Many vectors of one length, as they came: lists of floats out of JSON, or float32 side by side out of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neurograph._wirekit.vectors import to_list

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of one answer.

    Attributes:
        lists: a list each; None when they came packed.
        packed: float32 in little-endian, one vector after the other.
        count: of the packed vectors.
    """

    lists: list[list[float]] | None = None
    packed: bytes = field(default=b"", repr=False)
    count: int = 0

    def as_lists(self) -> list[list[float]]:
        """Return a list of floats for each vector."""
        if self.lists is not None:
            return self.lists
        size = len(self.packed) // self.count if self.count else 0
        return [to_list(self.packed[n * size : (n + 1) * size]) for n in range(self.count)]

    def as_array(self) -> "NDArray[np.float32]":
        """Return a matrix of shape (vectors, dimension), without a Python float in between when they came packed.

        Raises:
            ImportError: numpy is not installed.
        """
        import numpy as np

        if self.lists is not None:
            matrix = np.array(self.lists, dtype=np.float32)
        else:
            matrix = np.frombuffer(self.packed, dtype="<f4").reshape(self.count, -1 if self.count else 0)
        return matrix


def joined(parts: Sequence[Vectors]) -> "NDArray[np.float32]":
    """Return the vectors of several answers as one matrix, shape (vectors, dimension).

    Raises:
        ImportError: numpy is not installed.
    """
    import numpy as np

    if not parts:
        return np.empty((0, 0), dtype=np.float32)
    return np.concatenate([part.as_array() for part in parts])
