"""Saving what can be read of a damaged SQLite file into a fresh one, and telling what cannot.

The damaged file is never written to: it is moved to `damaged-N/` beside its successor. Points keep ids, versions,
times and labels. What is lost is named as far as the log of changes knows it, and deleted in that log, so that whoever
follows it learns of the loss.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from vectrograph.domain.collections import CollectionSpec, IdKind
from vectrograph.domain.points import MAX_SERIAL_ID, ChangeKind
from vectrograph.domain.queries import Include
from vectrograph.engines.embedded.disk.durable import make_directory, open_private, sync_directory
from vectrograph.engines.embedded.disk.failures import UNDECODABLE, Damaged
from vectrograph.engines.embedded.truth.batch import KINDS
from vectrograph.engines.embedded.truth.commit_record import CommitRecord, LastCommit
from vectrograph.engines.embedded.truth.first_page import remove_copy, sources
from vectrograph.engines.embedded.truth.manifest import FORMAT, spec_to_json
from vectrograph.engines.embedded.truth.records import (
    Record,
    change_checksum,
    reply_checksum,
    state_checksum,
    vector_checksum,
)
from vectrograph.engines.embedded.truth.row_reader import read_by_labels
from vectrograph.engines.embedded.truth.schema import FILE_NAME, creation_script, require_content

REPAIRED: Final = "repaired.sqlite"
"""A successor that is complete and on disk; putting it in place is finished at the next open if need be."""

# Points that are read together; when that fails, each half is read by itself.
_TOGETHER: Final = 128
_WHOLE: Final = Include(vector=True, payload=True, text=True)
_UNREADABLE: Final = (apsw.Error, Damaged, *UNDECODABLE)
_PUTS: Final = (ChangeKind.CREATED, ChangeKind.UPDATED)
_ID_SOURCES: Final = (
    "SELECT label, id FROM points ORDER BY id {}",
    "SELECT label, id FROM points NOT INDEXED ORDER BY label {}",
)
_SOURCES: Final = (
    "SELECT label FROM points INDEXED BY points_created ORDER BY created_seq {}",
    "SELECT label FROM points INDEXED BY points_version ORDER BY version {}",
    "SELECT label FROM points NOT INDEXED ORDER BY label {}",
    "SELECT label FROM vectors ORDER BY label {}",
)


@dataclass(slots=True)
class Salvaged:
    """Outcome of a salvage.

    Attributes:
        points: how many were read whole.
        lost: ids of points that were not, as far as they are known; None for one that is not.
        log_entries: of the log of changes.
        missing: first and last of the changes that were acknowledged and of which nothing is there.
        aside: where the damaged file is.
    """

    points: int = 0
    lost: list[str | None] = field(default_factory=list)
    log_entries: int = 0
    missing: tuple[int, int] | None = None
    aside: Path | None = None

    @property
    def extent(self) -> tuple[int, int]:
        """Return how much was read."""
        return self.points, self.log_entries

    @property
    def complete(self) -> bool:
        """Return whether nothing is known to be lost."""
        return not self.lost and self.missing is None

    def __str__(self) -> str:
        names = [repr(name) for name in self.lost if name is not None]
        unknown = len(self.lost) - len(names)
        listed = ", ".join([*names[:100], *([f"{len(names) - 100} more"] if len(names) > 100 else [])])
        loss = (
            f"{len(self.lost)} lost" + (f": {listed}" if listed else "") + (f" ({unknown} unknown)" if unknown else "")
        )
        gap = f"; changes {self.missing[0]} to {self.missing[1]} are lost with all they wrote" if self.missing else ""
        return f"{self.points} points salvaged, {loss}{gap}; the damaged file is kept in {self.aside}"


def salvage(directory: Path, spec: CollectionSpec, created_at: int, now: int, least_seq: int) -> Salvaged:
    """Replace the file of a collection that nobody has open by one of all that can be read.

    Args:
        directory: of the collection.
        spec: of the collection.
        created_at: microseconds since 1970.
        now: likewise, for what is deleted in the log.
        least_seq: a change that is known to have been made, so that no later one gets its number.

    Raises:
        Damaged: nothing at all can be read; nothing was changed.
        OSError, apsw.Error: the disk refuses; nothing was changed.
    """
    temporary = directory / f"{REPAIRED}.tmp"
    other = directory / f"{REPAIRED}-again.tmp"
    _remove(temporary)
    _remove(other)
    remove_copy(directory)
    require_content(directory / FILE_NAME)
    salvaged: Salvaged | None = None
    for source in sources(directory, spec.ids):
        with source as damaged:
            found = _copy(damaged, other, spec, created_at, now, least_seq)
        if found is not None and (salvaged is None or found.extent > salvaged.extent):
            other.replace(temporary)
            salvaged = found
        _remove(other)
        if salvaged is not None and salvaged.complete:
            break
    if salvaged is None:
        raise Damaged("nothing of it can be read; restore it from a backup")
    _sync(temporary)
    temporary.replace(directory / REPAIRED)
    sync_directory(directory)
    # Not before the successor is there: the old record is what tells that the damaged file is damaged.
    last = LastCommit(created_at, least_seq, acknowledged=True)
    CommitRecord.create(directory, last)
    salvaged.aside = finish_repair(directory)
    return salvaged


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def finish_repair(directory: Path) -> Path | None:
    """Put a successor in place, if there is one, and move what it replaces aside; where that is now.

    Can be interrupted anywhere and done again.
    """
    repaired = directory / REPAIRED
    if not repaired.exists():
        return None
    aside = _aside(directory)
    # The file first: without its log it would say something older.
    for suffix in ("", "-wal", "-shm"):
        path = directory / (FILE_NAME + suffix)
        if path.exists():
            path.replace(aside / path.name)
            sync_directory(aside)
            sync_directory(directory)
    repaired.replace(directory / FILE_NAME)
    sync_directory(directory)
    return aside


def _aside(directory: Path) -> Path:
    """Return a directory for what is replaced: that of an interrupted attempt, or a new one."""
    number = 1
    while (aside := directory / f"damaged-{number}").exists():
        interrupted = not (directory / FILE_NAME).exists() and not (directory / f"damaged-{number + 1}").exists()
        if interrupted:
            return aside
        number += 1
    make_directory(aside)
    return aside


def _copy(
    damaged: apsw.Connection, path: Path, spec: CollectionSpec, created_at: int, now: int, least_seq: int
) -> Salvaged | None:
    """Write all that can be read into a new file; None where nothing can."""
    salvaged = Salvaged()
    labels = _labels(damaged)
    log = _log_of(damaged)
    if not labels and not log:
        return None
    os.close(open_private(path, os.O_RDWR | os.O_CREAT))
    target = apsw.Connection(str(path))
    try:
        target.execute(creation_script(spec.ids, FORMAT))
        target.execute("BEGIN")
        taken, read = set[bytes](), set[int]()
        seen = max([0, *log, *_counter(damaged, "seq")])
        highest = max(least_seq, seen)
        for record in _readable(damaged, labels):
            read.add(record.label)
            if record.id not in taken:
                taken.add(record.id)
                _insert(target, record)
                highest = max(highest, record.version)
        gone = _lost(damaged, [label for label in labels if label not in read], log, taken)
        for seq, name in enumerate([name for name in gone if name is not None], highest + 1):
            log[seq] = (KINDS.index(ChangeKind.DELETED), name.encode(), now)
            highest = seq
        target.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", _log_rows(log))
        target.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)", _replies(damaged))
        serial = max([1, *_counter(damaged, "next_serial"), *_serials(spec, log, taken)])
        target.execute(
            "INSERT INTO state VALUES (1, ?, ?, ?, ?, ?, ?)",
            (
                highest,
                serial,
                len(taken),
                created_at,
                json.dumps(spec_to_json(spec)),
                state_checksum(highest, serial, len(taken)),
            ),
        )
        target.execute("COMMIT")
        target.pragma("journal_mode", "wal")
        target.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        target.close()
    salvaged.points, salvaged.lost, salvaged.log_entries = len(taken), gone, len(log)
    salvaged.missing = (seen + 1, least_seq) if seen < least_seq else None
    return salvaged


def _labels(damaged: apsw.Connection) -> list[int]:
    """Return every label that any table or index names, newest first; each is read from both ends as far as it goes."""
    found: set[int] = set()
    for source in _SOURCES:
        for direction in ("", "DESC"):
            found.update(row[0] for row in _rows(damaged, source.format(direction)) if _sane(row[0]))
    return sorted(found, reverse=True)


def _sane(number: object) -> bool:
    """Return whether a number can be a seq or an id, and not what a flipped bit made of one."""
    return isinstance(number, int) and 0 < number <= MAX_SERIAL_ID


def _rows(damaged: apsw.Connection, query: str) -> Iterator[Any]:
    """Yield rows up to the first that cannot be read."""
    try:
        yield from damaged.execute(query)
    except _UNREADABLE:
        return


def _readable(damaged: apsw.Connection, labels: Sequence[int]) -> Iterator[Record]:
    """Yield the points of these labels whose every checksum holds, newest first."""
    for start in range(0, len(labels), _TOGETHER):
        yield from _read(damaged, labels[start : start + _TOGETHER])


def _read(damaged: apsw.Connection, labels: Sequence[int]) -> list[Record]:
    try:
        records = read_by_labels(damaged, labels, _WHOLE)
        for record in records:
            record.point(_WHOLE)
    except _UNREADABLE:
        if len(labels) == 1:
            return []
        half = len(labels) // 2
        return _read(damaged, labels[:half]) + _read(damaged, labels[half:])
    return sorted(records, key=lambda record: -record.label)


def _insert(target: apsw.Connection, record: Record) -> None:
    target.execute(
        "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.label,
            record.id,
            record.version,
            record.created_seq,
            record.created_at,
            record.updated_at,
            record.payload,
            record.text,
            record.checksum(),
        ),
    )
    target.execute(
        "INSERT INTO vectors VALUES (?, ?, ?)",
        (record.label, record.vector, vector_checksum(record.label, record.vector or b"")),
    )


def _log_of(damaged: apsw.Connection) -> dict[int, tuple[int, bytes, int]]:
    """Return entries of the log of changes by seq, as far as they can be read from either end."""
    log: dict[int, tuple[int, bytes, int]] = {}
    for direction in ("", "DESC"):
        query = f"SELECT seq, kind, id, at, checksum FROM changes ORDER BY seq {direction}"  # noqa: S608
        for seq, kind, name, at, checksum in _rows(damaged, query):
            with suppress(*UNDECODABLE):
                if change_checksum(seq, kind, at, name) == checksum:
                    log[seq] = (kind, name, at)
    return dict(sorted(log.items()))


def _log_rows(log: dict[int, tuple[int, bytes, int]]) -> Iterator[tuple[int, int, bytes, int, int]]:
    for seq, (kind, name, at) in log.items():
        yield seq, kind, name, at, change_checksum(seq, kind, at, name)


def _lost(
    damaged: apsw.Connection, unread: Sequence[int], log: dict[int, tuple[int, bytes, int]], taken: set[bytes]
) -> list[str | None]:
    """Return ids of points that should be there and are not: put last and not deleted since, or named by some index.

    The log no longer tells of points that have not changed for long: these are named by their rows or the index of ids.
    """
    state: dict[bytes, bool] = {}
    put: set[bytes] = set()
    for kind, name, _ in log.values():
        state[name] = KINDS[kind] is not ChangeKind.DELETED
        if KINDS[kind] in _PUTS:
            put.add(name)
    lost = {name for name, there in state.items() if there and name not in taken}
    unknown = [label for label in unread if label not in log]
    named = set(_names(damaged, unknown).values()) - taken
    # Those whose put has left the log and whose patch has not are known by the patch, if by nothing else.
    patched = len(lost - put - named)
    missing = max(0, len(unknown) - len(named) - patched)
    return [*sorted(name.decode(errors="replace") for name in lost | named), *([None] * missing)]


def _names(damaged: apsw.Connection, labels: Sequence[int]) -> dict[int, bytes]:
    """Return the ids of points whose content cannot be read, as far as the table or the index of ids says them."""
    wanted = set(labels)
    if not wanted:
        return {}
    names: dict[int, bytes] = {}
    for source in _ID_SOURCES:
        for direction in ("", "DESC"):
            for label, name in _rows(damaged, source.format(direction)):
                if label in wanted and isinstance(name, bytes) and _is_text(name):
                    names.setdefault(label, name)
    return names


def _is_text(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False


def _counter(damaged: apsw.Connection, name: str) -> list[int]:
    return [row[0] for row in _rows(damaged, f"SELECT {name} FROM state") if _sane(row[0])]  # noqa: S608


def _serials(spec: CollectionSpec, log: dict[int, tuple[int, bytes, int]], taken: set[bytes]) -> list[int]:
    if spec.ids is not IdKind.SERIAL:
        return []
    return [int(name) + 1 for name in {*taken, *(name for _, name, _ in log.values())} if name.isdigit()]


def _replies(damaged: apsw.Connection) -> Iterator[Any]:
    columns = "principal, operation, key, body_hash, result, at, checksum"
    for row in _rows(damaged, f"SELECT {columns} FROM replies"):  # noqa: S608 - columns are constants
        if reply_checksum(*row[:-1]) == row[-1]:
            yield row


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
