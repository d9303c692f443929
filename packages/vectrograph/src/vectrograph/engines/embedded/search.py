"""Search in one collection: rank rows of a View, then read the points they stand for, of the same state."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import apsw

from vectrograph.domain.values import Hit, Include, Plan, Point, SearchRequest, SearchResult, Vector
from vectrograph.engines.embedded.collection import Collection
from vectrograph.engines.embedded.columns.store import Selection
from vectrograph.engines.embedded.reading import read_by_labels
from vectrograph.engines.embedded.records import Record
from vectrograph.engines.embedded.scan import Question, Ranking, Searcher
from vectrograph.engines.embedded.view import View


def search(
    collection: Collection, request: SearchRequest, queries: Vector, searcher: Searcher, check: Callable[[], None]
) -> list[SearchResult]:
    """The nearest points of each query, all of one state of the collection.

    Args:
        collection: where to look.
        request: what is asked; its vectors were accepted as `queries`, shape (m, dimension).
        searcher: ranks the rows.
        check: called now and then; may raise to stop.
    """
    started = time.perf_counter()
    if request.filter is None:
        view, selection = collection.view(), None
    else:
        view, selection = collection.selection(request.filter)
    if request.filter is None or selection is not None:
        rankings = searcher.search(view, _question(collection, request, queries, selection), check)
        with collection.reading() as (connection, _):
            points = _points(connection, view, rankings, request)
        if points is not None:
            return _results(request, view, selection, rankings, points, started)
    # A filter over what is not in memory, or a point that was found has changed since: hold the state still meanwhile.
    with _held(collection, request, check) as (connection, view, selection):
        rankings = searcher.search(view, _question(collection, request, queries, selection), check)
        points = _points(connection, view, rankings, request)
    return _results(request, view, selection, rankings, points or {}, started)


@contextmanager
def _held(
    collection: Collection, request: SearchRequest, check: Callable[[], None]
) -> Iterator[tuple[apsw.Connection, View, Selection | None]]:
    if request.filter is None:
        with collection.snapshot(check) as (connection, view):
            yield connection, view, None
    else:
        with collection.selecting(request.filter, check) as selected:
            yield selected


def _question(collection: Collection, request: SearchRequest, queries: Vector, selection: Selection | None) -> Question:
    return Question(
        distance=collection.spec.distance,
        queries=queries,
        best=request.offset + request.k,
        max_score=request.max_score,
        allowed=None if selection is None else selection.mask,
        exact=request.exact,
        beam=request.ef,
    )


def _points(
    connection: apsw.Connection, view: View, rankings: Sequence[Ranking], request: SearchRequest
) -> dict[int, Point] | None:
    """The points of all rows that will be returned, by row; None when one of them has changed since the View."""
    rows = sorted({int(row) for ranking in rankings for row in ranking.rows[request.offset :]})
    include = request.include
    # Vectors are in memory already.
    read = read_by_labels(
        connection, view.labels[rows].tolist(), Include(vector=False, payload=include.payload, text=include.text)
    )
    if len(read) < len(rows) or any(record.version > view.seq for record in read):
        return None
    records = {record.label: record for record in read}
    return {row: _point(records[int(view.labels[row])], view, row, include) for row in rows}


def _point(record: Record, view: View, row: int, include: Include) -> Point:
    point = record.point(include)
    if not include.vector:
        return point
    return Point(
        id=point.id,
        vector=view.vectors[row].copy(),
        payload=point.payload,
        text=point.text,
        created_at=point.created_at,
        updated_at=point.updated_at,
        version=point.version,
        created_seq=point.created_seq,
    )


def _results(
    request: SearchRequest,
    view: View,
    selection: Selection | None,
    rankings: Sequence[Ranking],
    points: dict[int, Point],
    started: float,
) -> list[SearchResult]:
    matches = view.count if selection is None else selection.count
    elapsed = (time.perf_counter() - started) * 1e3
    results = []
    for ranking in rankings:
        rows, scores = ranking.rows[request.offset :].tolist(), ranking.scores[request.offset :].tolist()
        hits = tuple([Hit(points[row], score) for row, score in zip(rows, scores, strict=True)])
        # What is farther than the bound was found and left out.
        complete = request.max_score is not None or len(ranking.rows) >= min(request.offset + request.k, matches)
        plan = _plan(ranking, matches, elapsed) if request.explain else None
        results.append(SearchResult(hits=hits, complete=complete, plan=plan))
    return results


def _plan(ranking: Ranking, matches: int, elapsed: float) -> Plan:
    return Plan(
        strategy=ranking.strategy,
        index=ranking.index,
        rows_scanned=ranking.scanned,
        matches=matches,
        milliseconds=elapsed,
        beam=ranking.beam,
        expected=ranking.expected,
        met=ranking.met,
    )
