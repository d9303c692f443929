# Generated from packages/wirekit/src/wirekit/breaker.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: after many failures in a row nobody calls for a while, then one call probes.

Only the state and its rules; the time comes from a clock, and whoever calls asks first and tells the outcome. See
Michael Nygard, "Release It!", 2007, chapter 5.
"""

import time
from collections.abc import Callable
from enum import Enum
from threading import Lock


class CircuitState(str, Enum):
    """closed: calls go through. open: none does. half_open: one does, to see whether the others may."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """The circuit to one server, shared by threads and tasks.

    Args:
        threshold: failures in a row that open it; 0 never opens it.
        recovery: seconds that it stays open.
        clock: seconds, never going back.

    Raises:
        ValueError: a number is negative.

    >>> breaker = CircuitBreaker(threshold=2, recovery=10, clock=iter([0.0, 5.0, 11.0, 11.0, 12.0]).__next__)
    >>> breaker.failed(), breaker.failed(), breaker.wait()
    (None, None, 5.0)
    >>> breaker.wait(), breaker.state.value
    (0.0, 'half_open')
    """

    def __init__(
        self, *, threshold: int = 10, recovery: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if threshold < 0 or recovery < 0:
            raise ValueError(f"threshold and recovery must be 0 or more, not {threshold} and {recovery}")
        self._threshold = threshold
        self._recovery = recovery
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._state = CircuitState.CLOSED
        self._until = 0.0

    @property
    def state(self) -> CircuitState:
        """Return whether calls go through, as of the last call."""
        return self._state

    def wait(self) -> float:
        """Ask whether a call may go through now.

        Returns:
            0 when it may; it must then tell `succeeded` or `failed`. Otherwise the seconds until the next try.
        """
        if self._state is CircuitState.CLOSED:
            return 0.0
        with self._lock:
            now = self._clock()
            if now < self._until:
                return self._until - now
            # The probe has as long as the pause; should its outcome never be told, another one follows.
            self._state = CircuitState.HALF_OPEN
            self._until = now + self._recovery
            return 0.0

    def succeeded(self) -> None:
        """Tell that a call has been answered."""
        if self._failures or self._state is not CircuitState.CLOSED:
            with self._lock:
                self._failures = 0
                self._state = CircuitState.CLOSED

    def failed(self) -> None:
        """Tell that a call has failed in a way that speaks against the server."""
        with self._lock:
            self._failures += 1
            probing = self._state is CircuitState.HALF_OPEN
            if self._threshold and (probing or self._failures >= self._threshold):
                if self._state is not CircuitState.OPEN:
                    self._until = self._clock() + self._recovery
                self._state = CircuitState.OPEN

    def after_fork(self) -> None:
        """Start over in a child process, where another thread may have held the lock."""
        self._lock = Lock()
