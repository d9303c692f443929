"""From accepted operations to rows: what each does, given the locked rows and what the operations before it did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from vectrograph.domain.collections import IdKind
from vectrograph.domain.errors import Conflict
from vectrograph.domain.filters.evaluation import Filter, predicate
from vectrograph.domain.points import (
    KEEP,
    MAX_SERIAL_ID,
    Change,
    ChangeKind,
    Delete,
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
from vectrograph.engines.postgres.codec import Row, decode_payload


@dataclass(slots=True)
class Counters:
    """Counters of a collection: `seq` of the last change, the next serial id, points, time of the last write."""

    seq: int
    next_serial: int
    count: int
    at: int


class Staged(NamedTuple):
    """A point as it will be, and the row of the write's vectors that it takes, None where the stored one stays."""

    row: Row
    vector_row: int | None


_Part: TypeAlias = bytes | Keep | None
"""An encoded payload or text, or what stands for one."""


class WritePlan:
    """A write in the making: operations are applied to copies of the rows, not to the tables.

    Args:
        stored: the stored points that the operations name, by id, with payload and text where `needs_content`.
        matching: finds all stored points that match a filter (for DeleteWhere), without payload and text.
        counters: copied, never changed.
        ids: who names the points.
        now: microseconds since 1970.
    """

    def __init__(
        self,
        stored: dict[str, Row],
        matching: Callable[[Filter], list[Row]],
        counters: Counters,
        ids: IdKind,
        now: int,
    ) -> None:
        self.stored = stored
        self.staged: dict[str, Staged | None] = {}
        self.changes: list[Change] = []
        self.outcomes: list[Outcome] = []
        self.counters = replace(counters, at=now)
        self._matching = matching
        self._ids = ids
        self._now = now

    def apply(self, writes: ValidatedWrites, precondition: Precondition) -> None:
        """Do all operations in their order.

        Raises:
            Conflict: the numbers of a serial collection are used up.
        """
        vector_row = -1
        unconditional = precondition.is_empty
        for op, payload, text in zip(writes.ops, writes.payloads, writes.texts, strict=True):
            if isinstance(op, DeleteWhere):
                self._delete_where(op)
                continue
            vector_row += isinstance(op, Put)
            old = self._current(op.id) if op.id is not None else None
            if not unconditional and not _holds(precondition, op.id, old):
                self.outcomes.append(Outcome(op.id or "", OutcomeStatus.SKIPPED, old.version if old else 0))
            elif isinstance(op, Put):
                self._put(op.id, old, payload, text, vector_row)
            elif old is None:
                self.outcomes.append(Outcome(op.id, OutcomeStatus.MISSING, 0))
            elif isinstance(op, Patch):
                self._patch(op.id, old, payload, text)
            else:
                self._delete(op.id)

    def _current(self, id: str) -> Row | None:
        if id in self.staged:
            staged = self.staged[id]
            return None if staged is None else staged.row
        return self.stored.get(id)

    def _put(self, id: str | None, old: Row | None, payload: _Part, text: _Part, vector_row: int) -> None:
        name = self._number(id) if self._ids is IdKind.SERIAL else id or ""
        seq = self._record(ChangeKind.CREATED if old is None else ChangeKind.UPDATED, name)
        if old is None:
            self.counters.count += 1
            payload = b"{}" if isinstance(payload, Keep) else payload
            text = None if isinstance(text, Keep) else text
            row = Row(seq, seq, self._now, self._now, name.encode(), payload, text)
        else:
            payload = old.payload if isinstance(payload, Keep) else payload
            text = old.text if isinstance(text, Keep) else text
            row = Row(old.created_seq, seq, old.created_at, self._now, old.id, payload, text)
        self.staged[name] = Staged(row, vector_row)
        self.outcomes.append(Outcome(name, OutcomeStatus.CREATED if old is None else OutcomeStatus.UPDATED, seq))

    def _number(self, id: str | None) -> str:
        """Return the id of a Put in a serial collection, and move the counter past it."""
        number = self.counters.next_serial if id is None else int(id)
        if number > MAX_SERIAL_ID:
            raise Conflict("All ids of this collection are used up; set the id yourself.")
        self.counters.next_serial = max(self.counters.next_serial, number + 1)
        return str(number)

    def _patch(self, id: str, old: Row, payload: _Part, text: _Part) -> None:
        seq = self._record(ChangeKind.PATCHED, id)
        row = old._replace(
            version=seq,
            updated_at=self._now,
            payload=old.payload if isinstance(payload, Keep) else payload,
            text=old.text if isinstance(text, Keep) else text,
        )
        before = self.staged.get(id)
        self.staged[id] = Staged(row, before.vector_row if before else None)
        self.outcomes.append(Outcome(id, OutcomeStatus.PATCHED, seq))

    def _delete(self, id: str) -> None:
        self.staged[id] = None
        self.counters.count -= 1
        self.outcomes.append(Outcome(id, OutcomeStatus.DELETED, self._record(ChangeKind.DELETED, id)))

    def _delete_where(self, op: DeleteWhere) -> None:
        test = predicate(op.filter)
        found = [(row.created_seq, row.id.decode(), row) for row in self._matching(op.filter)]
        found = [each for each in found if each[1] not in self.staged]
        self.stored.update((name, row) for _, name, row in found)
        for name, staged in self.staged.items():
            if staged is not None and test(decode_payload(staged.row.payload or b"{}")):
                found.append((staged.row.created_seq, name, staged.row))
        for _, name, _ in sorted(found, key=lambda each: each[0]):
            self._delete(name)

    def _record(self, kind: ChangeKind, id: str) -> int:
        self.counters.seq += 1
        self.changes.append(Change(self.counters.seq, kind, id, self._now))
        return self.counters.seq


def needs_content(ops: Sequence[Op], precondition: Precondition) -> bool:
    """Return whether operations can only be planned with the stored payloads and texts of their points at hand."""
    if precondition.if_match is not None:
        return True
    # No generator: it would be entered anew for each of thousands of operations.
    for op in ops:  # noqa: SIM110
        if isinstance(op, Patch) or (isinstance(op, Put) and (op.payload is KEEP or op.text is KEEP)):
            return True
    return False


def _holds(precondition: Precondition, id: str | None, old: Row | None) -> bool:
    if precondition.if_absent and old is not None:
        return False
    wanted = (precondition.if_version or {}).get(id or "")
    if wanted is not None and (old is None or old.version != wanted):
        return False
    condition = precondition.if_match
    return condition is None or (old is not None and predicate(condition)(decode_payload(old.payload or b"{}")))


def named_ids(ops: Sequence[Op]) -> list[str]:
    """Return the ids that operations name, each once."""
    return list({op.id: None for op in ops if isinstance(op, Put | Patch | Delete) and op.id is not None})
