"""Points that searches have found lately, so that finding them again reads nothing.

A label stands for one vector for ever, but a patch changes what else belongs to it, and a deletion ends it. The writer
says so, after its commit and before it publishes the View that shows it. What a reader read is kept only if nothing of
that kind has happened since before it read; so whoever holds a View never gets a point that is older than it.
"""

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Final, NamedTuple

from vectrograph.domain.answer_bytes import AnswerBytes
from vectrograph.domain.points import Point
from vectrograph.domain.queries import Include
from vectrograph.engines.embedded.truth.records import BARE, Record, decode_payload

REMEMBERED_BYTES: Final = 8 << 20
"""Memory for the points of a collection that are remembered."""

_ENTRY_BYTES: Final = 500
"""Of one, besides id, payload and text."""


class Entry(NamedTuple):
    """A point that was read, vector aside.

    Attributes:
        bare: the point without payload and text; there is nothing in it that a caller could change.
        payload: encoded, None where it was not read.
        text: encoded, None where it was not read or there is none.
        has_text: whether it was read.
    """

    bare: Point
    payload: bytes | None
    text: bytes | None
    has_text: bool

    @classmethod
    def of(cls, record: Record, read: Include) -> "Entry":
        """Return an entry of a record of which these parts were read."""
        return cls(record.point(BARE), record.payload, record.text, read.text)

    def has(self, include: Include) -> bool:
        """Return whether these parts, the vector aside, were read."""
        return (self.payload is not None or not include.payload) and (self.has_text or not include.text)

    def point(self, include: Include) -> Point:
        """Return the point with these parts, the vector aside."""
        if not include.payload and not include.text:
            return self.bare
        payload = decode_payload(self.payload) if include.payload and self.payload is not None else None
        text = self.text.decode() if include.text and self.text is not None else None
        name, _, _, _, created_at, updated_at, version, created_seq = self.bare
        # Ten of these are made for each search: with its fields named, each would take twice as long.
        return Point(name, None, payload, text, created_at, updated_at, version, created_seq)


class PointCache:
    """Entries by label, those found least lately forgotten first; any number of threads.

    Args:
        limit: bytes to take, about.
    """

    def __init__(self, limit: int = REMEMBERED_BYTES) -> None:
        # Two halves: what is found in the old one moves to the young one; a full young one becomes the old one.
        self._half = limit // 2
        self._young: dict[int, Entry] = {}
        self._old: dict[int, Entry] = {}
        self._young_bytes = self._old_bytes = 0
        self._lock = Lock()
        self.epoch = 0

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return self._young_bytes + self._old_bytes

    def find(
        self,
        labels: Sequence[int],
        include: Include,
        held: AnswerBytes | None = None,
        sizes: dict[int, int] | None = None,
    ) -> tuple[dict[int, Point], list[int]]:
        """Return the points that are remembered with these parts, by label, and the labels of those that are not.

        Args:
            labels: of the points.
            include: parts of them.
            held: counts the bytes of these parts, if it is given.
            sizes: is given the bytes of each point that is found, if it is given.

        Raises:
            TooLarge: `held` has no room for them.
        """
        young, bare, total = self._young, not (include.payload or include.text), 0
        found, missing = {}, []
        for label in labels:
            entry = young.get(label) or self._promoted(label)
            if entry is None:
                missing.append(label)
            elif bare:
                found[label] = entry.bare
            elif entry.has(include):
                found[label] = entry.point(include)
                if held is None:
                    continue
                # Not by a function: this is done for each hit of each search.
                size = len(entry.payload) if include.payload and entry.payload is not None else 0
                if include.text and entry.text is not None:
                    size += len(entry.text)
                total += size
                if sizes is not None:
                    sizes[label] = size
            else:
                missing.append(label)
        if held is not None:
            held.require(total)
        return found, missing

    def _promoted(self, label: int) -> Entry | None:
        if label not in self._old:
            return None
        with self._lock:
            entry = self._old.get(label)
            if entry is not None:
                self._keep(label, entry)
            return entry

    def keep(self, entries: Mapping[int, Entry], epoch: int) -> None:
        """Remember what was read, by label; `epoch` was looked up before the reading began."""
        with self._lock:
            if epoch == self.epoch:
                for label, entry in entries.items():
                    self._keep(label, entry)

    def _keep(self, label: int, entry: Entry) -> None:
        self._young[label] = entry
        self._young_bytes += _ENTRY_BYTES + len(entry.bare.id) + len(entry.payload or b"") + len(entry.text or b"")
        if self._young_bytes > self._half:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0

    def forget(self, labels: Iterable[int]) -> None:
        """Remove points that have changed or are gone; called after the commit, before its View is published."""
        changed = list(labels)
        if not changed:
            return
        with self._lock:
            self.epoch += 1
            for label in changed:
                self._young.pop(label, None)
                self._old.pop(label, None)
