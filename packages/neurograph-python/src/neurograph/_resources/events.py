# Generated from async_events.py by tools/unasync.py; do not edit.
"""Live events; synchronous."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from neurograph._arguments import UNSET, Timeout
from neurograph._concurrency import called, ready
from neurograph._execution.executor import Executor
from neurograph.filters import FilterLike
from neurograph.models import Event, EventTicket

if TYPE_CHECKING:
    from neurograph._resources.event_stream import EventStream


class Events:
    """Hear of changes as they happen."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def subscribe(
        self,
        channels: str | Iterable[str],
        *,
        filter: FilterLike | None = None,
        include: str | Iterable[str] = (),
        since: str | None = None,
        timeout: Timeout = UNSET,
        transport: Literal["sse", "websocket"] | None = None,
    ) -> "EventStream":
        """Return a stream of events.

        Events of `tokens` and `collection:NAME` come at least once and in order; nothing is lost between the opening of
        the stream and its end, also when the server restarts, as long as it holds the events.

        Args:
            channels: `tokens`, `collection:NAME`, `collections`, `metrics`, `status`, `signals`, `actions`, `logs` or
                `connections`; several in a list or separated by commas.
            filter: which points events are wanted of, a dictionary or made with `neurograph.field`. Deletions always
                come, and updates after which a point no longer matches.
            include: `payload` and `text`, to be sent with the events as they are at delivery.
            since: a position to go on from, `oldest` for all that the server holds, or None for now.
            timeout: seconds for opening the stream, then and whenever the connection breaks; else the client's. Waiting
                for events has no limit.
            transport: `sse`, the default, or `websocket`, which needs the extra of that name.

        Returns:
            The open stream.

        Raises:
            AuthenticationError: the credentials do not hold; later, when they are revoked.
            AuthorizationError: a channel is not for this caller.
            NotFoundError: there is no such collection; later, when it is dropped.
            PositionExpiredError: the server no longer holds what came after `since`.
            ValidationError: an argument is wrong.
            TimeoutError: the stream did not open in time.

        >>> with client.events.subscribe("tokens", include="text") as events:
        ...     token = client.tokens.create("hello")
        ...     event = next(events)
        >>> event.type, event.text
        ('created', 'hello')
        """
        # Imported here because most programs have no streams.
        from neurograph._execution.listener import Listener
        from neurograph._protocol import events as protocol
        from neurograph._resources.event_stream import EventStream

        subscription = protocol.subscription(channels, filter, include, since)
        listener = Listener(self._executor, subscription, transport, self._executor.seconds(timeout))
        return ready(EventStream(listener))

    def listen(
        self,
        handler: Callable[[Event], Any],
        channels: str | Iterable[str],
        *,
        filter: FilterLike | None = None,
        include: str | Iterable[str] = (),
        since: str | None = None,
        timeout: Timeout = UNSET,
        transport: Literal["sse", "websocket"] | None = None,
    ) -> str | None:
        """Call a function for each event, one after the other, until `close` is called.

        Args:
            handler: a function of an event. What it raises ends the call.
            channels: as of `subscribe`.
            filter: as of `subscribe`.
            include: as of `subscribe`.
            since: as of `subscribe`.
            timeout: as of `subscribe`.
            transport: as of `subscribe`.

        Returns:
            The position after the last event that was handled.

        Raises:
            NeuroGraphError: as of `subscribe`.

        >>> def once(event):
        ...     print(event.type)
        ...     client.events.close()
        >>> token = client.tokens.create("hello")
        >>> position = client.events.listen(once, "tokens", since="oldest")
        created
        """
        stream = self.subscribe(
            channels, filter=filter, include=include, since=since, timeout=timeout, transport=transport
        )
        with stream:
            for event in stream:
                called(handler, event)
        return stream.position

    def ticket(self, *, timeout: Timeout = UNSET) -> EventTicket:
        """Get a text that opens one stream, once, within half a minute, for those who cannot send credentials.

        A web page has it as `new EventSource("/api/v1/events?channels=tokens&ticket=…")`.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            RateLimitError: too many tickets were not used.

        >>> (client.events.ticket()).expires_in
        30.0
        """
        from neurograph._protocol import events as protocol

        return self._executor.run(protocol.ticket(), timeout)

    def close(self) -> None:
        """End all streams of this client, and `listen`; the client stays usable.

        Raises:
            RuntimeError: there is no event loop.

        >>> events = client.events.subscribe("tokens")
        >>> client.events.close()
        >>> events.closed
        True
        """
        self._executor.close_streams()
