"""Connections that do not get to the point are closed: uvicorn itself waits for request headers for ever."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS: Final = 10.0
# Whoever takes less than this of an answer is not waited for; a slow mobile connection takes ten times as much.
MIN_BYTES_PER_SECOND: Final = 16 * 1024
LOOK_SECONDS: Final = 5.0


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request headers must be complete ten seconds after the connection, or their first byte, came, and
    whose answers must be taken at 16 KiB a second at least.
    """

    _waiting: asyncio.TimerHandle | None = None
    _looking: asyncio.TimerHandle | None = None
    header_seconds = HEADER_SECONDS
    look_seconds = LOOK_SECONDS

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

    def pause_writing(self) -> None:
        """Begin to look whether what is written is taken."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """It was taken."""
        self._stop_looking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_looking()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._waiting = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _look_later(self) -> None:
        self._stop_looking()
        left = self.transport.get_write_buffer_size()
        self._looking = self.loop.call_later(self.look_seconds, self._look, left)

    def _look(self, before: int) -> None:
        """Close the connection when too little was taken since; the rest of the answer is given up."""
        self._looking = None
        if before - self.transport.get_write_buffer_size() < MIN_BYTES_PER_SECOND * self.look_seconds:
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
