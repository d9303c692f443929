# Generated from _async_watch.py by tools/unasync.py; do not edit.
"""The iterator over the changes of a collection; synchronous."""

from types import TracebackType
from typing import Any

from vectron_client._copying import Uncopied
from vectron_client._protocol.watching import Watching
from vectron_client._results import ChangeEvent
from vectron_client._transport.channel import Channel
from vectron_client._transport.concurrency import Bell, Openable
from vectron_client._wirekit.flow import Sleep, run


class Watch(Openable, Uncopied):
    """The changes of a collection as they happen, from `watch`: an iterator and a context manager.

    It is open from the beginning. When the connection breaks or the server restarts, it
    opens again and goes on after the last change that it returned.

    One thread reads it at a time. A thread that is interrupted by Ctrl-C while it waits loses no change.
    """

    # Any: only `watch` makes one, and the public API does not name these types.
    def __init__(self, watching: Any, channel: Any) -> None:
        self._watching: Watching = watching
        self._channel: Channel = channel
        self._bell = Bell()

    @property
    def position(self) -> str | None:
        """The position after the last change that was returned; `since=` goes on from there, also in another process.

        None before the watch is open.
        """
        return self._watching.position

    @property
    def closed(self) -> bool:
        """Return whether the watch has ended: by `close`, or by an error that was raised."""
        return self._watching.is_closed

    def close(self) -> None:
        """End the watch; a reader that waits for the next change gets none. Closing again does nothing.

        Another thread or a signal handler may close it.
        """
        self._watching.close()
        self._bell.ring()

    def __iter__(self) -> "Watch":
        return self

    def __next__(self) -> ChangeEvent:
        event = self._watching.ready()
        if event is None:
            event = run(self._watching.next(), self._perform)
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> "Watch":
        return self._opened()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> "Watch":
        run(self._watching.open(), self._perform)
        return self

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Sleep):
            self._bell.pause(effect.seconds)
            return None
        return self._channel.perform(effect)
