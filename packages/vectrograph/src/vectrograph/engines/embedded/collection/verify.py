"""Looking for damage: SQLite's own check, and every checksum, also of the files that are derived."""

from typing import Any, Final

import apsw

from vectrograph.domain.queries import Include
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.disk.failures import Damaged, DamagedIndex
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.truth.records import reply_checksum
from vectrograph.engines.embedded.truth.row_reader import read_by_labels, read_log
from vectrograph.engines.embedded.truth.schema import require_schema

# Points read together with everything they hold. Chosen: bounds memory.
_POINTS_AT_A_TIME: Final = 256
# Times that index files are read again when they were replaced while they were read.
_ATTEMPTS: Final = 3
# Entries of the log of changes read together: they are small.
_CHANGES_AT_A_TIME: Final = 10_000
_EVERYTHING: Final = Include(vector=True, payload=True, text=True)


def verify(collection: Collection) -> int:
    """Read everything that is stored and compare checksums; writes go on meanwhile.

    Returns:
        How many points were checked.

    Raises:
        CollectionQuarantined: something is damaged; the collection is set aside from now on.
    """
    with collection.snapshot(lambda: None) as (connection, view):
        require_schema(connection, collection.spec.ids)
        findings: Any = connection.execute("PRAGMA integrity_check(1)").fetchall()
        if findings != [("ok",)]:
            raise apsw.CorruptError(str(findings[0][0]))
        stored: Any = connection.execute("SELECT count(*) FROM points").fetchall()
        labels = view.labels[view.live].tolist()
        checked = 0
        for start in range(0, len(labels), _POINTS_AT_A_TIME):
            checked += len(read_by_labels(connection, labels[start : start + _POINTS_AT_A_TIME], _EVERYTHING))
        last = 0
        while page := read_log(connection, last, _CHANGES_AT_A_TIME).changes:
            last = page[-1].seq
        if last > view.seq:
            raise Damaged(f"the log knows of change {last}, and the last was {view.seq}")
        for row in connection.execute("SELECT principal, operation, key, body_hash, result, at, checksum FROM replies"):
            if reply_checksum(*row[:-1]) != row[-1]:
                raise Damaged(f"the checksum of the record of idempotency key {row[2]!r} does not hold")
        if not checked == stored[0][0] == view.count:
            raise Damaged(f"{stored[0][0]} points are stored, {checked} of the {view.count} known ones were found")
    return checked


def verify_derived(files: DerivedFiles) -> str | None:
    """Return the fault of the index files, None when there is none; they may be replaced meanwhile."""
    problem: str | None = None
    for _ in range(_ATTEMPTS):
        try:
            loaded = files.load()
        except DamagedIndex as error:
            # Perhaps it named a file of vectors that has just been replaced.
            problem = str(error)
        else:
            if loaded is not None:
                loaded[1].close()
            return None
    return problem
