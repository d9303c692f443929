"""Operations on live events."""

from typing import NamedTuple

from vectrograph.domain.filters.evaluation import Filter
from vectrograph.services.live.channels import channel_of
from vectrograph.services.live.events import Parts
from vectrograph.services.points.filter_text import filter_of
from vectrograph.vectron._messages import vectrograph
from vectrograph.vectron.invocation import Invocation


class Wanted(NamedTuple):
    """The stream that a caller asks for; see `Live.open`.

    Attributes:
        channel: that of the collection.
        filter: which points events are wanted of.
        parts: of points that are sent with events.
        since: a position, `oldest`, or None for now.
    """

    channel: str
    filter: Filter | None
    parts: Parts
    since: str | None


def watch(_: Invocation, request: vectrograph.WatchRequest) -> Wanted:
    """Return the stream of a collection's changes, to be opened by the transport, which sends it."""
    return Wanted(
        channel_of(request.collection),
        filter_of(request.filter_json),
        Parts(request.include_payload, request.include_text),
        request.since or None,
    )
