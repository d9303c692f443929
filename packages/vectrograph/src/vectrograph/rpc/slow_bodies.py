"""Calls whose message does not come: they are ended, so that they cannot keep threads from those who have something to
say.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc

_LOOK_EVERY_SECONDS: Final = 0.25


class SlowBodies:
    """Watches calls that wait for their message.

    A call that has waited for `patience` seconds is cancelled. When every thread is taken, those that have waited for
    `grace` seconds make room at once, the oldest first: a message that was sent is there within a round trip.
    """

    def __init__(self, patience: float, grace: float) -> None:
        self._patience = patience
        self._grace = grace
        self._lock = threading.Lock()
        self._waiting: OrderedDict[int, tuple[float, grpc.ServicerContext]] = OrderedDict()
        self._number = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look, name="rpc-slow-bodies", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Cancel the call when the block, which waits for its message, takes too long."""
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = (time.monotonic(), context)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def make_room(self) -> None:
        """End a call that has waited longer than the grace; called when all threads are taken."""
        self._end(self._grace, at_most=1)

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()

    def _look(self) -> None:
        while not self._closing.wait(_LOOK_EVERY_SECONDS):
            self._end(self._patience)

    def _end(self, longer_than: float, at_most: int | None = None) -> None:
        before = time.monotonic() - longer_than
        late: list[grpc.ServicerContext] = []
        with self._lock:
            while self._waiting and (at_most is None or len(late) < at_most):
                number, (since, context) = next(iter(self._waiting.items()))
                if since > before:
                    break
                del self._waiting[number]
                late.append(context)
        for context in late:
            # What the thread waits in raises, and the caller sees CANCELLED.
            context.cancel()  # type: ignore[no-untyped-call]
