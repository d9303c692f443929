"""Proof that the account database is the right one and whole, and the copies that it can be restored from.

A record beside the database (`accounts.json`) holds the identity of the database, how far its commits went (the change
counter that SQLite keeps in the file's header) and now and then a checksum of the whole file at one such count. The
record is written after a commit and before its answer, so it never claims more than is on the disk. At the start a
database that is missing, damaged, another one, or an older copy of itself is refused in one sentence.

Copies are made in the background after every change of accounts and keys, and each hour after sessions and entries of
the audit record. Two are kept, each with its checksum.
"""

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vectrograph.domain.errors import StartupError

RECORD: Final = "accounts.json"
COPIES: Final = "accounts-copies"

# Copies that are kept: the newest, and one more in case the newest was made of bad content.
_KEPT: Final = 2
# Bytes of the record, always the same: it is overwritten in place and needs no room on a full disk.
_RECORD_BYTES: Final = 256
# Bytes read at a time for the checksum. Chosen: few calls, little memory.
_READ_BYTES: Final = 8 << 20
_IMPORTANT_DELAY_SECONDS: Final = 1.0
"""Seconds between a change that matters and its copy: several in a row share one."""

_ROUTINE_DELAY_SECONDS: Final = 3600.0
"""Seconds between routine changes and their copy."""

_CLOSE_SECONDS: Final = 1.5
"""Seconds that stopping waits for a copy that is being made; one that is not finished is made after the next start."""

_AFTER_START_SECONDS: Final = 10.0
"""Seconds after a start until changes are copied that were made before it, by a killed process say."""

_PAUSE_FACTOR: Final = 20
"""A copy is not begun before the last one's duration has passed this many times: at most 5 % of one core and disk."""

_FREE_FACTOR: Final = 4
"""A copy needs this multiple of its size free, so that copies never fill a disk."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """Knowledge of the data directory about its account database; `database` 0: there is none yet, on purpose."""

    database: int
    generation: int
    checked: int = 0
    crc: int = 0

    def encoded(self) -> bytes:
        """Return the file's content: always of the same length, so that it can be written in place on a full disk."""
        body = {
            "format": 1,
            "database": self.database,
            "generation": self.generation,
            "checked": self.checked,
            "crc": self.crc,
        }
        return _sealed(body).ljust(_RECORD_BYTES - 1) + b"\n"

    @classmethod
    def decoded(cls, content: bytes) -> "Record":
        """Return the record of a file's content.

        Raises:
            ValueError: it is damaged.
        """
        try:
            body = _unsealed(content)
            return cls(int(body["database"]), int(body["generation"]), int(body["checked"]), int(body["crc"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is not a record of accounts") from error


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of the account database. `at` is seconds since 1970, `generation` how far commits had gone."""

    path: Path
    database: int
    generation: int
    at: float
    sha256: str

    @property
    def when(self) -> str:
        """The time, for people."""
        return datetime.fromtimestamp(self.at, UTC).isoformat(sep=" ", timespec="seconds")


class Safekeeping:
    """Identity and copies of one account database, which is a SQLite file. Thread-safe.

    Args:
        path: of the database.
        directory: the data directory: where record and copies are.
    """

    def __init__(self, path: Path, directory: Path) -> None:
        self._path = path
        self._directory = directory
        self._record_path = directory / RECORD
        self._file: int | None = None
        self._lock = threading.Lock()
        self._record = Record(0, 0)
        self._counter: Callable[[], int] | None = None
        self._changed = threading.Condition()
        self._due: float | None = None
        self._copied = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._rest_until = 0.0
        self.began_before = False
        """True when the directory had accounts before this start; known after `require`."""

    def require(self) -> None:
        """Refuse to begin with a database that is not the one that was here, or not whole. Changes nothing.

        Raises:
            StartupError: it is missing, empty, damaged, of another directory, or older than it was.
        """
        record, problem = self._stored()
        self.began_before = record is not None and record.database != 0
        if _is_absent(self._path):
            if record is not None and record.database == 0:
                return
            if record is not None or problem or self.copies() or (self._directory / "signing.key").exists():
                what = "is empty" if self._path.exists() else "is missing"
                raise self._refused(f"{self._path} {what}, and there were accounts in it")
            return
        try:
            identity, generation = self._examined(record)
        except sqlite3.DatabaseError as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StartupError(f"The account database {self._path} cannot be read now: {error}.") from error
            raise self._refused(f"{self._path} is damaged ({error})") from error
        if problem:
            _log.warning("%s was damaged (%s) and was written again", self._record_path, problem)
        if record is None or record.database == 0:
            return
        if identity != record.database:
            raise self._refused(f"{self._path} is the account database of another data directory")
        if generation < record.generation:
            lost = record.generation - generation
            raise self._refused(
                f"{self._path} is an older copy of what was there: its last {lost} changes are missing, revocations "
                "of keys perhaps among them"
            )

    def adopt(self, counter: Callable[[], int] | None = None) -> None:
        """Record the database as it is, giving it an identity if it has none. On a read-only disk do nothing.

        Args:
            counter: reads the change counter, where SQLite of this process has the file; see `_generation`.
        """
        self._counter = counter
        try:
            with closing(_connected(self._path)) as connection:
                identity = _identity(connection)
                if identity == 0:
                    identity = int.from_bytes(os.urandom(4), "big") % (2**31 - 1) + 1
                    connection.execute(f"PRAGMA user_version = {identity}")
                connection.execute("BEGIN")
                record, _ = self._stored()
                generation = _generation(self._path) if counter is None else counter()
                known = record is not None and record.database == identity and generation >= record.generation
                checked, crc = (record.checked, record.crc) if known and record is not None else (0, 0)
                self._record = Record(identity, generation, checked, crc)
            self._file = os.open(self._record_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._file, self._record.encoded(), 0)
            os.fsync(self._file)
            _sync_directory(self._directory)
            if counter is not None and generation != checked:
                self._plan(_AFTER_START_SECONDS)
        except (OSError, sqlite3.Error) as error:
            _log.warning("the account database could not be recorded in %s: %s", self._record_path, error)

    def committed(self, generation: int, routine: bool) -> None:
        """Note a commit, before it is acknowledged.

        Args:
            generation: the change counter of the file after it.
            routine: a session, a last use or an audit entry: its copy may come later.
        """
        if self._file is None:
            return
        with self._lock:
            # Another process may have committed meanwhile, and may be about to write a greater number: a smaller one
            # in the record is a weaker claim, and a true one.
            self._record = replace(self._record, generation=generation)
            try:
                os.pwrite(self._file, self._record.encoded(), 0)
            except OSError as error:
                _log.error("%s could not be written: %s", self._record_path, error)
        self._plan(_ROUTINE_DELAY_SECONDS if routine else _IMPORTANT_DELAY_SECONDS)

    def _plan(self, seconds: float) -> None:
        """Make a copy in so many seconds at the latest."""
        with self._changed:
            due = time.monotonic() + seconds
            self._due = due if self._due is None else min(self._due, due)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vectrograph-accounts-copy", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def copy(self) -> None:
        """Make a copy now, and record the checksum of what was copied. Where there is too little room, say so."""
        with self._copied:
            began = time.monotonic()
            try:
                self._copy()
            except (OSError, sqlite3.Error) as error:
                _log.warning("the account database could not be copied: %s", error)
            self._rest_until = time.monotonic() + _PAUSE_FACTOR * (time.monotonic() - began)

    def copies(self) -> list[Copy]:
        """Return the copies, newest first, whole or not."""
        found = []
        with suppress(OSError):
            for path in (self._directory / COPIES).glob("*.json"):
                with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                    body = _unsealed(path.read_bytes())
                    copy = Copy(
                        path.with_suffix(".sqlite"), body["database"], body["generation"], body["at"], body["sha256"]
                    )
                    found.append(copy)
        return sorted(found, key=lambda copy: copy.at, reverse=True)

    def close(self) -> None:
        """Copy what was changed since the last copy, unless that was routine, and stop."""
        with self._changed:
            self._stopping = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(_CLOSE_SECONDS)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def restore(self, chosen: Copy) -> Path | None:
        """Put a copy in the place of the database, which is moved aside; nobody may have it open.

        Returns:
            Where the replaced database is now; None when there was none.

        Raises:
            StartupError: the copy is not whole, or the disk refuses; the database stands as it was.
        """
        if not is_whole(chosen):
            raise StartupError(f"The copy {chosen.path} is missing or damaged; choose another one.")
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        aside = self._path.with_name(f"{self._path.name}.replaced-{stamp}")
        fresh = self._path.with_name(f"{self._path.name}.restoring")
        try:
            _write_durably(fresh, chosen.path.read_bytes())
            replaced = None
            if self._path.exists():
                self._path.rename(aside)
                replaced = aside
            journal = self._path.with_name(f"{self._path.name}-journal")
            if journal.exists():
                # It belongs to what was replaced, and would be played back into the copy.
                journal.rename(aside.with_name(f"{aside.name}-journal"))
            fresh.rename(self._path)
            _sync_directory(self._path.parent)
            self._record_path.unlink(missing_ok=True)
            self.adopt()
        except OSError as error:
            raise StartupError(f"The copy {chosen.path} could not be put in place: {error}.") from error
        return replaced

    def accept(self) -> bool:
        """Record the database as it is now as the right one, or that there is none. False: there is none.

        Raises:
            StartupError: it is damaged.
        """
        if _is_absent(self._path):
            self._path.unlink(missing_ok=True)
            _write_durably(self._record_path, Record(0, 0).encoded())
            return False
        try:
            self._examined(None)
        except sqlite3.DatabaseError as error:
            raise StartupError(f"{self._path} is damaged ({error}) and cannot be used; restore a copy.") from error
        self._record_path.unlink(missing_ok=True)
        self.adopt()
        return True

    def recorded(self) -> Record | None:
        """Return the record of the data directory; None when it has none that can be read."""
        return self._stored()[0]

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping:
                    now = time.monotonic()
                    wait = None if self._due is None else max(self._due, self._rest_until) - now
                    if wait is not None and wait <= 0:
                        break
                    self._changed.wait(wait)
                matters = self._due is not None and self._due <= time.monotonic() + _IMPORTANT_DELAY_SECONDS
                self._due, stopping = None, self._stopping
            if matters or not stopping:
                self.copy()
            if stopping:
                return

    def _copy(self) -> None:
        directory = self._directory / COPIES
        size = self._path.stat().st_size
        room = os.statvfs(self._directory)
        if room.f_bavail * room.f_frsize < _FREE_FACTOR * size:
            _log.warning(
                "the account database is not copied: the disk has less than %d bytes free", _FREE_FACTOR * size
            )
            return
        directory.mkdir(mode=0o700, exist_ok=True)
        temporary = directory / "copying"
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(_connected(self._path)) as source, closing(sqlite3.connect(temporary)) as target:
            target.execute("PRAGMA synchronous=OFF")
            # One read transaction: writers wait, and counter and copy are of the same moment.
            source.execute("BEGIN")
            identity = _identity(source)
            generation = _generation(self._path) if self._counter is None else self._counter()
            source.backup(target)
            source.execute("ROLLBACK")
        crc = _checksum(temporary)
        with self._lock:
            self._record = replace(self._record, checked=generation, crc=crc)
            if self._file is not None:
                os.pwrite(self._file, self._record.encoded(), 0)
        with temporary.open("rb+") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        name = directory / f"{generation:010d}.sqlite"
        temporary.replace(name)
        body = {"database": identity, "generation": generation, "at": time.time(), "sha256": sha256}
        _write_durably(name.with_suffix(".json"), _sealed(body))
        kept = {each.path for each in [each for each in self.copies() if is_whole(each)][:_KEPT]}
        for path in directory.glob("*.sqlite"):
            if path not in kept:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink(missing_ok=True)

    def _stored(self) -> tuple[Record | None, str]:
        """Return the record, and what is wrong with it."""
        try:
            return Record.decoded(self._record_path.read_bytes()), ""
        except FileNotFoundError:
            return None, ""
        except (OSError, ValueError) as error:
            return None, str(error)

    def _examined(self, record: Record | None) -> tuple[int, int]:
        """Return identity and generation of a database that is whole as far as SQLite and the record can tell.

        Raises:
            sqlite3.DatabaseError: it is not.
        """
        with closing(_connected(self._path)) as connection:
            connection.execute("BEGIN")
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _damage(str(found).replace("\n", " "))
            identity = _identity(connection)
        # Not before SQLite has rolled back what a killed process left.
        generation = _generation(self._path)
        if record is not None and generation == record.checked and _checksum(self._path) != record.crc:
            raise _damage("its checksum is wrong")
        return identity, generation

    def _refused(self, what: str) -> StartupError:
        whole = [copy for copy in self.copies() if is_whole(copy)]
        restore = (
            f"Run `vectrograph accounts restore` to restore the copy of {whole[0].when}"
            if whole
            else "There is no copy here: restore your own backup"
        )
        return StartupError(
            f"{what}. {restore}, or `vectrograph accounts accept` to accept the current state. Nothing was changed."
        )


def _sealed(body: Mapping[str, object]) -> bytes:
    """Return JSON that carries its own checksum: a flipped digit would otherwise be another number."""
    return json.dumps({**body, "checksum": zlib.crc32(json.dumps(body).encode())}).encode()


def _unsealed(content: bytes) -> dict[str, Any]:
    """Return what `_sealed` was given.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is damaged.
    """
    body: dict[str, Any] = json.loads(content)
    if body.pop("checksum") != zlib.crc32(json.dumps(body).encode()):
        raise ValueError("its checksum is wrong")
    return body


def is_whole(copy: Copy) -> bool:
    """Return whether a copy is as it was written."""
    try:
        with copy.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == copy.sha256
    except OSError:
        return False


def _is_absent(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=PERSIST")
    return connection


def _identity(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _generation(path: Path) -> int:
    """Return the change counter of a file (https://www.sqlite.org/fileformat2.html, section 1.3.6).

    Opens and closes the file, which gives up the locks that SQLite of this process may hold on it: only for a file that
    this process is not using.
    """
    with path.open("rb") as file:
        return int.from_bytes(file.read(28)[24:], "big")


def _checksum(path: Path) -> int:
    """Return CRC-32 of a database, less what a copy has of its own: counters of changes and of schema, version of
    SQLite.

    As `_generation` only for a file that this process is not using.
    """
    with path.open("rb") as file:
        header = bytearray(file.read(100))
        page_bytes = int.from_bytes(header[16:18], "big")
        rest = (65536 if page_bytes == 1 else page_bytes) * int.from_bytes(header[28:32], "big") - len(header)
        for start, end in ((24, 28), (40, 44), (92, 100)):
            header[start:end] = bytes(end - start)
        crc = zlib.crc32(header)
        while rest > 0 and (piece := file.read(min(rest, _READ_BYTES))):
            crc = zlib.crc32(piece, crc)
            rest -= len(piece)
    return crc


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damage(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
