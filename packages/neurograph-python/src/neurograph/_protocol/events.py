"""Streams of events: what is subscribed to, and what a stream says, whatever carries it. No I/O."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol, TypeAlias

from pydantic import ValidationError as ModelError
from pydantic_core import from_json

from neurograph._protocol import decoding
from neurograph._protocol.call import Call
from neurograph._protocol.encoding import encode, json_object, request_key, texts
from neurograph._protocol.failures import ended
from neurograph._protocol.filter_documents import document
from neurograph.exceptions import InvalidResponseError, NeuroGraphError, ValidationError
from neurograph.filters import FilterLike
from neurograph.models import Event, EventTicket
from neurograph.wire import Request, Response

PATH = "/api/v1/events"
OLDEST = "oldest"
"""Value of `since` that begins a stream at the oldest event that is held."""
# Code of an end that is no failure: a stream that was not to wait for more has sent everything.
_END_OF_LOG = "END_OF_LOG"
# Longest pause before opening a stream again that a server may ask for, in seconds. Chosen: as for `Retry-After`.
_LONGEST_HINT = 60.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """Checked arguments of a stream.

    Attributes:
        channels: names, at least one.
        filter: in its plain form.
        include: parts of points.
        since: a position, `oldest`, or None for now.
    """

    channels: tuple[str, ...]
    filter: Mapping[str, Any] | None = None
    include: tuple[str, ...] = ()
    since: str | None = None

    @property
    def has_positions(self) -> bool:
        """Return whether one of the channels can be resumed."""
        return any(name == "tokens" or name.startswith("collection:") for name in self.channels)


def subscription(
    channels: str | Iterable[str],
    filter: FilterLike | None = None,
    include: str | Iterable[str] = (),
    since: str | None = None,
) -> Subscription:
    """Check the arguments of a stream. Whether there are such channels is for the server to judge.

    Raises:
        ValidationError: one is of a wrong type, or no channel is named.

    >>> subscription("tokens, collection:docs", since="oldest").channels
    ('tokens', 'collection:docs')
    """
    names = _names(channels, "channels")
    if not names:
        raise ValidationError.of("channels", "names no channel; pass tokens, collection:NAME or another one")
    condition = None if filter is None else json_object(document(filter), "filter")
    return Subscription(names, condition, _names(include, "include"), request_key(since, "since"))


def _names(given: str | Iterable[str], field: str) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(name for name in map(str.strip, texts(given.split(","), field)) if name)
    return tuple(dict.fromkeys(texts(given, field)))


def ticket() -> Call[EventTicket]:
    """Get a text that opens one stream; each one is another."""
    return Call(Request("POST", f"{PATH}/ticket"), decoding.event_ticket, idempotent=False)


@dataclass(slots=True)
class Place:
    """Position of a reader: after everything that it has been given."""

    position: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A position without an event: nothing up to it was for this reader."""

    id: str


@dataclass(frozen=True, slots=True)
class Hint:
    """Pause before the stream may be opened again, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """The other side is there and has nothing to say."""


@dataclass(frozen=True, slots=True)
class End:
    """The other side ends the stream.

    Attributes:
        error: why, and whether opening it again may help; None when all was sent.
    """

    error: NeuroGraphError | None = field(repr=False)


Item: TypeAlias = Event | Position | Hint | SignOfLife | End


class Wire(Protocol):
    """One connection's way of speaking.

    Attributes:
        pings: whether the other side is to be asked for signs of life; else it gives them by itself.
        is_open: whether the other side has agreed to send what was asked for.
    """

    pings: bool
    is_open: bool

    def call(self) -> Call[Response]:
        """Return the request that opens it."""
        ...

    def opened(self, response: Response) -> None:
        """Read the head of the answer.

        Raises:
            InvalidResponseError: the answer is no stream of events.
        """
        ...

    def feed(self, piece: bytes) -> list[Item]:
        """Take the next piece; returns what it completes.

        Raises:
            InvalidResponseError: this is no event.
        """
        ...

    def outgoing(self) -> bytes:
        """Return what is to be sent now; b"" for nothing."""
        ...

    def ping(self) -> None:
        """Ask for a sign of life."""
        ...


def hint(milliseconds: int) -> Hint:
    """Return a pause that a server asks for, up to a minute."""
    return Hint(min(milliseconds / 1000, _LONGEST_HINT))


def end(frame: Mapping[str, Any]) -> End:
    """Read the frame that ends a stream."""
    return End(None if frame.get("code") == _END_OF_LOG else ended(frame))


def refused(frame: Mapping[str, Any]) -> End:
    """Read the frame that refuses what was asked for."""
    return End(ended(frame, passing=True))


def missed(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the event that stands for dropped ones."""
    now = datetime.now(timezone.utc)
    return {"channel": frame.get("channel"), "type": "missed", "time": now, "data": {"count": frame.get("count")}}


def parsed(text: str | bytes, request: Request) -> dict[str, Any]:
    """Return the object that a frame holds.

    Raises:
        InvalidResponseError: it holds something else.
    """
    try:
        frame = from_json(text)
    except ValueError as error:
        raise _invalid(request, "a frame that is no JSON") from error
    if not isinstance(frame, dict):
        raise _invalid(request, "a frame that is no object")
    return frame


def event(fields: Mapping[str, Any], request: Request) -> Event:
    """Return an event.

    Raises:
        InvalidResponseError: it lacks a part, or has a wrong one.
    """
    try:
        return Event.model_validate(fields)
    except ModelError as error:
        raise _invalid(request, f"no event: {decoding.summary(error)}") from error


def not_a_stream(response: Response, reason: str) -> InvalidResponseError:
    """Return the error for a successful answer that is no stream of events."""
    return InvalidResponseError(
        f"The server answered {response.status} to {response.request}, but {reason}. "
        "Does base_url name a NeuroGraph server?",
        status_code=response.status,
        request_id=response.request_id,
    )


def too_long(request: Request, reason: str, most_bytes: int) -> InvalidResponseError:
    """Return the error for a frame above the limit of the client."""
    return InvalidResponseError(
        f"In the answer to {request} {reason}; {most_bytes} are the max_response_bytes of this client. Allow more, or "
        "leave out payload or text with include",
        error_code=decoding.RESPONSE_TOO_LARGE,
    )


def query(subscription: Subscription) -> dict[str, str]:
    """Return the parameters of a subscription, without its position."""
    names = subscription.channels
    is_plain = not any("," in name or name.startswith("[") for name in names)
    fields = {"channels": ",".join(names) if is_plain else json.dumps(names)}
    if subscription.filter is not None:
        fields["filter"] = encode(subscription.filter).decode()
    if subscription.include:
        fields["include"] = ",".join(subscription.include)
    return fields


def _invalid(request: Request, what: str) -> InvalidResponseError:
    return InvalidResponseError(f"The server sent {what}, in answer to {request}")
