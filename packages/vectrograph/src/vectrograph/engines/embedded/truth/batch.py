"""One write as the rows of the statement that does it: see `schema`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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
from vectrograph.engines.embedded.truth.schema import MAX_ROWS, ROW_WIDTH, RowKind, insert_rows

KINDS: Final = (ChangeKind.UPDATED, ChangeKind.PATCHED, ChangeKind.DELETED, ChangeKind.CREATED)
"""The log stores a kind as its index in this tuple, so append and never reorder. The trigger `put` writes 0 and 3.

In logs written before CREATED was added, 0 is every put, also one that created its point.
"""

_encode: Final = msgspec.json.Encoder().encode
# Members of an enumeration are slow to bind.
_GONE_POINTS, _GONE_VECTORS, _PUT, _POINT, _VECTOR, _CHANGE, _REPLY, _STATE, _EXPIRED = map(int, RowKind)
_SEVEN, _EIGHT, _ELEVEN = (None,) * 7, (None,) * 8, (None,) * 11
# Numbers of the kinds of a put.
_PUT_KINDS: Final = {kind: KINDS.index(kind) for kind in (ChangeKind.CREATED, ChangeKind.UPDATED)}


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

    def statements(self) -> Iterator[tuple[str, list[object]]]:
        """Yield the statements that write it, each with its values; one, unless there are more rows than it takes.

        Each takes a power of two of rows, so that few different ones have to be prepared. Rows are made as they are
        needed: a delete by filter may have a million.
        """
        rows = self._rows()
        while part := list(islice(rows, MAX_ROWS)):
            count = 1 << (len(part) - 1).bit_length()
            values = list(chain.from_iterable(part))
            yield insert_rows(count), values + [None] * (count * ROW_WIDTH - len(values))

    def _rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows in the order in which they are written, each with the columns of `batch_rows`."""
        if self.gone_points:
            yield (_GONE_POINTS, _encode(self.gone_points).decode(), *_ELEVEN)
        if self.gone_vectors:
            yield (_GONE_VECTORS, _encode(self.gone_vectors).decode(), *_ELEVEN)
        yield from self._point_rows()
        reply = self.reply
        yield (_EXPIRED, None, None, None, None, self.expired, *_SEVEN)
        if reply is not None:
            key = reply.key
            columns = (key.principal, key.operation, key.key, key.body_hash)
            checksum = reply_checksum(*columns, reply.result, self.at)
            yield (_REPLY, *columns, self.at, reply.result, None, None, checksum, None, None, None)
        checksum = state_checksum(self.seq, self.next_serial, self.count)
        numbers = (self.seq, self.next_serial, self.count)
        yield (_STATE, *numbers, None, None, None, None, None, checksum, None, None, None)

    def _point_rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of points, vectors and changes."""
        stored = memoryview(self.vectors.astype("<f4", copy=False).tobytes())
        size = 4 * self.vectors.shape[1]
        vectors = {label: stored[nth * size : (nth + 1) * size] for nth, label in enumerate(self.labels)}
        at, put_kinds = self.at, _PUT_KINDS
        changes = {change.seq: change for change in self.changes}
        for record in self.records:
            label, version, created_seq, created_at, updated_at, name, payload, text, _ = record
            point = (label, version, created_seq, created_at, updated_at, name, payload or b"", text, record.checksum())
            vector = vectors.pop(label, None)
            if vector is None:
                yield (_POINT, *point, None, None, None)
                continue
            change = changes.get(version)
            # A put stores point and vector under its own number, and nothing else changes that point.
            if label == version and updated_at == at and change is not None and change.kind in put_kinds:
                del changes[version]
                logged = change_checksum(version, put_kinds[change.kind], at, name)
                yield (_PUT, *point, vector, vector_checksum(label, vector), logged)
            else:
                yield (_POINT, *point, None, None, None)
                yield (_VECTOR, label, *_EIGHT, vector, vector_checksum(label, vector), None)
        for seq, change in changes.items():
            number, name = KINDS.index(change.kind), change.id.encode()
            logged = change_checksum(seq, number, at, name)
            yield (_CHANGE, number, seq, None, None, at, name, None, None, None, None, None, logged)
