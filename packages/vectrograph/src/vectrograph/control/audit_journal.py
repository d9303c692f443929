"""A file of fixed size that holds audited acts from before they begin until their entry is in the account database.

The file has all its room from the start, so that a full disk stops neither the intent of an act nor its outcome. Each
act has one slot: the intent is synced before the act begins, the outcome is written over reserved bytes of the same
slot when it is over, and the slot becomes free once the database holds the entry. What a killed process left is found
by the next one: an intent without an outcome was interrupted, and nobody was told how it ended.
"""

import fcntl
import os
import secrets
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

SLOTS: Final = 256
"""Acts under way, or waiting for the database. 1 MiB of disk; 256 threads at most work on requests by default."""

# Bytes of a slot: a page of the file system, so that a write touches one page.
_SLOT_BYTES: Final = 4096
# Bytes of a slot for the intent; the remaining 512 are for the outcome.
_INTENT_BYTES: Final = 3584
# Bytes before each entry: its length and its CRC-32, four each.
_FRAME_BYTES: Final = 8


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """Content of an audit entry, outcome excepted. `ticket` ties an outcome to its intent."""

    ticket: int
    at: int
    tenant: str
    actor: str
    key_id: str | None
    action: str
    target: str
    address: str
    request_id: str


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The end of an act; `target` replaces the one of the intent where only the act could know it."""

    ticket: int
    outcome: str
    target: str | None


_encode: Final = msgspec.msgpack.Encoder().encode
_entries: Final = msgspec.msgpack.Decoder(Entry)
_outcomes: Final = msgspec.msgpack.Decoder(Outcome)


class JournalTaken(Exception):
    """Another process, or another store of this one, has the file."""


class AuditJournal:
    """One journal file, locked for as long as this object is open. Thread-safe.

    Attributes:
        was_cut: the file was missing or shorter than it is made, and what it held beyond is lost.

    Args:
        path: of the file; made with all its room when missing.

    Raises:
        JournalTaken: somebody else has it.
        OSError: the disk refuses it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise JournalTaken(str(path)) from error
            self.was_cut = _take_room(self._file)
        except BaseException:
            os.close(self._file)
            raise
        self._sync_turn = threading.Lock()
        self._count = threading.Lock()
        self._written = 0
        self._synced = 0

    def begin(self, slot: int, entry: Entry) -> None:
        """Put an intent on disk; many at once share one trip.

        Raises:
            OSError: the disk refuses; the slot is free.
        """
        page = _frame(_fitting(entry)).ljust(_SLOT_BYTES, b"\0")
        try:
            _write(self._file, page, slot * _SLOT_BYTES)
            with self._count:
                self._written += 1
                mine = self._written
            self._sync(mine)
        except OSError:
            self.free(slot)
            raise

    def end(self, slot: int, outcome: Outcome) -> None:
        """Write an outcome; it survives the end of this process, and the database has it soon.

        Raises:
            OSError: the disk refuses.
        """
        _write(self._file, _frame(_encode(outcome)), slot * _SLOT_BYTES + _INTENT_BYTES)

    def free(self, slot: int) -> None:
        """Empty a slot.

        Raises:
            OSError: the disk refuses.
        """
        _write(self._file, bytes(_FRAME_BYTES), slot * _SLOT_BYTES)

    def pending(self) -> Iterator[tuple[int, Entry, Outcome | None]]:
        """Yield slot, intent and outcome of every act that the database may not have yet."""
        for slot in range(SLOTS):
            page = os.pread(self._file, _SLOT_BYTES, slot * _SLOT_BYTES)
            intent = _unframed(page[:_INTENT_BYTES])
            if intent is None:
                continue
            try:
                entry = _entries.decode(intent)
                written = _unframed(page[_INTENT_BYTES:])
                outcome = None if written is None else _outcomes.decode(written)
            except msgspec.MsgspecError:
                # Torn by a power loss before it was synced: its act never began.
                continue
            yield slot, entry, outcome if outcome is not None and outcome.ticket == entry.ticket else None

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)

    def _sync(self, mine: int) -> None:
        with self._sync_turn:
            if self._synced >= mine:
                return
            with self._count:
                upto = self._written
            os.fdatasync(self._file)
            self._synced = upto


def new_ticket() -> int:
    """Return a number that no other intent has."""
    return secrets.randbits(63)


def _take_room(file: int) -> bool:
    """Write zeros to where the file is too short: allocated and initialised, so that a later sync moves no metadata.

    Returns:
        Whether it was too short.
    """
    size = os.fstat(file).st_size
    if size < SLOTS * _SLOT_BYTES:
        _write(file, bytes(SLOTS * _SLOT_BYTES - size), size)
        return True
    return False


def _write(file: int, content: bytes, offset: int) -> None:
    while content:
        done = os.pwrite(file, content, offset)
        content, offset = content[done:], offset + done


def _fitting(entry: Entry) -> bytes:
    """Return the intent, with a shorter target or request id where every character takes four bytes."""
    encoded = _encode(entry)
    if len(encoded) <= _INTENT_BYTES - _FRAME_BYTES:
        return encoded
    shorter = msgspec.structs.replace(entry, target=_cut(entry.target, 1024), request_id=_cut(entry.request_id, 128))
    return _encode(shorter)


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode("utf-8", "ignore")


def _frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + zlib.crc32(payload).to_bytes(4, "little") + payload


def _unframed(page: bytes) -> bytes | None:
    length = int.from_bytes(page[:4], "little")
    payload = page[_FRAME_BYTES : _FRAME_BYTES + length]
    whole = 0 < length == len(payload) and zlib.crc32(payload) == int.from_bytes(page[4:_FRAME_BYTES], "little")
    return payload if whole else None
