"""Reading points of one collection: get, count, scroll, and the log of changes."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import apsw
import numpy as np

from vectrograph.domain.answer_bytes import AnswerBytes
from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import IdKind
from vectrograph.domain.errors import PositionExpired
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import NOW, ChangePage, LogEnd, Point
from vectrograph.domain.queries import Include, Order, ScrollPage, ScrollRequest
from vectrograph.engines.cursors import (
    scroll_scope,
    seal,
    seal_position,
    unseal,
    unseal_position,
)
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.columns.store import Selection
from vectrograph.engines.embedded.query.filter_selection import known_selection, selecting
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.truth.connections import read_transaction
from vectrograph.engines.embedded.truth.records import BARE, Record, read_records
from vectrograph.engines.embedded.truth.row_reader import read_bounded, read_by_ids, read_by_labels, read_log

# Points read in order and then matched at a time. Chosen: each statement is short, so that cancellation is noticed.
_FILTER_CHUNK: Final = 512
_SKIP_CHUNK: Final = 10_000
"""Index entries that one statement skips for an offset. It takes about a millisecond; between two the caller may leave
and the deadline may pass, so that a large offset holds no thread."""
# Multiple of a page up to which all matches are read and sorted, rather than the points between them.
_SORT_FACTOR: Final = 4
_MAX_SORTED: Final = 100_000
"""Points read to be sorted: some 50 MB."""


def get(collection: Collection, ids: Sequence[str], include: Include) -> list[Point | None]:
    """Return the points of these ids in their order, None where there is none."""
    with collection.reading() as (connection, _):
        # An id that is no Unicode is in no collection, but asking for it is no error.
        found = read_by_ids(connection, [each.encode("utf-8", "surrogatepass") for each in ids], include)
    records = {record.id.decode(): record for record in found}
    return [records[each].point(include) if each in records else None for each in ids]


def count(collection: Collection, condition: Filter | None, check_cancelled: Cancellation) -> int:
    """Return how many points there are, or match; `check_cancelled` is called now and then and may raise to stop."""
    if condition is None:
        return collection.view().count
    _, selection = known_selection(collection, condition, check_cancelled)
    if selection is not None:
        return selection.count
    with selecting(collection, condition, check_cancelled) as (_, _, selected):
        return selected.count


def scroll(collection: Collection, request: ScrollRequest, check_cancelled: Cancellation) -> ScrollPage:
    """Return one page of points; `check_cancelled` is called now and then and may raise to stop.

    Raises:
        InvalidArgument: the cursor belongs to another collection, order or filter.
    """
    scope = scroll_scope(collection.uid, request)
    order = _Ordering(request.order, collection.spec.ids)
    after = None if request.cursor is None else order.position(unseal(scope, request.cursor, "cursor"))
    if request.filter is None:
        with collection.reading() as (connection, _), read_transaction(connection):
            found = _unfiltered(connection, order, after, request, check_cancelled)
            points = _points(connection, found[: request.limit], request, check_cancelled)
    else:
        with selecting(collection, request.filter, check_cancelled) as (connection, view, selection):
            found = _matching(connection, order, after, view, selection, request, check_cancelled)
            points = _points(connection, found[: request.limit], request, check_cancelled)
    cursor = seal(scope, order.key(found[len(points) - 1])) if len(found) > len(points) else None
    return ScrollPage(points=tuple(points), cursor=cursor)


def _points(
    connection: apsw.Connection, page: Sequence[Record], request: ScrollRequest, check_cancelled: Cancellation
) -> list[Point]:
    """Return the first points of a page, in its order, as many as may be answered together and one at least."""
    labels, include, held = [record.label for record in page], request.include, AnswerBytes(request.max_bytes)
    points: list[Point] = []
    for records in read_bounded(connection, labels, include, check_cancelled):
        found = {record.label: record for record in records}
        for label in labels[len(points) : len(points) + len(found)]:
            if not held.fits(found[label].nbytes) and points:
                return points
            points.append(found[label].point(include))
    return points


def _unfiltered(
    connection: apsw.Connection,
    order: "_Ordering",
    after: tuple[object, ...] | None,
    request: ScrollRequest,
    check_cancelled: Cancellation,
) -> list[Record]:
    """Return the points after a position, without those to skip, and one more than a page has."""
    skip = request.offset
    while skip > _SKIP_CHUNK:
        check_cancelled()
        last = order.page(connection, after, 1, _SKIP_CHUNK - 1, BARE)
        if not last:
            return []
        after = order.position(order.key(last[0]))
        skip -= _SKIP_CHUNK
    return order.page(connection, after, request.limit + 1, skip, BARE)


def _matching(
    connection: apsw.Connection,
    order: "_Ordering",
    after: tuple[object, ...] | None,
    view: View,
    selection: Selection,
    request: ScrollRequest,
    check_cancelled: Cancellation,
) -> list[Record]:
    """Return the points after a position that match, without those to skip, and one more than a page has."""
    skip, wanted = request.offset, request.limit + 1
    if skip >= selection.count:
        return []
    if selection.count <= min(_MAX_SORTED, _SORT_FACTOR * (skip + wanted) + _FILTER_CHUNK):
        # Few match: read them all, rather than the many that lie between them.
        records = read_by_labels(connection, view.labels[selection.mask].tolist(), BARE, check_cancelled)
        return order.sorted(records, after)[skip : skip + wanted]
    found: list[Record] = []
    while len(found) < wanted:
        check_cancelled()
        chunk = order.page(connection, after, _FILTER_CHUNK, 0, BARE)
        rows = view.rows_of(np.array([record.label for record in chunk], np.int64))
        right = [record for record, good in zip(chunk, selection.mask[rows].tolist(), strict=True) if good]
        found.extend(right[skip:])
        skip = max(0, skip - len(right))
        if len(chunk) < _FILTER_CHUNK:
            break
        after = order.position(order.key(chunk[-1]))
    return found[:wanted]


class _Ordering:
    """A sort order in SQL and in Python: by one column, or, for the ids of a serial collection, by number.

    Canonical decimals sort by number when the shorter comes first; the index `points_number` holds them so.
    """

    def __init__(self, order: Order, ids: IdKind) -> None:
        self._key = order.key
        self._descending = order.descending
        self._by_number = order.key == "id" and ids is IdKind.SERIAL

    def page(
        self, connection: apsw.Connection, after: tuple[object, ...] | None, limit: int, offset: int, include: Include
    ) -> list[Record]:
        """Return up to `limit` points after a position, in order."""
        columns = ["length(id)", "id"] if self._by_number else [_COLUMNS[self._key]]
        direction, sign = ("DESC", "<") if self._descending else ("ASC", ">")
        condition = ""
        if after is not None:
            condition = f"WHERE ({', '.join(columns)}) {sign} ({', '.join('?' * len(columns))}) "
        condition += f"ORDER BY {', '.join(f'{column} {direction}' for column in columns)} LIMIT ? OFFSET ?"
        records = read_records(connection, condition, (*(after or ()), limit, offset), include)
        return self.sorted(records, None)

    def sorted(self, records: Sequence[Record], after: tuple[object, ...] | None) -> list[Record]:
        """Return those after a position, in order."""
        placed = [(self.position(self.key(record)), record) for record in records]
        if after is not None:
            placed = [each for each in placed if (each[0] < after if self._descending else each[0] > after)]
        placed.sort(key=itemgetter(0), reverse=self._descending)
        return [record for _, record in placed]

    def key(self, record: Record) -> str | int:
        """Return the part of a point that a cursor holds."""
        if self._key == "id":
            return record.id.decode()
        return record.created_seq if self._key == "created" else record.version

    def position(self, key: str | int) -> tuple[Any, ...]:
        """Return the sort key, the same in SQL as in Python."""
        if self._key != "id":
            return (key,)
        encoded = str(key).encode()
        return (len(encoded), encoded) if self._by_number else (encoded,)


_COLUMNS: Final = {"id": "id", "created": "created_seq", "updated": "version"}


def changes(collection: Collection, since: str | LogEnd | None, limit: int) -> ChangePage:
    """Return the log of changes after a position.

    Raises:
        InvalidArgument: the position is not of this collection.
        PositionExpired: changes after it were removed.
    """
    uid = collection.uid
    if since is NOW:
        # A commit is published before it is acknowledged, so the View is as new as any write that a caller knows of.
        return ChangePage(changes=(), position=seal_position(uid, collection.view().seq))
    start = 0 if since is None else unseal_position(uid, since)
    with collection.reading() as (connection, _):
        log = read_log(connection, start, limit)
    if since is None:
        start = log.oldest
    elif not log.oldest <= start <= log.last:
        # Behind the end: the data was replaced by an older copy, and what is written next must not be missed.
        raise PositionExpired.of(seal_position(uid, log.oldest))
    last = log.changes[-1].seq if log.changes else start
    return ChangePage(changes=tuple(log.changes), position=seal_position(uid, last))
