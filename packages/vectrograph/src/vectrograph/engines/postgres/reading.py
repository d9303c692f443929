"""Reads by id, pages in a fixed order, counts, and the log of changes."""

from collections.abc import Sequence
from typing import Any, Final

from vectrograph.domain.answer_bytes import AnswerBytes
from vectrograph.domain.collections import IdKind
from vectrograph.domain.filters.evaluation import predicate
from vectrograph.domain.points import NOW, Change, ChangePage, LogEnd, Point
from vectrograph.domain.queries import Include, Order, ScrollPage, ScrollRequest
from vectrograph.engines.cursors import scroll_scope, seal, seal_position, unseal, unseal_position
from vectrograph.engines.postgres.codec import KIND_OF, NumbersParameter, Row, decode_payload
from vectrograph.engines.postgres.collection import Collection, state_of
from vectrograph.engines.postgres.connections import Connection, Dropped, Work
from vectrograph.engines.postgres.filters import compile_filter
from vectrograph.engines.postgres.matching import count_in_sql, decided_in_sql, matching_rows
from vectrograph.engines.postgres.searching import read_points

# Points read in order and then matched at a time. Chosen: each statement is short, so that cancellation is noticed.
_FILTER_CHUNK: Final = 512
# Index entries that one statement skips for an offset; between two the deadline is looked at.
_SKIP_CHUNK: Final = 10_000
_COLUMNS: Final = {"id": "id", "created": "created_seq", "updated": "version"}

BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def get(connection: Connection, collection: Collection, ids: Sequence[str], include: Include) -> list[Point | None]:
    """Return the points of these ids in their order, None where there is none."""
    # An id that is no Unicode is in no collection, but asking for it is no error.
    wanted = list({each.encode("utf-8", "surrogatepass"): None for each in ids})
    parts = [name if asked else "NULL" for name, asked in (("payload", include.payload), ("text", include.text))]
    vector = "vector_send(vector)" if include.vector else "NULL::bytea"
    rows = connection.rows(
        f"SELECT created_seq, version, created_at, updated_at, id, {', '.join(parts)}, {vector} "
        f"FROM {collection.points} WHERE id = ANY($1::bytea[])",
        (wanted,),
    )
    found = {row[4].decode(): row for row in rows}
    return [
        Row._make(found[each][:7]).point(include, found[each][7]) if each in found else None
        # Each occurrence gets a point of its own: what a caller does to one reaches no other.
        for each in ids
    ]


def count(connection: Connection, collection: Collection, condition: Any, work: Work) -> int:
    """Return how many points there are, or match."""
    connection.execute(BEGIN)
    state = state_of(connection, collection)
    if condition is None:
        return state.count
    if decided_in_sql(condition, state):
        return count_in_sql(connection, collection, condition, None)
    return sum(1 for _ in matching_rows(connection, collection, condition, work.check))


def scroll(connection: Connection, collection: Collection, request: ScrollRequest, work: Work) -> ScrollPage:
    """Return one page of points.

    Raises:
        InvalidArgument: the cursor belongs to another collection, order or filter.
    """
    scope = scroll_scope(collection.uid, request)
    pages = _Pages(connection, collection, request.order)
    last = None if request.cursor is None else unseal(scope, request.cursor, "cursor")
    connection.execute(BEGIN)
    if request.filter is None:
        found = _unfiltered(pages, last, request, work)
    elif decided_in_sql(request.filter, state_of(connection, collection)):
        pages.where(compile_filter(request.filter).path)
        found = _unfiltered(pages, last, request, work)
    else:
        found = _matching(pages, last, request, work)
    points = _page(connection, collection, found[: request.limit], request)
    cursor = seal(scope, pages.key(found[len(points) - 1])) if len(found) > len(points) else None
    return ScrollPage(points=tuple(points), cursor=cursor)


def _page(connection: Connection, collection: Collection, rows: Sequence[Row], request: ScrollRequest) -> list[Point]:
    """Return the first points of a page, in its order, as many as may be answered together and one at least."""
    include, numbers = request.include, [row.created_seq for row in rows]
    if request.max_bytes is not None and numbers:
        parts = ["octet_length(payload)"] * include.payload + ["coalesce(octet_length(text), 0)"] * include.text
        vector = 4 * collection.spec.dimension if include.vector else 0
        sizes = dict(
            connection.rows(
                f"SELECT created_seq, {' + '.join([str(vector), *parts])} "
                f"FROM {collection.points} WHERE created_seq = ANY($1::bigint[])",
                (NumbersParameter.of(numbers),),
            )
        )
        held, kept = AnswerBytes(request.max_bytes), 0
        for number in numbers:
            if not held.fits(sizes[number]) and kept:
                break
            kept += 1
        numbers = numbers[:kept]
    points = read_points(connection, collection, numbers, include) if numbers else {}
    return [points[number] for number in numbers]


def _unfiltered(pages: "_Pages", last: str | int | None, request: ScrollRequest, work: Work) -> list[Row]:
    """Return the points after a position, without those to skip, and one more than a page has."""
    skip = request.offset
    while skip > _SKIP_CHUNK:
        work.check()
        rows = pages.after(last, 1, _SKIP_CHUNK - 1)
        if not rows:
            return []
        last = pages.key(rows[0])
        skip -= _SKIP_CHUNK
    return pages.after(last, request.limit + 1, skip)


def _matching(pages: "_Pages", last: str | int | None, request: ScrollRequest, work: Work) -> list[Row]:
    """Return the points after a position that match, without those to skip, and one more than a page has."""
    assert request.filter is not None  # noqa: S101 - called for filters
    pages.where(compile_filter(request.filter).path, candidates=True)
    test, wanted, skip = predicate(request.filter), request.limit + 1, request.offset
    found: list[Row] = []
    while len(found) < wanted:
        work.check()
        rows = pages.after(last, _FILTER_CHUNK, 0)
        right = [row for row in rows if test(decode_payload(row.payload or b"{}"))]
        found += right[skip:]
        skip = max(0, skip - len(right))
        if len(rows) < _FILTER_CHUNK:
            break
        last = pages.key(rows[-1])
    return found[:wanted]


class _Pages:
    """Points in a sort order, by keyset: by one column, or, for the ids of a serial collection, by number."""

    def __init__(self, connection: Connection, collection: Collection, order: Order) -> None:
        self._connection = connection
        self._collection = collection
        self._key = order.key
        self._descending = order.descending
        self._by_number = order.key == "id" and collection.spec.ids is IdKind.SERIAL
        self._path: str | None = None
        self._candidates = False

    def where(self, path: str, *, candidates: bool = False) -> None:
        """Select by jsonpath; as `candidates` with their payloads, and with those that jsonb cannot hold."""
        self._path, self._candidates = path, candidates

    def after(self, last: str | int | None, limit: int, offset: int) -> list[Row]:
        """Return up to `limit` points after the one with a key, without the first `offset`."""
        columns = ["octet_length(id)", "id"] if self._by_number else [_COLUMNS[self._key]]
        direction, sign = ("DESC", "<") if self._descending else ("ASC", ">")
        conditions: list[str] = []
        arguments: list[object] = []
        if last is not None:
            position: list[object] = [last]
            if self._key == "id":
                encoded = str(last).encode()
                position = [len(encoded), encoded] if self._by_number else [encoded]
            arguments += position
            marks = ", ".join(f"${number}" for number in range(1, len(position) + 1))
            conditions.append(f"({', '.join(columns)}) {sign} ({marks})")
        if self._path is not None:
            arguments.append(self._path)
            opaque = " OR fields IS NULL" if self._candidates else ""
            conditions.append(f"(fields @? ${len(arguments)}::jsonpath{opaque})")
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        payload = ", payload" if self._candidates else ""
        rows = self._connection.rows(
            f"SELECT created_seq, version, created_at, updated_at, id{payload} FROM {self._collection.points} {where}"
            f"ORDER BY {', '.join(f'{column} {direction}' for column in columns)} "
            f"LIMIT ${len(arguments) + 1} OFFSET ${len(arguments) + 2}",
            (*arguments, limit, offset),
        )
        return [Row(*row) for row in rows]

    def key(self, row: Row) -> str | int:
        """Return the part of a point that a cursor holds."""
        if self._key == "id":
            return row.id.decode()
        return row.created_seq if self._key == "created" else row.version


def changes(
    connection: Connection, collection: Collection, cluster: str, since: str | LogEnd | None, limit: int
) -> ChangePage:
    """Return the log of changes after a position. A position names its cluster, so that there may be several.

    Raises:
        InvalidArgument: the position is not of this collection.
    """
    log = f"{cluster}:{collection.uid}"
    if since is NOW:
        rows = connection.rows("SELECT seq FROM collections WHERE uid = $1", (collection.uid,))
        if not rows:
            raise Dropped
        return ChangePage(changes=(), position=seal_position(log, rows[0][0]))
    start = 0 if since is None else unseal_position(log, since)
    rows = connection.rows(
        f"SELECT seq, kind, id, at FROM {collection.log} WHERE seq > $1 ORDER BY seq LIMIT $2",
        (start, limit),
    )
    page = tuple(Change(seq, KIND_OF[kind], name.decode(), at) for seq, kind, name, at in rows)
    return ChangePage(changes=page, position=seal_position(log, page[-1].seq if page else start))
