"""Room that the SQLite file of accounts keeps for the day the disk is full.

Logging in, ending a session, revoking a key and disabling an account write, and have to work on a full disk. The room
is inside SQLite's own files, so that nobody else can take it: free pages in the database, whose blocks are allocated,
and a rollback journal that stays allocated between transactions (journal_mode=PERSIST). What adds data is refused
unless it leaves the reserve whole; the audit record may take part of it; the rest is for what must always work.
"""

import errno
import os
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from vectrograph.domain.errors import OutOfSpace

RESERVE_PAGES: Final = 256
"""Free pages that whatever adds data leaves: 1 MiB at SQLite's page size of 4 KiB, some thousands of small rows."""

AUDIT_PAGES: Final = 64
"""Free pages that the audit record leaves: sessions and revocations go on when it may take no more."""

JOURNAL_BYTES: Final = 512 << 10
"""Allocated for the rollback journal: a transaction may change some 120 pages without asking the disk for room."""

_FILL_PAGES: Final = 2 * RESERVE_PAGES
# Pages allocated beyond the reserve: SQLite takes some for the table that fills it.
_SLACK_PAGES: Final = 16


class Reserve:
    """The reserve of one SQLite file.

    Args:
        path: of the file.
        descriptor: of the same file, open for writing. It has to stay open as long as SQLite has the file: closing any
            descriptor of a file gives up the locks that SQLite holds on it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._journal = path.with_name(f"{path.name}-journal")
        self._descriptor = descriptor

    def is_whole(self, connection: Connection) -> bool:
        """Return whether there is nothing to prepare."""
        return _free_pages(connection) >= RESERVE_PAGES and _size(self._journal) >= JOURNAL_BYTES

    def prepare(self, connection: Connection) -> None:
        """Take what is missing, in a write transaction that has changed nothing yet.

        Raises:
            OutOfSpace: the disk is full already.
        """
        size = _size(self._journal)
        if size < JOURNAL_BYTES:
            try:
                # Zeros: a journal that begins with them belongs to no transaction.
                with os.fdopen(os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                    file.write(bytes(JOURNAL_BYTES - size))
            except OSError as error:
                raise _full(error) from error
        self.keep(connection, RESERVE_PAGES)

    def keep(self, connection: Connection, leaving: int) -> None:
        """See to it that a transaction leaves so many free pages when it commits; all of them where the disk has room.

        Raises:
            OutOfSpace: it would not, and the disk is full.
        """
        free = _free_pages(connection)
        if free >= RESERVE_PAGES:
            return
        try:
            self._fill(connection, _FILL_PAGES - free)
        except OutOfSpace:
            if free < leaving:
                raise

    def _fill(self, connection: Connection, pages: int) -> None:
        page_bytes = int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        count = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        try:
            if hasattr(os, "posix_fallocate"):
                # Before SQLite takes the pages: it never writes free ones, and they would be holes without blocks.
                os.posix_fallocate(self._descriptor, 0, (count + pages + _SLACK_PAGES) * page_bytes)
        except OSError as error:
            raise _full(error) from error
        connection.exec_driver_sql("CREATE TABLE reserve_filler (filler BLOB)")
        connection.exec_driver_sql("INSERT INTO reserve_filler VALUES (zeroblob(?))", (pages * page_bytes,))
        connection.exec_driver_sql("DROP TABLE reserve_filler")


def _free_pages(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _full(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutOfSpace(
            "The disk with the account database is full: nothing can be added until there is space. Logging in and "
            "out, revoking keys and disabling accounts still work."
        )
    return error
