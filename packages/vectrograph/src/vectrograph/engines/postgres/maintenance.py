"""Maintenance of a collection: PostgreSQL's own means, and our checksums."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import numpy as np
from psycopg import errors

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.distances import norms
from vectrograph.domain.queries import DenseLeg, Include, SearchRequest
from vectrograph.engines.postgres.codec import (
    KIND_OF,
    NumbersParameter,
    Row,
    decode_payload,
    decode_vectors,
    fields_of,
    is_usual,
    vector_checksum,
)
from vectrograph.engines.postgres.collection import Collection, state_of
from vectrograph.engines.postgres.connections import Connection, Database, Dropped, Work
from vectrograph.engines.postgres.schema import MAX_INDEXED_DIMENSION, build_vector_index
from vectrograph.engines.postgres.searching import Options, search

Finding: TypeAlias = tuple[bool, Any]
"""Result of a task for one collection: True when nothing is wrong, and details."""

# Rows that are checked at a time. Chosen: some megabytes.
_CHUNK: Final = 1_000
# Queries of a recall measurement. Chosen: their exact scans take a second on 100,000 points.
_SAMPLE: Final = 50
# Neighbours of each query of a recall measurement. Usual in benchmarks.
_NEIGHBOURS: Final = 10
# Recall that searches of the index should reach at least.
_TARGET: Final = 0.95
# Seed of the noise on the queries. Any number; fixed, so that a measurement can be repeated.
_SEED: Final = 20_240
# Seconds between two looks at an index that another server builds.
_ASK_SECONDS: Final = 0.05


class Maintenance:
    """Tasks on the collections of a database.

    Args:
        database: where they are.
        index_rows: points from which on a collection has an HNSW index.
        options: of searches whose recall is measured.
    """

    def __init__(self, database: Database, index_rows: int, options: Options) -> None:
        self._database = database
        self._index_rows = index_rows
        self._options = options
        self.tasks = {
            MaintenanceTask.CHECKPOINT: self._checkpoint,
            MaintenanceTask.FLUSH: self.build_index,
            MaintenanceTask.VERIFY: self._verify,
            MaintenanceTask.REPAIR: self._repair,
            MaintenanceTask.MEASURE_RECALL: self._measure_recall,
        }

    def _checkpoint(self, collection: Collection, work: Work) -> Finding:
        def act(connection: Connection) -> Finding:
            connection.execute(f"ANALYZE {collection.points}")
            try:
                connection.execute("CHECKPOINT")
            except errors.InsufficientPrivilege:
                return True, "statistics are new; a checkpoint needs the role pg_checkpoint"
            return True, "statistics are new and PostgreSQL has written a checkpoint"

        return self._database.write(act, work)

    def wants_index(self, collection: Collection, count: int) -> bool:
        """Return whether a collection of so many points is to have an HNSW index."""
        return count >= self._index_rows and collection.spec.dimension <= MAX_INDEXED_DIMENSION

    def build_index(self, collection: Collection, work: Work) -> Finding:
        """Build the HNSW index of a collection that is large enough and has none, while others write."""

        def act(connection: Connection) -> Finding:
            state = state_of(connection, collection)
            if state.indexed:
                return True, "every row is in the index"
            if not self.wants_index(collection, state.count):
                return True, "no index: the collection is small, or its vectors are longer than an index takes"
            # Of all servers one builds; the others find it done. They ask again and again: whoever waited within a
            # statement would hold a snapshot, and the build waits for all snapshots.
            while not connection.rows("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", (collection.index,))[0][
                0
            ]:
                work.check()
                time.sleep(_ASK_SECONDS)
            try:
                with _until_dropped(connection, collection, work):
                    if not _is_valid(connection, collection):
                        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {collection.index}")
                        connection.execute(build_vector_index(collection.uid, collection.spec.distance))
                    connection.run("UPDATE collections SET indexed = true WHERE uid = $1", (collection.uid,))
            finally:
                if not connection.broken:
                    connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", (collection.index,))
            return True, "every row is in the index"

        return self._database.write(act, work)

    def _verify(self, collection: Collection, work: Work) -> Finding:
        """Compare every row with its checksums, the counters with the rows, the indexes with the tables."""

        def act(connection: Connection) -> Finding:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            problems: list[str] = []
            checked = 0
            for row, checksum, vector, of_vector, fields_differ in self._rows(connection, collection, work):
                checked += 1
                if row.checksum() != checksum:
                    problems.append(f"the checksum of point {row.id!r} does not hold")
                if vector_checksum(row.created_seq, vector) != of_vector:
                    problems.append(f"the checksum of the vector of point {row.id!r} does not hold")
                if fields_differ:
                    problems.append(f"the filter column of point {row.id!r} differs from its payload")
            count, seq = connection.rows("SELECT count, seq FROM collections WHERE uid = $1", (collection.uid,))[0]
            if checked != count:
                problems.append(f"there are {checked} points and the counter says {count}")
            first, last, entries, kinds = connection.rows(
                f"SELECT coalesce(min(seq), 1), coalesce(max(seq), 0), count(*), array_agg(DISTINCT kind) "
                f"FROM {collection.log}"
            )[0]
            if last - first + 1 != entries or (entries and last != seq) or not set(kinds or ()) <= set(KIND_OF):
                problems.append("the log of changes has gaps")
            connection.execute("COMMIT")
            problems += self._amcheck(connection, collection)
            said = "; ".join(
                [f"{checked} points are as they were written", *problems[:20]] if not problems else problems[:20]
            )
            return not problems, said

        return self._database.read(act, work)

    def _rows(self, connection: Connection, collection: Collection, work: Work) -> Any:
        statement = (
            "SELECT created_seq, version, created_at, updated_at, id, payload, text, checksum, vector_send(vector), "
            f"vector_checksum, fields::text FROM {collection.points} WHERE created_seq > $1 "
            f"ORDER BY created_seq LIMIT {_CHUNK}"
        )
        after = 0
        while True:
            work.check()
            rows = connection.rows(statement, (after,))
            for row in rows:
                payload, fields = row[5], row[10]
                differs = (fields is None) != (fields_of(payload) is None) or (
                    fields is not None and decode_payload(fields.encode()) != decode_payload(payload)
                )
                yield Row(*row[:7]), row[7], row[8], row[9], differs
            if len(rows) < _CHUNK:
                return
            after = rows[-1][0]

    def _amcheck(self, connection: Connection, collection: Collection) -> Sequence[str]:
        """Return what PostgreSQL's own check of the B-tree indexes finds; nothing where it is not installed."""
        installed = connection.rows("SELECT 1 FROM pg_proc WHERE proname = 'bt_index_check' LIMIT 1")
        if not installed:
            return []
        try:
            connection.rows(
                "SELECT bt_index_check(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indisvalid "
                "AND i.indrelid IN (to_regclass($1), to_regclass($2))",
                (collection.points, collection.log),
            )
        except (errors.InsufficientPrivilege, errors.UndefinedFunction):
            return []
        except (errors.DataCorrupted, errors.IndexCorrupted) as error:
            return [f"an index is damaged, repair builds it anew: {error}"]
        return []

    def _repair(self, collection: Collection, work: Work) -> Finding:
        """Build all indexes anew while others read and write, then derive counters and filter columns from the rows."""

        def reindex(connection: Connection) -> None:
            with _until_dropped(connection, collection, work):
                connection.execute(f"REINDEX TABLE CONCURRENTLY {collection.points}")
                connection.execute(f"REINDEX TABLE CONCURRENTLY {collection.log}")

        def derive(connection: Connection) -> Finding:
            connection.execute("BEGIN")
            connection.rows("SELECT 1 FROM collections WHERE uid = $1 FOR UPDATE", (collection.uid,))
            count, special, opaque, longest, last = 0, False, False, 0.0, 0
            wrong: dict[int, bytes | None] = {}
            for row, _, vector, _, differs in self._rows(connection, collection, work):
                length = float(norms(decode_vectors([vector], collection.spec.dimension))[0])
                usual = is_usual(length)
                count, special, opaque = count + 1, special or not usual, opaque or fields_of(row.payload) is None
                longest, last = max(longest, length if usual else 0.0), max(last, row.version)
                if differs:
                    wrong[row.created_seq] = fields_of(row.payload)
            if wrong:
                connection.run(
                    f"UPDATE {collection.points} AS p SET fields = convert_from(u.fields, 'UTF8')::jsonb "
                    "FROM unnest($1::bigint[], $2::bytea[]) AS u(created_seq, fields) "
                    "WHERE p.created_seq = u.created_seq",
                    (NumbersParameter.of(list(wrong)), list(wrong.values())),
                )
            connection.run(
                "UPDATE collections SET count = $2, has_special = has_special OR $3, has_opaque = has_opaque OR $4, "
                "longest = greatest(longest, $5), seq = greatest(seq, $6), indexed = $7 WHERE uid = $1",
                (collection.uid, count, special, opaque, longest, last, _is_valid(connection, collection)),
            )
            connection.execute("COMMIT")
            return True, f"indexes are new; {count} points counted, {len(wrong)} filter columns derived anew"

        self._database.write(reindex, work)
        return self._database.write(derive, work)

    def _measure_recall(self, collection: Collection, work: Work) -> Finding:
        """Compare searches with exact ones, for a sample of stored vectors that are moved a little."""

        def sample(connection: Connection) -> list[bytes]:
            rows = connection.rows(
                f"SELECT vector_send(vector) FROM {collection.points} WHERE NOT special "
                f"ORDER BY hashint8(created_seq) LIMIT {_SAMPLE}"
            )
            return [row[0] for row in rows]

        stored = self._database.read(sample, work)
        if not stored:
            return True, {"recall": 1.0, "queries": 0, "k": _NEIGHBOURS}
        vectors = decode_vectors(stored, collection.spec.dimension)
        noise = np.random.default_rng(_SEED).standard_normal(vectors.shape) * (0.1 * np.abs(vectors).mean() + 1e-20)
        shares: list[float] = []
        for query in (vectors + noise).astype(np.float32):
            request = SearchRequest(
                legs=(DenseLeg(vectors=query[None]),), k=_NEIGHBOURS, include=Include(payload=False, text=False)
            )
            found, truth = (
                {hit.point.created_seq for hit in search(*arguments, query[None], self._options, work)[0][0].hits}
                for arguments in (
                    (self._database, collection, request),
                    (self._database, collection, request._replace(exact=True)),
                )
            )
            shares.append(len(found & truth) / max(1, len(truth)))
        recall = float(np.mean(shares))
        return recall >= _TARGET, {"recall": recall, "queries": len(shares), "k": _NEIGHBOURS}


@contextmanager
def _until_dropped(connection: Connection, collection: Collection, work: Work) -> Iterator[None]:
    """Tell a build that was stopped because its collection is dropped from one that was stopped otherwise.

    Raises:
        Dropped: the collection is gone.
        DeadlineExceeded, Cancelled, Unavailable: the request is to stop.
    """
    try:
        yield
    except errors.QueryCanceled:
        work.check()
        # Whoever drops a collection stops builds while it holds the row; this waits for the end of that.
        if not connection.rows("SELECT 1 FROM collections WHERE uid = $1 FOR KEY SHARE", (collection.uid,)):
            raise Dropped from None
        raise


def _is_valid(connection: Connection, collection: Collection) -> bool:
    """Return whether the HNSW index is there and whole; an interrupted build leaves one that is not."""
    return bool(
        connection.rows("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND indisvalid", (collection.index,))
    )
