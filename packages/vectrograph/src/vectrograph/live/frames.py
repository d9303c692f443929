"""Frames of the WebSocket protocol: what a client may say, and what it is told, as JSON.

It is the official protocol with more fields. Events have no `type`; everything else has one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from websockets.frames import CloseCode

from vectrograph.domain.errors import (
    DomainError,
    InternalError,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
)
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.http.decoding import decode
from vectrograph.http.websockets import text_frame
from vectrograph.live.json_form import data_of, time_of
from vectrograph.services.live.events import Ended, Event, Parts, Wire

PING_SECONDS: Final = 30.0
"""Seconds between two pings of the server, as in the official protocol."""
# Values of a message: 64 channels and a filter. More is refused before it is parsed.
_MAX_VALUES: Final = 20_000
M = TypeVar("M", bound=Struct)
_encode: Final = msgspec.json.Encoder().encode


class Message(Struct, frozen=True):
    """A message of a client, as far as all have it."""

    type: str


def read(text: str, decoder: msgspec.json.Decoder[M]) -> M:
    """Return a message of a client.

    Raises:
        TooLarge: it holds far more than a message needs.
        InvalidArgument: it is no JSON object, or has no such fields.
    """
    try:
        return decode(decoder, text.encode(), JsonBudget(_MAX_VALUES, _MAX_VALUES))
    except InvalidArgument as error:
        (entry,) = error.details["errors"]
        field = "message" if entry["field"] == "body" else entry["field"]
        raise InvalidArgument.of(field, entry["message"], entry["type"]) from error


class Channels(Struct, frozen=True):
    """A message that names channels. `filter`, `include` and `since` are for `subscribe`.

    Attributes:
        channels: their names.
        filter: an object, or its text, as over REST.
        include: parts of points: a list, or names separated by commas.
        since: where to begin.
    """

    channels: list[str]
    filter: Raw = Raw()
    include: list[str] | str | None = None
    since: str | None = None

    @property
    def filter_text(self) -> str:
        """JSON of the filter; "" for none.

        Raises:
            InvalidArgument: it is a text that is none.
        """
        text = bytes(self.filter).decode()
        if text.startswith('"'):
            try:
                text = msgspec.json.decode(text, type=str)
            except msgspec.DecodeError as error:
                raise InvalidArgument.of("filter", f"is not valid JSON: {error}", "json_invalid") from error
        return "" if text == "null" else text

    @property
    def parts(self) -> Parts:
        """Parts of points.

        Raises:
            InvalidArgument: there is no such part.
        """
        return Parts.named(self.include if isinstance(self.include, str) else ",".join(self.include or ()))


class EventFrame(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event over a WebSocket. It has no field `type`: by that, clients tell it from all other frames."""

    channel: str
    timestamp: Annotated[str, Meta(description="When it happened, in UTC, without saying so.")]
    event_type: str
    data: Annotated[Any, Meta(description="As in `EventLine`.")]
    id: (
        Annotated[str, Meta(description="Position after this event; absent in channels that have no log.")] | UnsetType
    ) = UNSET
    time: Annotated[str, Meta(description="When it happened, in UTC.")]


class WebSocketWire(Wire[bytes]):
    """Events as frames of text, each written once for all readers."""

    name: ClassVar[str] = "websocket"
    heartbeat_seconds: ClassVar[float] = PING_SECONDS

    def event(self, event: Event) -> bytes:
        """Return one frame."""
        time = time_of(event.at)
        frame = EventFrame(
            channel=event.channel,
            timestamp=time.removesuffix("Z"),
            event_type=event.type,
            data=data_of(event.data),
            id=event.id or UNSET,
            time=time,
        )
        return text_frame(_encode(frame))

    def chunk(self, events: Sequence[bytes], position: str) -> bytes:
        """Return frames one after the other."""
        return b"".join(events)

    def position(self, position: str) -> bytes:
        """Return a frame that has no event."""
        return text_frame(_encode({"type": "position", "id": position}))

    def heartbeat(self, position: str) -> bytes:
        """Return the position where it has moved, or nothing: pings come at times of their own."""
        return self.position(position) if position else b""

    def dropped(self, channel: str, count: int) -> bytes:
        """Return the news that events of a channel without a log were left out."""
        return text_frame(_encode({"type": "dropped", "channel": channel, "count": count}))


def frame(kind: str, **fields: Any) -> bytes:
    """Return a frame of the server that is no event, with the time."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text_frame(_encode({"type": kind, **fields, "timestamp": now}))


def error_frame(error: DomainError) -> bytes:
    """Return the answer to a message that was refused; the connection stays."""
    fields: dict[str, Any] = {"message": error.message, "code": error.code}
    if error.details:
        fields["details"] = error.details
    if error.retry_after is not None:
        fields["retry_after"] = error.retry_after
    return frame("error", **fields)


def end_frame(ended: Ended) -> bytes:
    """Return the last frame of a connection that the server ends."""
    fields: dict[str, Any] = {"code": ended.code, "message": ended.message, "reconnect": ended.reconnect}
    if ended.error is not None and ended.error.details:
        fields["details"] = ended.error.details
    return frame("end", **fields)


def close_code(ended: Ended) -> int:
    """Return the number with which a connection is closed.

    >>> close_code(Ended("SERVER_STOPPING", "", reconnect=True)), close_code(Ended.of(PermissionDenied("no")))
    (<CloseCode.SERVICE_RESTART: 1012>, <CloseCode.POLICY_VIOLATION: 1008>)
    """
    if isinstance(ended.error, InternalError):
        return CloseCode.INTERNAL_ERROR
    if isinstance(ended.error, Unauthenticated | PermissionDenied):
        return CloseCode.POLICY_VIOLATION
    return CloseCode.SERVICE_RESTART if ended.reconnect else CloseCode.NORMAL_CLOSURE


def refusals(refused: Mapping[str, DomainError]) -> dict[str, Any]:
    """Return the fields that say which channels were refused, and why; none when none was."""
    if not refused:
        return {}
    errors = [
        {"channel": channel, "code": error.code, "message": error.message, "details": error.details}
        for channel, error in refused.items()
    ]
    message = " ".join(dict.fromkeys(f"{error.message.rstrip('.')}." for error in refused.values()))
    return {"denied": list(refused), "message": message, "errors": errors}
