"""From accepted operations to one batch: what each does, given what is stored and what those before it did."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from vectrograph.domain.collections import IdKind
from vectrograph.domain.errors import Conflict
from vectrograph.domain.filters.evaluation import Filter, predicate
from vectrograph.domain.points import (
    MAX_SERIAL_ID,
    Change,
    ChangeKind,
    DeleteWhere,
    Keep,
    Op,
    Outcome,
    OutcomeStatus,
    Patch,
    Precondition,
    Put,
)
from vectrograph.domain.write_validation import ValidatedWrites
from vectrograph.engines.embedded.truth.batch import Batch
from vectrograph.engines.embedded.truth.records import Record, decode_payload


@dataclass(slots=True)
class Counters:
    """What a collection counts: `seq` of the last change, the next serial id, points."""

    seq: int
    next_serial: int
    count: int


class _Staged(NamedTuple):
    """A point as it will be, and the row of the write's vectors that it takes, None where the stored one stays."""

    record: Record
    vector_row: int | None


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
        row = 0
        for op, payload, text in zip(writes.ops, writes.payloads, writes.texts, strict=True):
            if isinstance(op, DeleteWhere):
                self._delete_where(op)
                continue
            old = self._current(op.id) if op.id is not None else None
            if not _holds(precondition, op.id, old):
                self._report(op.id or "", OutcomeStatus.SKIPPED, old.version if old else 0)
            elif isinstance(op, Put):
                self._put(self._name(op), old, row, payload, text)
            elif isinstance(op, Patch):
                self._patch(op, old, payload, text)
            else:
                self._delete(op.id, old)
            row += isinstance(op, Put)

    def batch(self, writes: ValidatedWrites, expired: int) -> Batch:
        """The transaction that makes the picture true."""
        touched = [(self._stored.get(name), staged) for name, staged in self._staged.items()]
        fresh = sorted(
            (s for _, s in touched if s is not None and s.vector_row is not None), key=lambda s: s.record.label
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
            vectors=writes.vectors[np.array([s.vector_row for s in fresh], np.int64)],
            labels=[s.record.label for s in fresh],
            created=[s.record.created_seq for s in fresh],
            changes=self._changes,
            expired=expired,
        )

    def _current(self, id: str) -> Record | None:
        if id in self._staged:
            staged = self._staged[id]
            return None if staged is None else staged.record
        return self._stored.get(id)

    def _name(self, op: Put) -> str:
        if self._ids is IdKind.STRING:
            return op.id or ""
        number = self.counters.next_serial if op.id is None else int(op.id)
        if number > MAX_SERIAL_ID:
            raise Conflict("The numbers of this collection are used up; name the point yourself.")
        self.counters.next_serial = max(self.counters.next_serial, number + 1)
        return str(number)

    def _put(
        self, id: str, old: Record | None, row: int, payload: bytes | Keep | None, text: bytes | Keep | None
    ) -> None:
        seq = self._record(ChangeKind.PUT, id)
        record = Record(
            label=seq,
            version=seq,
            created_seq=old.created_seq if old else seq,
            created_at=old.created_at if old else self._now,
            updated_at=self._now,
            id=id.encode(),
            payload=_merge(payload, old.payload if old else b"{}"),
            text=_merge(text, old.text if old else None),
        )
        self._staged[id] = _Staged(record, row)
        self.counters.count += old is None
        self._report(id, OutcomeStatus.UPDATED if old else OutcomeStatus.CREATED, seq)

    def _patch(self, op: Patch, old: Record | None, payload: bytes | Keep | None, text: bytes | Keep | None) -> None:
        if old is None:
            self._report(op.id, OutcomeStatus.MISSING, 0)
            return
        seq = self._record(ChangeKind.PATCH, op.id)
        record = old._replace(
            version=seq,
            updated_at=self._now,
            payload=_merge(payload, old.payload),
            text=_merge(text, old.text),
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
        self._report(id, OutcomeStatus.DELETED, self._record(ChangeKind.DELETE, id))

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


def needs_content(op: Op, precondition: Precondition) -> bool:
    """Whether an operation can only be planned with the stored payload and text of its point at hand."""
    if isinstance(op, Patch) or precondition.if_match is not None:
        return True
    return isinstance(op, Put) and (isinstance(op.payload, Keep) or isinstance(op.text, Keep))


def _holds(precondition: Precondition, id: str | None, old: Record | None) -> bool:
    if precondition.if_absent and old is not None:
        return False
    wanted = (precondition.if_version or {}).get(id or "")
    if wanted is not None and (old is None or old.version != wanted):
        return False
    condition = precondition.if_match
    return condition is None or (old is not None and predicate(condition)(decode_payload(old.payload or b"{}")))


def _merge(new: bytes | Keep | None, old: bytes | None) -> bytes | None:
    return old if isinstance(new, Keep) else new
