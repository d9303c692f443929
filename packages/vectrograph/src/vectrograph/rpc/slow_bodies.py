"""Calls of known callers whose message does not come, or whose answer is not taken: they are ended, so that they cannot
keep threads from others. Calls that anonymous callers may make are bounded in number too: `stalled_calls`.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import grpc

# Seconds more for each byte of an answer: 256 KiB a second, which a slow line takes.
_SECONDS_PER_BYTE: Final = 1 / (256 * 1024)


class _Waiting(NamedTuple):
    """A call that waits for its caller: since when, and for how many seconds at most."""

    since: float
    seconds: float
    context: grpc.ServicerContext


class Watch:
    """A context for as long as a call waits for its caller."""

    __slots__ = ("_context", "_extra", "_number", "_seconds", "_waiting")

    def __init__(
        self,
        waiting: dict[int, _Waiting],
        number: int,
        context: grpc.ServicerContext,
        extra: float,
        seconds: float,
    ) -> None:
        self._waiting = waiting
        self._number = number
        self._context = context
        self._extra = extra
        self._seconds = seconds

    def __enter__(self) -> None:
        # A dictionary changes in one step, whichever thread does it.
        self._waiting[self._number] = _Waiting(time.monotonic() + self._extra, self._seconds, self._context)

    def __exit__(self, *_: object) -> None:
        self._waiting.pop(self._number, None)


class SlowBodies:
    """Watches calls that wait for their message, or for an answer to be taken.

    A call that has waited for `patience` seconds is cancelled. While calls wait for a thread, `grace` seconds are
    enough for that: a message that was sent is there within a round trip.
    """

    def __init__(self, patience: float, grace: float, busy: Callable[[], bool]) -> None:
        """`busy` tells whether calls wait for a thread."""
        self._patience = patience
        self._grace = grace
        self._busy = busy
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = itertools.count()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look, name="rpc-slow-bodies", daemon=True)
        self._thread.start()

    def watching(self, context: grpc.ServicerContext, answer_bytes: int = 0, *, seconds: float = math.inf) -> "Watch":
        """Cancel the call when the block, which waits for its caller, takes too long.

        Args:
            context: of the call.
            answer_bytes: that the caller has to take meanwhile: each adds a moment.
            seconds: that it may take at most, where that is less than others may.
        """
        return Watch(self._waiting, next(self._numbers), context, answer_bytes * _SECONDS_PER_BYTE, seconds)

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()

    def _look(self) -> None:
        while not self._closing.wait(self._grace / 2):
            self._end(self._grace if self._busy() else self._patience)

    def _end(self, longer_than: float) -> None:
        now = time.monotonic()
        late: list[grpc.ServicerContext] = []
        for number, each in self._waiting.copy().items():
            if each.since + min(each.seconds, longer_than) <= now and self._waiting.pop(number, None) is not None:
                late.append(each.context)
        for context in late:
            # What the thread waits in raises, and the caller sees CANCELLED.
            context.cancel()  # type: ignore[no-untyped-call]
