"""Files and directories that are on disk when a call returns, and that only their owner can read."""

import io
import os
import stat
from collections.abc import Container
from pathlib import Path
from typing import BinaryIO, Final, cast

# Only the owner reads and writes: points may be confidential.
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
"""Vectors, payloads and keys are the operator's own, whatever the umask says."""


def open_private(path: str | Path, flags: int) -> int:
    """Open a file for the owner alone, whatever the umask; a file that exists already becomes private too.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        if flags & os.O_CREAT and stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def create_file(path: Path) -> BinaryIO:
    """Begin a private file anew."""
    return cast(BinaryIO, io.open(path, "wb", opener=open_private))  # noqa: UP020 - the name that tests watch


def make_private(root: Path, *, below: Container[str] | None = None) -> int:
    """Take group and others out of the modes of a directory and of what is in it; return how many had them.

    Links are not followed, and the directory itself goes last: once it is private, everything in it is. A sticky
    directory such as /tmp belongs to many and stays as it is.

    Args:
        root: the directory.
        below: names of directories in it to go into, None for all.

    Raises:
        PermissionError: something belongs to somebody else.
        OSError: the disk refuses.
    """
    changed = 0
    for entry in os.scandir(root):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            changed += make_private(Path(entry.path)) if below is None or entry.name in below else 0
        elif stat.S_ISREG(mode) and mode & 0o077:
            os.chmod(entry.path, stat.S_IMODE(mode) & ~0o077)
            changed += 1
    mode = root.stat().st_mode
    if mode & 0o077 and not mode & stat.S_ISVTX:
        root.chmod(stat.S_IMODE(mode) & ~0o077)
        changed += 1
    return changed


def write_file(path: Path, content: bytes) -> None:
    """Replace a file whole: a crash leaves the old content or the new, never a mixture.

    Raises:
        OSError: the disk refuses; the old file stands.
    """
    temporary = path.with_name(path.name + ".tmp")
    with create_file(temporary) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Create a directory, and its parents, durably; one that exists is fine."""
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for directory in reversed(missing):
        try:
            directory.mkdir(DIRECTORY_MODE)
        except FileExistsError:
            if not directory.is_dir():
                raise
        else:
            directory.chmod(DIRECTORY_MODE)
        sync_directory(directory.parent)


def sync_directory(path: Path) -> None:
    """Put the entries of a directory on disk: created, renamed and removed names survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
