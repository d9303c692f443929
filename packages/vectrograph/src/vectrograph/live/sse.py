"""Server-Sent Events: `GET /api/v1/events`, and tickets for web pages."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec
from anyio import CancelScope, create_task_group
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.types import Receive, Scope, Send

from vectrograph.domain import errors
from vectrograph.http.context import Context, Streamed
from vectrograph.http.operation import Access, Operation
from vectrograph.http.scope import CONNECTION
from vectrograph.http.waking import LoopWaker
from vectrograph.live.json_form import data_of, time_of
from vectrograph.services.live.channels import split_names
from vectrograph.services.live.events import Ended, Event, Parts, Wire
from vectrograph.services.live.live import TICKET_SECONDS
from vectrograph.services.live.streams import Stream
from vectrograph.services.points.filter_text import filter_of

MEDIA_TYPE: Final = "text/event-stream; charset=utf-8"
# Milliseconds after which a browser connects again. Chosen: a server that restarts is up within two seconds.
_RETRY: Final = b"retry: 2000\n"
# Seconds that a stream which has ended waits for its reader to take what was sent, before the connection is cut.
_END_SECONDS: Final = 1.0
_EVENTS: Final = "/api/v1/events"
_encode: Final = msgspec.json.Encoder().encode


class EventQuery(Struct, frozen=True, kw_only=True):
    """Events to send, from the query string."""

    channels: Annotated[
        str,
        Meta(
            description="Channels, separated by commas: `tokens`, `collection:NAME`, `collections`, `metrics`, "
            "`status`, `signals`, `actions`, `logs`, `connections`. A JSON list, where a name has a comma.",
            examples=["tokens,collections"],
        ),
    ]
    filter: (
        Annotated[
            str,
            Meta(
                description="Filter on points, as a JSON string. New points that do not match are left out; changes "
                "of points that no longer match are sent with `matches: false`, and deletes always."
            ),
        ]
        | None
    ) = None
    include: (
        Annotated[
            str,
            Meta(
                description="Parts of points to send with events, separated by commas: `payload`, `text`. They are "
                "those at delivery."
            ),
        ]
        | None
    ) = None
    since: (
        Annotated[
            str,
            Meta(
                description="Where to begin: the id of an event, or `oldest` for all that is kept. Default: now. The "
                "header `Last-Event-ID` comes before it."
            ),
        ]
        | None
    ) = None
    follow: Annotated[
        bool,
        Meta(description="Whether to wait for events. False ends the answer when all that there was is sent."),
    ] = True
    ticket: (
        Annotated[str, Meta(description="A ticket instead of credentials, for pages that can send no header.")] | None
    ) = None


class Ticket(Struct, frozen=True, kw_only=True):
    """A text that stands for the caller's credentials once."""

    ticket: str
    expires_in: Annotated[int, Meta(description="Seconds in which it may be used.")]


class EventLine(Struct, frozen=True, kw_only=True):
    """The data of one event."""

    channel: str
    type: str
    time: Annotated[str, Meta(description="When it happened, in UTC.")]
    data: Annotated[
        Any,
        Meta(
            description="In a log: `id` and `version` of the change, `matches` with a filter, `point` if asked for and "
            "still there. Else depends on channel and type."
        ),
    ]


class EventsDropped(Struct, frozen=True, kw_only=True):
    """The data of the control frame `dropped`: events of a channel without a log that a slow reader has missed."""

    channel: str
    count: int


class StreamEnd(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data of the control frame `end`, the last one of a stream."""

    code: str
    message: str
    reconnect: Annotated[bool, Meta(description="Whether opening the stream again may succeed.")]
    details: Annotated[dict[str, Any], Meta(description="As in `ErrorDetails`.")] | UnsetType = UNSET


class SseWire(Wire[bytes]):
    """Events as lines of text."""

    name: ClassVar[str] = "sse"

    def event(self, event: Event) -> bytes:
        """Return the id, if there is one, and the data of an event."""
        line = EventLine(channel=event.channel, type=event.type, time=time_of(event.at), data=data_of(event.data))
        data = b"data: %b\n\n" % _encode(line)
        return b"id: %b\n%b" % (event.id.encode("ascii"), data) if event.id else data

    def chunk(self, events: Sequence[bytes], position: str) -> bytes:
        """Return events one after the other."""
        return b"".join(events)

    def position(self, position: str) -> bytes:
        """Return an id without data: readers keep it and report no event."""
        return b"id: %b\n\n" % position.encode("ascii")

    def heartbeat(self, position: str) -> bytes:
        """Return a comment, or the position where it has moved."""
        return self.position(position) if position else b": heartbeat\n\n"

    def dropped(self, channel: str, count: int) -> bytes:
        """Return a control frame, which has no id."""
        return b"event: dropped\ndata: %b\n\n" % _encode(EventsDropped(channel=channel, count=count))

    def end(self, ended: Ended) -> bytes:
        """Return the last frame."""
        details = ended.error.details if ended.error is not None and ended.error.details else UNSET
        data = StreamEnd(code=ended.code, message=ended.message, reconnect=ended.reconnect, details=details)
        return b"event: end\ndata: %b\n\n" % _encode(data)


_WIRE: Final = SseWire()


class EventStream(Streamed):
    """The answer to one reader."""

    media_type = MEDIA_TYPE
    headers: Sequence[tuple[str, str]] = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))

    def __init__(self, stream: Stream[bytes], waker: LoopWaker) -> None:
        self._stream = stream
        self._waker = waker

    def close(self) -> None:
        """Let go of everything."""
        self._stream.close()

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the stream ends or the reader leaves.

        A reader that takes nothing is waited for in `send`, for as long as its connection allows it.
        """
        loop = asyncio.get_running_loop()
        stream, bell = self._stream, asyncio.Event()
        has_left = False
        cutting: asyncio.TimerHandle | None = None

        async with create_task_group() as group:

            def ring() -> None:
                nonlocal cutting
                bell.set()
                if stream.ended is not None and cutting is None:
                    # The reader may take nothing, and its connection be full.
                    cutting = loop.call_later(_END_SECONDS, _cut, scope, group.cancel_scope)

            async def notice_leaving() -> None:
                nonlocal has_left
                while (await receive())["type"] != "http.disconnect":
                    continue
                has_left = True
                bell.set()

            group.start_soon(notice_leaving)
            self._waker.register(stream, ring)
            try:
                await send(_body(_RETRY if stream.position else _RETRY + b"\n"))
                while not has_left:
                    bell.clear()
                    taken = stream.take()
                    if isinstance(taken, Ended):
                        await send(_body(_WIRE.end(taken), last=True))
                        break
                    if taken is None:
                        await bell.wait()
                    else:
                        await send(_body(taken))
            finally:
                self._waker.forget(stream)
                if cutting is not None:
                    cutting.cancel()
            group.cancel_scope.cancel()


def _body(part: bytes, *, last: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": part, "more_body": not last}


def _cut(scope: Scope, running: CancelScope) -> None:
    """Give up what a reader did not take."""
    connection = scope.get(CONNECTION)
    if connection is not None:
        connection.abort()
    else:
        running.cancel()


def events(context: Context, query: EventQuery) -> Streamed:
    """Answer GET /api/v1/events."""
    channels = split_names(query.channels)
    if not channels:
        raise errors.InvalidArgument.of("channels", "names no channel; name one, such as tokens", "too_short")
    stream = context.services.live.open(
        context.credential,
        channels,
        _WIRE,
        context.application.waker,
        filter=filter_of(query.filter or "", "filter"),
        parts=Parts.named(query.include or ""),
        since=context.last_event_id or query.since or None,
        follow=query.follow,
        origin=context.origin,
    )
    return EventStream(stream, context.application.waker)


def ticket(context: Context, _: None) -> Ticket:
    """Answer POST /api/v1/events/ticket."""
    if context.credential is None:
        raise errors.Unauthenticated("A ticket stands for credentials, and none were sent.")
    text = context.services.live.ticket(context.call, context.credential)
    return Ticket(ticket=text, expires_in=TICKET_SECONDS)


EVENTS: Final = (
    Operation(
        method="GET",
        path=_EVENTS,
        handler=events,
        summary="Read events as they happen, as a stream",
        description="Server-Sent Events. Each channel needs a scope of its own: `tokens:read` for `tokens`, "
        "`collections:read` for `collection:NAME`. See the page *events*.",
        tag="events",
        access=Access.AUTHENTICATED,
        query=EventQuery,
        media_type="text/event-stream",
        events=(EventLine, EventsDropped, StreamEnd),
        takes_ticket=True,
        raises=(errors.PermissionDenied, errors.CollectionNotFound, errors.PositionExpired),
    ),
    Operation(
        method="POST",
        path=f"{_EVENTS}/ticket",
        handler=ticket,
        summary="Get a ticket for a stream of events",
        description="For web pages, which cannot send a header: `GET /api/v1/events?ticket=…` works once, within "
        f"{TICKET_SECONDS} seconds, with the caller's rights.",
        tag="events",
        access=Access.AUTHENTICATED,
        answer=Ticket,
        status=201,
    ),
)
"""Routes of live events."""
