"""From accepted operations to one batch: what each does, given what is stored and what those before it did."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from vectrograph.domain.collections import IdKind
from vectrograph.domain.errors import Conflict
from vectrograph.domain.filters.evaluation import Filter, predicate
from vectrograph.domain.points import (
    KEEP,
    MAX_SERIAL_ID,
    STORED,
    Change,
    ChangeKind,
    Delete,
    DeleteWhere,
    Keep,
    Op,
    Outcome,
    OutcomeStatus,
    Patch,
    Point,
    Precondition,
    Put,
)
from vectrograph.domain.queries import Include
from vectrograph.domain.write_validation import ValidatedWrites
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.truth.batch import Batch
from vectrograph.engines.embedded.truth.records import Record, decode_payload


@dataclass(slots=True)
class Counters:
    """Counters of a collection: `seq` of the last change, the next serial id, points."""

    seq: int
    next_serial: int
    count: int


class _Staged(NamedTuple):
    """A point as it will be, and the row of the write's vectors that it takes, None where the stored one stays."""

    record: Record
    vector_row: int | None


_Part: TypeAlias = bytes | Keep | None
"""An encoded payload or text, or what stands for one."""
_Row: TypeAlias = tuple[Put, _Part, _Part, int]
"""A Put, its payload, its text, and the row of the write's vectors that it takes."""


class Plan:
    """A write in the making: operations are applied to a picture of the collection, not to the collection.

    Args:
        stored: the stored points that the operations name, by id, with payload and text where `needs_content`.
        matching: finds all stored points that match a filter (for DeleteWhere).
        counters: copied, never changed.
        ids: who names the points.
        now: microseconds since 1970.
    """

    def __init__(
        self,
        stored: dict[str, Record],
        matching: Callable[[Filter], list[Record]],
        counters: Counters,
        ids: IdKind,
        now: int,
    ) -> None:
        self._stored = stored
        self._matching = matching
        self._ids = ids
        self._now = now
        self._staged: dict[str, _Staged | None] = {}
        self._changes: list[Change] = []
        self.counters = replace(counters)
        self.outcomes: list[Outcome] = []

    def apply(self, writes: ValidatedWrites, precondition: Precondition) -> None:
        """Do all operations in their order.

        Raises:
            Conflict: the numbers of a serial collection are used up.
        """
        row, unconditional = 0, precondition.is_empty
        puts: list[_Row] = []
        for op, payload, text in zip(writes.ops, writes.payloads, writes.texts, strict=True):
            if isinstance(op, Put):
                if unconditional or self._may(op, precondition):
                    puts.append((op, payload, text, row))
                row += 1
                if unconditional:
                    continue
            self._put(puts)
            puts = []
            if isinstance(op, DeleteWhere):
                self._delete_where(op)
            elif not isinstance(op, Put) and self._may(op, precondition):
                old = self._current(op.id)
                if isinstance(op, Patch):
                    self._patch(op, old, payload, text)
                else:
                    self._delete(op.id, old)
        self._put(puts)

    def batch(self, writes: ValidatedWrites, expired: int) -> Batch:
        """Return the transaction that makes the picture true."""
        touched = [(self._stored.get(name), staged) for name, staged in self._staged.items()]
        # Labels differ, so that nothing behind them is compared.
        fresh = sorted(
            [
                (staged.record.label, staged.record.created_seq, staged.vector_row)
                for _, staged in touched
                if staged is not None and staged.vector_row is not None
            ]
        )
        return Batch(
            at=self._now,
            seq=self.counters.seq,
            next_serial=self.counters.next_serial,
            count=self.counters.count,
            gone_points=[old.label for old, _ in touched if old is not None],
            gone_vectors=[
                old.label for old, s in touched if old is not None and (s is None or s.record.label != old.label)
            ],
            records=[staged.record for _, staged in touched if staged is not None],
            vectors=writes.vectors[np.array([row for _, _, row in fresh], np.int64)],
            labels=[label for label, _, _ in fresh],
            created=[created for _, created, _ in fresh],
            changes=self._changes,
            expired=expired,
        )

    def points(self, writes: ValidatedWrites, view: View, include: Include) -> tuple[Point | None, ...]:
        """Return the points as the write leaves them, one for each outcome; None for what it did not store.

        Args:
            writes: what was applied.
            view: the state before; it has the vectors of points that were patched.
            include: parts of the points.
        """
        found: list[Point | None] = []
        for outcome in self.outcomes:
            staged = self._staged.get(outcome.id) if outcome.status in STORED else None
            if staged is None:
                found.append(None)
                continue
            point = staged.record.point(include)
            if include.vector:
                if staged.vector_row is not None:
                    vector = writes.vectors[staged.vector_row]
                else:
                    vector = view.vectors[view.rows_of(np.array([staged.record.label], np.int64))[0]]
                point = point._replace(vector=vector.copy())
            found.append(point)
        return tuple(found)

    def _current(self, id: str) -> Record | None:
        if id in self._staged:
            staged = self._staged[id]
            return None if staged is None else staged.record
        return self._stored.get(id)

    def _may(self, op: Put | Patch | Delete, precondition: Precondition) -> bool:
        """Return whether the precondition holds of an operation, and report one that is skipped."""
        old = self._current(op.id) if op.id is not None else None
        if _holds(precondition, op.id, old):
            return True
        self._report(op.id or "", OutcomeStatus.SKIPPED, old.version if old else 0)
        return False

    def _number(self, id: str | None) -> str:
        """Return the id of a Put in a serial collection, and move the counter past it."""
        number = self.counters.next_serial if id is None else int(id)
        if number > MAX_SERIAL_ID:
            raise Conflict("All ids of this collection are used up; set the id yourself.")
        self.counters.next_serial = max(self.counters.next_serial, number + 1)
        return str(number)

    def _put(self, puts: Iterable[_Row]) -> None:
        """Store points whole, one after another."""
        # Most writes are many Puts and nothing else: the loop makes no call for a point with an id of its own.
        now, serial, stored, staged = self._now, self._ids is IdKind.SERIAL, self._stored, self._staged
        created, updated = OutcomeStatus.CREATED, OutcomeStatus.UPDATED
        new, replaced = ChangeKind.CREATED, ChangeKind.UPDATED
        seq, count = self.counters.seq, self.counters.count
        for op, payload, text, row in puts:
            name = self._number(op.id) if serial else op.id or ""
            if name in staged:
                before = staged[name]
                old = None if before is None else before.record
            else:
                old = stored.get(name)
            seq += 1
            if old is None:
                count += 1
                payload = b"{}" if isinstance(payload, Keep) else payload
                text = None if isinstance(text, Keep) else text
                record = Record(seq, seq, seq, now, now, name.encode(), payload, text)
            else:
                payload = old.payload if isinstance(payload, Keep) else payload
                text = old.text if isinstance(text, Keep) else text
                record = Record(seq, seq, old.created_seq, old.created_at, now, old.id, payload, text)
            staged[name] = _Staged(record, row)
            self._changes.append(Change(seq, new if old is None else replaced, name, now))
            self.outcomes.append(Outcome(name, created if old is None else updated, seq))
        self.counters.seq, self.counters.count = seq, count

    def _patch(self, op: Patch, old: Record | None, payload: _Part, text: _Part) -> None:
        if old is None:
            self._report(op.id, OutcomeStatus.MISSING, 0)
            return
        seq = self._record(ChangeKind.PATCHED, op.id)
        record = old._replace(
            version=seq,
            updated_at=self._now,
            payload=old.payload if isinstance(payload, Keep) else payload,
            text=old.text if isinstance(text, Keep) else text,
        )
        before = self._staged.get(op.id)
        self._staged[op.id] = _Staged(record, before.vector_row if before else None)
        self._report(op.id, OutcomeStatus.PATCHED, seq)

    def _delete(self, id: str, old: Record | None) -> None:
        if old is None:
            self._report(id, OutcomeStatus.MISSING, 0)
            return
        self._staged[id] = None
        self.counters.count -= 1
        self._report(id, OutcomeStatus.DELETED, self._record(ChangeKind.DELETED, id))

    def _delete_where(self, op: DeleteWhere) -> None:
        test = predicate(op.filter)
        found = [record for record in self._matching(op.filter) if record.id.decode() not in self._staged]
        self._stored.update((record.id.decode(), record) for record in found)
        staged = (each.record for each in self._staged.values() if each is not None)
        found.extend(record for record in staged if test(decode_payload(record.payload or b"{}")))
        for record in sorted(found, key=lambda record: record.created_seq):
            self._delete(record.id.decode(), record)

    def _record(self, kind: ChangeKind, id: str) -> int:
        self.counters.seq += 1
        self._changes.append(Change(self.counters.seq, kind, id, self._now))
        return self.counters.seq

    def _report(self, id: str, status: OutcomeStatus, version: int) -> None:
        self.outcomes.append(Outcome(id, status, version))


def needs_content(ops: Sequence[Op], precondition: Precondition) -> bool:
    """Return whether operations can only be planned with the stored payloads and texts of their points at hand."""
    if precondition.if_match is not None:
        return True
    # No generator: it would be entered anew for each of thousands of operations.
    for op in ops:  # noqa: SIM110
        if isinstance(op, Patch) or (isinstance(op, Put) and (op.payload is KEEP or op.text is KEEP)):
            return True
    return False


def _holds(precondition: Precondition, id: str | None, old: Record | None) -> bool:
    if precondition.if_absent and old is not None:
        return False
    wanted = (precondition.if_version or {}).get(id or "")
    if wanted is not None and (old is None or old.version != wanted):
        return False
    condition = precondition.if_match
    return condition is None or (old is not None and predicate(condition)(decode_payload(old.payload or b"{}")))
