"""Events, and what a transport contributes to them: the form in which it sends them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType

from vectrograph.domain.errors import DomainError, InvalidArgument, clipped

C = TypeVar("C")
HEARTBEAT_SECONDS: Final = 15.0
"""Seconds of silence after which a reader is sent something. Chosen: proxies usually cut after 60 or more."""


class Parts(NamedTuple):
    """Parts of points that a reader wants with each event."""

    payload: bool = False
    text: bool = False

    @classmethod
    def named(cls, text: str, field: str = "include") -> "Parts":
        """Return the parts that a text names, separated by commas.

        Raises:
            InvalidArgument: there is no such part.

        >>> Parts.named("payload, text"), Parts.named("")
        (Parts(payload=True, text=True), Parts(payload=False, text=False))
        """
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in cls._fields:
                parts = ", ".join(cls._fields)
                raise InvalidArgument.of(field, f"names {clipped(name, 100)!r}; the parts are {parts}", "enum")
        return cls(payload="payload" in names, text="text" in names)


class PointNow(NamedTuple):
    """A point as it is when its event is delivered, perhaps later than the event.

    Attributes:
        version: of the point now.
        payload: compact JSON; UNSET when it was not asked for.
        text: None for a point without one, UNSET when it was not asked for.
    """

    version: int
    payload: bytes | UnsetType = UNSET
    text: str | UnsetType | None = UNSET


class Changed(NamedTuple):
    """Data of an event from a log.

    Attributes:
        id: of the point; a number for a token.
        version: number of the change, and version of the point that it left behind.
        matches: whether the point, as it is now, matches the reader's filter; None without a filter, and for deletes.
        point: the point as it is now; None when it was not asked for, or is gone.
    """

    id: str | int
    version: int
    matches: bool | None = None
    point: PointNow | None = None


class Event(NamedTuple):
    """One event.

    Attributes:
        channel: name of the channel.
        type: such as `created`.
        at: microseconds since 1970-01-01 UTC.
        data: JSON-ready for a channel of the bus.
        id: position after this event; "" in a channel of the bus, whose events cannot be read again.
    """

    channel: str
    type: str
    at: int
    data: Changed | Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a stream, to be told to its reader.

    Attributes:
        code: of the error, or SERVER_STOPPING.
        message: what happened and what to do.
        reconnect: whether opening the stream again may succeed.
        error: behind it; None when the server stops and when the reader left.
    """

    code: str
    message: str
    reconnect: bool
    error: DomainError | None = field(default=None, repr=False)

    @classmethod
    def of(cls, error: DomainError) -> "Ended":
        """Return the end that an error makes."""
        return cls(error.code, error.message, error.retryable, error)


class Wire(Generic[C]):
    """The form in which a transport sends events. `C` is what it sends at once.

    Methods are called from several threads, and what they return is shared by streams.

    Attributes:
        name: tells wires apart; what one wire wrote is kept under its name.
        heartbeat_seconds: of silence, after which `heartbeat` is sent.
    """

    name: ClassVar[str]
    heartbeat_seconds: ClassVar[float] = HEARTBEAT_SECONDS

    def event(self, event: Event) -> bytes:
        """Return one event."""
        raise NotImplementedError

    def chunk(self, events: Sequence[bytes], position: str) -> C:
        """Return some events to be sent at once; `position` is that after the last one, "" on the bus."""
        raise NotImplementedError

    def position(self, position: str) -> C:
        """Return a position without an event."""
        raise NotImplementedError

    def heartbeat(self, position: str) -> C:
        """Return a sign of life, with the position of the reader if it has moved without an event, else ""."""
        raise NotImplementedError

    def dropped(self, channel: str, count: int) -> C:
        """Return the news that the oldest events of a channel of the bus were dropped, because the reader is slow."""
        raise NotImplementedError
