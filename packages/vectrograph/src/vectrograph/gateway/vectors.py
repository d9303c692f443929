"""Vectors of a body: the numbers themselves, or where the body is a vector frame the numbers of its rows."""

from typing import Any, Final

import msgspec
from msgspec import field

from vectrograph.http.context import Context
from vectrograph.vectron._messages import vectrograph, vectron
from vectrograph.vectron.fields import Int32
from vectrograph.vectron.vectors import SentPoints, SentQuery

# Row of a vector that is not in the frame: its numbers are in the document.
_NO_ROW: Final = -1


class SearchRow(vectron.SearchRequest, frozen=True, kw_only=True):
    """A search whose vector is a row."""

    vector: Int32 = _NO_ROW  # type: ignore[assignment]


class PointRow(vectron.Point, frozen=True, kw_only=True):
    """A point whose vector is a row."""

    vector: Int32 = _NO_ROW  # type: ignore[assignment]


class UpsertRows(vectron.UpsertRequest, frozen=True, kw_only=True):
    """Points to store, whose vectors are rows."""

    points: list[PointRow] = field(default_factory=list)  # type: ignore[assignment]


class UpsertIfRows(vectrograph.UpsertIfRequest, frozen=True, kw_only=True):
    """Points to store where the condition holds, whose vectors are rows."""

    points: list[PointRow] = field(default_factory=list)  # type: ignore[assignment]


FRAMES: Final[dict[type[msgspec.Struct], type[msgspec.Struct]]] = {
    vectron.SearchRequest: SearchRow,
    vectron.UpsertRequest: UpsertRows,
    vectrograph.UpsertIfRequest: UpsertIfRows,
}
"""The document of a vector frame for each message with vectors."""


def with_vectors(context: Context, message: Any) -> Any:
    """Return a message as its operation reads it, with its vectors beside it where it has any.

    Raises:
        InvalidArgument: the frame has no such row, or it was taken before.
    """
    if isinstance(message, vectron.SearchRequest):
        return SentQuery(message, context.vector("vector", message.vector)[None], message.rerank)
    if isinstance(message, vectron.UpsertRequest | vectrograph.UpsertIfRequest):
        vectors = [
            context.vector(("points", position, "vector"), point.vector)
            for position, point in enumerate(message.points)
        ]
        return SentPoints(message, message.points, vectors)
    return message
