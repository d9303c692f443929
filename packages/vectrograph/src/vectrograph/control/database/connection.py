"""One connection pool, its transactions, and its failures translated to domain errors."""

import errno
import logging
import mmap
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event, exc, make_url, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from vectrograph.control.database.models import Epoch
from vectrograph.control.database.reserved_space import JOURNAL_BYTES, Reserve
from vectrograph.domain.errors import (
    DomainError,
    InvalidArgument,
    OutOfSpace,
    StartupError,
    StorageReadOnly,
    Unavailable,
)

# Seconds that a transaction waits for another one's lock. Chosen: twice the default of Python's sqlite3.
BUSY_SECONDS: Final = 10.0
# Bytes of the header of an SQLite file: https://sqlite.org/fileformat2.html, section 1.3.
_HEADER_BYTES: Final = 100
# Id of the only row of the table.
_EPOCH_ID: Final = 1
# Entry of a session's `info`: the one account whose credentials its transaction ends.
_ACCOUNT: Final = "vectrograph.account"
# Bits of an SQLite result code that name the primary one: https://sqlite.org/rescode.html.
_PRIMARY_CODE_MASK: Final = 0xFF

_log: Final = logging.getLogger(__name__)


class Database:
    """Transactions on the control database. Thread-safe.

    Writes are serialised inside this process. The epoch of a SQLite file is read again only when the file has changed,
    be it by the command line in another process; any other database is asked each time.
    """

    def __init__(self, url: str | URL, *, shared: bool | None = None) -> None:
        """Prepare a pool; nothing is connected yet.

        Args:
            url: SQLAlchemy URL; an SQLite one names a file.
            shared: whether other processes use the same database; by default true for all but SQLite.

        Raises:
            StartupError: the URL cannot be understood, is SQLite in memory, or its driver is not installed.
        """
        self.url = _parsed(url)
        self._on_sqlite = self.url.get_backend_name() == "sqlite"
        self.shared = not self._on_sqlite if shared is None else shared
        arguments: dict[str, Any] = {}
        if self._on_sqlite:
            _make_private(self.url)
            arguments["connect_args"] = {"timeout": BUSY_SECONDS, "isolation_level": None}
        try:
            self._engine = create_engine(self.url, hide_parameters=True, **arguments)
        except (exc.ArgumentError, ImportError) as error:
            raise StartupError(f"Cannot use the control database {_shown(self.url)}: {error}.") from error
        if self._on_sqlite:
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._writer = self._engine.execution_options(vectrograph_writes=True)
        self._writing = threading.Lock()
        self._epoch = 0
        self._committed = 0
        in_a_file = self._on_sqlite and os.name != "nt" and "uri" not in self.url.query
        self._changes = ChangeCounter(Path(str(self.url.database))) if in_a_file else None
        self._reserve: Reserve | None = None
        self.on_commit: Callable[[int, bool], object] | None = None
        self.on_invalidation: Callable[[str | None], object] | None = None
        self._seen: tuple[int, int] = (-1, 0)

    def prepare(self) -> None:
        """Take the room that is kept for a full disk (see `reserve`). Without it, or on a read-only disk, go on."""
        descriptor = None if self._changes is None else self._changes.writable()
        if descriptor is None:
            return
        reserve = Reserve(Path(str(self.url.database)), descriptor)
        try:
            with self.read() as session:
                whole = reserve.is_whole(session.connection())
            if not whole:
                with self.connection() as connection:
                    reserve.prepare(connection)
        except (DomainError, OSError) as error:
            _log.warning("no space could be reserved for accounts on a full disk: %s", error)
        self._reserve = reserve

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Provide a bare connection in one write transaction, for migrations.

        Raises:
            Unavailable: see `translated`.
        """
        with self._writing, translated():
            with self._writer.begin() as connection:
                yield connection
            if self.on_commit is not None:
                self.on_commit(self.changes(), False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Provide a session that only reads.

        Raises:
            Unavailable: see `translated`.
        """
        with translated(), Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self, *, invalidates: bool = False, leaving: int = 0, routine: bool = False) -> Iterator[Session]:
        """Provide one transaction, committed and on disk when the block ends without an error.

        Args:
            invalidates: credentials that were good may be so no more; the epoch rises in the same transaction, and
                `on_invalidation` is called before this returns: with the account that `concerns` named, or None.
            leaving: pages of the reserve that it may not use: all of them where it adds data, none where it must work
                on a full disk too.
            routine: it changes no account and no key: the copy of the database may come later.

        Raises:
            OutOfSpace, StorageReadOnly, Unavailable: see `translated`; nothing was written.
        """
        with self._writing, translated(), Session(self._writer, expire_on_commit=False) as session:
            try:
                yield session
                if invalidates:
                    session.execute(update(Epoch).where(Epoch.epoch_id == _EPOCH_ID).values(value=Epoch.value + 1))
                if leaving and self._reserve is not None:
                    session.flush()
                    self._reserve.keep(session.connection(), leaving)
                session.commit()
                self._committed += int(invalidates)
                if self.on_commit is not None:
                    self.on_commit(self.changes(), routine)
            finally:
                # Also after a commit whose outcome is unknown: a needless rise costs a look-up, a missing one keeps
                # a dead key alive.
                if invalidates:
                    self._epoch += 1
                    if self.on_invalidation is not None:
                        self.on_invalidation(session.info.get(_ACCOUNT))

    def epoch_of_others(self) -> int:
        """Return a number that differs from earlier ones when another process has acknowledged a revocation.

        It may also differ for a moment while this process makes one.
        """
        return self.epoch() - self._epoch - self._committed

    def changes(self) -> int:
        """Return how often the file was changed; 0 where that is not counted."""
        return 0 if self._changes is None else self._changes.read()

    def epoch(self) -> int:
        """Return a number that differs from every earlier one once a revocation has been acknowledged."""
        if self.shared or self._changes is None:
            return self._stored_epoch() + self._epoch
        changes, value = self._seen
        now = self._changes.read()
        if now != changes:
            # The counter is read before the epoch: a commit in between is looked at again next time.
            value = self._stored_epoch()
            self._seen = (now, value)
        return value + self._epoch

    def _stored_epoch(self) -> int:
        with self.read() as session:
            return session.scalars(select(Epoch.value).where(Epoch.epoch_id == _EPOCH_ID)).one()

    def close(self) -> None:
        """Close every pooled connection; a later use opens new ones."""
        self._engine.dispose()
        if self._changes is not None:
            self._changes.close()

    def __repr__(self) -> str:
        return f"Database({_shown(self.url)!r})"


def concerns(session: Session, user_id: str) -> None:
    """Note that a transaction that invalidates credentials does so for one account only."""
    session.info[_ACCOUNT] = user_id


class ChangeCounter:
    """Return the change counter of a SQLite file: the number that SQLite itself keeps in bytes 24 to 27 of a file
    without write-ahead log (https://www.sqlite.org/fileformat2.html, section 1.3.6).

    It is read from a mapping of the file's beginning, without a system call: every request asks, and a system call
    gives the interpreter to another thread. The file stays open until `close`: closing any descriptor of it would drop
    the locks that SQLite holds on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._can_write = False
        self._header: mmap.mmap | None = None

    def read(self) -> int:
        """Return the number; 0 while the file is empty."""
        header = self._header
        if header is None:
            with self._lock:
                header = self._header = self._header or self._mapped()
            if header is None:
                return 0
        return int.from_bytes(header[24:28], "big")

    def writable(self) -> int | None:
        """Return a descriptor of the file that can be written, closed by `close`; None where the disk takes no
        writes.
        """
        with self._lock:
            if self._descriptor is None:
                self._open()
            return self._descriptor if self._can_write else None

    def _open(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            self._can_write = True
        except OSError:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def _mapped(self) -> mmap.mmap | None:
        """Return the first bytes of the file; None while it has none."""
        if self._descriptor is None:
            self._open()
        if self._descriptor is None:
            return None
        if os.fstat(self._descriptor).st_size < _HEADER_BYTES:
            return None
        return mmap.mmap(self._descriptor, _HEADER_BYTES, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Let the file go, once no connection to it is open."""
        with self._lock:
            if self._header is not None:
                self._header.close()
                self._header = None
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


@contextmanager
def translated() -> Iterator[None]:
    """Turn failures of the database into domain errors, without their SQL.

    Raises:
        InvalidArgument: a text in the request cannot be stored anywhere.
        OutOfSpace: the disk is full.
        StorageReadOnly: the disk refuses writes.
        Unavailable: the database does not answer, is locked, or is damaged.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidArgument("A text in the request is not valid Unicode: it has an unpaired surrogate.") from error
    except (exc.OperationalError, exc.DatabaseError, exc.TimeoutError) as error:
        if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
            raise
        raise _domain_error(error) from error


def _domain_error(error: exc.SQLAlchemyError) -> Unavailable:
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE_MASK
    if code == sqlite3.SQLITE_FULL:
        return OutOfSpace("The disk with the account database is full; free some space and try again.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageReadOnly("The account database cannot be written; check the disk and the permissions.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Unavailable("The account database is damaged; restore it from a backup.")
    return Unavailable("The account database does not respond; try again shortly.", retry_after=1.0)


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise StartupError("The URL of the control database is invalid; write sqlite:///FILE.") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StartupError("The control database must be a file, such as sqlite:///control.sqlite, not memory.")
    if parsed.get_backend_name() == "sqlite" and "uri" not in parsed.query:
        # Connections are made later, and the process may have changed its directory by then.
        return parsed.set(database=str(Path(str(parsed.database)).absolute()))
    return parsed


def _make_private(url: URL) -> None:
    """Create a missing SQLite file with mode 0600, which its journal inherits; SQLite would follow the umask."""
    if "uri" in url.query:
        return
    path = Path(str(url.database))
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except PermissionError:
        return  # A file that can only be read: opening it goes on, and a write says so.
    except OSError as error:
        if error.errno == errno.EROFS and path.exists():
            return
        raise StartupError(f"Cannot open the control database {path}: {error.strerror}.") from error


def _configure_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # The journal keeps its blocks between transactions, for the day the disk is full.
    cursor.execute("PRAGMA journal_mode=PERSIST")
    cursor.execute(f"PRAGMA journal_size_limit={2 * JOURNAL_BYTES}")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begin, which the driver leaves to us; a writer takes the lock before it reads what it acts on."""
    writes = connection.get_execution_options().get("vectrograph_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
