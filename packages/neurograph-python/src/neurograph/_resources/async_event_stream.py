"""A stream of events, as users see it; asynchronous."""

import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurograph._concurrency import AsyncOpenable
from neurograph._forks_and_copies import Uncopied
from neurograph.models import Event

if TYPE_CHECKING:
    from neurograph._execution.async_listener import AsyncListener


class AsyncEventStream(AsyncOpenable, Uncopied):
    """Events as they happen, from `client.events.subscribe`: an asynchronous iterator, and a context manager.

    It opens when it is awaited, entered or first iterated over. A connection that breaks is opened again, and goes on
    behind the last event that was delivered. Several tasks may read it; each event goes to one of them.
    A task that gives up waiting, as with a timeout, loses no event.

    >>> async with client.events.subscribe("tokens") as events:
    ...     token = await client.tokens.create("hello")
    ...     event = await anext(events)
    >>> event.type, event.point_id == token.id, events.position == event.id
    ('created', True, True)
    """

    __module__ = "neurograph"  # where users find it

    def __init__(self, listener: Any) -> None:
        self._listener: AsyncListener = listener
        self._is_open = False
        # The listener does not know of this object, nor does a task that waits on its behalf. So both end when this
        # is forgotten.
        weakref.finalize(self, listener.abandon).atexit = False

    @property
    def position(self) -> str | None:
        """The position after everything that was delivered; save it, and pass it as `since` to go on from there.

        None as long as there is none: before the stream is open, and where no channel has positions.

        >>> async with client.events.subscribe("tokens") as events:
        ...     position = events.position
        >>> async with client.events.subscribe("tokens", since=position) as events:
        ...     events.position == position
        True
        """
        return self._listener.position

    @property
    def closed(self) -> bool:
        """True when no more events will come.

        >>> events = await client.events.subscribe("tokens")
        >>> await events.close()
        >>> events.closed
        True
        """
        return self._listener.is_over

    async def close(self) -> None:
        """End the stream; whoever waits for its next event gets none. A second call does nothing.

        >>> events = await client.events.subscribe("tokens")
        >>> await events.close()
        >>> [event async for event in events]
        []
        """
        await self._listener.close()

    def __aiter__(self) -> "AsyncEventStream":
        return self

    async def __anext__(self) -> Event:
        if not self._is_open:
            await self._opened()
        event = await self._listener.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> "AsyncEventStream":
        return await self._opened()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _opened(self) -> "AsyncEventStream":
        if not self._is_open:
            await self._listener.open()
            self._is_open = True
        return self
