"""Texts to vectors, without storing anything."""

from collections.abc import Sequence

from vectrograph.domain.embedder import Embedder
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Vector
from vectrograph.services.call import Call
from vectrograph.services.limits.validation import validate_texts


class Embeddings:
    """The same vectors that tokens get, for queries in words."""

    def __init__(self, embedder: Embedder, limits: Limits) -> None:
        self._embedder = embedder
        self._limits = limits

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._embedder.name

    @property
    def dimension(self) -> int:
        """Components of every vector."""
        return self._embedder.dimension

    def embed(self, call: Call, texts: Sequence[str]) -> Vector:
        """Return one unit row per text, float32, shape (len(texts), dimension).

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: there is no text, or one is empty or too long; names its position.
            TooLarge: there are more than `max_batch` texts.
        """
        call.require("tokens:read")
        validate_texts(texts, "texts", self._limits)
        return self._embedder.embed(texts)
