"""Connections that do not get to the point are closed: uvicorn itself waits for request headers for ever."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS: Final = 10.0


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request headers must be complete ten seconds after the connection, or their first byte, came."""

    _waiting: asyncio.TimerHandle | None = None
    header_seconds = HEADER_SECONDS

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Begin to wait at the first byte of a later request."""
        if self._waiting is None and getattr(self.cycle, "response_complete", True):
            self._expect_headers()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Wait no more: what follows has time limits of its own."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._waiting = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()
