"""Search in one collection: rank rows of a View, then read the points they stand for, of the same state."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw
import numpy as np

from vectrograph.domain.answer_bytes import AnswerBytes
from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.points import Point, Vector
from vectrograph.domain.queries import Hit, Include, Plan, SearchRequest, SearchResult
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.columns.store import Selection
from vectrograph.engines.embedded.query.filter_selection import known_selection, selecting
from vectrograph.engines.embedded.rows.exact_scan import Question, Ranking, Searcher
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.truth.point_cache import Entry
from vectrograph.engines.embedded.truth.records import Record
from vectrograph.engines.embedded.truth.row_reader import read_bounded


def search(
    collection: Collection, request: SearchRequest, queries: Vector, searcher: Searcher, check_cancelled: Cancellation
) -> list[SearchResult]:
    """Return the nearest points of each query, all of one state of the collection.

    Args:
        collection: where to look.
        request: what is asked; its vectors were accepted as `queries`, shape (m, dimension).
        searcher: ranks the rows.
        check_cancelled: called now and then; may raise to stop.
    """
    started = time.perf_counter()
    if len(queries) and not request.exact:
        collection.note(queries)
    if request.filter is None:
        view, selection = collection.view(), None
    else:
        view, selection = known_selection(collection, request.filter, check_cancelled)
    if request.filter is None or selection is not None:
        rankings = searcher.search(view, _question(collection, request, queries, selection), check_cancelled)
        wanted = _labels(view, rankings, request)
        points = _points(collection, view, wanted, request, check_cancelled)
        if points is not None:
            return _results(request, _matches(view, selection), rankings, wanted, points, started)
    # A filter over what is not in memory, or a point that was found has changed since: hold the state still meanwhile.
    with _held(collection, request, check_cancelled) as (connection, view, selection):
        rankings = searcher.search(view, _question(collection, request, queries, selection), check_cancelled)
        wanted = _labels(view, rankings, request)
        points = _read(connection, view, wanted, request, check_cancelled)
    return _results(request, _matches(view, selection), rankings, wanted, points, started)


@contextmanager
def _held(
    collection: Collection, request: SearchRequest, check_cancelled: Cancellation
) -> Iterator[tuple[apsw.Connection, View, Selection | None]]:
    if request.filter is None:
        with collection.snapshot(check_cancelled) as (connection, view):
            yield connection, view, None
    else:
        with selecting(collection, request.filter, check_cancelled) as selected:
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
    collection: Collection,
    view: View,
    wanted: Sequence[list[int]],
    request: SearchRequest,
    check_cancelled: Cancellation,
) -> dict[int, Point] | None:
    """Return the points of all labels that will be returned; None when one of them has changed since the View.

    Raises:
        TooLarge: together they hold more than the request allows.
    """
    include, remembered, held = request.include, collection.point_cache, AnswerBytes(request.max_bytes)
    sizes = _sizes(wanted) if held.is_limited else None
    points, missing = remembered.find(_distinct(wanted), include, held if held.is_limited else None, sizes)
    if missing:
        epoch = remembered.epoch
        fresh: dict[int, Entry] = {}
        with collection.reading() as (connection, _):
            for record in _read_within(connection, missing, include, held, sizes, check_cancelled):
                fresh[record.label] = Entry.of(record, include)
        if len(fresh) < len(missing):
            return None
        remembered.keep(fresh, epoch)
        points.update((label, entry.point(include)) for label, entry in fresh.items())
    seq = view.seq
    for point in points.values():
        if point.version > seq:
            return None
    if held.is_limited:
        _require_room(request, wanted, held, sizes, view)
    return _with_vectors(points, view) if include.vector else points


def _read(
    connection: apsw.Connection,
    view: View,
    wanted: Sequence[list[int]],
    request: SearchRequest,
    check_cancelled: Cancellation,
) -> dict[int, Point]:
    """Return the same of a state that is held still."""
    include = request.include
    held = AnswerBytes(request.max_bytes)
    sizes = _sizes(wanted) if held.is_limited else None
    read = _read_within(connection, _distinct(wanted), include, held, sizes, check_cancelled)
    points = {record.label: record.point(include) for record in read}
    if held.is_limited:
        _require_room(request, wanted, held, sizes, view)
    return _with_vectors(points, view) if include.vector else points


def _read_within(
    connection: apsw.Connection,
    labels: Sequence[int],
    include: Include,
    held: AnswerBytes,
    sizes: dict[int, int] | None,
    check_cancelled: Cancellation,
) -> Iterator[Record]:
    """Read points until they hold more than is allowed, which raises; `sizes` is given the bytes of each."""
    for records in read_bounded(connection, labels, _without_vector(include), check_cancelled):
        for record in records:
            size = record.nbytes
            held.require(size)
            if sizes is not None:
                sizes[record.label] = size
            yield record


def _sizes(wanted: Sequence[list[int]]) -> dict[int, int] | None:
    """Return room for the bytes of each point; None where no point can be in several answers."""
    return None if len(wanted) == 1 else {}


def _require_room(
    request: SearchRequest, wanted: Sequence[list[int]], held: AnswerBytes, sizes: dict[int, int] | None, view: View
) -> None:
    """Refuse answers that hold too much with their vectors; each point was counted once in `held`."""
    include = request.include
    vector = view.vectors.shape[1] * view.vectors.itemsize if include.vector else 0
    if sizes is None:
        held.require(vector * len(wanted[0]))
    elif vector or include.payload or include.text:
        # A point that several queries found is in the answer of each.
        held = AnswerBytes(request.max_bytes)
        for labels in wanted:
            held.require(vector * len(labels) + sum(sizes.get(label, 0) for label in labels))


def _labels(view: View, rankings: Sequence[Ranking], request: SearchRequest) -> list[list[int]]:
    """Of the points to return, for each query."""
    start = request.offset
    return [view.labels.take(ranking.rows[start:]).tolist() for ranking in rankings]


def _distinct(wanted: Sequence[list[int]]) -> list[int]:
    return wanted[0] if len(wanted) == 1 else sorted({label for labels in wanted for label in labels})


def _without_vector(include: Include) -> Include:
    # Vectors are in memory already.
    return Include(vector=False, payload=include.payload, text=include.text)


def _with_vectors(points: dict[int, Point], view: View) -> dict[int, Point]:
    rows = view.rows_of(np.array(list(points), np.int64)).tolist()
    return {
        label: point._replace(vector=view.vectors[row].copy())
        for (label, point), row in zip(points.items(), rows, strict=True)
    }


def _matches(view: View, selection: Selection | None) -> int:
    return view.count if selection is None else selection.count


def _results(
    request: SearchRequest,
    matches: int,
    rankings: Sequence[Ranking],
    wanted: Sequence[list[int]],
    points: dict[int, Point],
    started: float,
) -> list[SearchResult]:
    elapsed = (time.perf_counter() - started) * 1e3
    results = []
    for ranking, labels in zip(rankings, wanted, strict=True):
        scores = ranking.scores[request.offset :].tolist()
        hits = tuple(map(Hit, [points[label] for label in labels], scores))
        # What is farther than the bound was found and left out.
        complete = request.max_score is not None or len(ranking.rows) >= min(request.offset + request.k, matches)
        plan = _plan(ranking, matches, elapsed) if request.explain else None
        results.append(SearchResult(hits=hits, complete=complete, plan=plan))
    return results


def _plan(ranking: Ranking, matches: int, elapsed: float) -> Plan:
    return Plan(
        strategy=ranking.strategy,
        index=ranking.graph,
        rows_scanned=ranking.scanned,
        matches=matches,
        milliseconds=elapsed,
        beam=ranking.beam,
        expected=ranking.expected,
        met=ranking.met,
    )
