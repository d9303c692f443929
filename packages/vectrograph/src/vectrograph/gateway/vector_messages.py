"""What the document of a vector frame holds: the messages with vectors, with the number of a row for each."""

from msgspec import field

from vectrograph.gateway import extension_messages, messages
from vectrograph.gateway.proto_json import Int32

NO_ROW = -1


class SearchRow(messages.SearchRequest, frozen=True, kw_only=True):
    """A search whose vector is a row."""

    vector: Int32 = NO_ROW  # type: ignore[assignment]


class PointRow(messages.Point, frozen=True, kw_only=True):
    """A point whose vector is a row."""

    vector: Int32 = NO_ROW  # type: ignore[assignment]


class UpsertRows(messages.UpsertRequest, frozen=True, kw_only=True):
    """Points to store, whose vectors are rows."""

    points: list[PointRow] = field(default_factory=list)  # type: ignore[assignment]


class UpsertIfRows(extension_messages.UpsertIfRequest, frozen=True, kw_only=True):
    """Points to store where the condition holds, whose vectors are rows."""

    points: list[PointRow] = field(default_factory=list)  # type: ignore[assignment]
