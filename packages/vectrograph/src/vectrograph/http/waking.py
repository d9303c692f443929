"""Waking coroutines of one event loop from other threads, many at once."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress


class LoopWaker:
    """Calls a function on the event loop for each of some keys. One call of the loop serves them all. Thread-safe."""

    def __init__(self) -> None:
        """Know no loop yet: it is that of the first coroutine that registers."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells: dict[Hashable, Callable[[], None]] = {}

    def register(self, key: Hashable, bell: Callable[[], None]) -> None:
        """Call `bell` on the running loop whenever `key` is woken, until `forget`."""
        self._loop = asyncio.get_running_loop()
        self._bells[key] = bell

    def forget(self, key: Hashable) -> None:
        """Call its function no more."""
        self._bells.pop(key, None)

    def wake(self, keys: Sequence[Hashable]) -> None:
        """Let the functions of some keys be called soon; keys that are not registered are passed over."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(self._ring, keys)

    def _ring(self, keys: Sequence[Hashable]) -> None:
        for key in keys:
            bell = self._bells.get(key)
            if bell is not None:
                bell()
