"""Searches: PostgreSQL finds candidates, the domain's distance kernel decides every rank.

PostgreSQL computes distances in float32 and so ranks roughly. More candidates are read than are asked for, their
scores are computed anew, and an exact answer counts only when no row that was left out can be nearer: the last
candidate's distance, less the largest error of float32 sums, must lie beyond the last hit. Where it does not (many
equal vectors, say), more candidates are read, and at last all rows are compared here.

A search without a filter is one statement that returns counters, candidates and their contents, so of one state. All
others run in one snapshot: count the matches, scan them exactly when they are few, else follow the HNSW index.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.answer_bytes import AnswerBytes
from vectrograph.domain.collections import Distance
from vectrograph.domain.distances import scores
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import Point, Vector
from vectrograph.domain.queries import Hit, Include, Plan, SearchRequest, SearchResult
from vectrograph.engines.postgres.codec import NumbersParameter, Row, VectorParameter, decode_vectors, is_usual
from vectrograph.engines.postgres.collection import Collection, State, state_of
from vectrograph.engines.postgres.connections import Connection, Database, Dropped, Work
from vectrograph.engines.postgres.filters import compile_filter
from vectrograph.engines.postgres.matching import count_in_sql, decided_in_sql, matching_rows
from vectrograph.engines.postgres.schema import OPERATORS

SCAN: Final = "exact scan by PostgreSQL, ranked anew"
KERNEL: Final = "exact scan"
WALK: Final = "HNSW index of PostgreSQL, ranked anew"
# Candidates read beyond those asked for. Chosen: float32 hardly ever moves a row by more places.
_EXTRA: Final = 16
# Multiple of the candidates that is read when the first were too few.
_MORE: Final = 16
# Most candidates that are read with their vectors at once: 16 MiB of 1,024 components. Beyond, all rows are compared.
_MAX_CANDIDATES: Final = 4_096
# Rows that are compared here at a time. Chosen: some megabytes, a few milliseconds.
_CHUNK: Final = 2_000
# Bytes of payloads and texts that come with the candidates; where there are more, they are read for the hits alone.
_INLINE_BYTES: Final = 1 << 20
# Relative step of float32 near one, the unit of its rounding errors.
_ULP: Final = 2.0**-23
_LARGEST: Final = float(np.finfo(np.float32).max)
# Largest number of bigint: more than any `created_seq`.
_AFTER_ALL: Final = 2**63 - 1
# pgvector takes ef_search up to here.
_MAX_EF: Final = 1_000

Numbers = NDArray[np.int64]


class Options(NamedTuple):
    """Thresholds of the choice between scan and index.

    Attributes:
        scan_matches: matches up to which a filtered search scans them rather than the index.
        overfetch: candidates read from the index for each hit.
        indexed: the collection had an index when this server looked last.
    """

    scan_matches: int = 2_000
    overfetch: float = 1.5
    indexed: bool = False


USUAL: Final = Options()


class _Snapshot(Exception):
    """The one statement of a quick search does not suffice."""


class _Ranking(NamedTuple):
    """Hits in their order, the rows behind them as far as they were read, and how they were found."""

    numbers: Numbers
    scores: Vector
    strategy: str
    scanned: int
    graph: str | None = None
    rows: dict[int, tuple[Any, ...]] | None = None


def search(
    database: Database, collection: Collection, request: SearchRequest, queries: Vector, options: Options, work: Work
) -> tuple[list[SearchResult], bool]:
    """Return the nearest points of each query, all of one state of the collection, and whether it has an index.

    Raises:
        TooLarge: the hits hold more than the request allows.
    """
    started = time.perf_counter()
    if not len(queries):
        return [], database.read(lambda connection: state_of(connection, collection), work).indexed
    quick = len(queries) == 1 and request.filter is None and not request.exact and request.ef is None
    if quick and not request.explain and _is_usual(collection, queries[0]):
        try:
            return database.read(
                lambda connection: _Searcher(connection, collection, request, options, work).quick(queries[0]), work
            )
        except _Snapshot:
            pass

    def act(connection: Connection) -> tuple[list[SearchResult], bool]:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        results = _Searcher(connection, collection, request, options, work).thorough(queries, started)
        connection.execute("COMMIT")
        return results

    return database.read(act, work)


class _Searcher:
    """One request on one connection."""

    def __init__(
        self, connection: Connection, collection: Collection, request: SearchRequest, options: Options, work: Work
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._request = request
        self._options = options
        self._work = work
        self._distance = collection.spec.distance
        self._best = request.offset + request.k
        self._condition: tuple[str, tuple[object, ...]] = ("", ())
        self._matches = 0

    def quick(self, query: Vector) -> tuple[list[SearchResult], bool]:
        """Answer by one statement.

        Raises:
            _Snapshot: that is not possible.
        """
        limit = self._first_limit(self._options.overfetch)
        state, rows = self._candidates(query, limit, plain=self._options.indexed)
        if state.has_special:
            raise _Snapshot
        self._matches = state.count
        ranking = self._ranked(query, state, rows, limit, approximate=state.indexed and self._options.indexed)
        if ranking is None:
            raise _Snapshot
        chosen = ranking.numbers[self._request.offset :].tolist()
        found = ranking.rows or {}
        include, held = self._request.include, AnswerBytes(self._request.max_bytes)
        if any(found[number][-1] for number in chosen):
            raise _Snapshot
        points = {number: self._point(found[number], include) for number in chosen}
        for number in chosen:
            held.require(self._size(found[number]))
        return [self._result(ranking, points, 0.0)], state.indexed

    def thorough(self, queries: Vector, started: float) -> tuple[list[SearchResult], bool]:
        """Answer within a snapshot that the caller holds."""
        request, connection, collection = self._request, self._connection, self._collection
        state = state_of(connection, collection)
        scan = request.exact or not state.indexed
        self._matches = state.count
        if request.filter is not None:
            scan = self._filter(request.filter, state, scan)
        if request.ef is not None and not scan:
            connection.execute("SELECT set_config('hnsw.ef_search', $1, true)", (str(min(request.ef, _MAX_EF)),))
        rankings = [self._rank(query, state, scan) for query in queries]
        wanted = [ranking.numbers[request.offset :].tolist() for ranking in rankings]
        points = self._points(wanted)
        elapsed = (time.perf_counter() - started) * 1e3
        return [self._result(ranking, points, elapsed) for ranking in rankings], state.indexed

    def _filter(self, condition: Filter, state: State, scan: bool) -> bool:
        """Count the matches and make the condition of statements. Return whether they are to be scanned."""
        connection, collection, most = self._connection, self._collection, self._options.scan_matches
        if not decided_in_sql(condition, state):
            found = [row[0] for row in matching_rows(connection, collection, condition, self._work.check)]
            self._condition = "p.created_seq = ANY($2::bigint[])", (NumbersParameter.of(found),)
            self._matches = len(found)
            return True
        self._condition = "p.fields @? $2::jsonpath", (compile_filter(condition).path,)
        limit = None if scan or self._request.explain else most + 1
        self._matches = count_in_sql(connection, collection, condition, limit)
        return scan or self._matches <= most

    def _rank(self, query: Vector, state: State, scan: bool) -> _Ranking:
        self._work.check()
        if self._matches == 0:
            return _Ranking(np.empty(0, np.int64), np.empty(0, np.float32), KERNEL, 0)
        if not _is_usual(self._collection, query):
            return self._compared(query, self._condition)
        ranking = None
        if not scan:
            limit = self._first_limit(self._options.overfetch)
            _, rows = self._candidates(query, limit, plain=True)
            ranking = self._ranked(query, state, rows, limit, approximate=True)
            if ranking is not None and self._request.explain and not self._walks(query, limit):
                ranking = ranking._replace(strategy=SCAN, graph=None, scanned=self._matches)
        limit = self._first_limit(1.0)
        while ranking is None and limit <= _MAX_CANDIDATES:
            _, rows = self._candidates(query, limit, plain=False)
            ranking = self._ranked(query, state, rows, limit, approximate=False)
            limit *= _MORE
        if ranking is None:
            return self._compared(query, self._condition)
        if not state.has_special:
            return ranking
        condition, arguments = self._condition
        special = self._compared(query, (f"{condition} AND p.special" if condition else "p.special", arguments))
        numbers, merged = self._best_of(
            np.concatenate([ranking.numbers, special.numbers]), np.concatenate([ranking.scores, special.scores])
        )
        return ranking._replace(numbers=numbers, scores=merged, scanned=ranking.scanned + special.scanned)

    def _first_limit(self, factor: float) -> int:
        """Return how many candidates are read first: a power of two, so that few statements are prepared."""
        return max(32, 1 << math.ceil(math.log2(factor * self._best + _EXTRA)))

    def _candidates(self, query: Vector, limit: int, *, plain: bool) -> tuple[State, list[tuple[Any, ...]]]:
        """Return the counters, and the nearest rows in PostgreSQL's arithmetic, special ones left out.

        Args:
            query: one.
            limit: how many rows.
            plain: let PostgreSQL use the HNSW index if there is one; else the order is written so that it cannot.
        """
        statement = self._statement(limit, plain=plain)
        rows = self._connection.rows(statement, self._arguments(query))
        if not rows:
            raise Dropped
        return State(*rows[0][:5]), [row[5:] for row in rows if row[5] is not None]

    def _walks(self, query: Vector, limit: int) -> bool:
        """Return whether PostgreSQL follows the index for these candidates: it may find a scan cheaper."""
        statement = f"EXPLAIN (FORMAT JSON) {self._statement(limit, plain=True)}"
        return self._collection.index in str(self._connection.execute(statement, self._arguments(query)).fetchall())

    def _arguments(self, query: Vector) -> tuple[object, ...]:
        return (VectorParameter.of(_aimed(self._distance, query)), *self._condition[1])

    def _statement(self, limit: int, *, plain: bool) -> str:
        include, condition = self._request.include, self._condition[0]
        contents = [name for name, wanted in (("payload", include.payload), ("text", include.text)) if wanted]
        size = " + ".join([f"coalesce(octet_length({name}), 0)" for name in contents] or ["0"])
        fits = f"sum({size}) OVER () <= {_INLINE_BYTES}"
        parts = ", ".join(
            f"CASE WHEN {fits} THEN {name} END" if name in contents else "NULL" for name in ("payload", "text")
        )
        far = f"p.vector {OPERATORS[self._distance]} $1::vector"
        stored = "".join(f", p.{name}" for name in contents)
        where = f"NOT p.special AND {condition}" if condition else "NOT p.special"
        return (
            "SELECT c.count, c.indexed, c.has_special, c.has_opaque, c.longest, r.* "
            "FROM collections AS c LEFT JOIN LATERAL (WITH near AS MATERIALIZED ("
            f"SELECT p.created_seq, p.version, p.created_at, p.updated_at, p.id, p.vector, {far} AS far{stored} "
            f"FROM {self._collection.points} AS p WHERE {where} "
            f"ORDER BY {'far' if plain else f'({far}) + 0.0'} LIMIT {limit}) "
            f"SELECT created_seq, version, created_at, updated_at, id, {parts}, vector_send(vector), far, {size}, "
            f"NOT {fits} FROM near) AS r ON true WHERE c.uid = '{self._collection.uid}'"
        )

    def _ranked(
        self, query: Vector, state: State, rows: list[tuple[Any, ...]], limit: int, *, approximate: bool
    ) -> _Ranking | None:
        """Rank candidates by their scores. None when more must be read to be sure.

        Args:
            query: what was asked.
            state: of the collection.
            rows: the candidates.
            limit: how many were to be read; fewer are all there are, unless `approximate`.
            approximate: the index chose them.
        """
        strategy, graph = (WALK, "hnsw") if approximate else (SCAN, None)
        if approximate and len(rows) < min(limit, self._matches):
            return None
        if not rows:
            return _Ranking(np.empty(0, np.int64), np.empty(0, np.float32), strategy, 0, graph, {})
        vectors = decode_vectors([row[7] for row in rows], self._collection.spec.dimension)
        found = scores(self._distance, query, vectors)
        numbers, best = self._best_of(np.array([row[0] for row in rows], np.int64), found, bound=False)
        if len(rows) == limit:
            # Of equal scores the newest come first: more of them may be behind the last candidate.
            hides = best[-1] >= found.max() if approximate else not self._is_certain(query, state, best, rows)
            if hides:
                return None
        numbers, best = self._within(numbers, best)
        scanned = len(rows) if approximate else self._matches
        return _Ranking(numbers, best, strategy, scanned, graph, {row[0]: row for row in rows})

    def _is_certain(self, query: Vector, state: State, best: Vector, rows: list[tuple[Any, ...]]) -> bool:
        """Return whether no row beyond the candidates can belong to the best."""
        far = max(row[8] for row in rows)
        if math.isnan(far):
            return False
        dimension = self._collection.spec.dimension
        error = (dimension + 16) * _ULP
        length = float(np.linalg.norm(query.astype(np.float64)))
        if self._distance is Distance.EUCLIDEAN:
            nearest = far * far * (1.0 - 2.0 * error) - dimension * 1e-37
        elif self._distance is Distance.DOT:
            nearest = min(max((far - error * state.longest) * length, -_LARGEST), _LARGEST)
        else:
            nearest = far - 4.0 * error
        nearest -= abs(nearest) * 2.0 * _ULP
        bound = self._request.max_score
        return nearest > float(best[-1]) or (bound is not None and nearest > bound)

    def _compared(self, query: Vector, condition: tuple[str, tuple[object, ...]]) -> _Ranking:
        """Rank all rows that a condition selects by comparing them here, a few thousand at a time."""
        where, arguments = condition
        # The condition's parameter is the second everywhere; here the first is where to go on.
        statement = (
            f"SELECT p.created_seq, vector_send(p.vector) FROM {self._collection.points} AS p "
            f"WHERE p.created_seq < $1{f' AND {where}' if where else ''} ORDER BY p.created_seq DESC LIMIT {_CHUNK}"
        )
        numbers, best = np.empty(0, np.int64), np.empty(0, np.float32)
        before, scanned = _AFTER_ALL, 0
        while True:
            self._work.check()
            rows = self._connection.rows(statement, (before, *arguments))
            if rows:
                vectors = decode_vectors([row[1] for row in rows], self._collection.spec.dimension)
                found = scores(self._distance, query, vectors, check_cancelled=self._work.check)
                fresh = np.array([row[0] for row in rows], np.int64)
                numbers, best = self._best_of(np.concatenate([numbers, fresh]), np.concatenate([best, found]))
                before, scanned = rows[-1][0], scanned + len(rows)
            if len(rows) < _CHUNK:
                return _Ranking(numbers, best, KERNEL, scanned)

    def _best_of(self, numbers: Numbers, found: Vector, *, bound: bool = True) -> tuple[Numbers, Vector]:
        order = np.lexsort((-numbers, found))[: self._best]
        return self._within(numbers[order], found[order]) if bound else (numbers[order], found[order])

    def _within(self, numbers: Numbers, found: Vector) -> tuple[Numbers, Vector]:
        """Leave out what is beyond `max_score`."""
        if self._request.max_score is None:
            return numbers, found
        count = int(np.searchsorted(found.astype(np.float64), self._request.max_score, side="right"))
        return numbers[:count], found[:count]

    def _points(self, wanted: Sequence[Sequence[int]]) -> dict[int, Point]:
        """Return the points of the hits.

        Raises:
            TooLarge: all answers together hold more than the request allows; contents were not read.
        """
        distinct = list({number: None for numbers in wanted for number in numbers})
        if not distinct:
            return {}
        include = self._request.include
        if self._request.max_bytes is not None:
            sizes = dict(
                self._connection.rows(
                    f"SELECT p.created_seq, {_size_of(include, self._collection.spec.dimension)} "
                    f"FROM {self._collection.points} AS p WHERE p.created_seq = ANY($1::bigint[])",
                    (NumbersParameter.of(distinct),),
                )
            )
            held = AnswerBytes(self._request.max_bytes)
            for numbers in wanted:
                for number in numbers:
                    held.require(sizes[number])
        return read_points(self._connection, self._collection, distinct, include)

    def _point(self, row: tuple[Any, ...], include: Include) -> Point:
        return Row._make(row[:7]).point(include, row[7])

    def _size(self, row: tuple[Any, ...]) -> int:
        return int(row[9]) + (4 * self._collection.spec.dimension if self._request.include.vector else 0)

    def _result(self, ranking: _Ranking, points: dict[int, Point], elapsed: float) -> SearchResult:
        request = self._request
        numbers, found = ranking.numbers[request.offset :].tolist(), ranking.scores[request.offset :].tolist()
        hits = tuple(Hit(points[number], score) for number, score in zip(numbers, found, strict=True))
        plan = None
        if request.explain:
            plan = Plan(
                strategy=ranking.strategy,
                index=ranking.graph,
                rows_scanned=ranking.scanned,
                matches=self._matches,
                milliseconds=elapsed,
                beam=None if ranking.graph is None else request.ef,
            )
        complete = request.max_score is not None or len(ranking.numbers) >= min(self._best, self._matches)
        return SearchResult(hits=hits, complete=complete, plan=plan)


def read_points(
    connection: Connection, collection: Collection, numbers: Sequence[int], include: Include
) -> dict[int, Point]:
    """Return points by their `created_seq`."""
    parts = [name if wanted else "NULL" for name, wanted in (("payload", include.payload), ("text", include.text))]
    vector = "vector_send(vector)" if include.vector else "NULL::bytea"
    rows = connection.rows(
        f"SELECT created_seq, version, created_at, updated_at, id, {', '.join(parts)}, {vector} "
        f"FROM {collection.points} WHERE created_seq = ANY($1::bigint[])",
        (NumbersParameter.of(numbers),),
    )
    return {row[0]: Row._make(row[:7]).point(include, row[7]) for row in rows}


def _size_of(include: Include, dimension: int) -> str:
    """Return the SQL expression of the bytes of a point's parts."""
    parts = [str(4 * dimension if include.vector else 0)]
    parts += ["octet_length(p.payload)"] * include.payload + ["coalesce(octet_length(p.text), 0)"] * include.text
    return f"({' + '.join(parts)})::bigint"


def _is_usual(collection: Collection, query: Vector) -> bool:
    """Return whether PostgreSQL's arithmetic can rank by this query; for angles its length does not matter."""
    length = float(np.linalg.norm(query.astype(np.float64)))
    return length > 0.0 if collection.spec.distance is not Distance.EUCLIDEAN else length == 0.0 or is_usual(length)


def _aimed(distance: Distance, query: Vector) -> Vector:
    """Return the query as PostgreSQL gets it: of length one where only the direction decides the order."""
    if distance is Distance.EUCLIDEAN:
        return query
    wide = query.astype(np.float64)
    return (wide / np.linalg.norm(wide)).astype(np.float32)
