"""One write as the statement that does it: see `schema`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
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

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer for the same request when it comes again: `result` is the JSON of a WriteResult."""

    key: IdempotencyKey
    result: str

    @classmethod
    def of(cls, key: IdempotencyKey, result: WriteResult) -> "Reply":
        """Encode the result of a write."""
        # Outcomes are tuples, and are written as lists.
        return cls(key, _encode({"seq": result.seq, "outcomes": result.outcomes}).decode())


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
        """Rows that it appends to the View."""
        return Addition(self.vectors, np.array(self.labels, np.int64), np.array(self.created, np.int64))

    @property
    def gone(self) -> Labels:
        """The labels it makes dead in the View."""
        return np.array(self.gone_vectors, np.int64)

    def bindings(self) -> tuple[object, ...]:
        """Return the values of `schema.INSERT_BATCH`."""
        parts: list[bytes] = []
        points, end = self._point_rows(parts, 1)
        changes, end = self._change_rows(parts, end)
        vectors = self._vector_rows(parts, end)
        return (
            _encode(self.gone_points).decode(),
            _encode(self.gone_vectors).decode(),
            _encode(points).decode(),
            _encode(vectors).decode(),
            _encode(changes).decode(),
            b"".join(parts),
            4 * self.vectors.shape[1],
            self.at,
            self.seq,
            self.next_serial,
            self.count,
            *_reply_columns(self.reply, self.at),
            self.expired,
            state_checksum(self.seq, self.next_serial, self.count),
        )

    def _point_rows(self, parts: list[bytes], end: int) -> tuple[list[tuple[int | None, ...]], int]:
        """Return the rows of `points`, and where the bytes end that they add to `parts`.

        All bytes of a write are bound as one blob, and rows point into it; `substr` of SQL counts from 1.
        """
        rows: list[tuple[int | None, ...]] = []
        for record in self.records:
            label, version, created_seq, created_at, updated_at, name, payload, text, _ = record
            payload = payload or b""
            payload_at = end + len(name)
            text_at = payload_at + len(payload)
            numbers = (label, version, created_seq, created_at, updated_at, record.checksum())
            if text is None:
                parts += (name, payload)
                rows.append((*numbers, end, len(name), payload_at, len(payload), None, None))
                end = text_at
            else:
                parts += (name, payload, text)
                rows.append((*numbers, end, len(name), payload_at, len(payload), text_at, len(text)))
                end = text_at + len(text)
        return rows, end

    def _change_rows(self, parts: list[bytes], end: int) -> tuple[list[tuple[int, ...]], int]:
        """Return the rows of `changes`, and where the bytes end that they add to `parts`."""
        rows: list[tuple[int, ...]] = []
        for change in self.changes:
            seq, number, name = change.seq, KINDS.index(change.kind), change.id.encode()
            parts.append(name)
            rows.append((seq, number, end, len(name), change_checksum(seq, number, self.at, name)))
            end += len(name)
        return rows, end

    def _vector_rows(self, parts: list[bytes], end: int) -> list[tuple[int, ...]]:
        """Return the rows of `vectors`, whose bytes are added to `parts`."""
        stored = self.vectors.astype("<f4", copy=False).tobytes()
        size = 4 * self.vectors.shape[1]
        parts.append(stored)
        buffer = memoryview(stored)
        return [
            (label, end + nth * size, vector_checksum(label, buffer[nth * size : (nth + 1) * size]))
            for nth, label in enumerate(self.labels)
        ]


def _reply_columns(reply: Reply | None, at: int) -> tuple[str | int | None, ...]:
    if reply is None:
        return (None,) * 6
    key = reply.key
    columns = (key.principal, key.operation, key.key, key.body_hash, reply.result)
    return (*columns, reply_checksum(*columns, at))
