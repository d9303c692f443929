"""HTTP/2 frames by hand, for gRPC callers that do what no client library does."""

import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL: Final = 8
_INITIAL_WINDOW_SIZE: Final = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    """Return a header field that enters no table (RFC 7541, section 6.2.2); both parts are shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def grpc_headers(path: str, stream: int, *extra: tuple[str, str]) -> bytes:
    """Return the headers that open a gRPC call."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    ]
    return frame(HEADERS, END_HEADERS, stream, b"".join(_literal(*field) for field in fields))


def grpc_message(stream: int, body: bytes = b"", *, last: bool = True) -> bytes:
    """Return one message of a gRPC call."""
    return frame(DATA, END_STREAM if last else 0, stream, b"\0" + struct.pack(">I", len(body)) + body)


def reset(stream: int) -> bytes:
    """Return the end of a stream that its caller gives up."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


class Connection:
    """One HTTP/2 connection; `window` is how many bytes of each answer it takes."""

    def __init__(self, address: str, *, window: int = 65_535, source: str = "127.0.0.1") -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), 20, source_address=(source, 0))
        setting = struct.pack(">HI", _INITIAL_WINDOW_SIZE, window)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, setting))
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.socket.sendall(b"".join(frames))

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield kind, flags, stream and payload of what comes, until the server closes; settings and pings are
        acknowledged.
        """
        while True:
            while len(self._received) >= 9 and len(self._received) >= 9 + (size := self._size()):
                head, payload = self._received[:9], self._received[9 : 9 + size]
                self._received = self._received[9 + size :]
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                if kind in (SETTINGS, PING) and not flags & ACK:
                    self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
                yield kind, flags, stream, payload
            more = self.socket.recv(65_536)
            if not more:
                return
            self._received += more

    def _size(self) -> int:
        return int.from_bytes(self._received[:3], "big")
