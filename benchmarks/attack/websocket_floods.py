"""Bytes of WebSockets that never end, or of which there is no end."""

import json
from typing import Final

from websockets.frames import Frame, Opcode

_BLOCK_BYTES: Final = 1_000_000
_HANDSHAKE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def handshake(credential: str = "") -> bytes:
    """Return a request for a WebSocket."""
    header = b"Authorization: Bearer %b\r\n" % credential.encode() if credential else b""
    return _HANDSHAKE + header + b"\r\n"


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame as clients send it."""
    return Frame(opcode, payload, fin=fin).serialize(mask=True)


def message(**fields: object) -> bytes:
    """Return a message of the protocol of `/ws`."""
    return frame(Opcode.TEXT, json.dumps(fields).encode())


_CHANNELS: Final = ["tokens", *(f"collection:c{n}" for n in range(60))]
_FILTER: Final = {"and": [{"path": "text", "substring": "x" * 100}] * 30}

FLOODS: Final = {
    "frames of one byte": (b"", frame(Opcode.TEXT, b"x")),
    "empty binary frames": (b"", frame(Opcode.BINARY)),
    "fragments": (frame(Opcode.TEXT, b"", fin=False), frame(Opcode.CONT, b"", fin=False)),
    "pings": (b"", frame(Opcode.PING, b"x" * 125)),
    "pongs": (b"", frame(Opcode.PONG)),
    "subscriptions": (b"", message(type="subscribe", channels=_CHANNELS, filter=_FILTER, since="oldest")),
    "nested JSON": (b"", frame(Opcode.TEXT, b"[" * 60_000)),
    "one endless frame": (frame(Opcode.TEXT, b"x" * 70_000)[:14], b"x"),
}
"""By name, how a flood begins and what is repeated."""

MALFORMED: Final = {
    "no mask": Frame(Opcode.TEXT, b"{}").serialize(mask=False),
    "reserved bits": bytes([0xF1]) + frame(Opcode.TEXT, b"{}")[1:],
    "unknown opcode": bytes([0x83]) + frame(Opcode.TEXT, b"{}")[1:],
    "continuation of nothing": frame(Opcode.CONT, b"{}"),
    "fragmented ping": bytes([0x09]) + frame(Opcode.PING, b"x")[1:],
    "long ping": bytes([0x89]) + frame(Opcode.TEXT, b"x" * 126)[1:],
    "huge length": bytes([0x81, 0xFF]) + b"\x7f" + b"\xff" * 11,
    "no UTF-8": frame(Opcode.TEXT, b"\xff\xfe"),
    "close of one byte": bytes([0x88, 0x81]) + bytes(4) + b"x",
}
"""By name, what is no frame, or none that may come."""


def opening_and_block(name: str, credential: str) -> tuple[bytes, bytes]:
    """Return how a flood begins and about a megabyte of what follows, on a connection of the bearer of `credential`."""
    begin, more = FLOODS[name]
    return handshake(credential) + begin, more * (_BLOCK_BYTES // len(more))
