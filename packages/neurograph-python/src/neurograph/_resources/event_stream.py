# Generated from async_event_stream.py by tools/unasync.py; do not edit.
"""A stream of events, as users see it; synchronous."""

import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurograph._concurrency import Openable
from neurograph._forks_and_copies import Uncopied
from neurograph.models import Event

if TYPE_CHECKING:
    from neurograph._execution.listener import Listener


class EventStream(Openable, Uncopied):
    """Events as they happen, from `client.events.subscribe`: an iterator, and a context manager.

    It is open from the beginning. A connection that breaks is opened again, and goes on
    behind the last event that was delivered. Several threads may read it; each event goes to one of them.
    Ctrl-C in the middle of waiting, loses no event.

    >>> with client.events.subscribe("tokens") as events:
    ...     token = client.tokens.create("hello")
    ...     event = next(events)
    >>> event.type, event.point_id == token.id, events.position == event.id
    ('created', True, True)
    """

    __module__ = "neurograph"  # where users find it

    def __init__(self, listener: Any) -> None:
        self._listener: Listener = listener
        self._is_open = False
        # The listener does not know of this object, nor does a task that waits on its behalf. So both end when this
        # is forgotten.
        weakref.finalize(self, listener.abandon).atexit = False

    @property
    def position(self) -> str | None:
        """The position after everything that was delivered; save it, and pass it as `since` to go on from there.

        None as long as there is none: before the stream is open, and where no channel has positions.

        >>> with client.events.subscribe("tokens") as events:
        ...     position = events.position
        >>> with client.events.subscribe("tokens", since=position) as events:
        ...     events.position == position
        True
        """
        return self._listener.position

    @property
    def closed(self) -> bool:
        """True when no more events will come.

        >>> events = client.events.subscribe("tokens")
        >>> events.close()
        >>> events.closed
        True
        """
        return self._listener.is_over

    def close(self) -> None:
        """End the stream; whoever waits for its next event gets none. A second call does nothing.

        >>> events = client.events.subscribe("tokens")
        >>> events.close()
        >>> [event for event in events]
        []
        """
        self._listener.close()

    def __iter__(self) -> "EventStream":
        return self

    def __next__(self) -> Event:
        if not self._is_open:
            self._opened()
        event = self._listener.next()
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> "EventStream":
        return self._opened()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> "EventStream":
        if not self._is_open:
            self._listener.open()
            self._is_open = True
        return self
