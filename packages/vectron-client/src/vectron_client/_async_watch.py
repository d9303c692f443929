"""The iterator over the changes of a collection; asynchronous."""

from types import TracebackType
from typing import Any

from vectron_client._copying import Uncopied
from vectron_client._protocol.watching import Watching
from vectron_client._results import ChangeEvent
from vectron_client._transport.channel import AsyncChannel
from vectron_client._transport.concurrency import AsyncBell, AsyncOpenable
from vectron_client._wirekit.flow import Sleep, run_async


class AsyncWatch(AsyncOpenable, Uncopied):
    """The changes of a collection as they happen, from `watch`: an asynchronous iterator and a context manager.

    It opens when it is awaited, entered or first iterated over. When the connection breaks or the server restarts, it
    opens again and goes on after the last change that it returned.

    One task reads it at a time. A task that gives up waiting loses no change.
    """

    # Any: only `watch` makes one, and the public API does not name these types.
    def __init__(self, watching: Any, channel: Any) -> None:
        self._watching: Watching = watching
        self._channel: AsyncChannel = channel
        self._bell = AsyncBell()

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

    async def close(self) -> None:
        """End the watch; a reader that waits for the next change gets none. Closing again does nothing.

        Another task may close it.
        """
        self._watching.close()
        self._bell.ring()

    def __aiter__(self) -> "AsyncWatch":
        return self

    async def __anext__(self) -> ChangeEvent:
        event = self._watching.ready()
        if event is None:
            event = await run_async(self._watching.next(), self._perform)
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> "AsyncWatch":
        return await self._opened()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _opened(self) -> "AsyncWatch":
        await run_async(self._watching.open(), self._perform)
        return self

    async def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Sleep):
            await self._bell.pause(effect.seconds)
            return None
        return await self._channel.perform(effect)
