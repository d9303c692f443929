"""Live events as messages of Watch."""

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from vectrograph.rpc._pb.vectrograph_pb import ChangedPoint, ChangeEvent, WatchResponse
from vectrograph.rpc.codec.fragments import repeated
from vectrograph.services.live.events import Changed, Event, PointNow, Wire


class WatchWire(Wire[bytes]):
    """Sends a WatchResponse at a time. There is no channel of the bus: a call has the log of one collection."""

    name = "grpc"

    def event(self, event: Event) -> bytes:
        """Return an element of `WatchResponse.events`."""
        changed = event.data
        if not isinstance(changed, Changed):
            raise TypeError(f"Watch has events of points only, not of the channel {event.channel}")
        message = ChangeEvent(
            id=str(changed.id),
            type=event.type,
            version=changed.version,
            time_us=event.at,
            position=event.id,
            matches=changed.matches,
            point=None if changed.point is None else _point(changed.point),
        )
        return repeated(message.SerializeToString())

    def chunk(self, events: Sequence[bytes], position: str) -> bytes:
        """Return events and the position after them."""
        # Two encodings of one message, one after the other, are the encoding of both together.
        return b"".join((*events, self.position(position)))

    def position(self, position: str) -> bytes:
        """Return a response without events."""
        return WatchResponse(position=position).SerializeToString()

    def heartbeat(self, position: str) -> bytes:
        """Return a response without events, and without a position where it has not moved."""
        return self.position(position)


def _point(point: PointNow) -> ChangedPoint:
    return ChangedPoint(
        version=point.version,
        payload_json=None if point.payload is UNSET else point.payload,
        text=None if point.text is UNSET else point.text,
    )


WATCH_WIRE: Final = WatchWire()
"""The one wire of all calls, so that what it wrote for one is sent to all."""
