"""A limit on calls that hold a thread while they wait for their caller."""

import itertools
import threading
import time
from dataclasses import dataclass
from typing import Final

import grpc

# Deadlines are looked at this often in the time that a call may stall.
_LOOKS: Final = 4
# Seconds for which a call may stall even where there are too many: a message that comes with its call is there in a
# hundredth of that, and in a burst of honest calls many wait for theirs at once.
_GRACE_SECONDS: Final = 0.1
# Seconds that a call may still stall once the server stops.
_LAST_SECONDS: Final = 0.5


@dataclass(slots=True)
class _Stall:
    """A call that waits for its caller."""

    calls: "StalledCalls"
    context: grpc.ServicerContext
    caller: str
    number: int
    since: float = 0.0

    def __enter__(self) -> None:
        self.calls._begin(self)

    def __exit__(self, *_: object) -> None:
        self.calls._end(self)


class StalledCalls:
    """Bounds the calls that wait for their caller: to send a message, or to take an answer. Thread-safe.

    A call that stalls for too long is cancelled. Where one caller has too many of them, its oldest is cancelled after a
    tenth of a second; where there are too many in all, the oldest of the caller who has most. A newcomer therefore does
    not wait for those who do nothing. The threads that answer must be more than `in_all`.

    No lock is held while a call is cancelled.
    """

    def __init__(self, *, seconds: float, in_all: int, per_caller: int) -> None:
        """Begin to watch.

        Args:
            seconds: for which a call may stall.
            in_all: calls that may stall at once.
            per_caller: calls of one caller, such as an address, that may stall at once.
        """
        self._seconds = seconds
        self._in_all = in_all
        self._per_caller = per_caller
        self._lock = threading.Lock()
        # Dictionaries keep the order in which calls began to stall.
        self._stalls: dict[int, _Stall] = {}
        self._by_caller: dict[str, dict[int, _Stall]] = {}
        self._numbers = itertools.count()
        self._wake = threading.Event()
        self._pause = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="rpc-stalled-calls", daemon=True)
        self._thread.start()

    def watching(self, context: grpc.ServicerContext, caller: str) -> _Stall:
        """Return a context manager for a block that waits for the caller."""
        return _Stall(self, context, caller, next(self._numbers))

    def hurry(self) -> None:
        """Give calls that stall half a second more: the server stops."""
        self._seconds = min(self._seconds, _LAST_SECONDS)
        self._wake.set()

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._wake.set()
        self._pause.set()

    def _begin(self, stall: _Stall) -> None:
        stall.since = time.monotonic()
        with self._lock:
            self._stalls[stall.number] = stall
            self._by_caller.setdefault(stall.caller, {})[stall.number] = stall
            crowded = self._crowd() is not None
        if crowded:
            self._wake.set()

    def _end(self, stall: _Stall) -> None:
        with self._lock:
            self._remove(stall)

    def _crowd(self) -> dict[int, _Stall] | None:
        """Return the calls of which the oldest has to give way, None where there is room; the lock is held."""
        most = max(self._by_caller.values(), key=len, default={})
        return most if len(most) > self._per_caller or len(self._stalls) > self._in_all else None

    def _take_late(self) -> tuple[list[_Stall], bool]:
        """Remove and return the calls that have to end, and tell whether more will soon; the lock is held."""
        now = time.monotonic()
        late = [stall for stall in self._stalls.values() if stall.since <= now - self._seconds]
        for stall in late:
            self._remove(stall)
        while (crowd := self._crowd()) is not None:
            oldest = next(iter(crowd.values()))
            if oldest.since > now - _GRACE_SECONDS:
                return late, True
            self._remove(oldest)
            late.append(oldest)
        return late, False

    def _remove(self, stall: _Stall) -> None:
        """Forget a call; the lock is held."""
        if self._stalls.pop(stall.number, None) is None:
            return
        rest = self._by_caller[stall.caller]
        del rest[stall.number]
        if not rest:
            del self._by_caller[stall.caller]

    def _watch(self) -> None:
        crowded = False
        while not self._closed:
            if crowded:
                self._pause.wait(_GRACE_SECONDS / _LOOKS)
            else:
                self._wake.wait(self._seconds / _LOOKS)
            self._wake.clear()
            with self._lock:
                late, crowded = self._take_late()
            for stall in late:
                _cancel(stall)


def _cancel(stall: _Stall) -> None:
    """End a call. What its thread waits in raises or returns, and the caller sees CANCELLED."""
    stall.context.cancel()  # type: ignore[no-untyped-call]
