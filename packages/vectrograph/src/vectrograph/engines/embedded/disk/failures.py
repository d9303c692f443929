"""From what SQLite and the disk say to errors of the domain."""

import errno
import json
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from vectrograph.domain.errors import CollectionQuarantined, DomainError, InternalError, OutOfSpace, StorageReadOnly
from vectrograph.engines.embedded.disk.open_files import exhausted, is_exhausted

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


class Damaged(Exception):
    """Stored bytes are not what was written: a checksum, a length or a count does not hold."""


class DamagedIndex(Exception):
    """A derived file is missing, foreign, cut short, of another format, or its checksum is wrong: rebuild it."""


DAMAGE: Final = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.SQLError,
    apsw.SchemaChangeError,
    apsw.ConstraintError,
    Damaged,
    UnicodeDecodeError,
    json.JSONDecodeError,
    msgspec.DecodeError,
)
"""Errors of stored bytes that are not what was written; whatever was written could be decoded.

Our statements are constants, nothing that a caller sends is part of their text, and the tests run each of them. So one
that fails (`SQLError`), finds another schema (`SchemaChangeError`) or breaks a rule of its table (`ConstraintError`)
has met a file that we did not write so. `RangeError` and `MismatchError` tell of the values that we bind.
"""


UNDECODABLE: Final = (
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    AttributeError,
    msgspec.DecodeError,
)
"""Errors of decoding stored values whose type or range is not what was written: one flipped bit makes a number of a
text, or NULL of either. Code that decodes turns them into `Damaged`."""


@contextmanager
def storage_errors(directory: Path, name: str, on_damage: Callable[[str], None]) -> Iterator[None]:
    """Turn failures of storage into errors of the domain.

    Args:
        directory: of the collection, to see whether its disk is full or read-only.
        name: of the collection, for the message.
        on_damage: told what is wrong when the file turns out to be damaged.

    Raises:
        OutOfSpace, StorageReadOnly, CollectionQuarantined, InternalError.
    """
    try:
        yield
    except DAMAGE as error:
        problem = f"{type(error).__name__}: {error}"
        on_damage(problem)
        raise quarantined(name, problem) from error
    except (apsw.Error, OSError) as error:
        raise _translate(error, directory, name) from error


def quarantined(name: str, problem: str) -> CollectionQuarantined:
    """Return the error of a collection that is set aside; callers are not told the problem, which may name files."""
    error = CollectionQuarantined(
        f"The data of collection {name!r} is damaged and quarantined; all others work. The server's log has the "
        "reason. Repair it, restore it from a backup, or drop it.",
        details={"collection": name},
    )
    error.problem = problem
    return error


def _translate(error: apsw.Error | OSError, directory: Path, name: str) -> DomainError:
    if is_exhausted(error):
        return exhausted()
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, apsw.FullError) or number in _FULL:
        return OutOfSpace(
            f"The disk with {name!r} is full and nothing was written; free some space. Reads still work.",
            details={"collection": name},
        )
    if isinstance(error, apsw.ReadOnlyError) or number in _READ_ONLY or _is_read_only(directory):
        return StorageReadOnly(
            f"The disk with {name!r} is read-only and nothing was written; make it writable. Reads still work.",
            details={"collection": name},
        )
    return InternalError(f"Storage of collection {name!r} failed: {type(error).__name__}: {error}")


def _is_read_only(directory: Path) -> bool:
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False
