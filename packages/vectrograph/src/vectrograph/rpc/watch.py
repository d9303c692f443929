"""Calls of Watch: they hold no thread between events, nor while their callers do not read.

A stream (`services.live`) says when it has something to send. Two threads take that from all streams and begin to send
it; grpc's serving thread reports when it was sent (`sending`), and then the next is taken.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Final

import grpc
import structlog

from vectrograph.rpc.codec.events import WATCH_WIRE
from vectrograph.rpc.errors import message_of, status_of, trailers_of
from vectrograph.rpc.exchange import Exchange
from vectrograph.rpc.sending import Sender
from vectrograph.rpc.slow_bodies import SlowBodies
from vectrograph.services.call import Call
from vectrograph.services.limits.thread_pool import Pool
from vectrograph.services.live.events import Ended
from vectrograph.services.live.live import STOPPING, Live
from vectrograph.services.live.streams import Stream
from vectrograph.vectron.events import Wanted

# Threads that take what streams have. Chosen: one takes while the other hands over; Python runs one at a time.
_THREADS: Final = 2

log: Final = structlog.get_logger("vectrograph.rpc")


class Watches:
    """The open calls of Watch; a `Waker` of their streams. Thread-safe, and no lock is held while anything is sent."""

    def __init__(self, readers: SlowBodies, begin: Callable[[], None]) -> None:
        """Start nothing.

        Args:
            readers: ends calls whose caller takes nothing for too long.
            begin: is called by each thread first.
        """
        self._readers = readers
        self._pool = Pool(_THREADS, thread_name_prefix="rpc-watch", begin=begin)
        self._lock = threading.Lock()
        self._watches: dict[Stream[bytes], _Watch] = {}
        self._ready: deque[_Watch] = deque()
        self._busy = 0
        self._is_leaving = False

    def open(
        self,
        exchange: Exchange,
        context: grpc.ServicerContext,
        send: Callable[[Any], None],
        live: Live,
        call: Call,
        wanted: Wanted,
    ) -> None:
        """Begin to watch, and return. The exchange goes on until the stream ends.

        Args:
            exchange: of an authenticated call.
            context: of the call.
            send: what grpc gives a non-blocking behaviour.
            live: opens the stream.
            call: of the caller.
            wanted: the stream.

        Raises:
            DomainError: the stream is refused; see `Live.open`.
        """
        stream = live.open(
            exchange.credential,
            [wanted.channel],
            WATCH_WIRE,
            self,
            filter=wanted.filter,
            parts=wanted.parts,
            since=wanted.since,
            origin=call.origin,
        )
        try:
            exchange.announce()
            watch = _Watch(stream, Sender(context, send, self._readers), exchange, context)
        except BaseException:
            stream.close()
            raise
        exchange.go_on()
        with self._lock:
            self._watches[stream] = watch
            is_leaving = self._is_leaving
        if not context.add_callback(lambda: self._over(watch)):
            self._over(watch)
            return
        if is_leaving:
            stream.end(STOPPING)
        self.wake([stream])

    def wake(self, streams: Sequence[Stream[Any]]) -> None:
        """Take from these streams soon; see `Waker`."""
        watches = [watch for stream in streams if (watch := self._watches.get(stream)) is not None and watch.wake()]
        if watches:
            self._run_soon(watches)

    def leave(self) -> None:
        """End all calls, and ask their callers to come back. Return at once."""
        with self._lock:
            self._is_leaving = True
            streams = list(self._watches)
        for stream in streams:
            stream.end(STOPPING)

    def close(self) -> None:
        """Let the threads end; only when the server takes no more calls."""
        self._pool.shutdown(wait=False)

    def _run_soon(self, watches: Sequence["_Watch"]) -> None:
        with self._lock:
            self._ready.extend(watches)
            starting = min(_THREADS - self._busy, len(watches))
            self._busy += starting
        for _ in range(starting):
            self._submit(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._ready:
                    self._busy -= 1
                    return
                watch = self._ready.popleft()
            watch.run(self._sent)

    def _sent(self, watch: "_Watch") -> None:
        """Go on with a call whose last message was taken. Called by grpc's serving thread, hence short."""
        if watch.sent():
            self._run_soon([watch])

    def _over(self, watch: "_Watch") -> None:
        """Forget a call that is over. Called by grpc's serving thread, hence short: writing a log line may wait."""
        with self._lock:
            self._watches.pop(watch.stream, None)
        watch.stop()
        self._submit(watch.close)

    def _submit(self, function: Callable[[], None]) -> None:
        try:
            self._pool.submit(function)
        except RuntimeError:
            function()


class _State(Enum):
    """Phase of a call."""

    IDLE = auto()
    READY = auto()
    TAKING = auto()
    SENDING = auto()
    OVER = auto()


class _Watch:
    """One call: takes from its stream and sends, one thing at a time."""

    def __init__(
        self, stream: Stream[bytes], sender: Sender, exchange: Exchange, context: grpc.ServicerContext
    ) -> None:
        self.stream = stream
        self._sender = sender
        self._exchange = exchange
        self._context = context
        # Held for a moment, never while anything is taken or sent.
        self._lock = threading.Lock()
        self._state = _State.IDLE
        self._is_woken = False
        self._ended: Ended | None = None

    def wake(self) -> bool:
        """Note that the stream has something. Return whether `run` is to be called."""
        with self._lock:
            self._is_woken = True
            if self._state is _State.IDLE:
                self._state = _State.READY
                return True
            return self._state is _State.SENDING and self.stream.ended is not None

    def sent(self) -> bool:
        """Note that the message was taken. Return whether `run` is to be called."""
        with self._lock:
            if self._state is not _State.SENDING:
                return False
            self._state = _State.READY
            return True

    def stop(self) -> None:
        """Send nothing any more: the call is over."""
        with self._lock:
            self._state = _State.OVER

    def close(self) -> None:
        """Let go of the stream, and write a line about the call."""
        self.stream.close()
        ended = self._ended
        if ended is None:
            self._exchange.end(grpc.StatusCode.CANCELLED)
        elif ended.error is None:
            self._exchange.end(grpc.StatusCode.UNAVAILABLE)
        else:
            self._exchange.end(status_of(ended.error), ended.code)

    def run(self, sent: Callable[["_Watch"], None]) -> None:
        """Take what there is and begin to send it; `sent` is called when it was."""
        try:
            while self._begin():
                taken = self.stream.take()
                if isinstance(taken, Ended):
                    self._end(taken)
                elif taken is not None:
                    self._send(taken, sent)
                else:
                    self._rest()
        except Exception:
            # The thread is for all calls.
            log.error("a stream could not be sent", method="Watch", request_id=self._exchange.request_id, exc_info=True)
            self._context.cancel()  # type: ignore[no-untyped-call]

    def _begin(self) -> bool:
        """Return whether this thread is to take the next thing: one thread does at a time."""
        with self._lock:
            # A stream that has ended is not kept up by a caller that does not take the last message.
            if self._state is _State.READY or (self._state is _State.SENDING and self.stream.ended is not None):
                self._state, self._is_woken = _State.TAKING, False
                return True
            return False

    def _rest(self) -> None:
        with self._lock:
            if self._state is _State.TAKING:
                self._state = _State.READY if self._is_woken else _State.IDLE

    def _send(self, message: bytes, sent: Callable[["_Watch"], None]) -> None:
        with self._lock:
            if self._state is not _State.TAKING:
                return
            self._state = _State.SENDING
        if not self._sender.send(message, lambda: sent(self)):
            self.stop()

    def _end(self, ended: Ended) -> None:
        """Send the reason, behind what is on its way."""
        with self._lock:
            if self._state is _State.OVER:
                return
            self._state = _State.OVER
        self._ended = ended
        request_id = self._exchange.request_id
        if ended.error is None:
            code, message = grpc.StatusCode.UNAVAILABLE, ended.message
            trailers: tuple[tuple[str, str | bytes], ...] = (("x-request-id", request_id), ("x-error-code", ended.code))
        else:
            code, message = status_of(ended.error), message_of(ended.error)
            trailers = trailers_of(ended.error, request_id)
        self._sender.finish(code, message, trailers)
        self.stream.close()
