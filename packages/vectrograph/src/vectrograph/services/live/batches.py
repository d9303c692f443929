"""Batches: a few changes of one log, with everything that is made of them for all readers together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from vectrograph.domain.collections import TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.filters.evaluation import Filter, predicate
from vectrograph.domain.grid import split_payload
from vectrograph.domain.points import Change, ChangeKind, Payload, Point
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.services.live.channels import channel_of
from vectrograph.services.live.events import Changed, Event, Parts, PointNow, Wire
from vectrograph.services.live.positions import Cursor, Positions

PAGE: Final = 256
"""Changes read from a log at a time. Chosen: two milliseconds, and a usual batch of an upsert."""
CHUNK_BYTES: Final = 64 * 1024
"""Bytes sent to a reader at once, unless one event has more: what a reader that stops reading holds in memory, besides
the buffers of its connection. A page of changes without payloads has some 45 kB."""
# Points read first, when nothing is known of their size: 8 MiB with the largest payloads.
_FIRST_POINTS: Final = 8
# Forms of one batch that are kept: readers with another filter, or other positions beside it, have forms of their own.
_MAX_FORMS: Final = 16
# Memory of a change besides its id, in bytes. Measured with tracemalloc: 224.
_CHANGE_BYTES: Final = 240
_KINDS: Final = {ChangeKind.CREATED: "created", ChangeKind.DELETED: "deleted"}
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter of a reader, and the text that tells it from others.

    Attributes:
        filter: what points must match.
        text: canonical JSON.
        cost: nanoseconds that a page of points may take.
    """

    filter: Filter
    text: str
    cost: int


class Form(NamedTuple):
    """Form in which a batch is sent.

    Attributes:
        wire: name of the wire.
        parts: parts of the points.
        filter: text of the filter, "" for none.
        others: where the reader is in its other channels, which the positions of its events name too.
    """

    wire: str
    parts: Parts
    filter: str = ""
    others: tuple[tuple[str, Cursor], ...] = ()


class Written(NamedTuple):
    """A batch in one form.

    Attributes:
        events: each event that passes, with the number of its change.
        whole: all of them as a chunk; None when none passed, or when they are more than one chunk.
    """

    events: Sequence[tuple[int, bytes]]
    whole: Any
    nbytes: int


class Batch:
    """Changes of one log, oldest first. Thread-safe: what is made of them is made twice at worst.

    Attributes:
        ref: the collection.
        start: position of the engine from which what follows each change can be read.
        after: number of the change before the first one.
        end: place behind the last one.
        changes: one or more.
        points: as they were read just after the changes; None when nobody wanted them.
    """

    def __init__(
        self,
        ref: CollectionRef,
        start: str | None,
        after: int,
        end: Cursor,
        changes: Sequence[Change],
        points: "Points | None",
    ) -> None:
        self.ref = ref
        self.start = start
        self.after = after
        self.end = end
        self.changes = changes
        self.points = points
        self._forms: dict[Form, Written] = {}
        self._verdicts: dict[str, Sequence[bool]] = {}
        self._own_bytes = sum(_CHANGE_BYTES + len(change.id) for change in changes) + (points.nbytes if points else 0)

    @property
    def nbytes(self) -> int:
        """Estimate of the memory in bytes."""
        return self._own_bytes + sum(written.nbytes for written in list(self._forms.values()))

    def has(self, wanted: Include | None) -> bool:
        """Return whether the points are here with these parts, if any are wanted."""
        if wanted is None:
            return True
        here = self.points.include if self.points is not None else None
        return here is not None and here.payload >= wanted.payload and here.text >= wanted.text

    def known(self, form: Form) -> Written | None:
        """Return the batch in a form that was made before; None when it was not, or was dropped."""
        return self._forms.get(form)

    def written(self, form: Form, wire: Wire[Any], selection: Selection | None, positions: Positions) -> Written:
        """Return the batch in a form, made now or before."""
        found = self._forms.get(form)
        if found is None:
            found = self._write(form, wire, selection, positions)
            while len(self._forms) >= _MAX_FORMS:
                self._forms.pop(next(iter(self._forms)), None)
            self._forms[form] = found
        return found

    def _write(self, form: Form, wire: Wire[Any], selection: Selection | None, positions: Positions) -> Written:
        channel = channel_of(self.ref.name)
        seal = positions.sealer(self.ref.tenant, dict(form.others), channel, self.start)
        # Behind the last change, the engine's own position is known: it outlives the changes before it.
        seal_last = positions.sealer(self.ref.tenant, dict(form.others), channel, self.end.position)
        is_numbered = self.ref.name == TOKENS_COLLECTION
        matching = None if selection is None else self._matching(selection)
        events: list[tuple[int, bytes]] = []
        position, nbytes = "", 0
        for place, change in enumerate(self.changes):
            matches = None
            if matching is not None and change.kind is not ChangeKind.DELETED:
                matches = matching[place]
                if not matches and change.kind is ChangeKind.CREATED:
                    continue
            data = Changed(
                int(change.id) if is_numbered else change.id, change.seq, matches, self._point(change, form.parts)
            )
            kind = _KINDS.get(change.kind, "updated")
            position = (seal if change.seq < self.end.seq else seal_last)(change.seq)
            encoded = wire.event(Event(channel, kind, change.at, data, position))
            events.append((change.seq, encoded))
            nbytes += len(encoded)
        whole = None
        if events and (nbytes <= CHUNK_BYTES or len(events) == 1):
            whole = wire.chunk([event for _, event in events], position)
        return Written(events, whole, 2 * nbytes)

    def _point(self, change: Change, parts: Parts) -> PointNow | None:
        if self.points is None or not (parts.payload or parts.text) or change.kind is ChangeKind.DELETED:
            return None
        point = self.points.found.get(change.id)
        if point is None:
            return None
        payload = self.points.text_of(point) if parts.payload else UNSET
        return PointNow(point.version, payload, point.text if parts.text else UNSET)

    def _matching(self, selection: Selection) -> Sequence[bool]:
        """Return for each change whether its point is there and matches."""
        found = self._verdicts.get(selection.text)
        if found is None:
            matching: set[str] = set()
            if self.points is not None:
                test, payload_of = predicate(selection.filter), self.points.payload_of
                matching.update(name for name, point in self.points.found.items() if test(payload_of(point)))
            found = self._verdicts[selection.text] = [change.id in matching for change in self.changes]
        return found


class Points:
    """The points of a batch.

    Attributes:
        ref: the collection.
        include: parts that were read.
        found: those that are still there, by id.
    """

    def __init__(self, ref: CollectionRef, include: Include, found: Mapping[str, Point]) -> None:
        self.ref = ref
        self.include = include
        self.found = found
        self._texts: dict[str, bytes] = {}
        for point in found.values():
            self.text_of(point)
        self.nbytes = sum(_CHANGE_BYTES + 4 * len(text) for text in self._texts.values())
        self.nbytes += sum(len(point.text or "") for point in found.values())

    def payload_of(self, point: Point) -> Payload:
        """Return the payload as readers see it: of a token its metadata, without the placement."""
        payload = point.payload or {}
        return split_payload(payload)[0] if self.ref.name == TOKENS_COLLECTION else payload

    def text_of(self, point: Point) -> bytes:
        """Return the payload as compact JSON."""
        text = self._texts.get(point.id)
        if text is None:
            text = self._texts[point.id] = _encode(self.payload_of(point)) if self.include.payload else b""
        return text


class Reader:
    """Reads one log into batches. Remembers how large points were, so that few bytes are read at once.

    Args:
        engine: has the collection.
        ref: the collection.
    """

    def __init__(self, engine: Engine, ref: CollectionRef) -> None:
        self._engine = engine
        self.ref = ref
        self._points_at_once = _FIRST_POINTS

    def read(self, cursor: Cursor, wanted: Include | None, *, most: int = PAGE) -> "Read":
        """Return the changes after a place.

        Args:
            cursor: the place.
            wanted: parts of the points to read with them; None for no points.
            most: changes to read.

        Raises:
            CollectionNotFound, CollectionQuarantined, Unavailable.
            InvalidArgument: the collection is another one than the one of the place.
            PositionExpired: the log does not reach back to the place.
        """
        if cursor.position is None:
            # The first change alone: only behind it there is a place that the log cannot lose without saying so.
            most = 1
        page = self._engine.changes(self.ref, cursor.position, limit=most)
        last = page.changes[-1].seq if page.changes else cursor.seq
        end = Cursor(page.position, max(last, cursor.seq))
        changes = [change for change in page.changes if change.seq > cursor.seq]
        return Read(self._batches(cursor, changes, wanted, end), end, is_whole=len(page.changes) < most)

    def _batches(
        self, cursor: Cursor, changes: Sequence[Change], wanted: Include | None, end: Cursor
    ) -> Iterator[Batch]:
        """Yield the changes in batches of about a chunk, at least one each."""
        after, place, start = cursor.seq, 0, end.position if cursor.position is None else cursor.position
        while place < len(changes):
            if wanted is None:
                taken, points = self._without_points(changes, place), None
            else:
                taken, points = self._with_points(changes, place, wanted)
            part = changes[place : place + taken]
            place += taken
            last = end if place == len(changes) else Cursor(start, part[-1].seq)
            yield Batch(self.ref, start, after, last, part, points)
            after = part[-1].seq

    @staticmethod
    def _without_points(changes: Sequence[Change], place: int) -> int:
        nbytes = 0
        for taken, change in enumerate(changes[place:]):
            nbytes += _CHANGE_BYTES + len(change.id)
            if nbytes > 2 * CHUNK_BYTES and taken:
                return taken
        return len(changes) - place

    def _with_points(self, changes: Sequence[Change], place: int, wanted: Include) -> tuple[int, Points]:
        """Return how many changes make a batch, and their points as they are now."""
        ahead = changes[place : place + self._points_at_once]
        ids = list(dict.fromkeys(change.id for change in ahead if change.kind is not ChangeKind.DELETED))
        stored = self._engine.get(self.ref, ids, include=wanted) if ids else []
        points = Points(self.ref, wanted, {point.id: point for point in stored if point is not None})
        if points.nbytes > 4 * CHUNK_BYTES:
            self._points_at_once = max(1, self._points_at_once // 2)
        elif points.nbytes < CHUNK_BYTES:
            self._points_at_once = min(PAGE, 2 * self._points_at_once)
        return len(ahead), points


class Read(NamedTuple):
    """Result of reading a log.

    Attributes:
        batches: to be taken one after the other: points are read as they are.
        end: place behind the last change, or behind what was looked at.
        is_whole: whether the log had no more changes.
    """

    batches: Iterator[Batch]
    end: Cursor
    is_whole: bool
