# Generated from packages/wirekit/src/wirekit/deadline.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""A point in time by which a call must be over, its attempts and pauses included."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute time on a monotonic clock, so that setting the wall clock changes nothing.

    Attributes:
        at: the time in seconds on `clock`; infinity means no deadline.
        clock: what tells the time, in seconds, never going back.
        seconds: what was allowed in all, for messages; None when there is no deadline.

    >>> deadline = Deadline.after(30, clock=lambda: 100.0)
    >>> deadline.at, deadline.remaining(), deadline.expired
    (130.0, 30.0, False)
    """

    at: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)
    seconds: float | None = field(default=None, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float | None, clock: Clock = time.monotonic) -> "Deadline":
        """Return the deadline `seconds` from now; None means never.

        >>> Deadline.after(None).at
        inf
        """
        return cls(math.inf if seconds is None else clock() + seconds, clock, seconds)

    def remaining(self) -> float:
        """Return seconds left, never below zero; infinity when there is no deadline."""
        return max(0.0, self.at - self.clock())

    def timeout(self) -> float | None:
        """Return seconds left as libraries take a time-out: None when there is no deadline."""
        return None if math.isinf(self.at) else self.remaining()

    @property
    def expired(self) -> bool:
        """Return whether the time has come."""
        return self.clock() >= self.at

    def child(self, seconds: float | None) -> "Deadline":
        """Return the earlier of this deadline and `seconds` from now: a part never outlives the whole.

        >>> whole = Deadline.after(30, clock=lambda: 0.0)
        >>> whole.child(10).at, whole.child(60).at
        (10.0, 30.0)
        """
        part = Deadline.after(seconds, self.clock)
        return part if part.at < self.at else self
