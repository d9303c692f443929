"""The contract of whatever turns texts into vectors."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from vectrograph.domain.points import Vector


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors of one dimension; under one name a text always gives the same vector. Thread-safe."""

    @property
    def name(self) -> str:
        """Names model and version; stored with a collection, so that another model is noticed."""
        ...

    @property
    def dimension(self) -> int:
        """Components of every vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vector:
        """Return one row per text.

        Returns:
            float32, shape (len(texts), dimension), C-contiguous. Rows have length 1; a text without any token gives a
            zero row.
        """
        ...
