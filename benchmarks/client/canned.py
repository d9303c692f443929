"""An HTTP server that answers a few paths with bytes made beforehand, as fast as Python can."""

import asyncio
import json
from typing import Any, Final

DIMENSION: Final = 256
TOKEN: Final = {
    "id": 7,
    "text": "hello world",
    "embedding": [((n * 37) % 1000) / 1000 - 0.5 for n in range(DIMENSION)],
    "metadata": {"category": "greeting"},
    "created_at": "2026-01-01T00:00:00Z",
}
_HEALTH: Final = {"status": "healthy", "version": "1", "uptime_seconds": 1.5, "timestamp": "2026-01-01T00:00:00Z"}
_END: Final = b"\r\n\r\n"


def _reply(body: Any) -> bytes:
    text = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-ID: 1\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


_REPLIES: Final = {
    b"/api/v1/health": _reply(_HEALTH),
    b"/api/v1/tokens/7": _reply(TOKEN),
    b"/api/v1/tokens": _reply(TOKEN),
}


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(_END)) >= 0:
            head = self._read[:end].lower()
            _, _, told = head.partition(b"content-length:")
            whole = end + len(_END) + int(told.split(b"\r\n", 1)[0] or 0)
            if len(self._read) < whole:
                return
            path = self._read.split(b" ", 2)[1]
            self._read = self._read[whole:]
            self._transport.write(_REPLIES[path])


async def serve() -> asyncio.Server:
    """Return a server on a free port of loopback."""
    return await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
