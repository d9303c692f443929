"""Calls whose message does not come: they are ended, so that they cannot keep threads from those who have something to
say.
"""

import threading
import time
from collections import OrderedDict
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

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()

    def _look(self) -> None:
        while not self._closing.wait(self._grace / 2):
            self._end(self._grace if self._busy() else self._patience)

    def _end(self, longer_than: float) -> None:
        before = time.monotonic() - longer_than
        late: list[grpc.ServicerContext] = []
        with self._lock:
            while self._waiting:
                number, (since, context) = next(iter(self._waiting.items()))
                if since > before:
                    break
                del self._waiting[number]
                late.append(context)
        for context in late:
            # What the thread waits in raises, and the caller sees CANCELLED.
            context.cancel()  # type: ignore[no-untyped-call]
