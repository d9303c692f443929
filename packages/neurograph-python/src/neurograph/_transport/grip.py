"""A hold on whatever a thread waits for, so that others can end the wait."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Lock as ThreadLock

from neurograph.exceptions import ClientClosedError


class Grip:
    """A hold on the connection that a thread waits for, so that another thread, or a signal handler, can break it.

    Nothing in it waits for a lock: a signal handler may run in the middle of anything.
    """

    def __init__(self) -> None:
        self.is_cut = False
        self._held: socket.socket | None = None
        self._watched: Callable[[], None] | None = None
        self._gate = ThreadLock()
        self._gate.acquire()

    def hold(self, connection: socket.socket) -> None:
        """Note which connection the thread is about to wait for.

        Raises:
            ClientClosedError: it was cut.
        """
        self._held = connection
        self.check()

    def watch(self, cut: Callable[[], None]) -> None:
        """Note what ends a wait for something that is no socket."""
        self._watched = cut

    def check(self) -> None:
        """Go on only when it was not cut.

        Raises:
            ClientClosedError: it was cut.
        """
        if self.is_cut:
            raise ClientClosedError("This stream of events is closed; subscribe again", request_sent=False)

    def sleep(self, seconds: float) -> None:
        """Pause this thread.

        Raises:
            ClientClosedError: it was cut.
        """
        if not self.is_cut:
            self._gate.acquire(timeout=seconds)
        self.check()

    def cut(self) -> None:
        """End whatever the thread waits for, now and later."""
        self.is_cut = True
        held = self._held
        if held is not None:
            with suppress(OSError):
                held.settimeout(0)  # for a connection that is only about to be made
                # Of the plain socket: an encrypted one would change its state under the thread that reads.
                socket.socket.shutdown(held, socket.SHUT_RDWR)
        if self._watched is not None:
            self._watched()
        with suppress(RuntimeError):  # the gate is open already
            self._gate.release()

    def leave(self) -> None:
        """Close the connection of another process; it goes on there."""
        if self._held is not None:
            self._held.close()


class AsyncGrip:
    """No hold on anything: a task that waits can be cancelled."""
