"""A WebSocket over a bare socket, which sends what it is told and reads only when a test says so."""

import base64
import json
import os
import socket
from types import TracebackType
from typing import Any, Self

# Seconds after which something that should have come is missing. Generous: nothing is measured.
PATIENCE = 30.0
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame_of(payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True) -> bytes:
    """Return a frame as clients send it."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + len(payload).to_bytes(8, "big")
    # A mask of zeros: the payload is sent as it is.
    return head + (bytes(4) if masked else b"") + payload


def handshake_of(target: str = "/ws", **headers: str) -> bytes:
    """Return a request for a WebSocket; a header that is empty is left out."""
    given = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode()


class WebSocket:
    """A connection whose handshake was answered.

    Attributes:
        status: of the answer.
        headers: of the answer, names in lower case.
        closed: code and reason of the frame that closed it; None until then.
    """

    def __init__(
        self, port: int, target: str = "/ws", *, buffer_bytes: int = 0, after: bytes = b"", **headers: str
    ) -> None:
        """Open one; `after` is sent in one piece with the handshake."""
        self.closed: tuple[int, str] | None = None
        self._socket = socket.socket()
        if buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", port))
        self._received = bytearray()
        self._socket.sendall(handshake_of(target, **headers) + after)
        begin, *lines = self._until(b"\r\n\r\n").rstrip(b"\r\n").split(b"\r\n")
        self.status = int(begin.split()[1])
        pairs = (line.split(b": ", 1) for line in lines)
        self.headers = {name.decode().lower(): value.decode() for name, value in pairs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    @property
    def error(self) -> dict[str, Any]:
        """The error of a handshake that was refused."""
        length = int(self.headers["content-length"])
        while len(self._received) < length:
            self.more()
        found: dict[str, Any] = json.loads(self._received[:length])["error"]
        return found

    def close(self) -> None:
        self._socket.close()

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send(self, message: Any) -> None:
        """Send a text, or something else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self._socket.sendall(frame_of(text.encode()))

    def ask(self, message: Any) -> dict[str, Any]:
        """Send a message and return the next frame that is no event and no position."""
        self.send(message)
        while "type" not in (found := self.next()) or found["type"] in ("position", "dropped"):
            continue
        return found

    def next(self) -> dict[str, Any]:
        """Return the next text frame, as JSON.

        Raises:
            EOFError: the connection was closed; `closed` says how.
        """
        while True:
            opcode, payload = self.next_frame()
            if opcode == TEXT:
                found: dict[str, Any] = json.loads(payload)
                return found

    def next_event(self) -> dict[str, Any]:
        """Return the next frame that is an event."""
        while "type" in (found := self.next()):
            continue
        return found

    def next_frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame.

        Raises:
            EOFError: the connection was closed.
        """
        first, second = self._take(2)
        assert first & 0x70 == 0, "no extension was agreed on"
        assert second & 0x80 == 0, "a server masks nothing"
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        payload = self._take(size)
        if first & 0x0F == CLOSE:
            self.closed = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            self.rest()
            raise EOFError(self.closed)
        return first & 0x0F, payload

    def end(self) -> tuple[int, str] | None:
        """Read to the end of the connection; return how it was closed."""
        try:
            while True:
                self.next_frame()
        except (EOFError, ConnectionResetError):
            return self.closed

    def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        try:
            while chunk := self._socket.recv(65536):
                self._received += chunk
        except ConnectionResetError:
            pass
        return bytes(self._received)

    def rest_until_silence(self, seconds: float = 0.3) -> bytes:
        """Return what comes until nothing has come for a while."""
        self._socket.settimeout(seconds)
        try:
            return self.rest()
        except TimeoutError:
            return bytes(self._received)
        finally:
            self._socket.settimeout(PATIENCE)

    def more(self) -> None:
        """Read some bytes."""
        chunk = self._socket.recv(65536)
        if not chunk:
            raise EOFError(self.closed)
        self._received += chunk

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self.more()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            self.more()
        return self._take(self._received.index(mark) + len(mark))
