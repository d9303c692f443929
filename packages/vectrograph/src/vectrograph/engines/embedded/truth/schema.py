"""The SQLite file of one collection: its tables, and how a batch of any size is written by one statement.

SQLite's bindings give the GIL back at every statement, and next to one busy Python thread each costs 5 ms to get again.
So a batch is one INSERT of many rows into a temporary view of the writing connection, whose triggers write what each
row says. The statement is a transaction of its own.

- `label` is the seq of the Put that brought the vector: a new one for every vector, never reused, so that whoever holds
  a label holds exactly one vector. A Patch keeps the label and moves the version.
- `points` and `vectors` share the label. Both carry a checksum, because a flipped byte passes SQLite's own checks.
- `changes` is the log of changes, `replies` the idempotency records, `state` one row of counters; all with checksums.
- An entry of `changes` whose seq is negative has left the log, and files of the index name it: see `Store.trim_log`.
"""

import hashlib
import struct
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

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

WRITER_SCHEMA: Final = """
PRAGMA temp_store = memory;
CREATE TEMP VIEW batch_rows AS SELECT
    NULL AS kind, NULL AS label, NULL AS version, NULL AS created_seq, NULL AS created_at, NULL AS at, NULL AS id,
    NULL AS payload, NULL AS text, NULL AS checksum, NULL AS vector, NULL AS vector_checksum, NULL AS change_checksum;
CREATE TEMP TRIGGER gone_points INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 1 BEGIN
    DELETE FROM main.points WHERE label IN (SELECT value FROM json_each(NEW.label));
END;
CREATE TEMP TRIGGER gone_vectors INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 2 BEGIN
    DELETE FROM main.vectors WHERE label IN (SELECT value FROM json_each(NEW.label));
END;
CREATE TEMP TRIGGER put INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 3 BEGIN
    INSERT INTO main.points VALUES (NEW.label, NEW.id, NEW.version, NEW.created_seq, NEW.created_at, NEW.at,
        NEW.payload, NEW.text, NEW.checksum);
    INSERT INTO main.vectors VALUES (NEW.label, NEW.vector, NEW.vector_checksum);
    INSERT INTO main.changes VALUES (NEW.version, iif(NEW.created_seq = NEW.version, 3, 0), NEW.id, NEW.at,
        NEW.change_checksum);
END;
CREATE TEMP TRIGGER point INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 4 BEGIN
    INSERT INTO main.points VALUES (NEW.label, NEW.id, NEW.version, NEW.created_seq, NEW.created_at, NEW.at,
        NEW.payload, NEW.text, NEW.checksum);
END;
CREATE TEMP TRIGGER vector INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 5 BEGIN
    INSERT INTO main.vectors VALUES (NEW.label, NEW.vector, NEW.vector_checksum);
END;
CREATE TEMP TRIGGER change INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 6 BEGIN
    INSERT INTO main.changes VALUES (NEW.version, NEW.label, NEW.id, NEW.at, NEW.change_checksum);
END;
CREATE TEMP TRIGGER reply INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 7 BEGIN
    INSERT INTO main.replies VALUES (NEW.label, NEW.version, NEW.created_seq, NEW.created_at, NEW.id, NEW.at,
        NEW.checksum);
END;
CREATE TEMP TRIGGER state INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 8 BEGIN
    UPDATE main.state SET seq = NEW.label, next_serial = NEW.version, count = NEW.created_seq, checksum = NEW.checksum;
END;
CREATE TEMP TRIGGER expired INSTEAD OF INSERT ON batch_rows WHEN NEW.kind = 9 BEGIN
    DELETE FROM main.replies WHERE at <= NEW.at;
END;
"""
"""View and triggers of a connection that writes batches; they are not in the file.

The put that created a point has the point's `created_seq` as its version: its kind is 3, of any other put 0, as in
`batch.KINDS`.
"""


class RowKind(IntEnum):
    """Effect of a row of a batch; see the triggers. Rows of no kind fill up a statement and do nothing."""

    GONE_POINTS = 1
    GONE_VECTORS = 2
    PUT = 3
    POINT = 4
    VECTOR = 5
    CHANGE = 6
    REPLY = 7
    STATE = 8
    EXPIRED = 9


ROW_WIDTH: Final = 13
"""Columns of `batch_rows`."""
MAX_ROWS: Final = 512
"""Rows of one statement: its text stays under the 16 KiB up to which apsw keeps statements prepared."""


@cache
def insert_rows(count: int) -> str:
    """Return the statement that writes so many rows."""
    row = f"({','.join('?' * ROW_WIDTH)})"
    return f"INSERT INTO batch_rows VALUES {','.join([row] * count)}"  # noqa: S608 - question marks only


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
        f"BEGIN IMMEDIATE; {_TABLES} {by_number} COMMIT;"
    )


def require_header(connection: apsw.Connection, newest: int) -> None:
    """Compare the numbers in a file's header with those that a collection's file has.

    Args:
        connection: that reads the file.
        newest: format number that this version reads.

    Raises:
        Damaged: they differ.
        apsw.Error: it cannot be read.
    """
    if connection.pragma("application_id") != APPLICATION_ID:
        raise Damaged("the file is not a collection's")
    # Newer files are refused before they are opened, unless everything else says that they are not newer.
    if not 0 < connection.pragma("user_version") <= newest:
        raise Damaged("the format number in its file is not the one that it was made with")
    if connection.pragma("auto_vacuum") != 0 or connection.reserve_bytes() != 0:
        raise Damaged("the layout of the pages in its file is not the one that it was made with")


class _Schema(NamedTuple):
    """Content of `sqlite_schema`: a digest of all names and texts, and the pages where tables and indexes begin."""

    digest: str
    roots: tuple[str, ...]


_READ_SCHEMA: Final = (
    "SELECT json_group_array(json_array(quote(type), quote(name), quote(tbl_name), quote(sql))),"
    " group_concat(nullif(rootpage, 0)) FROM (SELECT * FROM sqlite_schema ORDER BY type, name)"
)
"""One row, because each row costs the interpreter's lock; `quote` takes values of every type."""

_OLDER: Final = {
    IdKind.STRING: "961c1cf2e48e754569c2990df3fdf145fc3b0fad5aa87a0f4b1160fefd921676",
    IdKind.SERIAL: "0165b39b2740292fa3259705b8227735493e07a39637cf1b5693ec1b4b1331ae",
}
"""Digests of schemas that earlier development builds wrote under the same number: with a view `batch`, which nobody
uses any more."""


def require_schema(connection: apsw.Connection, ids: IdKind | None) -> None:
    """Compare the schema in a collection's file with the one that such a file is made with.

    SQLite takes every text that it can parse: a flipped bit there renames a column, or lets a comparison ignore case.

    Args:
        connection: that reads the file.
        ids: kind of the ids of the collection, None where nothing tells it yet.

    Raises:
        Damaged: they differ.
        apsw.Error: it cannot be read.
    """
    stored = _read_schema(connection)
    for kind in IdKind if ids is None else (ids,):
        made = made_schema(kind)
        if stored.roots == made.roots and stored.digest in (made.digest, _OLDER[kind]):
            return
    raise Damaged("the schema in its file is not the one that it was made with")


@cache
def made_schema(ids: IdKind) -> _Schema:
    """Return the schema that `creation_script` makes."""
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(creation_script(ids, 0))
        return _read_schema(connection)
    finally:
        connection.close()


def _read_schema(connection: apsw.Connection) -> _Schema:
    row: Any = connection.execute(_READ_SCHEMA).fetchall()[0]
    # In any order: SQLite gives other pages when an operator lets it compact a file (VACUUM).
    roots = sorted(str(row[1]).split(","))
    return _Schema(hashlib.sha256(row[0].encode()).hexdigest(), tuple(roots))


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
