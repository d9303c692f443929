"""Calls whose message does not come: they are ended, so that they cannot keep threads from those who have something to
say.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc


class SlowBodies:
    """Watches calls that wait for their message.

    A call that has waited for `patience` seconds is cancelled. While calls wait for a thread, `grace` seconds are
    enough for that: a message that was sent is there within a round trip.
    """

    def __init__(self, patience: float, grace: float, busy: Callable[[], bool]) -> None:
        """`busy` tells whether calls wait for a thread."""
        self._patience = patience
        self._grace = grace
        self._busy = busy
        self._waiting: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._numbers = itertools.count()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look, name="rpc-slow-bodies", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Cancel the call when the block, which waits for its message, takes too long."""
        number = next(self._numbers)
        # A dictionary changes in one step, whichever thread does it.
        self._waiting[number] = (time.monotonic(), context)
        try:
            yield
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()

    def _look(self) -> None:
        while not self._closing.wait(self._grace / 2):
            self._end(self._grace if self._busy() else self._patience)

    def _end(self, longer_than: float) -> None:
        before = time.monotonic() - longer_than
        late: list[grpc.ServicerContext] = []
        for number, (since, context) in self._waiting.copy().items():
            if since <= before and self._waiting.pop(number, None) is not None:
                late.append(context)
        for context in late:
            # What the thread waits in raises, and the caller sees CANCELLED.
            context.cancel()  # type: ignore[no-untyped-call]
