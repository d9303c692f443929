"""One write: one transaction under the lock of the collection's row."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

import numpy as np

from vectrograph.domain.distances import norms
from vectrograph.domain.errors import DomainError, IdempotencyConflict, Unavailable
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import STORED, Change, IdempotencyKey, Point, Precondition, WriteResult
from vectrograph.domain.queries import Include
from vectrograph.domain.write_validation import ValidatedWrites
from vectrograph.engines.postgres.codec import (
    COPY_BEGIN,
    COPY_END,
    KIND_OF,
    NumbersParameter,
    Row,
    copy_changes,
    copy_point,
    decode_reply,
    encode_reply,
    encode_vector,
    fields_of,
    is_usual,
)
from vectrograph.engines.postgres.collection import Collection
from vectrograph.engines.postgres.connections import Connection, Database, Dropped, Lost, Work
from vectrograph.engines.postgres.matching import matching_rows
from vectrograph.engines.postgres.schema import POINT_COLUMNS
from vectrograph.engines.postgres.write_plan import Counters, WritePlan, named_ids, needs_content

REPLAY_MICROSECONDS: Final = 24 * 3600 * 1_000_000
"""Microseconds that an idempotency record is kept."""
MAX_REPLIES: Final = 100_000
"""Idempotency records of one collection: more than one named write a second for a whole day."""
MAX_REPLY_BYTES: Final = 64 << 20
"""Bytes of all of them: a hundred of the largest writes, 10,000 operations each, with ids of usual length."""
# Share of the records that are forgotten at a time when there are too many.
_FORGOTTEN_SHARE: Final = 64
# Bytes of a record besides its outcomes: names, hash, numbers, and its entry in the index.
_RECORD_BYTES: Final = 300


def write(
    database: Database,
    collection: Collection,
    writes: ValidatedWrites,
    precondition: Precondition,
    key: IdempotencyKey | None,
    returning: Include | None,
    now: int,
    work: Work,
) -> tuple[WriteResult, int]:
    """Apply accepted operations, or replay the result of a key seen before; return how many points there are too.

    When the connection is lost after COMMIT was sent, the log of changes tells whether it happened: the lock of the
    collection's row is taken, which waits for the transaction to end, and the entries that it was to write are looked
    up. So an outcome is unknown only while PostgreSQL does not answer at all.

    Raises:
        Dropped: the collection is gone.
        IdempotencyConflict: the key was used with another body.
        Conflict: the numbers of a serial collection are used up; nothing is written.
        Unavailable: PostgreSQL does not answer; the message tells whether something may have been written.
    """
    attempt = _Attempt(collection, writes, precondition, key, returning, now, work)
    try:
        return database.write(attempt.run, work), attempt.count
    except Lost as error:
        return attempt.settled(database, error), attempt.count


class _Attempt:
    """A write and what it was about to commit.

    Args: see `write`.
    """

    def __init__(
        self,
        collection: Collection,
        writes: ValidatedWrites,
        precondition: Precondition,
        key: IdempotencyKey | None,
        returning: Include | None,
        now: int,
        work: Work,
    ) -> None:
        self._collection = collection
        self._writes = writes
        self._precondition = precondition
        self._key = key
        self._returning = returning
        self._now = now
        self._work = work
        self._changes: Sequence[Change] = ()
        self._result: WriteResult | None = None
        self.count = 0

    def run(self, connection: Connection) -> WriteResult:
        """Do it in one transaction."""
        connection.execute("BEGIN")
        row = self._lock(connection)
        seq, next_serial, count, at, replies, reply_bytes = row
        now = max(self._now, at)
        if self._key is not None and (reply := self._reply(connection, now)) is not None:
            connection.execute("ROLLBACK")
            return reply
        counters = Counters(seq, next_serial, count, at)
        plan = WritePlan(self._stored(connection), self._matching(connection), counters, self._collection.spec.ids, now)
        plan.apply(self._writes, self._precondition)
        self._store(connection, plan)
        result = WriteResult(seq=plan.counters.seq, outcomes=tuple(plan.outcomes), at=now)
        if self._key is not None:
            stored = encode_reply(result)
            replies, reply_bytes = self._make_room(connection, now, replies, reply_bytes, len(stored) + _RECORD_BYTES)
            self._remember(connection, stored, now)
        self._count(connection, plan, replies, reply_bytes)
        if self._returning is not None:
            result = replace(result, points=self._points(connection, plan, self._returning))
        self._changes, self._result, self.count = plan.changes, result, plan.counters.count
        self._work.check()
        self._work.committing = True
        connection.execute("COMMIT")
        self._work.committing = False
        return result

    def settled(self, database: Database, error: Lost) -> WriteResult:
        """Return the result when the lost COMMIT happened.

        Raises:
            Unavailable: it did not, or PostgreSQL does not answer.
        """
        work = replace_work(self._work)
        try:
            committed = database.write(self._is_committed, work)
        except (Lost, DomainError) as failure:
            raise Unavailable(
                "The connection to PostgreSQL was lost while the write was committed, and it is not known whether it "
                "was; repeat it with the same idempotency key.",
                retry_after=1.0,
            ) from failure
        if committed and self._result is not None:
            return self._result
        raise Unavailable(
            "The connection to PostgreSQL was lost and nothing was written; try again shortly.", retry_after=1.0
        ) from error

    def _is_committed(self, connection: Connection) -> bool:
        connection.execute("BEGIN")
        self._lock(connection)
        if self._key is not None:
            found = connection.rows(
                "SELECT result FROM replies WHERE uid = $1 AND name = $2", (self._collection.uid, _name(self._key))
            )
            return bool(found) and self._result is not None and found[0][0] == encode_reply(self._result)
        if not self._changes:
            # It was to change nothing, and now that is so.
            return True
        first, last = self._changes[0].seq, self._changes[-1].seq
        rows = connection.rows(
            f"SELECT seq, kind, id, at FROM {self._collection.log} WHERE seq BETWEEN $1 AND $2 ORDER BY seq",
            (first, last),
        )
        return [Change(seq, KIND_OF[kind], name.decode(), at) for seq, kind, name, at in rows] == [*self._changes]

    def _lock(self, connection: Connection) -> tuple[Any, ...]:
        rows = connection.rows(
            "SELECT seq, next_serial, count, at, replies, reply_bytes FROM collections WHERE uid = $1 FOR UPDATE",
            (self._collection.uid,),
        )
        if not rows:
            raise Dropped
        return rows[0]

    def _reply(self, connection: Connection, now: int) -> WriteResult | None:
        key = self._key
        assert key is not None  # noqa: S101 - asked for writes with a key only
        found = connection.rows(
            "SELECT body_hash, result FROM replies WHERE uid = $1 AND name = $2 AND at > $3",
            (self._collection.uid, _name(key), now - REPLAY_MICROSECONDS),
        )
        if not found:
            return None
        if found[0][0] != key.body_hash.encode("utf-8", "surrogatepass"):
            raise IdempotencyConflict(
                f"The idempotency key {key.key!r} was used with another body; use a new key for a new request."
            )
        return decode_reply(found[0][1])

    def _stored(self, connection: Connection) -> dict[str, Row]:
        ids = named_ids(self._writes.ops)
        if not ids:
            return {}
        content = ", payload, text" if needs_content(self._writes.ops, self._precondition) else ""
        rows = connection.rows(
            f"SELECT created_seq, version, created_at, updated_at, id{content} "
            f"FROM {self._collection.points} WHERE id = ANY($1::bytea[])",
            ([each.encode() for each in ids],),
        )
        return {row.id.decode(): row for row in map(Row._make, _padded(rows, 7))}

    def _matching(self, connection: Connection) -> Callable[[Filter], list[Row]]:
        return lambda condition: [
            Row(*row) for row in matching_rows(connection, self._collection, condition, self._work.check)
        ]

    def _store(self, connection: Connection, plan: WritePlan) -> None:
        """Make the tables as the plan says."""
        collection = self._collection
        gone: list[int] = []
        patched: list[Row] = []
        fresh: list[tuple[Row, int]] = []
        for name, staged in plan.staged.items():
            old = plan.stored.get(name)
            if old is not None and (staged is None or staged.vector_row is not None):
                gone.append(old.created_seq)
            if staged is not None and staged.vector_row is not None:
                fresh.append((staged.row, staged.vector_row))
            elif staged is not None:
                patched.append(staged.row)
        if gone:
            connection.run(
                f"DELETE FROM {collection.points} WHERE created_seq = ANY($1::bigint[])", (NumbersParameter.of(gone),)
            )
        if patched:
            payloads = [row.payload or b"{}" for row in patched]
            connection.run(
                f"UPDATE {collection.points} AS p SET version = u.version, updated_at = u.updated_at, "
                "checksum = u.checksum, payload = u.payload, text = u.text, "
                "fields = convert_from(u.fields, 'UTF8')::jsonb "
                "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], "
                "$7::bytea[]) AS u(created_seq, version, updated_at, checksum, payload, text, fields) "
                "WHERE p.created_seq = u.created_seq",
                (
                    NumbersParameter.of([row.created_seq for row in patched]),
                    NumbersParameter.of([row.version for row in patched]),
                    NumbersParameter.of([row.updated_at for row in patched]),
                    NumbersParameter.of([row.checksum() for row in patched]),
                    payloads,
                    [row.text for row in patched],
                    [fields_of(payload) for payload in payloads],
                ),
            )
        if fresh:
            lengths = norms(self._writes.vectors)
            parts = [COPY_BEGIN]
            for row, position in sorted(fresh, key=lambda each: each[0].created_seq):
                vector = encode_vector(self._writes.vectors[position])
                parts.append(copy_point(row, vector, not is_usual(float(lengths[position]))))
            connection.copy_in(collection.points, POINT_COLUMNS, b"".join([*parts, COPY_END]))
        if plan.changes:
            rows = b"".join([COPY_BEGIN, copy_changes(plan.changes), COPY_END])
            connection.copy_in(collection.log, "seq, kind, at, id", rows)

    def _count(self, connection: Connection, plan: WritePlan, replies: int, reply_bytes: int) -> None:
        """Store the counters, and what is known of all rows that are there."""
        rows = [staged for staged in plan.staged.values() if staged is not None]
        positions = np.array([each.vector_row for each in rows if each.vector_row is not None], np.int64)
        lengths = norms(self._writes.vectors[positions]).astype(np.float64)
        usual = [float(length) for length in lengths if is_usual(float(length))]
        counters = plan.counters
        connection.run(
            "UPDATE collections SET seq = $2, next_serial = $3, count = $4, at = $5, replies = $6, reply_bytes = $7, "
            "has_special = has_special OR $8, has_opaque = has_opaque OR $9, longest = greatest(longest, $10) "
            "WHERE uid = $1",
            (
                *(self._collection.uid, counters.seq, counters.next_serial, counters.count, counters.at),
                *(replies, reply_bytes, len(usual) < len(lengths)),
                any(fields_of(each.row.payload or b"{}") is None for each in rows),
                max(usual, default=0.0),
            ),
        )

    def _make_room(
        self, connection: Connection, now: int, replies: int, reply_bytes: int, size: int
    ) -> tuple[int, int]:
        """Forget records that are too old, and the oldest where there are too many; return how many there will be.

        Refusing further named writes would let one caller stop those of others, so the oldest records go.
        """
        uid = self._collection.uid
        connection.run("DELETE FROM replies WHERE uid = $1 AND name = $2", (uid, _name(self._key)))
        limit = 0
        if replies + 1 > MAX_REPLIES or reply_bytes + size > MAX_REPLY_BYTES:
            limit = max(1, replies // _FORGOTTEN_SHARE)
        forgotten = connection.rows(
            "WITH gone AS (DELETE FROM replies WHERE uid = $1 AND (at <= $2 OR name IN "
            f"(SELECT name FROM replies WHERE uid = $1 ORDER BY at LIMIT {limit})) "
            "RETURNING octet_length(result) AS n) SELECT count(*), coalesce(sum(n), 0)::bigint FROM gone",
            (uid, now - REPLAY_MICROSECONDS),
        )
        count, freed = forgotten[0]
        left = max(0, reply_bytes - freed - count * _RECORD_BYTES)
        if limit and left + size > MAX_REPLY_BYTES and count < replies:
            return self._make_room(connection, now, replies - count, left, size)
        return max(0, replies - count) + 1, left + size

    def _remember(self, connection: Connection, stored: bytes, now: int) -> None:
        key = self._key
        assert key is not None  # noqa: S101 - asked for writes with a key only
        connection.run(
            "INSERT INTO replies (uid, name, body_hash, result, at) VALUES ($1, $2, $3, $4, $5)",
            (self._collection.uid, _name(key), key.body_hash.encode("utf-8", "surrogatepass"), stored, now),
        )

    def _points(self, connection: Connection, plan: WritePlan, include: Include) -> tuple[Point | None, ...]:
        """Return the points as the write leaves them, one for each outcome; None for what it did not store."""
        kept = [
            staged.row.created_seq
            for staged in plan.staged.values()
            if staged is not None and staged.vector_row is None and include.vector
        ]
        vectors: dict[int, bytes] = {}
        if kept:
            vectors.update(
                connection.rows(
                    f"SELECT created_seq, vector_send(vector) FROM {self._collection.points} "
                    "WHERE created_seq = ANY($1::bigint[])",
                    (NumbersParameter.of(kept),),
                )
            )
        points: list[Point | None] = []
        for outcome in plan.outcomes:
            staged = plan.staged.get(outcome.id) if outcome.status in STORED else None
            if staged is None:
                points.append(None)
                continue
            point = staged.row.point(include, vectors.get(staged.row.created_seq))
            if include.vector and staged.vector_row is not None:
                point = point._replace(vector=self._writes.vectors[staged.vector_row].copy())
            points.append(point)
        return tuple(points)


def replace_work(work: Work) -> Work:
    """Return the work that finds out about a lost COMMIT: the same deadline, and nobody may cancel it."""
    return Work(deadline=work.deadline, stopped=work.stopped)


def _name(key: IdempotencyKey | None) -> bytes:
    """Return the name of an idempotency record: keys are of any length, entries of an index are not."""
    assert key is not None  # noqa: S101 - asked for writes with a key only
    return sha256(json.dumps([key.principal, key.operation, key.key]).encode()).digest()


def _padded(rows: list[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return rows if not rows or len(rows[0]) == width else [(*row, *[None] * (width - len(row))) for row in rows]
