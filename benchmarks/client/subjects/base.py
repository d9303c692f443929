"""Protocol of a client in the bench, and the vectors that all of them move."""

from collections.abc import Iterator
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
BATCH: Final = 1_000
_SEED: Final = 20_26


class Client(Protocol):
    """Moves vectors to a server and back.

    Every client gets a float32 matrix and has to end with one; whatever it needs in between is its own affair and its
    own cost. Batches hold `BATCH` vectors, unless the client itself cuts otherwise.
    """

    def ways(self) -> tuple[str, ...]:
        """Return names of the ways in which this client can send; the cheapest counts."""
        ...

    def up(self, vectors: Vectors, way: str) -> int:
        """Send all vectors with the ids 1, 2, …; returns how many the server has acknowledged."""
        ...

    def down(self, count: int) -> Vectors:
        """Read the vectors with the ids 1 … count."""
        ...

    def close(self) -> None:
        """Let go of the server."""
        ...


def made(count: int, dimension: int) -> Vectors:
    """Return directions drawn from a fixed seed, of length one, shape (count, dimension).

    >>> made(2, 3).shape, float(np.linalg.norm(made(2, 3)[0]).round(6))
    ((2, 3), 1.0)
    """
    drawn = np.random.default_rng(_SEED).standard_normal((count, dimension), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def batches(count: int) -> Iterator[range]:
    """Yield the ids of each batch, from 1.

    >>> [len(ids) for ids in batches(2_500)], next(batches(5))
    ([1000, 1000, 500], range(1, 6))
    """
    for first in range(1, count + 1, BATCH):
        yield range(first, min(first + BATCH, count + 1))
