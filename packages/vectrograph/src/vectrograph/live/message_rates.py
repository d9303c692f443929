"""Rates of the messages of one WebSocket, as in the official protocol: a bucket for each type."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple


class Rate(NamedTuple):
    """A bucket: `burst` messages at once, then `per_second`."""

    burst: int
    per_second: float


RATES: Final[Mapping[str, Rate]] = {
    "ping": Rate(140, 2.0),
    "subscribe": Rate(50, 1.0),
    "unsubscribe": Rate(50, 1.0),
    "get_subscriptions": Rate(30, 0.5),
    "get_reconnection_token": Rate(80, 10.0),
}
"""The numbers of the official protocol, capacity and burst together."""
OTHERS: Final = Rate(80, 10.0)
"""Of all messages together that have no type that is known: malformed ones, too."""
FREE_REFUSALS: Final = 200
"""Messages of a connection that are refused at once. Chosen: more than a program sends by mistake."""
PAUSE_SECONDS: Final = 0.05
"""Seconds after each further refusal in which nothing of the connection is read: 20 in a second."""


class MessageRates:
    """Counts the messages of one connection. For one thread.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._refused = 0

    def charge(self, kind: str) -> float | None:
        """Let one more message of a type through; "" for one of no known type.

        Returns:
            None; or the seconds after which one would be let through, when this one must be refused.

        >>> rates = MessageRates(lambda: 0.0)
        >>> [rates.charge("subscribe") for _ in range(51)][-2:]
        [None, 1.0]
        """
        kind = kind if kind in RATES else ""
        burst, per_second = RATES.get(kind, OTHERS)
        now = self._clock()
        left, at = self._buckets.get(kind, (float(burst), now))
        left = min(float(burst), left + (now - at) * per_second)
        if left < 1:
            self._buckets[kind] = left, now
            self._refused += 1
            return (1 - left) / per_second
        self._buckets[kind] = left - 1, now
        return None

    @property
    def pause(self) -> float:
        """Seconds in which no more messages should be read."""
        return PAUSE_SECONDS if self._refused > FREE_REFUSALS else 0.0
