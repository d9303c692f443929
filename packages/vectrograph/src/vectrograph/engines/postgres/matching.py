"""Rows that match a filter: SQL finds candidates, the domain decides where SQL cannot."""

from collections.abc import Iterator
from typing import Any, Final

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.filters.evaluation import Filter, predicate
from vectrograph.engines.postgres.codec import decode_payload
from vectrograph.engines.postgres.collection import Collection, State
from vectrograph.engines.postgres.connections import Connection
from vectrograph.engines.postgres.filters import compile_filter

# Candidates that are read at a time. Chosen: a few milliseconds, so that cancellation is noticed.
_CHUNK: Final = 1_000
# Largest number of bigint: more than any `created_seq`.
_AFTER_ALL: Final = 2**63 - 1
_NUMBERS: Final = "created_seq, version, created_at, updated_at, id"


def decided_in_sql(condition: Filter, state: State) -> bool:
    """Return whether `compile_filter` selects exactly the rows that match."""
    return compile_filter(condition).exact and not state.has_opaque


def count_in_sql(connection: Connection, collection: Collection, condition: Filter, limit: int | None) -> int:
    """Return how many rows match a filter that is decided in SQL, at most `limit`."""
    bound = "" if limit is None else f" LIMIT {limit}"
    rows = connection.rows(
        f"SELECT count(*) FROM (SELECT 1 FROM {collection.points} WHERE fields @? $1::jsonpath{bound}) AS found",
        (compile_filter(condition).path,),
    )
    return int(rows[0][0])


def matching_rows(
    connection: Connection, collection: Collection, condition: Filter, check_cancelled: Cancellation
) -> Iterator[tuple[Any, ...]]:
    """Yield created_seq, version, created_at, updated_at and id of all points that match, newest first.

    The caller holds a snapshot, or the lock of the collection.
    """
    compiled, test = compile_filter(condition), predicate(condition)
    payload = "CASE WHEN fields IS NULL THEN payload END" if compiled.exact else "payload"
    statement = (
        f"SELECT {_NUMBERS}, {payload} FROM {collection.points} WHERE (fields @? $1::jsonpath OR fields IS NULL) "
        f"AND created_seq < $2 ORDER BY created_seq DESC LIMIT {_CHUNK}"
    )
    before = _AFTER_ALL
    while True:
        check_cancelled()
        rows = connection.rows(statement, (compiled.path, before))
        for *numbers, stored in rows:
            if stored is None or test(decode_payload(stored)):
                yield tuple(numbers)
        if len(rows) < _CHUNK:
            return
        before = rows[-1][0]
