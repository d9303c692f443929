"""Tails: each follows the log of one collection, once for all streams that read it."""

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import (
    CollectionNotFound,
    DomainError,
    InternalError,
    InvalidArgument,
    PositionExpired,
)
from vectrograph.domain.points import NOW
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.services.live.batches import Batch, Form, Reader
from vectrograph.services.live.events import Ended, Wire
from vectrograph.services.live.positions import Cursor, Positions

RING_BYTES: Final = 4 * 1024 * 1024
"""Memory of the newest batches of one collection. Chosen: more than a second of 5,000 changes a second; whoever is
further behind reads the log."""
RINGS_BYTES: Final = 64 * 1024 * 1024
"""Memory of the newest batches of all collections. Chosen: sixteen busy ones."""
# Pages read before other tails get their turn. Chosen: some ten milliseconds.
_PAGES_AT_ONCE: Final = 4

_log: Final = logging.getLogger(__name__)


class Follower(Protocol):
    """A stream, as a tail sees it."""

    @property
    def wire(self) -> Wire[Any]:
        """The form in which it sends events."""
        ...

    def wanted(self, tail: "Tail") -> Include | None:
        """Return the parts of points that it needs in a collection; None for no points."""
        ...

    @property
    def plain_form(self) -> Form | None:
        """The form that many streams may share; None when its form is its own."""
        ...

    def end(self, ended: Ended) -> None:
        """End it."""
        ...


class Behind:
    """The type of `BEHIND`."""


BEHIND: Final = Behind()
"""The answer when a change has left the ring, or was never in it: it is to be read from the log."""


class Tail:
    """The newest changes of one collection. Thread-safe; no lock is held while a stream is woken.

    Args:
        tails: the others.
        ref: the collection.
    """

    def __init__(self, tails: "Tails", ref: CollectionRef) -> None:
        self._tails = tails
        self.ref = ref
        self.reader = Reader(tails.engine, ref)
        # Held while the log is read.
        self._reading = threading.Lock()
        # Held for a moment: who follows, and whether a read is to come.
        self._lock = threading.Lock()
        self._followers: dict[Follower, None] = {}
        self._is_due = self._is_scheduled = False
        self._head: Cursor | None = None
        # Batches, the numbers of their last changes, and the number of the change before the first batch: replaced
        # together, so that streams look without a lock.
        self._ring: tuple[tuple[Batch, ...], tuple[int, ...], int] = ((), (), 0)
        self._held = 0
        self._is_gone = False

    def begin(self) -> None:
        """Find the end of the log, unless that was done.

        Raises:
            CollectionNotFound, CollectionQuarantined, Unavailable.
        """
        with self._reading:
            if self._head is None:
                self._head = end_of_log(self._tails.engine, self.ref)
                self._ring = ((), (), self._head.seq)

    @property
    def head(self) -> int:
        """Number of the last change that was read."""
        return self._head.seq if self._head is not None else 0

    def after(self, seq: int) -> Batch | Behind | None:
        """Return the batch that has the next change after `seq`; None while there is none."""
        batches, lasts, floor = self._ring
        if seq < floor:
            return BEHIND
        place = bisect_right(lasts, seq)
        return batches[place] if place < len(batches) else None

    @property
    def held(self) -> int:
        """Estimate of the memory of the ring in bytes, as it was when the ring last changed."""
        return self._held

    def follow(self, follower: Follower) -> None:
        """Wake a stream from now on."""
        with self._lock:
            self._followers[follower] = None

    def leave(self, follower: Follower) -> bool:
        """Wake a stream no more. Return whether others are left."""
        with self._lock:
            self._followers.pop(follower, None)
            return bool(self._followers)

    def wrote(self) -> None:
        """Read the log soon: there is more in it."""
        with self._lock:
            self._is_due = True
            if self._is_scheduled:
                return
            self._is_scheduled = True
        self._tails.submit(self._run)

    def end(self, ended: Ended) -> None:
        """End all streams that follow."""
        with self._lock:
            followers = list(self._followers)
        for follower in followers:
            follower.end(ended)

    def shrink(self, most: int) -> int:
        """Let go of the oldest batches until the rest takes at most so many bytes. Return the bytes that were freed."""
        with self._lock:
            before = self._held
            batches, lasts, floor = self._ring
            self._held = held = sum(batch.nbytes for batch in batches)
            first = 0
            while held > most and first < len(batches):
                held -= batches[first].nbytes
                floor = lasts[first]
                first += 1
            if first:
                self._ring = (batches[first:], lasts[first:], floor)
            self._held = held
            return before - held

    def forget(self) -> int:
        """Hold nothing any more. Return the bytes that were freed."""
        with self._lock:
            self._is_gone = True
        return self.shrink(0)

    def _run(self) -> None:
        with self._lock:
            self._is_due = False
            followers = list(self._followers)
        again = False
        if followers:
            try:
                again = self._read(followers)
            except PositionExpired:
                again = self._restart(followers)
            except DomainError as error:
                self.end(ended_log(error, self.ref))
            except Exception:  # noqa: BLE001  (the readers are told, and the log has it)
                _log.exception("the log of %s could not be read for its readers", self.ref)
                self.end(Ended.of(InternalError("Something went wrong on the server; its log has the details.")))
        with self._lock:
            self._is_scheduled = again or self._is_due
            is_scheduled = self._is_scheduled
        if is_scheduled:
            self._tails.submit(self._run)

    def _read(self, followers: Sequence[Follower]) -> bool:
        """Read what is new, and wake the streams. Return whether there may be more."""
        wanted = combined([follower.wanted(self) for follower in followers])
        forms = {form: follower.wire for follower in followers if (form := follower.plain_form) is not None}
        with self._reading:
            if self._head is None:
                return False
            for _ in range(_PAGES_AT_ONCE):
                read = self.reader.read(self._head, wanted)
                is_new = False
                for batch in read.batches:
                    for form, wire in forms.items():
                        batch.written(form, wire, None, self._tails.positions)
                    self._append(batch)
                    is_new = True
                self._head = read.end
                if is_new:
                    self._tails.wake(followers)
                if read.is_whole:
                    return False
        return True

    def _append(self, batch: Batch) -> None:
        with self._lock:
            if self._is_gone:
                return
            batches, lasts, floor = self._ring
            self._ring = ((*batches, batch), (*lasts, batch.end.seq), floor)
        self._tails.held(-self.shrink(RING_BYTES))

    def _restart(self, followers: Sequence[Follower]) -> bool:
        """Go on at the end of the log, which no longer has what comes next: each stream finds out by itself."""
        with self._reading:
            try:
                head = end_of_log(self._tails.engine, self.ref)
            except DomainError as error:
                self.end(ended_log(error, self.ref))
                return False
            with self._lock:
                self._head, self._ring = head, ((), (), head.seq)
        self._tails.wake(followers)
        return False


class Tails:
    """The tails of all collections that somebody reads. Thread-safe.

    Args:
        engine: has the collections.
        positions: seals the positions of events.
        submit: runs a function on another thread soon.
        wake: tells streams that there may be something for them.
    """

    def __init__(
        self,
        engine: Engine,
        positions: Positions,
        submit: Callable[[Callable[[], None]], object],
        wake: Callable[[Sequence[Any]], None],
    ) -> None:
        self.engine = engine
        self.positions = positions
        self.submit = submit
        self.wake = wake
        self._lock = threading.Lock()
        self._tails: dict[CollectionRef, Tail] = {}
        self._held = 0

    def follow(self, ref: CollectionRef, follower: Follower) -> Tail:
        """Wake a stream whenever a collection has changed; whatever is written from now on comes into the ring.

        Raises:
            CollectionNotFound, CollectionQuarantined, Unavailable.
        """
        with self._lock:
            tail = self._tails.get(ref) or self._tails.setdefault(ref, Tail(self, ref))
            tail.follow(follower)
        try:
            tail.begin()
        except BaseException:
            self.leave(tail, follower)
            raise
        return tail

    def leave(self, tail: Tail, follower: Follower) -> None:
        """Wake a stream no more; a tail that nobody follows is forgotten."""
        with self._lock:
            if not tail.leave(follower) and self._tails.get(tail.ref) is tail:
                del self._tails[tail.ref]
                self._held -= tail.forget()

    def wrote(self, ref: CollectionRef) -> None:
        """Read the log of a collection soon, if anybody follows it."""
        tail = self._tails.get(ref)
        if tail is not None:
            tail.wrote()

    def dropped(self, ref: CollectionRef) -> None:
        """End the streams of a collection that is no more."""
        with self._lock:
            tail = self._tails.pop(ref, None)
            if tail is not None:
                self._held -= tail.forget()
        if tail is not None:
            tail.end(ended_log(CollectionNotFound(""), ref))

    def look(self) -> None:
        """Read all logs soon: something may have been written that nobody announced."""
        with self._lock:
            tails = list(self._tails.values())
        for tail in tails:
            tail.wrote()

    def held(self, more: int) -> None:
        """Note that rings take more memory, or less; the largest ones shrink when all of them take too much."""
        with self._lock:
            self._held += more
            if self._held <= RINGS_BYTES:
                return
            tails = sorted(self._tails.values(), key=lambda tail: tail.held, reverse=True)
            for tail in tails:
                self._held -= tail.shrink(tail.held // 2)
                if self._held <= RINGS_BYTES:
                    return


def end_of_log(engine: Engine, ref: CollectionRef) -> Cursor:
    """Return the end of a log.

    Raises:
        CollectionNotFound, CollectionQuarantined, Unavailable.
    """
    # In this order: changes between the two are read from the position, and are passed over for their numbers.
    position = engine.changes(ref, NOW).position
    return Cursor(position, engine.describe(ref).seq)


def combined(wanted: Sequence[Include | None]) -> Include | None:
    """Return the parts of points that some of several readers want; None when none wants points.

    >>> combined([None, Include(payload=True, text=False)]), combined([None])
    (Include(vector=False, payload=True, text=False), None)
    """
    some = [include for include in wanted if include is not None]
    if not some:
        return None
    return Include(payload=any(each.payload for each in some), text=any(each.text for each in some))


def ended_log(error: DomainError, ref: CollectionRef) -> Ended:
    """Return the end of a stream whose log could not be read."""
    if isinstance(error, CollectionNotFound | InvalidArgument):
        # A position that was good until now is of a collection that was dropped, even if the name exists again.
        message = f"The collection {ref.name!r} was dropped; read another one."
        return Ended.of(CollectionNotFound(message, details={"collection": ref.name}))
    return Ended.of(error)
