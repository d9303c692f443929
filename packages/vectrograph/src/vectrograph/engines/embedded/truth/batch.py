"""One write as the statement that does it: see `schema`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vectrograph.domain.points import Change, ChangeKind, IdempotencyKey, Vector, WriteResult
from vectrograph.engines.embedded.rows.view import Addition, Labels
from vectrograph.engines.embedded.truth.records import (
    Record,
    change_checksum,
    reply_checksum,
    state_checksum,
    vector_checksum,
)

KINDS = (ChangeKind.PUT, ChangeKind.PATCH, ChangeKind.DELETE)
"""The log stores a kind as its place in here."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer when the same request comes again: `result` is the JSON of a WriteResult."""

    key: IdempotencyKey
    result: str

    @classmethod
    def of(cls, key: IdempotencyKey, result: WriteResult) -> "Reply":
        """Encode the result of a write."""
        outcomes = [[outcome.id, outcome.status.value, outcome.version] for outcome in result.outcomes]
        return cls(key, json.dumps({"seq": result.seq, "outcomes": outcomes}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Everything that one transaction changes.

    Attributes:
        at: microseconds since 1970.
        seq, next_serial, count: of the collection afterwards.
        gone_points: labels whose row in `points` goes; that of a patched point comes back among `records`.
        gone_vectors: labels whose vector goes.
        records: rows to insert.
        vectors: of the records that are new or have a new vector, shape (n, dimension), ascending by label.
        labels: their labels.
        created: their `created_seq`.
        changes: entries of the log.
        expired: replies not younger than this are forgotten.
        reply: what to remember, if the caller named the write.
    """

    at: int
    seq: int
    next_serial: int
    count: int
    gone_points: Sequence[int] = ()
    gone_vectors: Sequence[int] = ()
    records: Sequence[Record] = ()
    vectors: Vector
    labels: Sequence[int] = ()
    created: Sequence[int] = ()
    changes: Sequence[Change] = ()
    expired: int = 0
    reply: Reply | None = None

    @property
    def addition(self) -> Addition:
        """What it appends to the View."""
        return Addition(self.vectors, np.array(self.labels, np.int64), np.array(self.created, np.int64))

    @property
    def gone(self) -> Labels:
        """The labels it makes dead in the View."""
        return np.array(self.gone_vectors, np.int64)

    def bindings(self) -> tuple[object, ...]:
        """The values of `schema.INSERT_BATCH`."""
        data = _Data()
        points = [_point_row(record, data) for record in self.records]
        changes = [self._change_row(change, data) for change in self.changes]
        vectors = self._vector_rows(data)
        return (
            json.dumps(list(self.gone_points)),
            json.dumps(list(self.gone_vectors)),
            json.dumps(points),
            json.dumps(vectors),
            json.dumps(changes),
            b"".join(data.parts),
            4 * self.vectors.shape[1],
            self.at,
            self.seq,
            self.next_serial,
            self.count,
            *_reply_columns(self.reply, self.at),
            self.expired,
            state_checksum(self.seq, self.next_serial, self.count),
        )

    def _change_row(self, change: Change, data: "_Data") -> list[int]:
        kind, name = KINDS.index(change.kind), change.id.encode()
        return [change.seq, kind, *data.add(name), change_checksum(change.seq, kind, self.at, name)]

    def _vector_rows(self, data: "_Data") -> list[list[int]]:
        stored = self.vectors.astype("<f4", copy=False).tobytes()
        size = 4 * self.vectors.shape[1]
        offset, _ = data.add(stored)
        whole = memoryview(stored)
        return [
            [label, offset + nth * size, vector_checksum(label, whole[nth * size : (nth + 1) * size])]
            for nth, label in enumerate(self.labels)
        ]


@dataclass(slots=True)
class _Data:
    """Bytes that are bound as one blob; SQL's substr counts from 1."""

    parts: list[bytes] = field(default_factory=list)
    end: int = 1

    def add(self, part: bytes) -> tuple[int, int]:
        """Append, and tell offset and length."""
        offset = self.end
        self.parts.append(part)
        self.end += len(part)
        return offset, len(part)


def _point_row(record: Record, data: _Data) -> list[int | None]:
    text: tuple[int | None, int | None] = (None, None) if record.text is None else data.add(record.text)
    return [
        record.label,
        record.version,
        record.created_seq,
        record.created_at,
        record.updated_at,
        record.checksum(),
        *data.add(record.id),
        *data.add(record.payload or b""),
        *text,
    ]


def _reply_columns(reply: Reply | None, at: int) -> tuple[str | int | None, ...]:
    if reply is None:
        return (None,) * 6
    key = reply.key
    columns = (key.principal, key.operation, key.key, key.body_hash, reply.result)
    return (*columns, reply_checksum(*columns, at))
