"""Reading a damaged SQLite file whose first page is spoilt: it holds the header and the schema, and no rows.

SQLite reads nothing of a file whose header or schema it does not understand, and reads rows wrongly by a schema that
is not the one that they were written with. Tables and indexes begin on the same pages in every file of ours, so a copy
whose first page is that of a new file reads all that is there.
"""

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from vectrograph.domain.collections import IdKind
from vectrograph.engines.embedded.disk.durable import create_file
from vectrograph.engines.embedded.disk.failures import Damaged
from vectrograph.engines.embedded.truth.manifest import FORMAT
from vectrograph.engines.embedded.truth.schema import FILE_NAME, creation_script, require_header, require_schema

COPY: Final = "damaged.sqlite.tmp"
"""The copy, removed when it was read."""

_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
# Offsets in the header, https://sqlite.org/fileformat2.html#the_database_header: versions of reading and writing (2
# with a log, 1 without), and the size of the file in pages.
_VERSIONS: Final = slice(18, 20)
_PAGES: Final = slice(28, 32)


def sources(directory: Path, ids: IdKind) -> Iterator[AbstractContextManager[apsw.Connection]]:
    """Yield ways to read a damaged file, the quickest first; the file stays as it is.

    As it is, where its first page has the right schema. Then with another first page: of what SQLite goes by in the
    old one, such as the size of the file, something may be wrong all the same.

    Args:
        directory: of the collection.
        ids: kind of its ids.
    """
    if _has_right_schema(directory, ids):
        yield closing(_open(directory / FILE_NAME))
    yield _with_first_page(directory, ids)


@contextmanager
def _with_first_page(directory: Path, ids: IdKind) -> Iterator[apsw.Connection]:
    try:
        with closing(_open(_copy_with_first_page(directory / FILE_NAME, ids))) as connection:
            yield connection
    finally:
        remove_copy(directory)


def remove_copy(directory: Path) -> None:
    """Remove the copy, which a process that died may have left."""
    for suffix in _SUFFIXES:
        (directory / f"{COPY}{suffix}").unlink(missing_ok=True)


def _open(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def _has_right_schema(directory: Path, ids: IdKind) -> bool:
    try:
        with closing(_open(directory / FILE_NAME)) as connection:
            require_header(connection, FORMAT)
            require_schema(connection, ids)
    except (apsw.Error, Damaged, UnicodeDecodeError):
        return False
    return True


def _copy_with_first_page(path: Path, ids: IdKind) -> Path:
    """Return a copy with all of the log folded in that holds, and the first page of a new file."""
    copy = path.with_name(COPY)
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            with source.open("rb") as damaged, create_file(copy.with_name(copy.name + suffix)) as target:
                shutil.copyfileobj(damaged, target)
    _put_first_page(copy, ids, versions=b"\x02\x02")
    # A log of which nothing holds is left out.
    with suppress(apsw.CorruptError, apsw.NotADBError), closing(apsw.Connection(str(copy))) as connection:
        connection.pragma("journal_mode")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    # The log may have had a spoilt one too.
    _put_first_page(copy, ids, versions=b"\x01\x01")
    return copy


def _put_first_page(copy: Path, ids: IdKind, *, versions: bytes) -> None:
    page = bytearray(_first_page(ids))
    page[_VERSIONS] = versions
    page[_PAGES] = struct.pack(">I", copy.stat().st_size // len(page))
    with copy.open("r+b") as file:
        file.write(page)
        file.flush()
        os.fsync(file.fileno())


def _first_page(ids: IdKind) -> bytes:
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(creation_script(ids, FORMAT))
        return connection.serialize("main")[: int(connection.pragma("page_size"))]
