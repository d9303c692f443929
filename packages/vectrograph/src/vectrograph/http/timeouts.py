"""Connections of the HTTP server: requests within limits, and an end for those that do not get on.

uvicorn itself waits for request headers for ever, holds headers of any size, and reads on while pipelined requests
wait.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vectrograph.domain.cancellation import GONE
from vectrograph.http.errors import FramingRefused, MalformedFraming
from vectrograph.http.request_framing import RequestFraming, begun
from vectrograph.http.scope import CONNECTION, FAULTS
from vectrograph.http.stalls import STALL_SECONDS, bytes_in_system, limit_silence, pause_at_once
from vectrograph.http.websockets import WebSocketConnection, application_of

# Seconds until the head of a request must be complete. Chosen: shorter than Apache's 20 (RequestReadTimeout).
HEADER_SECONDS: Final = 10.0
# Whoever takes less than this of an answer is not waited for; a slow mobile connection takes ten times as much.
MIN_BYTES_PER_SECOND: Final = 16 * 1024
# Seconds between two looks at what a caller has taken of an answer. Chosen: at the least speed it is 80 KiB.
LOOK_SECONDS: Final = 5.0
# Requests of one connection that wait for the one before; the rest stays in the socket. Browsers and clients send none.
MAX_PIPELINED: Final = 16
# Pieces of requests passed on before other connections get their turn: some milliseconds when all are tiny chunks.
_PIECES_AT_ONCE: Final = 8
_REQUESTS_BEFORE: Final = (
    "A WebSocket cannot be opened on a connection whose earlier requests are not answered yet; use another connection."
)
# How long what a refused client still sends is read and thrown away: closed at once, it might never see the answer.
LINGER_SECONDS: Final = 2.0


class TimedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request headers must be complete ten seconds after the connection, or their first byte, came, and
    whose answers must be taken at 16 KiB a second at least.

    An answer that goes on for as long as its reader wants may be taken as slowly as the reader wants: it is paused, and
    given up when nothing at all was taken for a minute. Sizes and numbers of requests are those of `RequestFraming`. Of
    a connection, one socket read at most is held beyond them.
    """

    _waiting: asyncio.TimerHandle | None = None
    _looking: asyncio.TimerHandle | None = None
    _refused = False
    _in_request = False
    _is_streaming = False
    _idle_seconds = 0.0
    header_seconds = HEADER_SECONDS
    look_seconds = LOOK_SECONDS
    stall_seconds = STALL_SECONDS
    flow: "_Flow"

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.app = application_of(self.config)
        self.flow = _Flow(transport)
        self._framing = RequestFraming(websockets=self.ws_protocol_class is not None)
        self._faults: list[FramingRefused] = []
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Pass on what is complete; begin to wait at the first byte of a later request."""
        if self._refused:
            return
        if self._waiting is None and getattr(self.cycle, "response_complete", True):
            self._expect_headers()
        self._unset_keepalive_if_required()
        self._framing.receive(data)
        self._advance()

    def on_message_begin(self) -> None:
        """Give the request a list for what turns out to be wrong with it later."""
        super().on_message_begin()
        self._faults = []
        scope: Any = self.scope
        scope[FAULTS] = self._faults
        scope[GONE] = self.transport.is_closing
        scope[CONNECTION] = self

    def on_headers_complete(self) -> None:
        """Wait no more: what follows has time limits of its own."""
        self._stop_waiting()
        super().on_headers_complete()
        self._in_request = True

    def on_message_complete(self) -> None:
        """Note that the body is complete."""
        self._in_request = False
        super().on_message_complete()

    def begin_stream(self) -> None:
        """Begin an answer that goes on for as long as its reader wants; see `StreamingConnection`."""
        self._is_streaming = True
        # Whatever the system does not take waits in one place, and the answer is paused.
        pause_at_once(self.transport)
        limit_silence(self.transport, STALL_SECONDS)

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def on_response_complete(self) -> None:
        """Go on with what was held back while requests waited."""
        if self._is_streaming:
            self._is_streaming = False
            self.transport.set_write_buffer_limits()
        super().on_response_complete()
        if self.flow.held:
            self._advance()

    def pause_writing(self) -> None:
        """Begin to look whether what is written is taken."""
        super().pause_writing()
        self._idle_seconds = 0.0
        self._look_later()

    def resume_writing(self) -> None:
        """Note that the client took the bytes."""
        self._stop_looking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_looking()
        self._refused = True
        super().connection_lost(exc)

    def _advance(self) -> None:
        """Pass pieces on to the parser, until more must come or enough requests wait."""
        for _ in range(_PIECES_AT_ONCE):
            if self._refused or self.transport.is_closing():
                return
            if len(self.pipeline) >= MAX_PIPELINED:
                self.flow.hold()
                return
            try:
                piece = self._framing.next_piece()
            except FramingRefused as error:
                self._refuse(error, self._framing.waiting)
                return
            if piece is not None and self._framing.is_upgraded and self._is_answering:
                self._refuse(MalformedFraming(_REQUESTS_BEFORE), piece)
                return
            if piece is not None:
                self._parse(piece)
                # Should the parser see it otherwise, nothing of what follows is taken for requests.
                self._refused |= self._framing.is_upgraded
            if piece is None or not self._framing.waiting:
                self.flow.release()
                return
        self.flow.hold()
        self.loop.call_soon(self._advance)

    @property
    def _is_answering(self) -> bool:
        """Return whether answers to earlier requests are still being sent."""
        return not getattr(self.cycle, "response_complete", True) or bool(self.pipeline) or self.flow.write_paused

    def _should_upgrade(self) -> bool:
        return self._framing.is_upgraded

    def handle_websocket_upgrade(self) -> None:
        """Let go of the connection: what comes from now on are frames."""
        target = httptools.parse_url(self.url)
        self._refused = True
        self._stop_looking()
        self.flow.release()
        self.flow.resume_reading()
        self.connections.discard(self)
        request = {**self.scope, "raw_path": target.path or b"/", "query_string": target.query or b""}
        connection = WebSocketConnection(self.config, self.server_state, self.loop)
        connection.begin(self.transport, request, self._framing.waiting)

    def _parse(self, piece: bytes) -> None:
        try:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._refuse(MalformedFraming("The request is malformed; send valid HTTP/1.1."), piece)

    def _refuse(self, error: FramingRefused, head: bytes) -> None:
        """Answer with an error when it is the turn of this request, and close the connection after it."""
        self._refused = True
        self._stop_waiting()
        self.flow.release()
        self.flow.resume_reading()
        if self._in_request:
            self._faults.append(error)
            self.cycle.keep_alive = False
            self.cycle.transport = _Lingering(self.transport, self.loop)
            if self.cycle.response_complete:
                self.cycle.transport.close()
            self.cycle.message_event.set()
            return
        before: RequestResponseCycle | None = self.cycle
        self.cycle = self._cycle_of(error, head)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle_of(self, error: FramingRefused, head: bytes) -> RequestResponseCycle:
        """Return a request that stands for one whose head was refused."""
        method, path = begun(head)
        self.on_message_begin()
        self._faults.append(error)
        scope: Any = self.scope
        scope.update(method=method, path=path.decode("latin-1"), raw_path=path, query_string=b"")
        return RequestResponseCycle(
            scope=scope,
            transport=_Lingering(self.transport, self.loop),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def _expect_headers(self) -> None:
        self._waiting = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _look_later(self) -> None:
        self._stop_looking()
        left = self.transport.get_write_buffer_size()
        in_system = bytes_in_system(self.transport) if self._is_streaming else 0
        self._looking = self.loop.call_later(self.look_seconds, self._look, left, in_system)

    def _look(self, before: int, in_system_before: int) -> None:
        """Close the connection when too little was taken since; the rest of the answer is given up."""
        self._looking = None
        taken = before - self.transport.get_write_buffer_size()
        if self._is_streaming:
            # A slow reader empties the system's buffer, of megabytes perhaps, long before anything leaves our own.
            has_moved = taken > 0 or bytes_in_system(self.transport) != in_system_before
            self._idle_seconds = 0.0 if has_moved else self._idle_seconds + self.look_seconds
            is_given_up = self._idle_seconds >= self.stall_seconds
        else:
            is_given_up = taken < MIN_BYTES_PER_SECOND * self.look_seconds
        if is_given_up:
            self.transport.abort()
        else:
            self._look_later()

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()


class _Flow(FlowControl):
    """Flow control with two reasons to stop reading: what uvicorn says, and what is held back here."""

    held = False
    _busy = False

    def hold(self) -> None:
        """Read no more until `release`."""
        self.held = True
        self._apply()

    def release(self) -> None:
        """Read on, unless uvicorn wants to wait."""
        if self.held:
            self.held = False
            self._apply()

    def pause_reading(self) -> None:
        """Read no more until `resume_reading`."""
        if not self._busy:
            self._busy = True
            self._apply()

    def resume_reading(self) -> None:
        """Read on, unless something is held back."""
        if self._busy:
            self._busy = False
            self._apply()

    def _apply(self) -> None:
        paused = self.held or self._busy
        if paused != self.read_paused:
            self.read_paused = paused
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()


class _Lingering(asyncio.Transport):
    """A transport whose `close` ends the answer and gives the client a moment to read it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Tell whether the connection is being closed."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send no more; close the connection when the client does, or a moment later."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)
