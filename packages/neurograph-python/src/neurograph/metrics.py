"""Counters of a client."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType

from neurograph._forks_and_copies import forget_after_fork
from neurograph._wirekit.breaker import CircuitBreaker

__all__ = ["Metrics", "MetricsSnapshot"]


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """The counts of one moment, since the client was made.

    Attributes:
        requests: attempts sent, logins included.
        retries: attempts that repeated another.
        seconds: time spent waiting for answers, over all attempts.
        slowest: longest wait for an answer, in seconds.
        bytes_sent: of request bodies.
        bytes_received: of answers that were not streamed, decompressed.
        statuses: HTTP status to how many answers had it.
        errors: name of an exception to how often an attempt ended in it without an answer.
        circuit: state of the circuit breaker: closed, open or half_open.
    """

    requests: int
    retries: int
    seconds: float
    slowest: float
    bytes_sent: int
    bytes_received: int
    statuses: Mapping[int, int]
    errors: Mapping[str, int]
    circuit: str


class Metrics:
    """Counts attempts; one for a client and all that were made of it by `with_options`.

    Args:
        breaker: whose state the snapshots show.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._lock = Lock()
        self._requests = self._retries = self._bytes_sent = self._bytes_received = 0
        self._seconds = self._slowest = 0.0
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()
        self._breaker = breaker
        forget_after_fork(self)

    def snapshot(self) -> MetricsSnapshot:
        """Return the counts as they are now."""
        with self._lock:
            return MetricsSnapshot(
                requests=self._requests,
                retries=self._retries,
                seconds=self._seconds,
                slowest=self._slowest,
                bytes_sent=self._bytes_sent,
                bytes_received=self._bytes_received,
                statuses=MappingProxyType(dict(self._statuses)),
                errors=MappingProxyType(dict(self._errors)),
                circuit=self._breaker.state.value,
            )

    def answered(self, status: int, seconds: float, sent: int, received: int) -> None:
        """Count an attempt that was answered."""
        with self._lock:
            self._count(seconds, sent)
            self._statuses[status] += 1
            self._bytes_received += received

    def broken(self, error: str, seconds: float, sent: int) -> None:
        """Count an attempt without an answer."""
        with self._lock:
            self._count(seconds, sent)
            self._errors[error] += 1

    def retried(self) -> None:
        """Count a repeat."""
        with self._lock:
            self._retries += 1

    def after_fork(self) -> None:
        """Start over with the lock; the counts go on."""
        self._lock = Lock()

    def _count(self, seconds: float, sent: int) -> None:
        self._requests += 1
        self._seconds += seconds
        self._slowest = max(self._slowest, seconds)
        self._bytes_sent += sent
