"""Counters of clients for Prometheus. Needs the extra `prometheus`.

>>> from prometheus_client import CollectorRegistry
>>> from neurograph import NeuroGraphClient
>>> registry = CollectorRegistry()
>>> with NeuroGraphClient("http://localhost:8000", api_key="ng_key") as client:
...     ClientCollector(registry).watch(client, "search")
...     registry.get_sample_value("neurograph_client_retries_total", {"client": "search"})
0

Counting costs nothing more than it does anyway: `client.metrics` is read when Prometheus asks. Clients made with
`with_options` share the counts of the client they were made from, and need no watching of their own.
"""

from collections.abc import Iterator
from threading import Lock

from neurograph._wirekit.breaker import CircuitState
from neurograph.async_client import AsyncNeuroGraphClient
from neurograph.client import NeuroGraphClient
from neurograph.exceptions import ConfigurationError
from neurograph.metrics import Metrics, MetricsSnapshot

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        Metric,
        StateSetMetricFamily,
        SummaryMetricFamily,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "neurograph.prometheus needs prometheus_client: pip install 'neurograph-python[prometheus]'", name=error.name
    ) from error

_PREFIX = "neurograph_client_"


class ClientCollector(Collector):
    """Shows the counts of any number of clients in one registry, told apart by the label `client`.

    The series, all beginning with `neurograph_client_`: `responses_total` by `status`, `failures_total` (attempts
    without an answer) by `error`, `retries_total`, `request_seconds` (a summary: count and sum over all attempts),
    `slowest_request_seconds`, `sent_bytes_total`, `received_bytes_total`, and the state set `circuit`.

    Args:
        registry: where to register; the default registry of prometheus_client when absent.

    Raises:
        ValueError: this registry already has such a collector.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._lock = Lock()
        self._watched: dict[str, Metrics] = {}
        registry.register(self)

    def watch(self, client: NeuroGraphClient | AsyncNeuroGraphClient, name: str = "default") -> None:
        """Show the counts of one more client.

        Args:
            client: synchronous or asynchronous.
            name: value of its label `client`.

        Raises:
            ConfigurationError: another client has this name.
        """
        with self._lock:
            if self._watched.setdefault(name, client.metrics) is not client.metrics:
                raise ConfigurationError(f"another client is watched as {name!r}; pass another name")

    def unwatch(self, name: str = "default") -> None:
        """Show the counts of a client no longer; a name that nobody has is no error."""
        with self._lock:
            self._watched.pop(name, None)

    def close(self) -> None:
        """Leave the registry."""
        self._registry.unregister(self)

    def describe(self) -> Iterator[Metric]:
        """Yield the series without counts, so that the registry refuses a second collector."""
        yield from _families({})

    def collect(self) -> Iterator[Metric]:
        """Yield the counts as they are now; called by the registry."""
        with self._lock:
            watched = dict(self._watched)
        yield from _families({name: metrics.snapshot() for name, metrics in watched.items()})


def _families(snapshots: dict[str, MetricsSnapshot]) -> Iterator[Metric]:
    responses = CounterMetricFamily(f"{_PREFIX}responses", "Answers by HTTP status.", labels=["client", "status"])
    failures = CounterMetricFamily(f"{_PREFIX}failures", "Attempts without an answer.", labels=["client", "error"])
    retries = CounterMetricFamily(f"{_PREFIX}retries", "Attempts that repeated another.", labels=["client"])
    seconds = SummaryMetricFamily(f"{_PREFIX}request_seconds", "Waiting for answers.", labels=["client"])
    slowest = GaugeMetricFamily(f"{_PREFIX}slowest_request_seconds", "Longest wait for an answer.", labels=["client"])
    sent = CounterMetricFamily(f"{_PREFIX}sent_bytes", "Request bodies.", labels=["client"])
    received = CounterMetricFamily(f"{_PREFIX}received_bytes", "Answers, decompressed.", labels=["client"])
    circuit = StateSetMetricFamily(f"{_PREFIX}circuit", "State of the circuit breaker.", labels=["client"])
    for name, counted in snapshots.items():
        for status, count in counted.statuses.items():
            responses.add_metric([name, str(status)], count)
        for error, count in counted.errors.items():
            failures.add_metric([name, error], count)
        retries.add_metric([name], counted.retries)
        seconds.add_metric([name], counted.requests, counted.seconds)
        slowest.add_metric([name], counted.slowest)
        sent.add_metric([name], counted.bytes_sent)
        received.add_metric([name], counted.bytes_received)
        circuit.add_metric([name], {state.value: state.value == counted.circuit for state in CircuitState})
    yield from (responses, failures, retries, seconds, slowest, sent, received, circuit)
