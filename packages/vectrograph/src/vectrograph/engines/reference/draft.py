"""A write in progress: a copy of the points on which the operations are done one after another."""

from vectrograph.domain.collections import IdKind
from vectrograph.domain.errors import Conflict
from vectrograph.domain.filters.evaluation import matches
from vectrograph.domain.payloads import decode_payload
from vectrograph.domain.points import (
    KEEP,
    MAX_SERIAL_ID,
    Change,
    ChangeKind,
    Delete,
    DeleteWhere,
    Keep,
    Outcome,
    OutcomeStatus,
    Patch,
    Payload,
    Point,
    Precondition,
    Put,
    Vector,
)
from vectrograph.domain.write_validation import ValidatedWrites


class Draft:
    """The state of a collection after the operations so far. `points` map ids to whole points.

    Args:
        points: copied, never changed.
        seq: of the last change so far.
        next_serial: what the next point without an id is called in a serial collection.
        ids: who names the points.
        now: microseconds since 1970, the time of the write.
    """

    def __init__(self, points: dict[str, Point], seq: int, next_serial: int, ids: IdKind, now: int) -> None:
        self.points = dict(points)
        self.seq = seq
        self.next_serial = next_serial
        self.changes: list[Change] = []
        self.outcomes: list[Outcome] = []
        self._ids = ids
        self._now = now

    def apply(self, writes: ValidatedWrites, precondition: Precondition) -> None:
        """Do all operations in their order.

        Raises:
            Conflict: the numbers of a serial collection are used up.
        """
        vectors = iter(writes.vectors)
        for op, payload, text in zip(writes.ops, writes.payloads, writes.texts, strict=True):
            if isinstance(op, DeleteWhere):
                self._delete_where(op)
                continue
            vector = next(vectors) if isinstance(op, Put) else None
            if not self._holds(op, precondition):
                version = self.points[op.id].version if op.id in self.points else 0
                self.outcomes.append(Outcome(op.id or "", OutcomeStatus.SKIPPED, version))
            elif isinstance(op, Put):
                assert vector is not None  # noqa: S101 - every Put has its vector
                self._put(self._name(op), vector, _payload(payload), _text(text))
            elif isinstance(op, Patch):
                self._patch(op, _payload(payload), _text(text))
            else:
                self._delete(op)

    def _holds(self, op: Put | Patch | Delete, precondition: Precondition) -> bool:
        current = self.points.get(op.id) if op.id is not None else None
        if precondition.if_absent and current is not None:
            return False
        wanted = (precondition.if_version or {}).get(op.id or "")
        if wanted is not None and (current is None or current.version != wanted):
            return False
        condition = precondition.if_match
        return condition is None or (current is not None and matches(condition, current.payload or {}))

    def _name(self, op: Put) -> str:
        if self._ids is IdKind.STRING:
            return op.id or ""
        number = self.next_serial if op.id is None else int(op.id)
        if number > MAX_SERIAL_ID:
            raise Conflict("All ids of this collection are used up; set the id yourself.")
        self.next_serial = max(self.next_serial, number + 1)
        return str(number)

    def _put(self, id: str, vector: Vector, payload: Payload | Keep, text: str | Keep | None) -> None:
        old = self.points.get(id)
        seq = self._record(ChangeKind.UPDATED if old else ChangeKind.CREATED, id)
        stored = vector.copy()
        stored.flags.writeable = False
        self.points[id] = Point(
            id=id,
            vector=stored,
            payload=(old.payload if old else {}) if isinstance(payload, Keep) else payload,
            text=(old.text if old else None) if isinstance(text, Keep) else text,
            created_at=old.created_at if old else self._now,
            updated_at=self._now,
            version=seq,
            created_seq=old.created_seq if old else seq,
        )
        self.outcomes.append(Outcome(id, OutcomeStatus.UPDATED if old else OutcomeStatus.CREATED, seq))

    def _patch(self, op: Patch, payload: Payload | Keep, text: str | Keep | None) -> None:
        old = self.points.get(op.id)
        if old is None:
            self.outcomes.append(Outcome(op.id, OutcomeStatus.MISSING, 0))
            return
        seq = self._record(ChangeKind.PATCHED, op.id)
        new = old._replace(version=seq, updated_at=self._now)
        if not isinstance(payload, Keep):
            new = new._replace(payload=payload)
        if not isinstance(text, Keep):
            new = new._replace(text=text)
        self.points[op.id] = new
        self.outcomes.append(Outcome(op.id, OutcomeStatus.PATCHED, seq))

    def _delete(self, op: Delete) -> None:
        if self.points.pop(op.id, None) is None:
            self.outcomes.append(Outcome(op.id, OutcomeStatus.MISSING, 0))
        else:
            self.outcomes.append(Outcome(op.id, OutcomeStatus.DELETED, self._record(ChangeKind.DELETED, op.id)))

    def _delete_where(self, op: DeleteWhere) -> None:
        oldest_first = sorted(self.points.values(), key=lambda point: point.created_seq)
        for point in oldest_first:
            if matches(op.filter, point.payload or {}):
                self._delete(Delete(id=point.id))

    def _record(self, kind: ChangeKind, id: str) -> int:
        self.seq += 1
        self.changes.append(Change(self.seq, kind, id, self._now))
        return self.seq


def _payload(encoded: bytes | Keep | None) -> Payload | Keep:
    if encoded is None or isinstance(encoded, Keep):
        return KEEP
    return decode_payload(encoded)


def _text(encoded: bytes | Keep | None) -> str | Keep | None:
    return encoded.decode() if isinstance(encoded, bytes) else encoded
