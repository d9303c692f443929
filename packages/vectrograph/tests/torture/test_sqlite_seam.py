"""The simulated disk syncs a directory exactly when SQLite does."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from torture import sqlite_seam
from torture.seam import VFS_NAME, Event, Kind, Seam

pytestmark = pytest.mark.slow

_OPEN_DIRECTORY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int))


@contextmanager
def counted_directory_syncs() -> Iterator[list[str]]:
    """Give the files for which SQLite's own VFS opens their directory, which it does only to sync it."""
    files: list[str] = []

    def open_directory(path: bytes, descriptor: "ctypes._Pointer[ctypes.c_int]") -> int:
        files.append(os.fsdecode(path))
        descriptor[0] = os.open(os.path.dirname(path), os.O_RDONLY)
        return 0

    counting = _OPEN_DIRECTORY(open_directory)
    unix = apsw.VFS("counting", "unix")
    before = unix.xGetSystemCall("openDirectory") or 0
    assert unix.xSetSystemCall("openDirectory", ctypes.cast(counting, ctypes.c_void_p).value or 0)
    try:
        yield files
    finally:
        unix.xSetSystemCall("openDirectory", before)
        unix.unregister()


class Syncs:
    """An observer that keeps the directories that the seam takes as synced."""

    def __init__(self) -> None:
        self.directories: list[str] = []

    def before(self, event: Event) -> None:
        """Do nothing."""

    def after(self, event: Event) -> None:
        """Keep a sync of a directory."""
        if event.kind is Kind.SYNC_DIRECTORY:
            self.directories.append(event.path)


def connected(path: Path, mode: str, *, reads: bool = False) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE if reads else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(os.fspath(path), flags=flags, vfs=VFS_NAME)
    if not reads:
        connection.pragma("journal_mode", mode)
        connection.pragma("synchronous", "full")
    return connection


def write(connection: apsw.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (randomblob(100))")


@pytest.mark.parametrize("mode", ["wal", "delete", "persist"])
def test_directories_are_synced_exactly_when_sqlite_does(tmp_path: Path, mode: str) -> None:
    """By the connection that makes a log, by one that finds it, after a reader made it, and when it is deleted."""
    syncs, path = Syncs(), tmp_path / "points.sqlite"
    with counted_directory_syncs() as real, sqlite_seam.vfs(Seam(tmp_path, syncs)):
        steps: list[int] = []

        def require_same() -> None:
            assert len(syncs.directories) == len(real), f"after step {len(steps)}"
            assert set(syncs.directories) <= {os.fspath(tmp_path)}
            steps.append(len(real))

        first = connected(path, mode)
        first.execute("CREATE TABLE t (x)")
        require_same()
        write(first)
        require_same()
        second = connected(path, mode)
        write(second)
        require_same()
        write(second)
        write(first)
        require_same()
        second.close()
        first.close()
        require_same()
        reader = connected(path, mode, reads=True)
        assert reader.execute("SELECT count(*) FROM t").fetchall() == [(4,)]
        require_same()
        writer = connected(path, mode)
        write(writer)
        require_same()
        reader.close()
        writer.close()
        require_same()
    assert steps[0] > 0
    if mode == "wal":
        assert steps[2] > steps[1], "the second connection finds the log there, and SQLite syncs its directory again"
        assert steps[3] == steps[2], "only with the first sync of each connection"
        assert steps[6] > steps[5], "a log that a reader made gets its entry synced by the writer"
