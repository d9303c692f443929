"""Producers of the events that are in no log: metrics, status, signals, actions, logs, connections.

Each costs one look-up while nobody listens to its channel, and none of them waits.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from vectrograph.domain.access import Scope
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.services.call import Call, Principal
from vectrograph.services.health import Health, memory_usage_mb
from vectrograph.services.live.bus import Bus
from vectrograph.services.live.channels import ACTIONS, CONNECTIONS, LOGS, METRICS, SIGNALS, STATUS

METRICS_SECONDS: Final = 5.0
"""Seconds between two events of the channel `metrics`, as in the official protocol."""
NOVEL_BELOW: Final = 0.5
"""Similarity of the best hit below which a query is novel. Chosen: unrelated sentences have less with the model that is
shipped, paraphrases have more."""
# Priority of a signal, from 0 to 255: all queries have the same.
_PRIORITY: Final = 128
_OK: Final = "ok"
MAX_FIELDS: Final = 32
"""Fields of a log line that its event has besides the usual ones."""
MAX_CHARACTERS: Final = 1_000
"""Characters of a text of a log line in its event: of its message, of each field, and of the end of a stack trace."""
# Fields of a log line that have names of their own in its event, or tell nothing outside of this process.
_USUAL_FIELDS: Final = frozenset({"event", "level", "timestamp", "logger", "request_id", "exc_info", "stack_info"})
# Loggers whose lines are about the delivery of events: a line for each event would be an event again.
_OWN_LOGGERS: Final = ("vectrograph.services.live", "vectrograph.live", "vectrograph.http.websockets")


class Readers(Protocol):
    """All streams, as they are counted."""

    def counts(self) -> Mapping[str, int]:
        """Return `connections`, `channels`, `subscriptions`, `buffered` and the events that were `sent` so far."""
        ...


class Metrics:
    """The channel `metrics`: numbers of the server and, of those who listen, the number of their tokens.

    Args:
        bus: takes the events.
        health: knows the server.
        readers: are counted.
        monotonic: seconds.
    """

    def __init__(
        self, bus: Bus, health: Health, readers: Readers, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._bus = bus
        self._health = health
        self._readers = readers
        self._monotonic = monotonic
        self._before = (monotonic(), time.process_time(), 0)

    def is_due(self) -> bool:
        """Return whether somebody listens and the last event was long enough ago. Asked each second."""
        if not self._bus.has_listeners(METRICS):
            return False
        seconds = self._monotonic() - self._before[0]
        if seconds > 2 * METRICS_SECONDS:
            # Nobody listened: the numbers are to be those of a few seconds, not of all that time.
            self._measure()
            return False
        return seconds >= METRICS_SECONDS

    def publish(self) -> None:
        """Hand out an event for each tenant that listens. Asks the engine: not for threads that must not wait."""
        before = self._before
        counts = self._measure()
        now = self._before
        seconds = max(1e-3, now[0] - before[0])
        data = {
            "cpu_percent": round(100 * (now[1] - before[1]) / seconds, 1),
            "memory_mb": memory_usage_mb(),
            "events_per_sec": round((now[2] - before[2]) / seconds, 2),
            "total_connections": counts["connections"],
            "total_channels": counts["channels"],
            "total_subscriptions": counts["subscriptions"],
            "buffered_events": counts["buffered"],
        }
        for tenant in self._bus.tenants(METRICS):
            tokens = self._health.tokens_count(tenant)
            self._bus.publish(METRICS, "system_metrics", {**data, "total_tokens": tokens}, tenant=tenant)

    def _measure(self) -> Mapping[str, int]:
        counts = self._readers.counts()
        self._before = self._monotonic(), time.process_time(), counts["sent"]
        return counts


class Status:
    """The channel `status`: how the server is, told to each new listener and whenever it changes.

    Args:
        bus: takes the events.
        health: knows how the server is.
    """

    def __init__(self, bus: Bus, health: Health) -> None:
        self._bus = bus
        self._health = health
        self._told = ""
        bus.greet(STATUS, self._now)

    def is_due(self) -> bool:
        """Return whether somebody listens."""
        return self._bus.has_listeners(STATUS)

    def publish(self) -> None:
        """Hand out an event if the server is not as it was. Asks the engine: not for threads that must not wait."""
        told = self._told
        event_type, data = self._now()
        if self._told != told:
            self._bus.publish(STATUS, event_type, data)

    def stop(self) -> None:
        """Hand out that the server stops. Never waits."""
        self._bus.publish(STATUS, "status.stopping", self._data("stopping"))

    def _now(self) -> tuple[str, Mapping[str, Any]]:
        self._told = self._health.check().status.value
        return f"status.{self._told}", self._data(self._told)

    def _data(self, state: str) -> Mapping[str, Any]:
        return {"status": state, "uptime_seconds": self._health.uptime, "version": self._health.version}


class Signals:
    """The channel `signals`: each answered query for tokens, without what was asked."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def answered(self, call: Call, answers: Sequence[Sequence[float]]) -> None:
        """Hand out an event for each query of a request.

        Args:
            call: who asked.
            answers: similarities of the hits of each query.
        """
        for similarities in answers:
            best = max(similarities, default=0.0)
            data = {
                "event_id": call.request_id,
                "event_type": "token.query",
                "is_novel": best < NOVEL_BELOW,
                "priority": _PRIORITY,
                "resonance_score": best,
                "neighbors_count": len(similarities),
            }
            self._bus.publish(SIGNALS, "token.query", data, tenant=call.principal.tenant)

    @property
    def are_heard(self) -> bool:
        """Return whether anybody listens."""
        return self._bus.has_listeners(SIGNALS)


class Actions:
    """The channel `actions`: what the audit log gets, told to the account that did it and to those who govern it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def executed(
        self, ticket: int, action: str, target: str, outcome: str, tenant: str, account: str, seconds: float
    ) -> None:
        """Hand out that an act is over.

        Args:
            ticket: names it.
            action: `subject.verb`.
            target: what it was done to.
            outcome: "ok", or the code of the error that ended it.
            tenant, account: who acted; "" for somebody who was not authenticated.
            seconds: that it took.
        """
        if not self._bus.has_listeners(ACTIONS):
            return
        has_failed = outcome != _OK
        data = {
            "action_id": f"{ticket:016x}",
            "action_type": action,
            "status": "failed" if has_failed else "completed",
            "result": None if has_failed else {"target": target},
            "execution_time_ms": round(1000 * seconds, 3),
            "error": outcome if has_failed else None,
        }
        self._bus.publish(
            ACTIONS, "action.executed", data, tenant=tenant, account=account, governed_by=Scope.LOGS_ADMIN
        )


class Logs:
    """The channel `logs`: lines of the process log, told to administrators of the default tenant."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._mine = threading.local()

    def line(self, logger: str, level: str, line: Mapping[str, Any]) -> None:
        """Hand out a line of the log, unless it is about events.

        Args:
            logger: name of the part that wrote it.
            level: such as `info`.
            line: its fields; `event` is the message.
        """
        if not self._bus.has_listeners(LOGS) or logger.startswith(_OWN_LOGGERS) or getattr(self._mine, "busy", False):
            return
        self._mine.busy = True
        try:
            others = [name for name in line if name not in _USUAL_FIELDS and not name.startswith("_")]
            data: dict[str, Any] = {name: _shown(line[name]) for name in others[:MAX_FIELDS]}
            if line.get("exc_info"):
                formatted = structlog.processors.format_exc_info(None, level, {"exc_info": line["exc_info"]})
                data["exception"] = str(formatted.get("exception", ""))[-MAX_CHARACTERS:]
            data.update(
                level=level,
                message=_shown(str(line.get("event", ""))),
                service=logger or "vectrograph",
                correlation_id=_shown(line.get("request_id")),
            )
            self._bus.publish(LOGS, f"log.{level}", data, tenant=DEFAULT_TENANT)
        finally:
            self._mine.busy = False


class Connections:
    """The channel `connections`: streams that begin and end, told to administrators who govern their tenant."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def connected(self, client_id: str, reader: Principal | None, transport: str, total: int) -> None:
        """Hand out that a stream has begun."""
        self._publish("client.connected", client_id, reader, transport, total)

    def disconnected(self, client_id: str, reader: Principal | None, transport: str, total: int) -> None:
        """Hand out that a stream has ended."""
        self._publish("client.disconnected", client_id, reader, transport, total)

    def _publish(self, event_type: str, client_id: str, reader: Principal | None, transport: str, total: int) -> None:
        data = {
            "client_id": client_id,
            "user_id": None if reader is None else reader.user_id,
            "total_connections": total,
            "transport": transport,
        }
        tenant = DEFAULT_TENANT if reader is None else reader.tenant
        self._bus.publish(CONNECTIONS, event_type, data, tenant=tenant, governed_by=Scope.CONFIG_ADMIN)


def _shown(value: object) -> object:
    """Return a value of a log line as JSON has it, clipped.

    >>> _shown(3), _shown("a" * 2000)[-2:], _shown({"a": 1})
    (3, 'a…', "{'a': 1}")
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "…"
