"""Connections that became WebSockets: frames within limits, and an end for readers that take nothing.

uvicorn's own WebSockets hold any number of messages, fragments and pongs of one connection, and write the query string
of a handshake, which may have a credential, to the log. This one hands frames of `websockets` to the application.
"""

import asyncio
import base64
import binascii
import logging
from collections import deque
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import Message, Scope
from uvicorn.config import Config
from uvicorn.middleware.message_logger import MessageLoggerMiddleware
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.utils import accept_key

from vectrograph.http.errors import MalformedHandshake
from vectrograph.http.scope import CONNECTION, FAULTS
from vectrograph.http.stalls import STALL_SECONDS, bytes_in_system, limit_silence, pause_at_once

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Bytes of a message from a client. Generous: 64 channels with the longest names have 35,000."""
MAX_FRAGMENTS: Final = 64
"""Frames of one message. Generous: clients send one."""
SEND_FRAMES: Final = "vectrograph.websocket.frames"
"""Type of a message to `send` whose `data` are whole frames, to be written as they are."""
# Seconds between two looks at whether a reader takes anything.
_LOOK_SECONDS: Final = 5.0
# Seconds that the other side gets to answer the end of a connection, and to take what was written before.
_CLOSE_SECONDS: Final = 5.0
# The same when the server stops.
_STOP_SECONDS: Final = 1.0
# Bytes that are taken apart before other connections get their turn: 170 of the smallest frames, a millisecond.
_SLICE_BYTES: Final = 1024
# Bytes of the key in a handshake, and the version of the protocol: RFC 6455, 4.2.1.
_KEY_BYTES: Final = 16
_VERSION: Final = b"13"

# The library would write each frame, and with it what a client sends, to a logger of level debug.
_silent: Final = logging.Logger("vectrograph.websockets", logging.CRITICAL + 1)


def text_frame(payload: bytes) -> bytes:
    """Return a frame of text as servers send it: the same bytes for every reader.

    >>> text_frame(b"{}")
    b'\\x81\\x02{}'
    """
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket, from its handshake on: frames on one side, ASGI on the other.

    Nothing is read from the client while messages wait for the application, or bytes for the client. One socket read
    at most is held beyond them.
    """

    stall_seconds = STALL_SECONDS
    look_seconds = _LOOK_SECONDS
    close_seconds = _CLOSE_SECONDS

    def __init__(self, config: Config, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._app = application_of(config)
        self._state = server_state
        self._loop = loop
        self._frames = Protocol(SERVER, state=OPEN, max_size=MAX_MESSAGE_BYTES, logger=_silent)
        self._transport: asyncio.Transport
        self._scope: Scope
        self._accept = b""
        self._is_open = False
        self._refusal: tuple[int, list[tuple[bytes, bytes]]] | None = None
        # What came and was not taken apart yet; what was, and waits for the application.
        self._held = b""
        self._incoming: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._fragments: list[bytes] = []
        self._is_text = True
        self._is_advancing = False
        self._is_reading = True
        # Whether this side wants nothing more of the other but its last frame, or not even that.
        self._is_closing = self._is_deaf = False
        self._is_lost = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._looking: asyncio.TimerHandle | None = None
        self._left = (0, 0)
        self._idle_seconds = 0.0
        self._cutting: asyncio.TimerHandle | None = None

    # -------------------------------------------------- for the connection that it was before

    def begin(self, transport: asyncio.Transport, request: Scope, rest: bytes) -> None:
        """Take over a connection whose client asks for a WebSocket, and let the application decide.

        Args:
            transport: of the connection.
            request: ASGI scope of the request, with `raw_path` and `query_string`.
            rest: bytes that came after the request.
        """
        self._transport = transport
        self._held = rest
        self._state.connections.add(self)  # type: ignore[arg-type]  # it asks of them to `shutdown`
        transport.set_protocol(self)
        # Whatever the system does not take waits in one place, and the application waits with it.
        pause_at_once(transport)
        limit_silence(transport, STALL_SECONDS)
        self._scope = self._scope_of(request)
        self._incoming.append({"type": "websocket.connect"})
        self._arrived.set()
        self._read(wanted=False)
        task = self._loop.create_task(self._run())
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _scope_of(self, request: Scope) -> Scope:
        headers: list[tuple[bytes, bytes]] = list(request["headers"])
        faults: list[MalformedHandshake] = []
        try:
            self._accept = _answer_of(headers)
        except MalformedHandshake as error:
            faults.append(error)
        raw_path: bytes = request["raw_path"]
        offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
        return {
            "type": "websocket",
            "asgi": request["asgi"],
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": get_remote_addr(self._transport),
            "root_path": "",
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": request["query_string"],
            "headers": headers,
            "subprotocols": [name.strip() for name in offered.decode("latin-1").split(",") if name.strip()],
            "state": {},
            "extensions": {"websocket.http.response": {}, SEND_FRAMES: {}},
            CONNECTION: self,
            FAULTS: faults,
        }

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:  # noqa: BLE001  (the middleware has logged it, and there is nobody above)
            if self._is_open:
                self._end(CloseCode.INTERNAL_ERROR)
        if self._is_lost:
            return
        if not self._is_open:
            if self._refusal is None:
                self._write(_response(HTTPStatus.INTERNAL_SERVER_ERROR, [], b""))
            self._linger()
        elif not self._is_closing:
            self._end(CloseCode.NORMAL_CLOSURE)

    # -------------------------------------------------- asyncio

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if not self._is_deaf:
            self._held = self._held + data if self._held else data
            self._advance()

    def eof_received(self) -> None:
        """Let the transport close the connection: frames cannot come any more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application."""
        self._is_lost = True
        self._state.connections.discard(self)
        for timer in (self._looking, self._cutting):
            if timer is not None:
                timer.cancel()
        self._held = b""
        closed = self._frames.close_rcvd
        code = CloseCode.ABNORMAL_CLOSURE if closed is None else closed.code
        self._deliver({"type": "websocket.disconnect", "code": code})
        self._writable.set()

    def pause_writing(self) -> None:
        """Begin to look whether what is written is taken."""
        self._writable.clear()
        self._idle_seconds = 0.0
        if self._looking is None:
            self._left = self._transport.get_write_buffer_size(), bytes_in_system(self._transport)
            self._looking = self._loop.call_later(self.look_seconds, self._look)

    def resume_writing(self) -> None:
        """Note that the reader took everything."""
        self._writable.set()
        if self._held or not self._is_reading:
            self._advance()

    # -------------------------------------------------- uvicorn

    def shutdown(self) -> None:
        """Give the application a moment to end the connection: the server stops."""
        self.close_seconds = _STOP_SECONDS
        self._cut_later(again=True)

    # -------------------------------------------------- for the application

    def begin_stream(self) -> None:
        """Do nothing: a WebSocket goes on for as long as its reader wants. See `StreamingConnection`."""

    def abort(self) -> None:
        """Close at once; what was not taken is given up. See `StreamingConnection`."""
        if not self._is_lost:
            self._transport.abort()

    async def receive(self) -> Message:
        """Return the next message of ASGI."""
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        message = self._incoming.popleft()
        if not self._incoming and not self._is_lost:
            self._advance_soon()
        return message

    async def send(self, message: Message) -> None:
        """Send a message of ASGI, or whole frames; waits while the reader takes nothing.

        Raises:
            ConnectionResetError: the connection is being closed.
        """
        await self._writable.wait()
        kind = message["type"]
        if self._is_lost or self._is_closing:
            raise ConnectionResetError("The reader has left.")
        if kind == SEND_FRAMES:
            self._write(message["data"])
        elif kind == "websocket.send":
            self._write(text_frame(message["text"].encode()))
        elif kind == "websocket.accept":
            self._open(message)
        elif kind == "websocket.http.response.start":
            self._refusal = message["status"], list(message["headers"])
        elif kind == "websocket.http.response.body" and self._refusal is not None:
            status, headers = self._refusal
            self._write(_response(status, [*self._state.default_headers, *headers], message["body"]))
        elif kind == "websocket.close" and self._is_open:
            self._end(message.get("code", CloseCode.NORMAL_CLOSURE), message.get("reason") or "")
        else:
            raise RuntimeError(f"A WebSocket cannot send {kind} now.")

    # -------------------------------------------------- inside

    def _write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _open(self, message: Message) -> None:
        headers = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", self._accept)]
        if message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
        headers += [*self._state.default_headers, *message.get("headers", ())]
        self._is_open = True
        self._write(_head(HTTPStatus.SWITCHING_PROTOCOLS, headers))
        self._advance_soon()

    def _end(self, code: int, reason: str = "") -> None:
        """Send the last frame, and wait a moment for that of the other side."""
        if self._is_closing or self._is_lost:
            return
        self._is_closing = True
        self._incoming.clear()
        self._fragments.clear()
        if self._frames.state is OPEN:
            self._frames.send_close(code, reason)
        self._flush()
        self._cut_later()
        self._advance_soon()

    def _linger(self) -> None:
        """Send no more. What the client still sends is read and thrown away, or it might never see what was sent."""
        self._is_closing = self._is_deaf = True
        self._held = b""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self._read(wanted=True)
        self._cut_later()

    def _cut_later(self, *, again: bool = False) -> None:
        if self._cutting is not None and again:
            self._cutting.cancel()
            self._cutting = None
        if self._cutting is None and not self._is_lost:
            self._cutting = self._loop.call_later(self.close_seconds, self.abort)

    def _read(self, *, wanted: bool) -> None:
        if wanted != self._is_reading and not self._transport.is_closing():
            self._is_reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _advance_soon(self) -> None:
        if not self._is_advancing:
            self._is_advancing = True
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Take apart a piece of what came, unless something must be taken first."""
        self._is_advancing = False
        if not self._is_open or self._is_lost or self._is_deaf:
            return
        if self._held and self._is_free:
            piece, self._held = self._held[:_SLICE_BYTES], self._held[_SLICE_BYTES:]
            self._frames.receive_data(piece)
            for event in self._frames.events_received():
                if isinstance(event, Frame):
                    self._take(event)
            self._flush()
        if self._held and self._is_free:
            self._advance_soon()
        if not self._is_deaf:
            self._read(wanted=not self._held and self._is_free)

    @property
    def _is_free(self) -> bool:
        """Return whether nothing must be taken before more is read."""
        return self._is_closing or (not self._incoming and self._writable.is_set())

    def _take(self, frame: Frame) -> None:
        if self._is_closing or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > MAX_FRAGMENTS:
            self._end(CloseCode.MESSAGE_TOO_BIG, f"a message has more than {MAX_FRAGMENTS} frames")
        elif frame.fin:
            whole = b"".join(self._fragments)
            self._fragments.clear()
            try:
                received = {"text": whole.decode()} if self._is_text else {"bytes": whole}
            except UnicodeDecodeError:
                self._end(CloseCode.INVALID_DATA, "a text is not UTF-8")
            else:
                self._deliver({"type": "websocket.receive", **received})

    def _flush(self) -> None:
        """Write what the frames ask for; an empty piece is the end."""
        for piece in self._frames.data_to_send():
            if piece:
                self._write(piece)
            elif self._frames.close_rcvd is not None:
                self._is_closing = True
                self._transport.close()
                self._cut_later()
            else:
                self._linger()

    def _deliver(self, message: Message) -> None:
        self._incoming.append(message)
        self._arrived.set()

    def _look(self) -> None:
        """Cut off a reader that has taken nothing for too long."""
        self._looking = None
        if self._writable.is_set() or self._is_lost:
            return
        left = self._transport.get_write_buffer_size(), bytes_in_system(self._transport)
        self._idle_seconds = 0.0 if left != self._left else self._idle_seconds + self.look_seconds
        self._left = left
        if self._idle_seconds >= self.stall_seconds:
            self.abort()
        else:
            self._looking = self._loop.call_later(self.look_seconds, self._look)


def application_of(config: Config) -> Any:
    """Return the application itself. At level trace uvicorn puts it into one that writes headers and query strings,
    which have credentials, to the log.
    """
    application = config.loaded_app
    return application.app if isinstance(application, MessageLoggerMiddleware) else application


def _answer_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the proof that a request for a WebSocket was understood.

    Raises:
        MalformedHandshake: it is none of RFC 6455.
    """
    keys = [value for name, value in headers if name == b"sec-websocket-key"]
    versions = [value for name, value in headers if name == b"sec-websocket-version"]
    if versions != [_VERSION]:
        raise MalformedHandshake(
            "The header Sec-WebSocket-Version must be 13.",
            details={"expected": "13"},
            headers={"Sec-WebSocket-Version": "13"},
        )
    try:
        (key,) = keys
        is_key = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (ValueError, binascii.Error):
        is_key = False
    if not is_key:
        raise MalformedHandshake("The header Sec-WebSocket-Key must be 16 bytes in base64.")
    return accept_key(keys[0].decode("ascii")).encode("ascii")


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode()), *(b"%b: %b" % pair for pair in headers)]
    return b"\r\n".join((*lines, b"", b""))


def _response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    own = [(b"connection", b"close"), (b"content-length", str(len(body)).encode())]
    given = {name for name, _ in headers}
    return _head(status, [*headers, *(pair for pair in own if pair[0] not in given)]) + body
