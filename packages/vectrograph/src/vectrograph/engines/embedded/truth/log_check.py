"""Check that SQLite's log is whole: SQLite itself takes the first damaged frame for the end and forgets what follows.

That is right after a power loss, which tears at most the last transaction: every commit before it was synced. So a
commit behind the end that is itself followed by a frame of the same log was acknowledged once, and the log is damaged.
And a file that has folded in more than the log now reaches shows that the log lost its end. Damage to the last
transaction alone cannot be told from a power loss. https://sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

import apsw

from vectrograph.engines.embedded.disk.failures import UNDECODABLE, Damaged

_HEADER: Final = struct.Struct(">8I")
"""Magic, format, page size, checkpoint number, two salts, two checksums."""
_FRAME: Final = struct.Struct(">6I")
"""Page, size of the database after a commit (0 for others), two salts, two checksums."""
# First number of a write-ahead log; its last bit tells the byte order of checksums:
# https://sqlite.org/fileformat2.html, section 4.1.
_MAGIC: Final = 0x377F0682
_NOOP: Final = -1
"""SQLITE_CHECKPOINT_NOOP: tells how many frames hold, and changes nothing."""


def require_whole_log(connection: apsw.Connection, path: Path) -> None:
    """Compare what SQLite makes of a log with what is there; before anything is written.

    Args:
        connection: open on the file.
        path: of the file whose log it is.

    Raises:
        Damaged: commits that were acknowledged are not in what SQLite sees.
        apsw.Error: it cannot be read.
    """
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    try:
        with path.with_name(path.name + "-wal").open("rb") as file:
            frames, _ = connection.wal_checkpoint(mode=_NOOP)
            if _goes_on(file, max(frames, 0)):
                raise Damaged("its log is damaged in the middle, and commits behind that would be lost")
    except FileNotFoundError:
        return
    # A seq that is no integer is found when the counters are checked.
    visible: Any = connection.execute("SELECT seq FROM state WHERE typeof(seq) = 'integer'").fetchall()
    folded = folded_seq(path)
    if visible and folded is not None and folded > visible[0][0]:
        raise Damaged(f"its log ends at change {visible[0][0]}, and change {folded} was in it once")


def _goes_on(file: BinaryIO, frames: int) -> bool:
    """Return whether a commit follows behind so many good frames, and something of the same log behind it."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return False
    magic, _, page, _, *salts, first, second = _HEADER.unpack(header)
    if magic | 1 != _MAGIC | 1 or _checksum(header[:24], big=bool(magic & 1)) != (first, second):
        # Synced before the first frame: it is never torn.
        return True
    committed = False
    while True:
        file.seek(_HEADER.size + frames * (_FRAME.size + page))
        start = file.read(_FRAME.size)
        if len(start) < _FRAME.size:
            return False
        _, size, *own, _, _ = _FRAME.unpack(start)
        if own == salts:
            if committed:
                return True
            committed = size > 0
        frames += 1


def _checksum(data: bytes, *, big: bool) -> tuple[int, int]:
    """SQLite's own: two running sums over pairs of 32-bit words."""
    words = struct.unpack(f"{'>' if big else '<'}{len(data) // 4}I", data)
    one = two = 0
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def folded_seq(path: Path) -> int | None:
    """Return the last change in the file itself, without its log; None where that cannot be read."""
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        alone = apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags)
        try:
            rows: Any = alone.execute("SELECT seq FROM state").fetchall()
            return int(rows[0][0]) if rows else None
        finally:
            alone.close()
    except (apsw.Error, *UNDECODABLE):
        # In the middle of a checkpoint the file alone makes no sense, and need not.
        return None
