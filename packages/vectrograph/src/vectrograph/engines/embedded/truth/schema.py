"""The SQLite file of one collection: tables, and the trigger that writes a whole batch in one statement.

SQLite's bindings give the GIL back at every statement and every row, and next to one busy Python thread each costs 5 ms
to get again. So a batch is one INSERT into the view `batch`: its trigger takes the rows as JSON arrays of integers and
the bytes as one blob into which they point, and the statement is a transaction of its own.

- `label` is the seq of the Put that brought the vector: a new one for every vector, never reused, so that whoever holds
  a label holds exactly one vector. A Patch keeps the label and moves the version.
- `points` and `vectors` share the label. Both carry a checksum, because a flipped byte passes SQLite's own checks.
- `changes` is the log of changes, `replies` the idempotency records, `state` one row of counters; all with checksums.
"""

import struct
from pathlib import Path
from typing import Final

from vectrograph.domain.collections import IdKind
from vectrograph.engines.embedded.disk.failures import Damaged

FILE_NAME: Final = "points.sqlite"

APPLICATION_ID: Final = 0x56475248
"""Marks the file as ours: "VGRH"."""

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER: Final = struct.Struct(">16s44xI4xI")
"""Magic, user version and application id of an SQLite file: https://sqlite.org/fileformat2.html#the_database_header."""

_TABLES: Final = """
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL, next_serial INTEGER NOT NULL, count INTEGER NOT NULL, created_at INTEGER NOT NULL,
    spec TEXT NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE points (
    label INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL, created_seq INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    payload BLOB NOT NULL, text BLOB, checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX points_created ON points (created_seq);
CREATE INDEX points_version ON points (version);
CREATE TABLE vectors (label INTEGER PRIMARY KEY, vector BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE replies (
    principal TEXT NOT NULL, operation TEXT NOT NULL, key TEXT NOT NULL,
    body_hash TEXT NOT NULL, result TEXT NOT NULL, at INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (principal, operation, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_at ON replies (at);
"""

_BATCH: Final = """
CREATE VIEW batch AS SELECT
    NULL AS gone_points, NULL AS gone_vectors, NULL AS points, NULL AS vectors, NULL AS changes, NULL AS data,
    NULL AS stride, NULL AS at, NULL AS seq, NULL AS next_serial, NULL AS count,
    NULL AS principal, NULL AS operation, NULL AS key, NULL AS body_hash, NULL AS result,
    NULL AS reply_checksum, NULL AS expired, NULL AS checksum;
CREATE TRIGGER write_batch INSTEAD OF INSERT ON batch BEGIN
    DELETE FROM points WHERE label IN (SELECT value FROM json_each(NEW.gone_points));
    DELETE FROM vectors WHERE label IN (SELECT value FROM json_each(NEW.gone_vectors));
    INSERT INTO points SELECT
        value ->> 0, substr(NEW.data, value ->> 6, value ->> 7), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
        substr(NEW.data, value ->> 8, value ->> 9), substr(NEW.data, value ->> 10, value ->> 11), value ->> 5
        FROM json_each(NEW.points);
    INSERT INTO vectors SELECT value ->> 0, substr(NEW.data, value ->> 1, NEW.stride), value ->> 2
        FROM json_each(NEW.vectors);
    INSERT INTO changes SELECT value ->> 0, value ->> 1, substr(NEW.data, value ->> 2, value ->> 3), NEW.at,
        value ->> 4 FROM json_each(NEW.changes);
    DELETE FROM replies WHERE at <= NEW.expired;
    INSERT INTO replies SELECT NEW.principal, NEW.operation, NEW.key, NEW.body_hash, NEW.result, NEW.at,
        NEW.reply_checksum WHERE NEW.key IS NOT NULL;
    UPDATE state SET seq = NEW.seq, next_serial = NEW.next_serial, count = NEW.count, checksum = NEW.checksum;
END;
"""

INSERT_BATCH: Final = f"INSERT INTO batch VALUES ({', '.join('?' * 19)})"  # noqa: S608 - question marks only
"""One write; the columns in the order of the view."""


def stored_format(path: Path) -> int:
    """Return the format number in the header of a collection's file, 0 where there is none that can be trusted.

    Reads a few bytes; SQLite does not come into it, because it would write beside the file.
    """
    try:
        with path.open("rb") as file:
            magic, version, application = _HEADER.unpack(file.read(_HEADER.size))
    except (OSError, struct.error):
        return 0
    return int(version) if (magic, application) == (_MAGIC, APPLICATION_ID) else 0


def creation_script(ids: IdKind, user_version: int) -> str:
    """Return the statements that make an empty file into one of ours."""
    by_number = "CREATE INDEX points_number ON points (length(id), id);" if ids is IdKind.SERIAL else ""
    return (
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {user_version};"
        f"BEGIN IMMEDIATE; {_TABLES} {by_number} {_BATCH} COMMIT;"
    )


def require_content(path: Path) -> None:
    """Refuse a file that SQLite would take for a new database: it would also remove its log.

    Raises:
        Damaged: there is no file, or it is empty.
        OSError: the disk refuses.
    """
    try:
        if path.stat().st_size == 0:
            raise Damaged(f"its file {path.name} is empty")
    except FileNotFoundError as error:
        raise Damaged(f"its file {path.name} is missing") from error
