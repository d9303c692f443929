"""Search in one collection: rank rows of a View, then read the points they stand for, of the same state."""

import time
from collections.abc import Callable, Sequence

import apsw
import numpy as np

from vectrograph.domain.values import Hit, Include, Plan, Point, SearchRequest, SearchResult, Vector
from vectrograph.engines.embedded.collection import Collection
from vectrograph.engines.embedded.reading import matching_labels, read_by_labels
from vectrograph.engines.embedded.records import Record
from vectrograph.engines.embedded.scan import Question, Ranking, Searcher
from vectrograph.engines.embedded.view import Mask, View


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
        view = collection.view()
        rankings = searcher.search(view, _question(collection, request, queries, None), check)
        with collection.reading() as (connection, _):
            points = _points(connection, view, rankings, request)
        if points is not None:
            return _results(request, view, rankings, points, view.count, started)
    # Filtered, or a point that was found has changed since: look again, and hold the state still meanwhile.
    with collection.snapshot(check) as (connection, view):
        allowed = _allowed(connection, view, request, check)
        matches = view.count if allowed is None else int(np.count_nonzero(allowed))
        rankings = searcher.search(view, _question(collection, request, queries, allowed), check)
        points = _points(connection, view, rankings, request)
    return _results(request, view, rankings, points or {}, matches, started)


def _question(collection: Collection, request: SearchRequest, queries: Vector, allowed: Mask | None) -> Question:
    return Question(
        distance=collection.spec.distance,
        queries=queries,
        best=request.offset + request.k,
        max_score=request.max_score,
        allowed=allowed,
    )


def _allowed(connection: apsw.Connection, view: View, request: SearchRequest, check: Callable[[], None]) -> Mask | None:
    if request.filter is None:
        return None
    mask = np.zeros(len(view.labels), np.bool_)
    mask[view.rows_of(matching_labels(connection, request.filter, check))] = True
    return mask


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
    rankings: Sequence[Ranking],
    points: dict[int, Point],
    matches: int,
    started: float,
) -> list[SearchResult]:
    elapsed = (time.perf_counter() - started) * 1e3
    results = []
    for ranking in rankings:
        hits = tuple(
            Hit(points[row], score)
            for row, score in zip(
                ranking.rows[request.offset :].tolist(), ranking.scores[request.offset :].tolist(), strict=True
            )
        )
        plan = Plan(
            strategy="exact scan", index=None, rows_scanned=ranking.scanned, matches=matches, milliseconds=elapsed
        )
        results.append(SearchResult(hits=hits, plan=plan if request.explain else None))
    return results
