"""Live events; asynchronous."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from neurograph._arguments import UNSET, Timeout
from neurograph._concurrency import async_called, async_ready
from neurograph._execution.async_executor import AsyncExecutor
from neurograph.filters import FilterLike
from neurograph.models import Event, EventTicket

if TYPE_CHECKING:
    from neurograph._resources.async_event_stream import AsyncEventStream


class AsyncEvents:
    """Hear of changes as they happen."""

    def __init__(self, executor: AsyncExecutor) -> None:
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
    ) -> "AsyncEventStream":
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
            A stream that is open once it is awaited, entered or iterated over.

        Raises:
            AuthenticationError: the credentials do not hold; later, when they are revoked.
            AuthorizationError: a channel is not for this caller.
            NotFoundError: there is no such collection; later, when it is dropped.
            PositionExpiredError: the server no longer holds what came after `since`.
            ValidationError: an argument is wrong.
            TimeoutError: the stream did not open in time.

        >>> async with client.events.subscribe("tokens", include="text") as events:
        ...     token = await client.tokens.create("hello")
        ...     event = await anext(events)
        >>> event.type, event.text
        ('created', 'hello')
        """
        # Imported here because most programs have no streams.
        from neurograph._execution.async_listener import AsyncListener
        from neurograph._protocol import events as protocol
        from neurograph._resources.async_event_stream import AsyncEventStream

        subscription = protocol.subscription(channels, filter, include, since)
        listener = AsyncListener(self._executor, subscription, transport, self._executor.seconds(timeout))
        return async_ready(AsyncEventStream(listener))

    async def listen(
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
            handler: a function or coroutine function of an event. What it raises ends the call.
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

        >>> async def once(event):
        ...     print(event.type)
        ...     await client.events.close()
        >>> token = await client.tokens.create("hello")
        >>> position = await client.events.listen(once, "tokens", since="oldest")
        created
        """
        stream = self.subscribe(
            channels, filter=filter, include=include, since=since, timeout=timeout, transport=transport
        )
        async with stream:
            async for event in stream:
                await async_called(handler, event)
        return stream.position

    async def ticket(self, *, timeout: Timeout = UNSET) -> EventTicket:
        """Get a text that opens one stream, once, within half a minute, for those who cannot send credentials.

        A web page has it as `new EventSource("/api/v1/events?channels=tokens&ticket=…")`.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            RateLimitError: too many tickets were not used.

        >>> (await client.events.ticket()).expires_in
        30.0
        """
        from neurograph._protocol import events as protocol

        return await self._executor.run(protocol.ticket(), timeout)

    async def close(self) -> None:
        """End all streams of this client, and `listen`; the client stays usable.

        Raises:
            RuntimeError: there is no event loop.

        >>> events = await client.events.subscribe("tokens")
        >>> await client.events.close()
        >>> events.closed
        True
        """
        await self._executor.close_streams()
