"""Connections to one SQLite file: one that writes, and a pool of those that read."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Final

import apsw

from vectrograph.domain.errors import StartupError
from vectrograph.engines.embedded.disk.durable import open_private

_OLDEST_SQLITE: Final = (3, 51, 3)
# Connections for reading that are kept open. Chosen: half of the most threads for requests.
_IDLE_READERS: Final = 16
# KiB of SQLite's page cache of each connection: four times SQLite's default.
_CACHE_KIB: Final = 8 * 1024
# Milliseconds that a read waits for a lock, such as the one taken to recover the log after a crash.
_BUSY_MILLISECONDS: Final = 5_000
CONNECTION_FILES: Final = 2
"""Descriptors of a connection: of the file and of its log. The first one has the shared memory's too."""


def open_writer(path: Path, vfs: str | None, *, page_bytes: int | None = None) -> apsw.Connection:
    """Return a connection that writes or checkpoints; `page_bytes` creates the file.

    A commit is on disk when it returns (WAL, synchronous=FULL). SQLite never checkpoints by itself: the caller does.
    A second connection may checkpoint while the first one writes: SQLite up to 3.51.2 could damage the file then (the
    "WAL-reset bug" of https://sqlite.org/wal.html), so older ones are refused.

    Raises:
        StartupError: SQLite is too old.
    """
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < _OLDEST_SQLITE:
        raise StartupError(f"SQLite {apsw.sqlite_lib_version()} is too old to be trusted; install a newer apsw.")
    if page_bytes:
        # SQLite would follow the umask. Its log and shared memory get the mode of the file.
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if page_bytes else 0)
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    try:
        if page_bytes:
            connection.pragma("page_size", page_bytes)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("cache_size", -_CACHE_KIB)
        # Or the last to close a damaged file would fold its log in, for ever.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def open_still(path: Path) -> apsw.Connection:
    """Return a connection that reads a file on a disk that takes no writes, with the log that a dead process left.

    WAL mode wants shared memory beside the file. Where nothing can change, each connection keeps its own instead
    (exclusive locking mode), and where there is no log, none is needed: https://sqlite.org/wal.html#read_only_databases
    """
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix-none")
        connection.pragma("locking_mode", "exclusive")
    else:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags)
    connection.pragma("cache_size", -_CACHE_KIB)
    return connection


@contextmanager
def read_transaction(connection: apsw.Connection) -> Iterator[None]:
    """Provide one state of the file for all statements of the block."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        roll_back(connection)


@contextmanager
def write_transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commit all statements of the block together, or none when one fails.

    apsw's own would hide why: it rolls back what SQLite has rolled back already, and raises the error of that.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: apsw.Connection) -> None:
    """End a transaction, unless SQLite has ended it by itself, as it does when the disk is full or fails."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


class PoolClosed(Exception):
    """The pool lends no more connections."""


class ReaderPool:
    """Connections that only read; each is used by one thread at a time and none keeps a transaction between uses.

    Args:
        path: of the file.
        vfs: name of the SQLite VFS to use, None for the usual one.
        read_only: the disk takes no writes.
        opening: calls what opens a connection, once there are descriptors for it.
        on_closed: called with how many connections were closed.
    """

    def __init__(
        self,
        path: Path,
        vfs: str | None,
        *,
        read_only: bool = False,
        opening: Callable[[Callable[[], apsw.Connection]], apsw.Connection] = lambda connect: connect(),
        on_closed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._opening = opening
        self._on_closed = on_closed
        self._path = path
        self._read_only = read_only
        self._vfs = vfs
        self._idle: list[apsw.Connection] = []
        self._borrowed = 0
        self._closed = False
        self.used_at = 0.0
        self._changed = Condition()

    @contextmanager
    def borrow(self) -> Iterator[apsw.Connection]:
        """Provide a connection for the length of the block.

        Raises:
            PoolClosed: it was closed.
        """
        with self._changed:
            if self._closed:
                raise PoolClosed
            connection = self._idle.pop() if self._idle else None
            self._borrowed += 1
            self.used_at = time.monotonic()
        try:
            connection = connection or self._opening(self._connect)
            yield connection
        finally:
            self._give_back(connection)

    def _connect(self) -> apsw.Connection:
        if self._read_only:
            return open_still(self._path)
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        try:
            connection.set_busy_timeout(_BUSY_MILLISECONDS)
            connection.pragma("cache_size", -_CACHE_KIB)
            # The log and the shared memory too: now, and not in the middle of the first statement.
            connection.execute("PRAGMA schema_version").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: apsw.Connection | None) -> None:
        with self._changed:
            self._borrowed -= 1
            keep = not self._closed and len(self._idle) < _IDLE_READERS
            # One that failed in the middle of a transaction is not lent again.
            keep = keep and connection is not None and not connection.in_transaction
            if connection is not None and keep:
                self._idle.append(connection)
            self._changed.notify_all()
        if connection is not None and not keep:
            connection.close()
            self._on_closed(1)

    def close_idle(self) -> bool:
        """Close all connections, unless one is lent; whether they are closed. More can be borrowed afterwards."""
        with self._changed:
            if self._borrowed:
                return False
            idle, self._idle = self._idle, []
        self._close(idle)
        return True

    def _close(self, connections: list[apsw.Connection]) -> None:
        for connection in connections:
            connection.close()
        if connections:
            self._on_closed(len(connections))

    def close(self, timeout: float) -> bool:
        """Lend no more, close what is idle, and wait for what is lent; whether all came back in time (seconds)."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
        self._close(idle)
        with self._changed:
            return self._changed.wait_for(lambda: self._borrowed == 0, timeout)
