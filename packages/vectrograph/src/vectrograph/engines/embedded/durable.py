"""Files and directories that are on disk when a call returns."""

import os
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Replace a file whole: a crash leaves the old content or the new, never a mixture.

    Raises:
        OSError: the disk refuses; the old file stands.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
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
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(path: Path) -> None:
    """Put the entries of a directory on disk: created, renamed and removed names survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
