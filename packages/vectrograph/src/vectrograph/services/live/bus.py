"""The bus: events that are in no log, for whoever listens at this moment."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from vectrograph.control.clock import Clock
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.services.call import Principal
from vectrograph.services.live.channels import may_see
from vectrograph.services.live.events import Event, Wire

QUEUE: Final = 256
"""Events of the bus that wait for one reader; the oldest are dropped, and counted. Chosen: seconds of log lines."""


class BusEvent:
    """An event of the bus, and who may see it. Written once for each wire.

    Attributes:
        event: the event.
        tenant: whose readers may see it; None for all.
        account: the only one whose readers may see it; None for all of the tenant.
        collection: which readers must be allowed to read; None for none.
        governed_by: a scope with which readers who govern the tenant may see it, whatever the rest says.
    """

    __slots__ = ("_written", "account", "collection", "event", "governed_by", "tenant")

    def __init__(
        self,
        event: Event,
        tenant: str | None = None,
        account: str | None = None,
        collection: str | None = None,
        governed_by: str | None = None,
    ) -> None:
        self.event = event
        self.tenant = tenant
        self.account = account
        self.collection = collection
        self.governed_by = governed_by
        self._written: dict[str, bytes] = {}

    def is_for(self, reader: Principal | None) -> bool:
        """Return whether a reader may see it; None is nobody, in development mode."""
        if reader is None:
            return self.tenant in (None, DEFAULT_TENANT) and self.account is None and self.collection is None
        if self.governed_by in reader.scopes and reader.governed_tenant in (None, self.tenant):
            return True
        return (
            self.tenant in (None, reader.tenant)
            and self.account in (None, reader.user_id)
            and (self.collection is None or may_see(reader, self.collection))
        )

    def written(self, wire: Wire[Any]) -> bytes:
        """Return the event as a wire sends it."""
        found = self._written.get(wire.name)
        if found is None:
            found = self._written[wire.name] = wire.event(self.event)
        return found


class Listener(Protocol):
    """A stream, as the bus sees it."""

    @property
    def tenant(self) -> str:
        """Return the tenant of its reader."""
        ...

    def offer(self, event: BusEvent) -> bool:
        """Take an event if its reader may see it. Never waits. Return whether it was taken."""
        ...


class Bus:
    """Hands events to the streams that have their channel. Thread-safe.

    Args:
        wake: tells streams that there may be something for them.
        clock: microseconds.
    """

    def __init__(self, wake: Callable[[Sequence[Any]], None], clock: Clock) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: dict[str, tuple[Listener, ...]] = {}
        self._greetings: dict[str, Callable[[], tuple[str, Mapping[str, Any]]]] = {}

    def has_listeners(self, channel: str) -> bool:
        """Return whether anybody listens to a channel; for producers whose events take time to make."""
        return channel in self._listeners

    def tenants(self, channel: str) -> set[str]:
        """Return the tenants of those who listen to a channel."""
        return {listener.tenant for listener in self._listeners.get(channel, ())}

    def greet(self, channel: str, greeting: Callable[[], tuple[str, Mapping[str, Any]]]) -> None:
        """Hand each new listener of a channel an event first: its type and data, as `greeting` returns them."""
        self._greetings[channel] = greeting

    def publish(
        self,
        channel: str,
        event_type: str,
        data: Mapping[str, Any],
        *,
        tenant: str | None = None,
        account: str | None = None,
        collection: str | None = None,
        governed_by: str | None = None,
    ) -> None:
        """Hand an event to whoever listens; costs one look-up when nobody does, and never waits.

        Args:
            channel: name of a channel of the bus.
            event_type: such as `created`.
            data: JSON-ready.
            tenant: whose readers may see it; None for those of all tenants.
            account: the only account that may see it; None for all of the tenant.
            collection: which a reader must be allowed to read; None for no such condition.
            governed_by: a scope with which readers who govern the tenant see it, whatever the rest says.
        """
        listeners = self._listeners.get(channel)
        if listeners is None:
            return
        event = BusEvent(Event(channel, event_type, self._clock(), data), tenant, account, collection, governed_by)
        self._wake([listener for listener in listeners if listener.offer(event)])

    def listen(self, channel: str, listener: Listener) -> None:
        """Hand the events of a channel to a stream from now on, and its greeting now."""
        with self._lock:
            others = [each for each in self._listeners.get(channel, ()) if each is not listener]
            self._listeners[channel] = (*others, listener)
        greeting = self._greetings.get(channel)
        if greeting is not None:
            event_type, data = greeting()
            listener.offer(BusEvent(Event(channel, event_type, self._clock(), data)))

    def leave(self, channel: str, listener: Listener) -> None:
        """Hand a stream no more events of a channel."""
        with self._lock:
            left = tuple(each for each in self._listeners.get(channel, ()) if each is not listener)
            if left:
                self._listeners[channel] = left
            else:
                self._listeners.pop(channel, None)
