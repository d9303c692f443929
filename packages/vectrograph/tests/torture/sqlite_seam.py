"""SQLite's side of the seam: a VFS over the usual one that passes every change through an observer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import apsw

from torture.seam import VFS_NAME, Event, Kind, Seam


class _File(apsw.VFSFile):
    def __init__(self, seam: Seam, name: Any, flags: list[int]) -> None:
        self._seam = seam
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        existed = os.path.exists(self._path)
        # As SQLite's own VFS does (`isNewJrnl` in os_unix.c): the first sync of a log by each connection that may
        # create it also syncs the directory, also where the file was there already. `test_sqlite_seam` compares.
        journal = flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL)
        self._directory_due = bool(journal and flags[0] & apsw.SQLITE_OPEN_CREATE)
        self._file, _ = seam.opened(self._path, partial(super().__init__, "", name, flags), existed=existed)

    def xWrite(self, data: Any, offset: int) -> None:
        event = Event(Kind.WRITE, self._path, self._file, offset, bytes(data))
        self._seam.perform(event, partial(super().xWrite, data, offset))

    def xTruncate(self, size: int) -> None:
        self._seam.perform(Event(Kind.TRUNCATE, self._path, self._file, size), partial(super().xTruncate, size))

    def xSync(self, flags: int) -> None:
        self._seam.perform(Event(Kind.SYNC, self._path, self._file), partial(super().xSync, flags))
        if self._directory_due:
            self._directory_due = False
            self._seam.perform(Event(Kind.SYNC_DIRECTORY, os.path.dirname(self._path)), lambda: None)


class _Vfs(apsw.VFS):
    def __init__(self, seam: Seam) -> None:
        self._seam = seam
        super().__init__(VFS_NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("", name, flags)
        return _File(self._seam, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._seam.unlink(filename, partial(super().xDelete, filename, syncdir))
        if syncdir:
            self._seam.perform(Event(Kind.SYNC_DIRECTORY, os.path.dirname(filename)), lambda: None)


@contextmanager
def vfs(seam: Seam) -> Iterator[str]:
    """Provide the name of a VFS that speaks to the seam, for the length of the block."""
    registered = _Vfs(seam)
    try:
        yield VFS_NAME
    finally:
        registered.unregister()
