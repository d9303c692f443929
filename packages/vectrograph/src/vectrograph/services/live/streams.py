"""Streams: one reader each, with its channels, and what it is to be sent next."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar
from uuid import uuid4

from vectrograph.domain.collections import DEFAULT_TENANT, CollectionRef
from vectrograph.domain.errors import (
    DomainError,
    InternalError,
    InvalidArgument,
    PositionExpired,
    Unauthenticated,
    Unavailable,
)
from vectrograph.domain.queries import Include
from vectrograph.services.call import Call, Origin, Principal
from vectrograph.services.live.batches import CHUNK_BYTES, Batch, Form, Selection
from vectrograph.services.live.bus import QUEUE, BusEvent
from vectrograph.services.live.channels import ANONYMOUS, MAX_CHANNELS, require_channel
from vectrograph.services.live.events import Ended, Parts, Wire
from vectrograph.services.live.positions import Cursor
from vectrograph.services.live.tails import Behind, Tail, end_of_log, ended_log

if TYPE_CHECKING:
    from vectrograph.services.live.live import Live

C = TypeVar("C")
OLDEST: Final = "oldest"
"""Value of `since` that begins a stream at the oldest change that a log holds."""

END_OF_LOG: Final = Ended("END_OF_LOG", "Everything that had happened was sent.", reconnect=False)
"""The end of a stream that was not to follow."""

_log: Final = logging.getLogger(__name__)


class Waker(Protocol):
    """An object of a transport that is told which of its streams to look at. One for many streams."""

    def wake(self, streams: Sequence["Stream[Any]"]) -> None:
        """Let `take` be called for these streams soon, by the transport's own threads. Never waits, never raises."""
        ...


@dataclass(slots=True)
class _Log:
    """A log channel of a stream.

    Attributes:
        channel: its name.
        tail: of the collection.
        cursor: behind what is prepared.
        sent: behind what was taken.
        parts: of points that the reader wants.
        selection: its filter.
        form: in which batches are sent when this is the only channel; None with a filter.
        end: number of the change after which a stream that follows nothing ends.
    """

    channel: str
    tail: Tail
    cursor: Cursor
    sent: Cursor
    parts: Parts
    selection: Selection | None
    form: Form | None = None
    end: int | None = None

    @property
    def is_at_end(self) -> bool:
        """Return whether everything was prepared up to `end`."""
        end = self.end
        return end is None or (max(self.cursor.seq, self.tail.head) >= end and self.tail.after(self.cursor.seq) is None)

    @property
    def wanted(self) -> Include | None:
        """Parts of points that are to be read."""
        if self.selection is None and not any(self.parts):
            return None
        return Include(payload=self.parts.payload or self.selection is not None, text=self.parts.text)


@dataclass(slots=True)
class _Frame:
    """Something to be sent with a number of events; `log` is at `cursor` once it was taken."""

    chunk: Any
    log: _Log | None = None
    cursor: Cursor | None = None
    events: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller that opened a stream.

    Attributes:
        credential: is checked again whenever an account has changed; None for nobody in development mode.
        principal: whom it stood for when it was last checked.
        origin: where the request came from.
    """

    credential: str | None = field(repr=False)
    principal: Principal | None
    origin: Origin


class Stream(Generic[C]):
    """Everything that one reader is sent, made by `Live.open`.

    Attributes:
        wire: the form in which it is sent.
        waker: is told when there is something to send.
        caller: who reads.
        client_id: a name for the reader, another one for each stream.
        is_announced: whether the channel `connections` was told of it.
        sent: number of events that were taken.

    A transport calls `take` whenever it can send, and again when its `Waker` says so; from one thread at a time. What
    takes long happens in threads of `Live`, and no memory grows while the reader does not read.
    """

    def __init__(self, live: "Live", wire: Wire[C], waker: Waker, caller: Caller) -> None:
        """Have no channel yet; see `subscribe`."""
        self.wire = wire
        self.waker = waker
        self.caller = caller
        self._live = live
        # Held by threads that change or read the channels; `take` never waits for it.
        self._changing = threading.Lock()
        self._logs: tuple[_Log, ...] = ()
        self._bus_channels: tuple[str, ...] = ()
        self._frames: deque[_Frame] = deque()
        self._queueing = threading.Lock()
        self._queue: deque[BusEvent] = deque()
        self._dropped: Counter[str] = Counter()
        self._bus_first = False
        self._turn = 0
        self._has_moved = False
        self._is_reading = False
        self._stops = False
        # Credentials are checked once more when the stream is known to those who tell of changes.
        self._doubt = object()
        self._dispelled: object = None
        self._ended: Ended | None = None
        self._taken_at = live.monotonic()
        self.client_id = str(uuid4())
        self.is_announced = False
        self.sent = 0

    # -------------------------------------------------- for transports

    @property
    def principal(self) -> Principal | None:
        """Account that the stream belongs to; None for nobody."""
        return self.caller.principal

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of its channels."""
        return (*(log.channel for log in self._logs), *self._bus_channels)

    @property
    def tenant(self) -> str:
        """Tenant of its reader; nobody, in development mode, is of the default one."""
        return self._tenant or DEFAULT_TENANT

    @property
    def waiting(self) -> int:
        """Number of events of the bus that wait for its reader."""
        return len(self._queue)

    @property
    def ended(self) -> Ended | None:
        """The end of it, once it has ended."""
        return self._ended

    def take(self) -> C | Ended | None:
        """Return what is to be sent now. Never waits.

        Returns:
            Some events or one control frame; None when there is nothing until the waker says so; the end, after which
            the transport sends the reason if it can, and calls `close`.
        """
        if self._ended is not None:
            # What the server said last, such as that it stops, comes before the end.
            said = self._next_of_bus() if self._ended.reconnect and not self._is_doubtful else None
            return self._ended if said is None else said
        if self._is_reading or self._is_doubtful:
            return None
        if self._is_over():
            self.doubt()
            return None
        chunk = self._next()
        if chunk is None:
            return self._ended
        if self._is_held_back():
            # A change of an account that was acknowledged meanwhile comes before everything that was written after it.
            self._frames.appendleft(_Frame(chunk))
            return self._ended
        self._taken_at = self._live.monotonic()
        return chunk

    def close(self) -> None:
        """Let go of everything. Closing twice is fine."""
        self.end(Ended("CLOSED", "The reader left.", reconnect=False))
        self._live.forget(self)

    def subscribe(
        self,
        channels: Sequence[str],
        *,
        selection: Selection | None = None,
        parts: Parts = Parts(),  # noqa: B008 (immutable)
        since: str | None = None,
    ) -> None:
        """Add channels, all or none; one that is there begins anew. Reads logs: not for threads that must not wait.

        Args:
            channels: names, as `parse_names` returns them.
            selection: which points events are wanted of, in log channels.
            parts: of points that are sent with events, in log channels.
            since: a position, `OLDEST`, or None for now. Log channels that a position does not name begin now.

        Raises:
            InvalidArgument: there are too many channels, or the position is not one of these collections.
            PermissionDenied: a channel is not for this caller.
            CollectionNotFound, CollectionQuarantined: there is no such collection.
            PositionExpired: a log no longer reaches back to the position; `details["oldest"]` does.
        """
        with self._changing:
            if self._ended is not None:
                # Its channels were let go.
                raise self._ended.error or Unavailable(self._ended.message)
            if len({*self.channels, *channels}) > MAX_CHANNELS:
                raise InvalidArgument.of("channels", f"are more than {MAX_CHANNELS}; read others over another stream")
            refs = {channel: self.require(channel) for channel in channels}
            logs = self._begun({name: ref for name, ref in refs.items() if ref is not None}, selection, parts, since)
            kept = tuple(log for log in self._logs if log.channel not in refs)
            replaced = [log for log in self._logs if log.channel in refs]
            self._set_logs((*kept, *logs))
            for log in replaced:
                self._leave(log.tail, still=logs)
            for channel, ref in refs.items():
                if ref is None and channel not in self._bus_channels:
                    self._bus_channels = (*self._bus_channels, channel)
                    self._live.bus.listen(channel, self)
            if logs:
                self._frames.append(_Frame(self.wire.position(self.position)))
        self._live.wake([self])

    def unsubscribe(self, channels: Sequence[str]) -> None:
        """Remove channels; those that are not there are passed over. What was prepared of them may still come."""
        with self._changing:
            gone = [log for log in self._logs if log.channel in channels]
            kept = tuple(log for log in self._logs if log.channel not in channels)
            self._set_logs(kept)
            for log in gone:
                self._leave(log.tail, still=())
            for channel in [name for name in self._bus_channels if name in channels]:
                self._live.bus.leave(channel, self)
                self._bus_channels = tuple(name for name in self._bus_channels if name != channel)

    def stop_at_end(self) -> None:
        """End when everything was sent that has happened until now. Reads logs, as `subscribe` does."""
        for log in self._logs:
            log.end = end_of_log(self._live.engine, log.tail.ref).seq
        self._stops = True

    @property
    def position(self) -> str:
        """Position behind what was taken; "" without log channels."""
        return (
            self._live.positions.seal(self._tenant, {log.channel: log.sent for log in self._logs}) if self._logs else ""
        )

    # -------------------------------------------------- for tails and bus

    def wanted(self, tail: Tail) -> Include | None:
        """Return the parts of points that it needs; see `Follower`."""
        return next((log.wanted for log in self._logs if log.tail is tail), None)

    @property
    def plain_form(self) -> Form | None:
        """The form that other streams may share; see `Follower`."""
        logs = self._logs
        return logs[0].form if len(logs) == 1 else None

    def offer(self, event: BusEvent) -> bool:
        """Take an event of the bus; see `Listener`."""
        if not event.is_for(self.caller.principal):
            return False
        with self._queueing:
            if len(self._queue) >= QUEUE:
                self._dropped[self._queue.popleft().event.channel] += 1
            self._queue.append(event)
        return True

    def end(self, ended: Ended) -> None:
        """End it, unless it has ended. Never waits."""
        if self._ended is None:
            self._ended = ended
            self._live.wake([self])

    # -------------------------------------------------- for Live

    @property
    def filter_cost(self) -> int:
        """Nanoseconds that its filters may take for a page of events of each channel."""
        return sum(log.selection.cost for log in self._logs if log.selection is not None)

    def doubt(self) -> None:
        """Send nothing more until the credentials were checked again, which happens soon. Never waits."""
        self._doubt = object()
        self._live.read_soon(self._recheck)

    def look(self) -> bool:
        """Doubt a credential that has ended. Return whether a heartbeat is to be sent."""
        if self._is_over():
            self.doubt()
        return self._live.monotonic() - self._taken_at >= self.wire.heartbeat_seconds

    def check(self) -> None:
        """Check credentials and channels again.

        Raises:
            Unauthenticated, PermissionDenied: they do not hold any more.
        """
        with self._changing:
            self._check()

    def require(self, channel: str) -> CollectionRef | None:
        """Go on only when its reader may read a channel; returns the collection of a log channel.

        Raises:
            PermissionDenied, Unauthenticated: it may not.
        """
        principal = self.caller.principal
        if principal is not None:
            call = Call(principal, self.caller.origin.request_id, origin=self.caller.origin)
            return require_channel(call, channel)
        if channel not in ANONYMOUS:
            raise Unauthenticated(f"The channel {channel!r} needs credentials; log in, or send an API key.")
        return None

    # -------------------------------------------------- inside

    @property
    def _tenant(self) -> str:
        principal = self.caller.principal
        return "" if principal is None else principal.tenant

    def _check(self) -> None:
        # What is doubted from here on is for another check, and nothing is sent before this one has ended.
        doubt = self._doubt
        principal = self._live.authenticate(self.caller.credential)
        self.caller = Caller(self.caller.credential, principal, self.caller.origin)
        for channel in self.channels:
            self.require(channel)
        self._dispelled = doubt

    @property
    def _is_doubtful(self) -> bool:
        return self._doubt is not self._dispelled

    def _is_held_back(self) -> bool:
        return self._is_doubtful or self._ended is not None

    def _is_over(self) -> bool:
        principal = self.caller.principal
        return principal is not None and principal.is_over(self._live.clock())

    def _next(self) -> C | None:
        """Return the next thing to be sent, and count it as sent."""
        chunk: C
        if self._frames:
            frame = self._frames.popleft()
            if frame.log is not None and frame.cursor is not None:
                frame.log.sent = frame.cursor
            self.sent += frame.events
            chunk = frame.chunk
            return chunk
        self._bus_first = not self._bus_first
        if self._bus_first and (news := self._next_of_bus()) is not None:
            return news
        logs = self._logs
        if any(log.tail.after(log.cursor.seq) is not None for log in logs):
            shared = self._shared(logs[0]) if len(logs) == 1 else None
            if shared is None:
                self._read_later()
            return shared
        news = self._next_of_bus()
        if news is None and self._stops and all(log.is_at_end for log in logs):
            self._ended = END_OF_LOG
            return None
        if news is None and self._live.monotonic() - self._taken_at >= self.wire.heartbeat_seconds:
            return self._heartbeat()
        return news

    def _shared(self, log: _Log) -> C | None:
        """Return the next batch as it was written for others too; None when this reader needs something else."""
        batch = log.tail.after(log.cursor.seq)
        if not isinstance(batch, Batch) or log.form is None or log.cursor.seq > batch.after:
            return None
        written = batch.known(log.form)
        if written is None or written.whole is None:
            return None
        log.cursor = log.sent = batch.end
        self._has_moved = False
        self.sent += len(written.events)
        chunk: C = written.whole
        return chunk

    def _heartbeat(self) -> C:
        for log in self._logs:
            log.sent = log.cursor
        moved, self._has_moved = self._has_moved, False
        return self.wire.heartbeat(self.position if moved else "")

    def _next_of_bus(self) -> C | None:
        with self._queueing:
            if self._dropped:
                channel, count = self._dropped.popitem()
                return self.wire.dropped(channel, count)
            events: list[BusEvent] = []
            nbytes = 0
            while self._queue and (not events or nbytes < CHUNK_BYTES):
                events.append(self._queue.popleft())
                nbytes += len(events[-1].written(self.wire))
        self.sent += len(events)
        return self.wire.chunk([event.written(self.wire) for event in events], "") if events else None

    def _read_later(self) -> None:
        self._is_reading = True
        if not self._live.read_soon(self._read):
            self._is_reading = False

    def _recheck(self) -> None:
        """Check the credentials again, also while the reader takes nothing. Runs in a thread of `Live`."""
        self._try(self._check)
        self._live.wake([self])

    def _read(self) -> None:
        """Prepare what comes next. Runs in a thread of `Live`."""
        self._try(self._prepare)
        self._is_reading = False
        self._live.wake([self])

    def _prepare(self) -> None:
        for _ in self._logs:
            if self._frames or self._ended is not None:
                return
            self._turn += 1
            self._advance(self._logs[self._turn % len(self._logs)])

    def _try(self, act: Callable[[], None]) -> None:
        """Do something while the channels stay as they are; what goes wrong ends the stream."""
        try:
            with self._changing:
                act()
        except DomainError as error:
            self.end(Ended.of(error))
        except Exception:  # noqa: BLE001  (the reader is told, and the log has it)
            _log.exception("a stream of events could not be continued")
            self.end(Ended.of(InternalError("Something went wrong on the server; its log has the details.")))

    def _advance(self, log: _Log) -> None:
        """Prepare the next events of a log, if there are any."""
        batch: Batch | Behind | None = log.tail.after(log.cursor.seq)
        if batch is None:
            return
        if not isinstance(batch, Batch) or not batch.has(log.wanted):
            batch = self._read_log(log)
        if batch is not None:
            self._write(log, batch)

    def _read_log(self, log: _Log) -> Batch | None:
        """Return the next batch from the log itself; None where there is none."""
        head = log.tail.head
        try:
            read = log.tail.reader.read(log.cursor, log.wanted)
            batch = next(read.batches, None)
        except PositionExpired as error:
            raise self._expired({log.channel: error}, {each.channel: each.cursor for each in self._logs}) from error
        except DomainError as error:
            ended = ended_log(error, log.tail.ref)
            raise ended.error if ended.error is not None else error from error
        if batch is None:
            # What the tail had read by then was before the end of the log, and there was nothing left of it.
            log.cursor = Cursor(read.end.position, max(read.end.seq, head if read.is_whole else 0))
            self._has_moved = True
            if not self._frames:
                log.sent = log.cursor
        return batch

    def _write(self, log: _Log, batch: Batch) -> None:
        others = tuple((each.channel, each.cursor) for each in self._logs if each is not log)
        text = "" if log.selection is None else log.selection.text
        form = log.form if log.form is not None and not others else Form(self.wire.name, log.parts, text, others)
        written = batch.written(form, self.wire, log.selection, self._live.positions)
        whole, cursor, taken = written.whole, batch.end, len(written.events)
        if whole is None or log.cursor.seq > batch.after:
            left = [each for each in written.events if each[0] > log.cursor.seq]
            taken, nbytes = 0, 0
            for _, event in left:
                if taken and nbytes + len(event) > CHUNK_BYTES:
                    break
                taken, nbytes = taken + 1, nbytes + len(event)
            whole = None
            if taken:
                last = left[taken - 1][0]
                reached = batch.end if last == batch.end.seq else Cursor(batch.start, last)
                position = self._live.positions.seal(self._tenant, {**dict(others), log.channel: reached})
                whole = self.wire.chunk([event for _, event in left[:taken]], position)
                if taken < len(left):
                    cursor = reached
        log.cursor = cursor
        if whole is None:
            self._has_moved = True
            log.sent = cursor
        else:
            self._has_moved = False
            self._frames.append(_Frame(whole, log, cursor, taken))

    def _begun(
        self, refs: Mapping[str, CollectionRef], selection: Selection | None, parts: Parts, since: str | None
    ) -> list[_Log]:
        """Follow the logs of channels, each from where it is to begin; all or none."""
        given: Mapping[str, Cursor] = {}
        if since == OLDEST:
            given = dict.fromkeys(refs, Cursor(None, 0))
        elif since is not None:
            given = self._live.positions.open(self._tenant, since, list(refs))
        logs: list[_Log] = []
        followed: list[Tail] = []
        expired: dict[str, PositionExpired] = {}
        try:
            for channel, ref in refs.items():
                tail = self._live.tails.follow(ref, self)
                followed.append(tail)
                cursor = given.get(channel) or end_of_log(self._live.engine, ref)
                logs.append(_Log(channel, tail, cursor, cursor, parts, selection))
                try:
                    self._live.engine.changes(ref, cursor.position, limit=1)
                except PositionExpired as error:
                    expired[channel] = error
                except InvalidArgument as error:
                    raise InvalidArgument.of(
                        "since",
                        f"is a position in the collection {ref.name!r} that was dropped; begin without a position",
                    ) from error
            if expired:
                raise self._expired(expired, {log.channel: log.cursor for log in logs})
        except BaseException:
            for tail in followed:
                self._leave(tail, still=())
            raise
        return logs

    def _expired(self, errors: Mapping[str, PositionExpired], cursors: Mapping[str, Cursor]) -> PositionExpired:
        """Return the error of logs that do not reach back, with a position that goes on with what they have."""
        oldest = {name: Cursor(error.details["oldest"], 0) for name, error in errors.items()}
        channel = next(iter(errors))
        error = PositionExpired.of(self._live.positions.seal(self._tenant, {**cursors, **oldest}))
        error.details["channel"] = channel
        return error

    def _set_logs(self, logs: tuple[_Log, ...]) -> None:
        for log in logs:
            log.form = Form(self.wire.name, log.parts) if log.selection is None else None
        self._logs = logs

    def _leave(self, tail: Tail, *, still: Sequence[_Log]) -> None:
        if not any(log.tail is tail for log in (*still, *self._logs)):
            self._live.tails.leave(tail, self)

    def let_go(self) -> None:
        """Leave all channels."""
        with self._changing:
            for log in self._logs:
                self._live.tails.leave(log.tail, self)
            for channel in self._bus_channels:
                self._live.bus.leave(channel, self)
            self._logs, self._bus_channels = (), ()
