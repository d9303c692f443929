"""The truth about one collection: its SQLite file, the statements that read and write it, checkpoints."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

import apsw
import numpy as np

from vectrograph.domain.collections import CollectionSpec, IdKind
from vectrograph.domain.points import IdempotencyKey, Outcome, OutcomeStatus, WriteResult
from vectrograph.engines.embedded.disk.failures import UNDECODABLE, Damaged
from vectrograph.engines.embedded.disk.open_files import OpenFiles
from vectrograph.engines.embedded.rows.view import Addition, Labels
from vectrograph.engines.embedded.truth.batch import Batch
from vectrograph.engines.embedded.truth.commit_record import CommitRecord, LastCommit, read_record
from vectrograph.engines.embedded.truth.connections import (
    CONNECTION_FILES,
    ReaderPool,
    open_still,
    open_writer,
    write_transaction,
)
from vectrograph.engines.embedded.truth.log_check import folded_seq, require_whole_log
from vectrograph.engines.embedded.truth.manifest import FORMAT, spec_from_json, spec_to_json
from vectrograph.engines.embedded.truth.records import (
    BARE,
    CONTENT,
    Record,
    reply_checksum,
    state_checksum,
    vector_checksum,
)
from vectrograph.engines.embedded.truth.reply_limits import GROUPS
from vectrograph.engines.embedded.truth.row_reader import read_by_ids
from vectrograph.engines.embedded.truth.schema import (
    FILE_NAME,
    WRITER_SCHEMA,
    creation_script,
    require_content,
    require_header,
    require_schema,
)
from vectrograph.engines.embedded.truth.write_plan import Counters

# Bytes of a page: SQLite's default.
_PAGE_BYTES: Final = 4096
# Pages of the log after which it is folded into the file: 16 MiB. SQLite does so at 1,000 pages, within a commit.
_CHECKPOINT_PAGES: Final = 4096
_RESTART_PAGES: Final = 4 * _CHECKPOINT_PAGES
# Milliseconds that emptying the log waits for readers, with the lock of the collection: writers wait as well.
_RESTART_MILLISECONDS: Final = 50
# Times that pages are folded without the lock, before the rest is folded with it.
_ROUNDS: Final = 3
# Pages that may be left for that: 1 MiB, some milliseconds.
_LEFT_PAGES: Final = 256
# Bytes of vectors that opening reads at a time. Chosen: bounds memory.
_LOAD_BYTES: Final = 16 << 20
# Labels that opening reads at a time, for the same reason.
_LABELS_AT_A_TIME: Final = 100_000
_WRITER_FILES: Final = CONNECTION_FILES + 2
"""With the shared memory, of which a process has one descriptor for each file, and the record of the last commit."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Header:
    """Header of the file; `created_at` in microseconds since 1970."""

    spec: CollectionSpec
    created_at: int
    counters: Counters


class OldestChange(NamedTuple):
    """The oldest change of a log; `at` in microseconds since 1970."""

    seq: int
    at: int


class Store:
    """One SQLite file. Whoever calls a method that writes holds the collection's lock.

    Its connections are opened when they are needed, and closed when others need the descriptors: see `open_files`.

    Args:
        directory: of the collection.
        vfs: name of the SQLite VFS to use, None for the usual one.
        ids: kind of the ids of the collection, None where nothing but the file tells it.
        page_bytes: creates the file with pages of that size.
        read_only: the disk takes no writes.
        open_files: whose descriptors are used.
    """

    def __init__(
        self,
        directory: Path,
        vfs: str | None,
        ids: IdKind | None,
        page_bytes: int | None = None,
        *,
        read_only: bool = False,
        open_files: OpenFiles,
    ) -> None:
        self._path, self._vfs, self._ids = directory / FILE_NAME, vfs, ids
        self._read_only = read_only
        self.record: CommitRecord | None = None
        self._open_files = open_files
        self._lock: Lock | None = None
        self._used_at = 0.0
        self._parked_seq: int | None = None
        self._folding = False
        self._checkpointed = 0
        self._open_writer: apsw.Connection | None = None
        self.readers = ReaderPool(
            self._path,
            vfs,
            read_only=read_only,
            opening=self._open_reader,
            on_closed=lambda count: self._open_files.give_back(self, CONNECTION_FILES * count),
        )
        self._connect_writer(page_bytes)

    # ------------------------------------------------------------ descriptors

    def parkable(self, lock: Lock) -> None:
        """Let the connections be closed while nobody uses them; `lock` is the collection's."""
        self._lock = lock

    @property
    def used_at(self) -> float:
        """Time of the last use of a connection, in `time.monotonic()` seconds."""
        return max(self._used_at, self.readers.used_at)

    def park(self) -> bool:
        """Close all connections, unless one is in use; see `Owner.park`."""
        lock = self._lock
        if lock is None or not lock.acquire(blocking=False):
            return False
        try:
            # Writers last: who only reads cannot leave the log in order.
            if self._folding or self._open_writer is None or not self.readers.close_idle():
                return self._open_writer is None and self.readers.close_idle()
            self._parked_seq = self._seq(self._open_writer)
            self._close_writer()
            return True
        except apsw.Error as error:
            _log.warning("the connections to %s were not closed: %s", self._path, error)
            return False
        finally:
            lock.release()

    @property
    def writer(self) -> apsw.Connection:
        """The connection that writes, opened if it is not; for the holder of the collection's lock."""
        self._used_at = time.monotonic()
        return self._connect_writer() if self._open_writer is None else self._open_writer

    def _connect_writer(self, page_bytes: int | None = None) -> apsw.Connection:
        def connect() -> apsw.Connection:
            if page_bytes is None:
                require_content(self._path)
            if self._read_only:
                connection = open_still(self._path)
            else:
                connection = open_writer(self._path, self._vfs, page_bytes=page_bytes)
            try:
                if page_bytes is None:
                    require_header(connection, FORMAT)
                    require_schema(connection, self._ids)
                    self._require_writable(connection)
                if not self._read_only:
                    connection.execute(WRITER_SCHEMA)
            except BaseException:
                connection.close()
                raise
            return connection

        writer = self._open_files.open(self, _WRITER_FILES, connect)
        self._open_writer = writer
        if self._parked_seq is not None:
            self._require_all_of_parked(writer)
            # The pages that lie in the log already.
            self._checkpointed = self._pages_written() - _size(self._log_path) // _PAGE_BYTES
        return writer

    def _require_writable(self, connection: apsw.Connection) -> None:
        """Refuse a header that keeps SQLite from writing to a file that can be written.

        Raises:
            Damaged: that is so.
        """
        if not self._read_only and connection.readonly("main") and os.access(self._path, os.W_OK):
            raise Damaged("its file says that it must not be written by this version of SQLite")

    def _open_reader(self, connect: Callable[[], apsw.Connection]) -> apsw.Connection:
        reader = self._open_files.open(self, CONNECTION_FILES, connect)
        try:
            require_schema(reader, self._ids)
            self._require_all_of_parked(reader)
        except BaseException:
            reader.close()
            self._open_files.give_back(self, CONNECTION_FILES)
            raise
        return reader

    def _require_all_of_parked(self, connection: apsw.Connection) -> None:
        """Compare what a new connection sees with what was there when the last one was closed.

        Raises:
            Damaged: something is missing.
        """
        parked = self._parked_seq
        if parked is not None and (found := self._seq(connection)) < parked:
            raise Damaged(f"its last change is {found}, and change {parked} was there when its file was closed")

    @staticmethod
    def _seq(connection: apsw.Connection) -> int:
        rows: Any = connection.execute("SELECT seq FROM state").fetchall()
        return int(rows[0][0]) if rows else 0

    def _close_writer(self) -> None:
        if self.record is not None:
            self.record.close()
        writer, self._open_writer = self._open_writer, None
        if writer is not None:
            writer.close()
            self._open_files.give_back(self, _WRITER_FILES)

    @property
    def _log_path(self) -> Path:
        return self._path.with_name(self._path.name + "-wal")

    # ------------------------------------------------------------ opening

    @classmethod
    def create(
        cls,
        directory: Path,
        spec: CollectionSpec,
        created_at: int,
        vfs: str | None,
        open_files: OpenFiles,
    ) -> "Store":
        """Return a new, empty file, on disk with all of its tables."""
        store = cls(directory, vfs, spec.ids, _PAGE_BYTES, open_files=open_files)
        store.writer.execute(creation_script(spec.ids, FORMAT))
        store.writer.execute(
            "INSERT INTO state VALUES (1, 0, 1, 0, ?, ?, ?)",
            (created_at, json.dumps(spec_to_json(spec)), state_checksum(0, 1, 0)),
        )
        store.checkpoint()
        store.record = CommitRecord.create(directory, LastCommit(created_at))
        return store

    def acknowledged(self) -> None:
        """Record that the collection is there: from now on nothing but `drop` removes it."""
        if self.record is not None:
            self.record.update(self.record.last._replace(acknowledged=True))
            if self._open_writer is None:
                self.record.close()

    def recover(self, *, recorded: bool) -> None:
        """Make sure that everything acknowledged is there, and fold in the log that a dead process left.

        Args:
            recorded: False for a collection that was made before there were records of the last commit.

        Raises:
            Damaged: commits that were acknowledged are missing.
            apsw.Error: it cannot be read.
        """
        if self._read_only:
            if recorded:
                self._require_all_of(read_record(self._path.parent)[1])
            return
        require_whole_log(self.writer, self._path)
        header = self.header()
        if recorded:
            self.record = CommitRecord.open(self._path.parent)
            self._require_all_of(self.record.last)
        else:
            self.record = CommitRecord.create(self._path.parent, LastCommit(header.created_at))
        # One of the same time may be older than the data, after a power loss.
        current = self.record.last._replace(seq=header.counters.seq, acknowledged=True)
        try:
            # What lies behind the good frames goes, before a second crash could make it look like lost commits.
            if self.checkpoint():
                current = current._replace(folded=header.counters.seq)
        except (apsw.FullError, apsw.ReadOnlyError, apsw.IOError) as error:
            _log.warning("the log of %s is not folded in yet: %s", self._path, error)
        self.record.renew(current)

    def renew_record(self) -> None:
        """Write the record of the last commit anew, from what was written to it."""
        if self.record is not None:
            self.record.close()
            self.record = CommitRecord.create(self._path.parent, self.record.last)

    def _require_all_of(self, last: LastCommit) -> None:
        """Compare the file and its log with the record of the last commit.

        Raises:
            Damaged: the record knows of something that is not there.
        """
        header = self.header()
        if header.created_at != last.created_at:
            raise Damaged("the record of its last commit is from another collection")
        seq = header.counters.seq
        if seq < last.seq:
            raise Damaged(
                f"its last change is {seq}, and change {last.seq} was acknowledged: its log or its file was lost, or "
                "replaced by an older one; if this was intended, `repair` accepts the current state"
            )
        folded = folded_seq(self._path)
        if folded is not None and folded < last.folded:
            raise Damaged(
                f"the file without its log ends at change {folded}, but it once contained change {last.folded}: it was "
                "replaced by an older one"
            )
        if last.reply_at and not self.writer.execute("SELECT 1 FROM replies WHERE at = ?", (last.reply_at,)).fetchall():
            raise Damaged("its newest idempotency record was acknowledged and is missing")

    def header(self) -> Header:
        """Read what the file says about itself.

        Raises:
            Damaged: it is not one of ours.
        """
        rows: Any = self.writer.execute(
            "SELECT spec, created_at, seq, next_serial, count, checksum FROM state"
        ).fetchall()
        if len(rows) != 1:
            raise Damaged("the file has no state")
        spec, created_at, seq, next_serial, count, checksum = rows[0]
        try:
            if state_checksum(seq, next_serial, count) != checksum:
                raise Damaged("the checksum of its counters is wrong")
            return Header(spec_from_json(json.loads(spec)), created_at, Counters(seq, next_serial, count))
        except UNDECODABLE as error:
            raise Damaged(f"the description in the file is invalid ({error})") from error

    def additions(self, last: int, dimension: int) -> Iterator[Addition]:
        """Yield all vectors whose labels are above `last`, 16 MB at a time, each checked.

        Raises:
            Damaged: a vector is missing, has the wrong length or another checksum.
        """
        step = max(1, _LOAD_BYTES // (4 * dimension))
        while (addition := self._load_after(last, step, dimension)) is not None:
            yield addition
            last = int(addition.labels[-1])

    def labels_until(self, last: int) -> Labels:
        """Return the labels of all points up to one, ascending; read from an index, not from the points.

        Raises:
            Damaged: a seq is no number.
        """
        parts: list[Labels] = []
        first = -1
        while True:
            # An expression that the index on created_seq covers: it holds labels too, and no payloads.
            row: Any = self.writer.execute(
                "SELECT group_concat(label), max(created_seq), count(*) FROM (SELECT label, created_seq FROM points"
                " INDEXED BY points_created WHERE created_seq > ? ORDER BY created_seq LIMIT ?)",
                (first, _LABELS_AT_A_TIME),
            ).fetchall()[0]
            if row[0] is None:
                break
            if type(row[1]) is not int:
                # SQLite sorts texts and blobs behind all numbers and would give them again and again.
                raise Damaged(f"the seq of a point is {row[1]!r}")
            parts.append(np.array(json.loads(f"[{row[0]}]"), np.int64))
            first = row[1]
        labels = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return np.sort(labels[labels <= last])

    def count(self) -> int:
        """Return how many points the table has, counted."""
        rows: Any = self.writer.execute("SELECT count(*) FROM points").fetchall()
        return int(rows[0][0])

    def change(self, seq: int) -> str:
        """Return what the log says of one change, "" when it says nothing; also of one that was only set aside."""
        rows: Any = self.writer.execute(
            "SELECT kind, hex(id), at FROM changes WHERE seq IN (?, ?)", (seq, -seq)
        ).fetchall()
        return f"{rows[0][0]} {rows[0][1]} {rows[0][2]}" if rows else ""

    def oldest_change(self) -> OldestChange | None:
        """Return the oldest change of the log, None of an empty one."""
        rows: Any = self.writer.execute("SELECT seq, at FROM changes WHERE seq > 0 ORDER BY seq LIMIT 1").fetchall()
        return OldestChange(*rows[0]) if rows else None

    def trim_log(self, first_kept: int, last_expired: int, portion: int, named: Sequence[int]) -> bool:
        """Remove the oldest changes from the log, in one transaction; the newest one stays.

        Args:
            first_kept: changes before this one go.
            last_expired: changes that are not younger than this go, microseconds since 1970.
            portion: changes that go at most.
            named: changes that files of the index name. The index is believed because the log says the same of them, so
                they are set aside: their seq becomes negative.

        Returns:
            Whether a whole portion went, so that there may be more.
        """
        rows: Any = self.writer.execute(
            "SELECT min(seq), min(iif(seq >= ? AND at > ?, seq, NULL)), max(seq), (SELECT max(seq) FROM changes)"
            " FROM (SELECT seq, at FROM changes WHERE seq > 0 ORDER BY seq LIMIT ?)",
            (first_kept, last_expired, portion),
        ).fetchall()
        oldest, first, last, newest = rows[0]
        if oldest is None:
            return False
        begin = min(last + 1 if first is None else first, newest)
        if begin == oldest:
            return False
        with write_transaction(self.writer):
            if any(oldest <= seq < begin for seq in named):
                names = json.dumps(named)
                self.writer.execute(
                    "DELETE FROM changes WHERE seq < 0 AND -seq NOT IN (SELECT value FROM json_each(?))", (names,)
                )
                self.writer.execute(
                    "UPDATE changes SET seq = -seq"
                    " WHERE seq BETWEEN 1 AND ? AND seq IN (SELECT value FROM json_each(?))",
                    (begin - 1, names),
                )
            self.writer.execute("DELETE FROM changes WHERE seq BETWEEN 1 AND ?", (begin - 1,))
        return first is None and begin > last

    def _load_after(self, last: int, step: int, dimension: int) -> Addition | None:
        row: Any = self.writer.execute(
            "SELECT group_concat(label || ',' || created_seq || ',' || ifnull(checksum, -1)),"
            " CAST(group_concat(ifnull(vector, x''), '') AS BLOB)"
            " FROM (SELECT p.label, p.created_seq, v.vector, v.checksum FROM points AS p"
            " LEFT JOIN vectors AS v ON v.label = p.label WHERE p.label > ? ORDER BY p.label LIMIT ?)",
            (last, step),
        ).fetchall()[0]
        if row[0] is None:
            return None
        try:
            numbers = np.array(json.loads(f"[{row[0]}]"), np.int64).reshape(-1, 3)
        except UNDECODABLE as error:
            raise Damaged(f"the numbers of the points after {last} cannot be decoded: {error}") from error
        labels, created, stored = numbers[:, 0].copy(), numbers[:, 1].copy(), memoryview(row[1])
        size = 4 * dimension
        if len(stored) != size * len(labels):
            raise Damaged("a vector is missing or has the wrong length")
        for nth, (label, checksum) in enumerate(numbers[:, [0, 2]].tolist()):
            if vector_checksum(label, stored[nth * size : (nth + 1) * size]) != checksum:
                raise Damaged(f"the checksum of the vector labelled {label} does not hold")
        vectors = np.frombuffer(stored, "<f4").reshape(-1, dimension).astype(np.float32, copy=False)
        return Addition(vectors, labels, created)

    # ------------------------------------------------------------ for the writer

    def lookup(self, ids: Sequence[str], *, content: bool) -> dict[str, Record]:
        """Return the stored points of these ids, with payload and text when `content`."""
        encoded = [each.encode() for each in ids]
        found = read_by_ids(self.writer, encoded, CONTENT if content else BARE)
        return {record.id.decode(): record for record in found}

    def reply_to(self, key: IdempotencyKey, since: int) -> tuple[str, WriteResult] | None:
        """Return body hash and result remembered under a key after `since` (microseconds since 1970), if any."""
        rows: Any = self.writer.execute(
            "SELECT body_hash, result, at, checksum FROM replies"
            " WHERE principal = ? AND operation = ? AND key = ? AND at > ?",
            (key.principal, key.operation, key.key, since),
        ).fetchall()
        if not rows:
            return None
        body_hash, stored, at, checksum = rows[0]
        if reply_checksum(key.principal, key.operation, key.key, body_hash, stored, at) != checksum:
            raise Damaged(f"the checksum of the record of idempotency key {key.key!r} does not hold")
        result = json.loads(stored)
        outcomes = tuple(Outcome(name, OutcomeStatus(status), version) for name, status, version in result["outcomes"])
        return body_hash, WriteResult(seq=result["seq"], outcomes=outcomes, at=at, replayed=True)

    def reply_sizes(self) -> list[tuple[int, int, int]]:
        """Return idempotency records in groups, oldest first: time of the newest one, how many, bytes of their
        outcomes.
        """
        # One row, because each row costs the interpreter's lock; octet_length does not read the outcomes.
        rows: Any = self.writer.execute(
            "SELECT json_group_array(json_array(until, number, size)) FROM ("
            " SELECT max(at) AS until, count(*) AS number, sum(size) AS size FROM ("
            "  SELECT at, octet_length(result) AS size, ntile(?) OVER (ORDER BY at) AS part FROM replies"
            " ) GROUP BY part ORDER BY part)",
            (GROUPS,),
        ).fetchall()
        return [(until, number, size) for until, number, size in json.loads(rows[0][0])]

    def apply(self, batch: Batch) -> None:
        """Commit a batch: when this returns it is on disk; when it raises, `header` tells whether it is."""
        statements = batch.statements()
        first, second = next(statements), next(statements, None)
        if second is None:
            self.writer.execute(*first)
            return
        with write_transaction(self.writer):
            for statement, values in chain((first, second), statements):
                self.writer.execute(statement, values)

    def recorded(self, batch: Batch) -> None:
        """Record a batch that is on disk as the last commit."""
        if self.record is not None:
            self.record.advance(batch.seq, batch.at if batch.reply is not None else None, batch.expired)

    @property
    def checkpoint_due(self) -> bool:
        """Return whether the log has grown by 16 MB since it was folded into the file; whoever asks holds the lock."""
        return self._pages_written() - self._checkpointed >= _CHECKPOINT_PAGES

    def fold(self, writing: Callable[[], AbstractContextManager[object]]) -> None:
        """Fold the log into the file on a connection of its own, while others write.

        What is left in the end, little, is folded under the lock, so that the next write finds a log it can begin anew.
        Readers that are in the way are waited for only when the log has become much larger, and then briefly.

        Args:
            writing: takes the lock of the collection.
        """
        self._folding = True
        try:
            folder = self._open_files.open(self, CONNECTION_FILES, lambda: open_writer(self._path, self._vfs))
            try:
                self._fold(folder, writing)
            finally:
                folder.close()
                self._open_files.give_back(self, CONNECTION_FILES)
        finally:
            self._folding = False

    def _fold(self, folder: apsw.Connection, writing: Callable[[], AbstractContextManager[object]]) -> None:
        for _ in range(_ROUNDS):
            log, folded = folder.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if log - folded <= _LEFT_PAGES:
                break
        with writing():
            large = self._pages_written() - self._checkpointed >= _RESTART_PAGES
            folder.set_busy_timeout(_RESTART_MILLISECONDS)
            mode = apsw.SQLITE_CHECKPOINT_RESTART if large else apsw.SQLITE_CHECKPOINT_PASSIVE
            self._checkpoint(folder, mode)

    def checkpoint(self) -> bool:
        """Fold the whole log into the file and empty it; False when readers were in the way for too long."""
        self.writer.set_busy_timeout(1_000)
        return self._checkpoint(self.writer, apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _checkpoint(self, connection: apsw.Connection, mode: int) -> bool:
        try:
            log, folded = connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return False
        if log == folded:
            self._checkpointed = self._pages_written()
            if self.record is not None:
                # All of the log is in the file, and the file was synced. A batch that is not recorded yet is too.
                # A record that was removed or replaced meanwhile is noticed here, not at the next start alone.
                self.record.close()
                self.record.update(self.record.last._replace(folded=self.record.last.seq))
        return log == folded

    def _pages_written(self) -> int:
        return self.writer.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]

    def close(self, *, fold: bool = True) -> None:
        """Empty the log and let go of the file, waiting up to ten seconds for readers.

        Args:
            fold: False leaves the log for the next open, which is quicker.
        """
        parked = self._open_writer is None
        if self._read_only or not fold or (parked and not _size(self._log_path)):
            self.abandon()
            return
        self.readers.close(timeout=10.0)
        self.checkpoint()
        self.writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self._close_writer()
        self.record = None

    def abandon(self) -> None:
        """Let go of a file that is damaged or about to be removed, leaving file and log as they are.

        Readers finish on what they have open.
        """
        self.readers.close(timeout=0.0)
        self._close_writer()
        self.record = None


def _size(path: Path) -> int:
    """Return bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
