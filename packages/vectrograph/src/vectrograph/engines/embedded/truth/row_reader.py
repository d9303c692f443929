"""Reading many points of one SQLite file without giving up the GIL for each: a few statements of one row each."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import apsw
import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.filters.evaluation import Filter, measured, predicate
from vectrograph.domain.points import Change
from vectrograph.domain.queries import Include
from vectrograph.engines.embedded.disk.failures import UNDECODABLE, Damaged
from vectrograph.engines.embedded.rows.view import Labels
from vectrograph.engines.embedded.truth.batch import KINDS
from vectrograph.engines.embedded.truth.records import Record, change_checksum, read_records

# Points without contents that one statement reads. Chosen: three statements for the largest batch by default.
_IDS_AT_A_TIME: Final = 4096
_CONTENTS_AT_A_TIME: Final = 64
"""Points with payload and text that are read before anybody looks how large they are: 70 MB at most by default."""
# Payloads of the first chunk. At the default limit of 1 MiB each, it has 16 MiB at most.
PAYLOADS_AT_FIRST: Final = 16
_TESTS_AT_A_TIME: Final = 16_384
"""Conditions evaluated between two checks: some milliseconds."""
# Characters of a chunk, above which the next has half as many payloads, else twice as many.
_CHUNK_CHARACTERS: Final = 1 << 19


def read_by_ids(connection: apsw.Connection, ids: Sequence[bytes], include: Include) -> list[Record]:
    """Return the points of these ids, in no particular order; what is not there is left out."""
    condition = "WHERE id IN (SELECT value FROM carray(?))"
    return [
        record
        for part in _parts(ids, _IDS_AT_A_TIME)
        for record in _read(connection, condition, part, lambda each: apsw.carray(tuple(each)), include)
    ]


def read_by_labels(
    connection: apsw.Connection,
    labels: Sequence[int],
    include: Include,
    check_cancelled: Cancellation = never_cancelled,
) -> list[Record]:
    """Return the points of these labels, in no particular order; what is not there is left out.

    Args:
        connection: to read on.
        labels: of the points.
        include: parts of them to read.
        check_cancelled: called every few thousand points; may raise to stop.
    """
    condition = "WHERE label IN (SELECT value FROM json_each(?))"
    return [
        record
        for part in _parts(labels, _IDS_AT_A_TIME, check_cancelled)
        for record in _read(connection, condition, part, lambda each: json.dumps(list(each)), include)
    ]


def read_bounded(
    connection: apsw.Connection,
    labels: Sequence[int],
    include: Include,
    check_cancelled: Cancellation = never_cancelled,
) -> Iterator[list[Record]]:
    """Yield the same, a few at a time and these in the order of the labels, so that who has enough reads no more."""
    condition = "WHERE label IN (SELECT value FROM json_each(?))"
    few = include.payload or include.text or include.vector
    for part in _parts(labels, _CONTENTS_AT_A_TIME if few else _IDS_AT_A_TIME, check_cancelled):
        yield _read(connection, condition, part, lambda each: json.dumps(list(each)), include)


def _parts(items: Sequence[Any], size: int, check_cancelled: Cancellation = never_cancelled) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        check_cancelled()
        yield items[start : start + size]


def _read(
    connection: apsw.Connection,
    condition: str,
    keys: Sequence[Any],
    bind: Callable[[Sequence[Any]], object],
    include: Include,
) -> list[Record]:
    try:
        return read_records(connection, condition, (bind(keys),), include)
    except apsw.TooBigError:
        # Together more than SQLite's largest value (1 GB): one half at a time.
        half = len(keys) // 2
        if half == 0:
            raise
        return _read(connection, condition, keys[:half], bind, include) + _read(
            connection, condition, keys[half:], bind, include
        )


def matching_labels(connection: apsw.Connection, condition: Filter, check_cancelled: Cancellation) -> Labels:
    """Return the labels of all points that match, ascending; the caller keeps a transaction open around it.

    Args:
        connection: to read on.
        condition: the filter.
        check_cancelled: called before every chunk of payloads; may raise to stop.
    """
    test = predicate(condition)
    step = max(1, _TESTS_AT_A_TIME // measured(condition).terms)
    found: list[int] = []
    for labels, payloads in payloads_between(connection, -1):
        for start in range(0, len(labels), step):
            check_cancelled()
            part = slice(start, start + step)
            found.extend(label for label, payload in zip(labels[part], payloads[part], strict=True) if test(payload))
    return np.array(found, np.int64)


def payloads_between(
    connection: apsw.Connection,
    after: int,
    *,
    last: int | None = None,
    newer_than: int | None = None,
    at_first: int = PAYLOADS_AT_FIRST,
) -> Iterator[tuple[list[int], list[Any]]]:
    """Yield labels and decoded payloads of points, a chunk of a few milliseconds at a time, by ascending label.

    Args:
        connection: to read on; the caller keeps a transaction open around it.
        after: labels above this one.
        last: and up to this one, None for all.
        newer_than: only points whose last change has a greater seq.
        at_first: points of the first chunk.
    """
    step = at_first
    condition, bounds = "label > ?", list[int]()
    if last is not None:
        condition, bounds = condition + " AND label <= ?", [*bounds, last]
    if newer_than is not None:
        # The unary plus keeps SQLite from walking through all labels: few points are newer.
        condition, bounds = condition.replace("label", "+label") + " AND version > ?", [*bounds, newer_than]
    # Built from constants; what callers pass is bound.
    statement = (
        "SELECT '[' || group_concat(label) || ']', '[' || group_concat(payload) || ']'"  # noqa: S608
        f" FROM (SELECT label, payload FROM points WHERE {condition} ORDER BY label LIMIT ?)"
    )
    while True:
        row: Any = connection.execute(statement, (after, *bounds, step)).fetchall()[0]
        if row[0] is None:
            return
        labels, payloads = json.loads(row[0]), json.loads(row[1] or "[]")
        if len(labels) != len(payloads) or not all(type(payload) is dict for payload in payloads):
            raise Damaged(f"a payload of the points after {after} is none")
        yield labels, payloads
        after = labels[-1]
        # Payloads are small or large: aim at chunks of a few milliseconds. The largest first chunk is 16 MB.
        step = max(1, step * 2 if len(row[1]) < _CHUNK_CHARACTERS else step // 2)


class LogPage(NamedTuple):
    """Part of the log of changes, oldest first.

    Attributes:
        changes: entries of it.
        oldest: the seq after which every change is held.
        last: seq of the last change.
    """

    changes: list[Change]
    oldest: int
    last: int


def read_log(connection: apsw.Connection, since: int, limit: int) -> LogPage:
    """Return entries of the log of changes after a seq, and from where to where it goes, all of one state.

    Raises:
        Damaged: a checksum does not hold.
    """
    row: Any = connection.execute(
        "SELECT count(*), group_concat(seq || ',' || kind || ',' || at || ',' || length(id) || ',' || checksum),"
        " CAST(group_concat(id, '') AS BLOB), (SELECT min(seq) FROM changes WHERE seq > 0), (SELECT seq FROM state)"
        " FROM (SELECT * FROM changes WHERE seq > ? ORDER BY seq LIMIT ?)",
        (since, limit),
    ).fetchall()[0]
    count, numbers, data, first, last = row
    if last is None:
        raise Damaged("the file has no state")
    # Nothing is held of a log whose every entry was damaged when it was repaired.
    oldest = last if first is None else first - 1
    if not count:
        return LogPage([], oldest, last)
    try:
        return LogPage(list(_changes(json.loads(f"[{numbers or ''}]"), count, data)), oldest, last)
    except UNDECODABLE as error:
        raise Damaged(f"the log of changes after {since} cannot be decoded: {error}") from error


def _changes(numbers: list[int], count: int, data: bytes) -> Iterator[Change]:
    if len(numbers) != 5 * count:
        # SQLite leaves a row out whose numbers are NULL.
        raise Damaged(f"of {count} changes some have no numbers")
    offset = 0
    for seq, kind, at, size, checksum in zip(*[iter(numbers)] * 5, strict=True):
        name = data[offset : offset + size]
        if change_checksum(seq, kind, at, name) != checksum:
            raise Damaged(f"the checksum of change {seq} does not hold")
        yield Change(seq, KINDS[kind], name.decode(), at)
        offset += size
