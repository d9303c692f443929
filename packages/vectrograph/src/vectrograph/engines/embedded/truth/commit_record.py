"""The record of the last commit: how far a collection has come, kept outside of its SQLite file and its log.

SQLite takes a missing or shorter log for the end of the history. After a crash the log holds acknowledged commits, so a
log that is lost, or a file that is replaced by an older copy, would take them along unnoticed. This record tells.

It is overwritten in place after every commit and before the answer, and never synced then. It survives the end of the
process, because the page cache does. After a power loss it may be older than the data, which is no damage. It is never
ahead of them: a commit is synced before it is recorded, and a checkpoint too.

The file has two slots, written in turn, each in a block of its own: a write that is torn leaves the other one.
"""

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from vectrograph.engines.embedded.disk.durable import open_private, sync_directory
from vectrograph.engines.embedded.disk.failures import Damaged

FILE_NAME: Final = "last-commit"

_MAGIC: Final = b"VGCOMMIT"
_BODY: Final = struct.Struct("<8sQqQQqB3x")
"""Magic, turn, created_at, seq, folded, reply_at, acknowledged."""
_CHECKSUM: Final = struct.Struct("<I")
_SLOT_BYTES: Final = 4096
"""Distance of the two slots: no disk writes larger blocks than this at once."""

_log = logging.getLogger(__name__)


class LastCommit(NamedTuple):
    """State of a collection after its last recorded commit.

    Attributes:
        created_at: of the collection, microseconds since 1970; tells its record from that of another collection.
        seq: the last change.
        folded: the last change that a complete checkpoint has brought into the SQLite file itself.
        reply_at: time of the newest idempotency record, 0 when there is none or it has expired.
        acknowledged: whether the creation of the collection was acknowledged.
    """

    created_at: int
    seq: int = 0
    folded: int = 0
    reply_at: int = 0
    acknowledged: bool = False


class CommitRecord:
    """The record of one collection. Whoever calls a method holds the lock of the collection.

    Its file is opened by the first write, and stays open until `close`: a commit costs one system call here. The owner
    closes it together with the connection that writes, so that collections that are left alone cost no descriptors.
    """

    def __init__(self, path: Path, last: LastCommit, turn: int) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._turn = turn
        self._complained = False
        self.last = last

    @classmethod
    def create(cls, directory: Path, last: LastCommit) -> "CommitRecord":
        """Write both slots of a new record, or of one that is of no use any more; it is on disk afterwards.

        Raises:
            OSError: the disk refuses.
        """
        path = directory / FILE_NAME
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT)
        try:
            for turn in (0, 1):
                os.pwrite(descriptor, _slot(last, turn), turn * _SLOT_BYTES)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(directory)
        return cls(path, last, 1)

    @classmethod
    def open(cls, directory: Path) -> "CommitRecord":
        """Open the record of a collection.

        Raises:
            Damaged: there is none, or no slot of it holds.
            OSError: the disk refuses.
        """
        turn, last = read_record(directory)
        return cls(directory / FILE_NAME, last, turn)

    def advance(self, seq: int, replied_at: int | None, expired: int) -> None:
        """Record a commit that is on disk.

        Args:
            seq: the last change of the collection.
            replied_at: time of the idempotency record that was part of it, if any.
            expired: idempotency records not younger than this were removed by it.
        """
        created_at, _, folded, reply_at, acknowledged = self.last
        if replied_at is not None:
            reply_at = replied_at
        if reply_at <= expired:
            reply_at = 0
        self.update(LastCommit(created_at, seq, folded, reply_at, acknowledged))

    def update(self, last: LastCommit) -> None:
        """Overwrite the older slot. A disk that refuses is logged: the record lags then, and nothing is lost."""
        self.last = last
        self._turn += 1
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            os.pwrite(self._descriptor, _slot(last, self._turn), self._turn % 2 * _SLOT_BYTES)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.error("%s cannot be written, so the loss of a log would not be noticed: %s", self._path, error)

    def close(self) -> None:
        """Give the descriptor back; the next write opens the file again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def renew(self, last: LastCommit) -> None:
        """Bring both slots up to date, unless they are."""
        if any(slot is None or slot[1] != last for slot in _slots(self._path)):
            self.update(last)
            self.update(last)

    def is_intact(self) -> bool:
        """Return whether both slots hold, and the newer one says what was written last."""
        slots = _slots(self._path)
        return None not in slots and slots[self._turn % 2] == (self._turn, self.last)


def read_record(directory: Path) -> tuple[int, LastCommit]:
    """Return the turn of the newer slot and what it says.

    Raises:
        Damaged: there is no record, or no slot of it holds.
    """
    intact = [slot for slot in _slots(directory / FILE_NAME) if slot is not None]
    if not intact:
        state = "damaged" if (directory / FILE_NAME).exists() else "missing"
        raise Damaged(
            f"the record of its last commit is {state}: what else is there may be whole or older, and repair takes it "
            "as it is"
        )
    return max(intact, key=lambda slot: slot[0])


def recorded_seq(directory: Path) -> int:
    """Return the last change that a record knows of, 0 when it knows of none."""
    return max((slot[1].seq for slot in _slots(directory / FILE_NAME) if slot is not None), default=0)


def was_acknowledged(directory: Path) -> bool:
    """Return whether a record says that the creation of its collection was acknowledged."""
    return any(slot is not None and slot[1].acknowledged for slot in _slots(directory / FILE_NAME))


def _slots(path: Path) -> list[tuple[int, LastCommit] | None]:
    try:
        content = path.read_bytes()[: 2 * _SLOT_BYTES]
    except FileNotFoundError:
        content = b""
    return [_parsed(content[start:][: _BODY.size + _CHECKSUM.size]) for start in (0, _SLOT_BYTES)]


def _slot(last: LastCommit, turn: int) -> bytes:
    body = _BODY.pack(_MAGIC, turn, *last)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _parsed(slot: bytes) -> tuple[int, LastCommit] | None:
    body, checksum = slot[: _BODY.size], slot[_BODY.size :]
    if checksum != _CHECKSUM.pack(zlib.crc32(body)) or not body.startswith(_MAGIC):
        return None
    _, turn, created_at, seq, folded, reply_at, acknowledged = _BODY.unpack(body)
    return turn, LastCommit(created_at, seq, folded, reply_at, bool(acknowledged))
