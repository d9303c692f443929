"""Tokens as the services hand them out: points whose payload is split into metadata and placement."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from vectrograph.domain.grid import GRID_KEY, LEVELS, UNPLACED, Axes, Placement, derive, placed, split_payload
from vectrograph.domain.points import Payload, Point, Vector
from vectrograph.domain.queries import Include


class Parts(NamedTuple):
    """Parts of a token to return. `coordinates` also stands for weight, field radius and field strength."""

    text: bool = False
    metadata: bool = False
    embedding: bool = False
    coordinates: bool = False

    @property
    def include(self) -> Include:
        """Parts of the point to read."""
        return Include(
            vector=self.embedding or self.coordinates, payload=self.metadata or self.coordinates, text=self.text
        )


WHOLE: Final = Parts(text=True, metadata=True, embedding=True)
"""The parts of a token that are returned unless a request names some."""


class Token(NamedTuple):
    """A stored token: the fields of `Point`, with a payload that is the metadata alone, and the placement beside it."""

    id: str
    vector: Vector | None
    payload: Payload | None
    text: str | None
    created_at: int
    updated_at: int
    version: int
    created_seq: int
    placement: Placement = UNPLACED

    @classmethod
    def of(cls, point: Point) -> "Token":
        """Build from a point of the collection `tokens`."""
        payload = point.payload
        if payload is None or GRID_KEY not in payload:
            return cls(*point)
        metadata, placement = split_payload(payload)
        return cls(*point._replace(payload=metadata), placement)

    @property
    def coordinates(self) -> dict[str, tuple[Axes, bool]]:
        """Place in each level, by its name, and whether it is derived; the vector must have been read."""
        if self.vector is None:
            raise ValueError(f"the vector of token {self.id} was not read")
        x = placed(derive(self.vector[np.newaxis]), [self.placement])[0].reshape(len(LEVELS), -1).tolist()
        given = self.placement.coordinates
        return {name: ((axes[0], axes[1], axes[2]), name not in given) for name, axes in zip(LEVELS, x, strict=True)}


def tokens_of(points: Sequence[Point]) -> list[Token]:
    """Build tokens from points."""
    return [Token.of(point) for point in points]
