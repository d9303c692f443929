"""Live events: opens streams within limits, watches over their credentials, and ends them."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from vectrograph.control.clock import Clock, now
from vectrograph.control.store import ControlStore
from vectrograph.domain.addresses import address_group
from vectrograph.domain.collections import CollectionInfo, CollectionRef
from vectrograph.domain.errors import InvalidArgument, InvalidToken, RateLimited, Unauthenticated, Unavailable
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.filters.json_form import to_dict
from vectrograph.domain.limits import Limits, LiveLimits
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.credentials import Credentials
from vectrograph.services.accounts.development import Development
from vectrograph.services.call import UNKNOWN_ORIGIN, Call, Origin, Principal
from vectrograph.services.health import Health
from vectrograph.services.limits.cost import check_filter_cost
from vectrograph.services.limits.thread_pool import Pool
from vectrograph.services.live.batches import PAGE, Selection
from vectrograph.services.live.bus import Bus
from vectrograph.services.live.channels import COLLECTIONS, collection_of, parse_names, require_channel
from vectrograph.services.live.events import Ended, Parts, Wire
from vectrograph.services.live.positions import Positions
from vectrograph.services.live.producers import Actions, Connections, Logs, Metrics, Signals, Status
from vectrograph.services.live.streams import Caller, Stream, Waker
from vectrograph.services.live.tails import Tails
from vectrograph.services.live.vouchers import Vouchers
from vectrograph.services.ticker import Ticker

C = TypeVar("C")
TICKET_SECONDS: Final = 30
"""Seconds that a ticket may be used. Chosen: a page gets one and connects at once."""
MAX_TICKETS: Final = 10_000
"""Tickets of all accounts. Chosen: as many as `max_accounts` by default; each takes a kilobyte at most."""
MAX_TICKETS_OF_ACCOUNT: Final = 100
"""Tickets of one account: as many as the streams that it may have."""
RESUMPTION_SECONDS: Final = 300
"""Seconds that a reconnection token may be used, as in the official protocol."""
MAX_RESUMPTIONS: Final = 2_000
"""Reconnection tokens of all accounts. Chosen: as many as `max_live_streams` by default; each takes 50 KB at most."""
MAX_RESUMPTIONS_OF_ACCOUNT: Final = 100
"""Reconnection tokens of one account: as many as the streams that it may have."""
MAX_FILTER_NANOSECONDS: Final = 100_000_000
"""Time that the filters of one account's streams may take for a page of 256 events of one collection each, on one
core. As much as a search may take without a turn of its own."""
SERVER_STOPPING: Final = "SERVER_STOPPING"
STOPPING: Final = Ended(SERVER_STOPPING, "The server is stopping; open the stream again.", reconnect=True)
"""The end of all streams when the server stops."""
# Threads that read logs for all streams of a collection. Chosen: one computes while the other waits for the disk.
_TAIL_THREADS: Final = 2
# Threads that read for one stream: from the disk, filters, credentials. They never hold up the others.
_STREAM_THREADS: Final = 2
# Seconds that a refused caller is told to wait. Chosen: streams are long.
_RETRY_SECONDS: Final = 5.0

_log: Final = logging.getLogger(__name__)


class Subscription(NamedTuple):
    """Channels that were subscribed to together.

    Attributes:
        channels: their names.
        filter: JSON; "" for none.
        parts: of points that are sent with events.
    """

    channels: tuple[str, ...]
    filter: str = ""
    parts: Parts = Parts()


class Resumption(NamedTuple):
    """A stream that its reader may go on with.

    Attributes:
        credential: of the reader; None for nobody, in development mode.
        user_id: its account, "" for nobody.
        subscriptions: its channels.
        position: where it was; "" without log channels.
    """

    credential: str | None
    user_id: str
    subscriptions: tuple[Subscription, ...]
    position: str


class Live:
    """The live events of one server. Thread-safe.

    Attributes:
        engine: has the collections.
        bus: takes the events that are in no log.
        tails: follow the logs.
        positions: seals and opens positions.
        clock: microseconds.
        monotonic: seconds.
        signals, actions, logs: hand out what other services and the log tell them.
        resumptions: streams that their readers may go on with.
    """

    def __init__(
        self,
        engine: Engine,
        store: ControlStore,
        credentials: Credentials,
        development: Development,
        health: Health,
        positions: Positions,
        limits: Limits,
        live_limits: LiveLimits = LiveLimits(),  # noqa: B008 (immutable)
        clock: Clock = now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing: threads begin with the first stream."""
        self.engine = engine
        self.positions = positions
        self.clock = clock
        self.monotonic = monotonic
        self.bus = Bus(self.wake, clock)
        self.tails = Tails(engine, positions, self._tail_soon, self.wake)
        self._store = store
        self._credentials = credentials
        self._development = development
        self._limits = limits
        self._live_limits = live_limits
        self._lock = threading.Lock()
        self.signals = Signals(self.bus)
        self.actions = Actions(self.bus)
        self.logs = Logs(self.bus)
        self._connections = Connections(self.bus)
        self._status = Status(self.bus, health)
        self._metrics = Metrics(self.bus, health, self, monotonic)
        self._is_producing = False
        self._streams: dict[Stream[Any], str] = {}
        self._sent_before = 0
        self._of_account: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._tickets: Vouchers[str] = Vouchers(
            "tickets", TICKET_SECONDS, MAX_TICKETS_OF_ACCOUNT, MAX_TICKETS, self._seconds
        )
        self.resumptions: Vouchers[Resumption] = Vouchers(
            "reconnection tokens",
            RESUMPTION_SECONDS,
            MAX_RESUMPTIONS_OF_ACCOUNT,
            MAX_RESUMPTIONS,
            self._seconds,
        )
        self._tail_pool = Pool(_TAIL_THREADS, thread_name_prefix="live-logs")
        self._stream_pool = Pool(_STREAM_THREADS, thread_name_prefix="live-streams")
        self._ticker = Ticker(self._look, subject="event streams")
        self._epoch_of_others: int | None = None
        self._is_closed = False
        store.on_invalidation(self._invalidated)

    # -------------------------------------------------- for transports

    def open(
        self,
        credential: str | None,
        channels: Sequence[str],
        wire: Wire[C],
        waker: Waker,
        *,
        filter: Filter | None = None,
        parts: Parts = Parts(),  # noqa: B008 (immutable)
        since: str | None = None,
        follow: bool = True,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> Stream[C]:
        """Begin a stream. Waits for engine and accounts: not for threads that must not.

        Args:
            credential: of the caller, kept for as long as the stream is open; None for nobody, who is let in in
                development mode only, and only to some channels.
            channels: names; none for a stream that gets its channels later.
            wire: the form of what is sent.
            waker: is told when there is something to send.
            filter: which points events are wanted of.
            parts: of points that are sent with events.
            since: a position, `oldest`, or None for now.
            follow: False ends the stream when everything was sent that had happened when it began.
            origin: of the request.

        Returns:
            A stream that the transport has to `close`.

        Raises:
            Unauthenticated, PermissionDenied: of the credential or a channel.
            InvalidArgument: of a channel, the filter or the position.
            TooLarge: the filter would take too long.
            CollectionNotFound, CollectionQuarantined: there is no such collection.
            PositionExpired: a log no longer reaches back to the position.
            RateLimited: there are as many streams as there may be.
            Unavailable: the server stops, or the accounts cannot be read.
        """
        names = parse_names(channels)
        if self._epoch_of_others is None:
            self._epoch_of_others = self._store.epoch_of_others()
        principal = self.authenticate(credential)
        stream = Stream(self, wire, waker, Caller(credential, principal, origin))
        self._admit(stream)
        try:
            stream.check()
            selection = self.selection(stream, names, filter)
            stream.subscribe(names, selection=selection, parts=parts, since=since)
            if not follow:
                stream.stop_at_end()
        except BaseException:
            stream.close()
            raise
        self._ticker.wake()
        stream.is_announced = True
        self._connections.connected(stream.client_id, stream.principal, wire.name, self.count)
        return stream

    def refuse_full(self, address: str) -> None:
        """Go on only when there may be one more stream, as far as that is known without credentials. Never waits.

        Raises:
            RateLimited: there are as many streams as there may be.
            Unavailable: the server stops.
        """
        with self._lock:
            self._refuse_full("", address_group(address))

    def selection(self, stream: Stream[Any], channels: Sequence[str], filter: Filter | None) -> Selection | None:
        """Return a filter for channels of a stream, as `Stream.subscribe` takes it.

        Raises:
            InvalidArgument: none of the channels has points.
            TooLarge: it would take too long.
            RateLimited: the filters of this account's streams would take too long together.
            PermissionDenied, CollectionNotFound: of a channel.
        """
        if filter is None:
            return None
        names = [name for name in channels if collection_of(name) is not None]
        if not names or stream.principal is None:
            raise InvalidArgument.of("filter", "is for the channels tokens and collection:NAME; name one of them")
        cost = 0
        for name in names:
            ref = require_channel(Call(stream.principal, "", origin=stream.caller.origin), name)
            if ref is not None:
                cost += check_filter_cost(filter, self.engine, ref, self._limits, points=PAGE)
        selection = Selection(filter, msgspec.json.encode(to_dict(filter)).decode(), cost)
        self._refuse_costly(stream, selection)
        return selection

    def ticket(self, call: Call, credential: str) -> str:
        """Return a text that stands for the caller's credential once, for half a minute.

        For web pages, which cannot send a header when they open a stream.

        Raises:
            RateLimited: the account, or the server, has too many that were not used.
        """
        return self._tickets.issue(call.principal.user_id, credential)

    def redeem(self, ticket: str) -> str:
        """Return the credential that a ticket stands for; it does not stand for it any more. Never waits.

        Raises:
            InvalidToken: there is no such ticket, it was used, or it is too old.
        """
        credential = self._tickets.redeem(ticket)
        if credential is None:
            raise InvalidToken(
                f"The ticket is not valid: it was used, or is older than {TICKET_SECONDS} seconds; get another one."
            )
        return credential

    def wake(self, streams: Sequence[Stream[Any]]) -> None:
        """Let transports look at streams."""
        if len(streams) == 1:
            streams[0].waker.wake(streams)
            return
        groups: dict[Waker, list[Stream[Any]]] = {}
        for stream in streams:
            groups.setdefault(stream.waker, []).append(stream)
        for waker, group in groups.items():
            waker.wake(group)

    def run(self, function: Callable[[], None]) -> bool:
        """Run a function of a transport that waits, such as `Stream.subscribe`, in a thread for streams.

        Returns:
            Whether it will be run: not when the server stops.
        """
        return self.read_soon(function)

    @property
    def count(self) -> int:
        """Number of open streams."""
        return len(self._streams)

    def counts(self) -> Mapping[str, int]:
        """Return numbers of all streams; see `Readers`."""
        streams = list(self._streams)
        channels = [(stream.tenant, channel) for stream in streams for channel in stream.channels]
        return {
            "connections": len(streams),
            "channels": len(set(channels)),
            "subscriptions": len(channels),
            "buffered": sum(stream.waiting for stream in streams),
            "sent": self._sent_before + sum(stream.sent for stream in streams),
        }

    def close(self) -> None:
        """End all streams, and ask their readers to come back; open no more. Closing twice is fine."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            streams = list(self._streams)
        if not was_closed:
            self._status.stop()
        for stream in streams:
            stream.end(STOPPING)
        self._ticker.close()
        self._tail_pool.shutdown(wait=False, cancel_futures=True)
        self._stream_pool.shutdown(wait=False, cancel_futures=True)

    # -------------------------------------------------- for the engine of services that write

    def wrote(self, ref: CollectionRef) -> None:
        """Note that something may have been written to a collection."""
        self.tails.wrote(ref)

    def created(self, info: CollectionInfo) -> None:
        """Note that there is a new collection."""
        ref = info.spec.ref
        data = {"name": ref.name, "dimension": info.spec.dimension, "distance": info.spec.distance.value}
        self.bus.publish(COLLECTIONS, "created", data, tenant=ref.tenant, collection=ref.name)

    def dropped(self, ref: CollectionRef) -> None:
        """Note that a collection is no more."""
        self.tails.dropped(ref)
        self.bus.publish(COLLECTIONS, "dropped", {"name": ref.name}, tenant=ref.tenant, collection=ref.name)

    # -------------------------------------------------- for streams

    def authenticate(self, credential: str | None) -> Principal | None:
        """Return whom a credential stands for now; None for nobody, in development mode.

        Raises:
            Unauthenticated: it does not hold, or there is none.
            Unavailable: the accounts cannot be read.
        """
        if credential is not None:
            return self._credentials.authenticate(credential)
        if self._development.is_on():
            return None
        raise Unauthenticated("No credentials were sent; send an API key or log in.")

    def read_soon(self, function: Callable[[], None]) -> bool:
        """Run what a stream has to wait for; False when the server stops."""
        try:
            self._stream_pool.submit(function)
        except RuntimeError:
            return False
        return True

    def forget(self, stream: Stream[Any]) -> None:
        """Count a stream no more. Never waits."""
        with self._lock:
            address = self._streams.pop(stream, None)
            if address is None:
                return
            for counter, name in ((self._of_account, _account(stream)), (self._of_address, address)):
                counter[name] -= 1
                if counter[name] <= 0:
                    del counter[name]
            self._sent_before += stream.sent
        if stream.is_announced:
            self._connections.disconnected(stream.client_id, stream.principal, stream.wire.name, self.count)
        # It waits for a read that is under way.
        self.read_soon(stream.let_go)

    # -------------------------------------------------- inside

    def _admit(self, stream: Stream[Any]) -> None:
        """Count a stream, or refuse it."""
        account = _account(stream)
        address = address_group(stream.caller.origin.address)
        with self._lock:
            self._refuse_full(account, address)
            self._streams[stream] = address
            self._of_account[account] += 1
            self._of_address[address] += 1

    def _refuse_full(self, account: str, address: str) -> None:
        """Go on only when there may be one more stream of an account and an address; "" for one that is not known."""
        limits = self._live_limits
        if self._is_closed:
            raise Unavailable("The server is stopping; try again later.", retry_after=_RETRY_SECONDS)
        for number, limit, name, whose in (
            (len(self._streams), limits.in_all, "max_live_streams", "The server"),
            (
                self._of_account[account] if account else 0,
                limits.per_account,
                "max_live_streams_per_account",
                "This account",
            ),
            (
                self._of_address[address] if address else 0,
                limits.per_address,
                "max_live_streams_per_address",
                "This address",
            ),
        ):
            if number >= limit:
                raise RateLimited(
                    f"{whose} has {number} open event streams and the limit {name} is {limit}; close some.",
                    details={"limit": limit, "unit": "event streams", "setting": name},
                    retry_after=_RETRY_SECONDS,
                )

    def _refuse_costly(self, stream: Stream[Any], selection: Selection) -> None:
        account = _account(stream)
        with self._lock:
            others = [each for each in self._streams if each is not stream and _account(each) == account]
        cost = selection.cost + sum(each.filter_cost for each in (*others, stream))
        if cost > MAX_FILTER_NANOSECONDS:
            raise RateLimited(
                f"The filters of this account's event streams could take {cost // 1_000_000} ms for {PAGE} events, and "
                f"{MAX_FILTER_NANOSECONDS // 1_000_000} ms is the limit; use fewer conditions on the content of "
                "strings (prefix, substring, date, order of strings), or close a stream.",
                details={"field": "filter", "limit": MAX_FILTER_NANOSECONDS, "unit": "nanoseconds"},
                retry_after=_RETRY_SECONDS,
            )

    def _tail_soon(self, function: Callable[[], None]) -> None:
        try:
            self._tail_pool.submit(function)
        except RuntimeError:
            _log.debug("a log is not read any more: the server stops")

    def _invalidated(self, user_id: str | None) -> None:
        """Let credentials be checked again: of one account, or of all. Called before the change is acknowledged."""
        for stream in list(self._streams):
            if user_id is None or _account(stream) in (user_id, ""):
                stream.doubt()

    def _look(self) -> bool:
        """Wake the streams that have something to send because of the time; see what other processes did."""
        self.wake([stream for stream in list(self._streams) if stream.look()])
        if self.engine.capabilities.shared:
            self.tails.look()
        self._produce()
        self._tickets.forget()
        self.resumptions.forget()
        epoch = self._store.epoch_of_others()
        if self._epoch_of_others != epoch:
            self._epoch_of_others = epoch
            self._invalidated(None)
        return bool(self._streams)

    def _seconds(self) -> float:
        return self.monotonic()

    def _produce(self) -> None:
        """Let the producers that are due hand out events, in another thread: they ask the engine."""
        due = [each for each in (self._metrics, self._status) if each.is_due()]

        def produce() -> None:
            try:
                for each in due:
                    each.publish()
            finally:
                self._is_producing = False

        if due and not self._is_producing:
            self._is_producing = True
            self.read_soon(produce)


def _account(stream: Stream[Any]) -> str:
    """Return the account that a stream counts for; "" for nobody's."""
    return "" if stream.principal is None else stream.principal.user_id
