"""The seam between the engine and the disk: every call that changes a file or a directory passes an observer.

Python's own calls are caught in `os` and `io.open`, those of SQLite in a VFS. Only paths below one directory are seen.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol
from unittest import mock

VFS_NAME = "torture"


class Kind(StrEnum):
    """Event of a file (the first four) or of a directory."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    CREATE = "create"
    MKDIR = "mkdir"
    RENAME = "rename"
    UNLINK = "unlink"
    RMDIR = "rmdir"
    SYNC_DIRECTORY = "sync directory"


@dataclass(frozen=True, slots=True)
class Event:
    """One call.

    Attributes:
        kind: what it does.
        path: of the file or directory, as it is called at that moment.
        file: which file, whatever it is called: a number of its own for every file ever made; 0 for directories.
        offset: of a write; the new length of a truncation.
        data: what is written.
        target: the new name of a rename.
    """

    kind: Kind
    path: str
    file: int = 0
    offset: int = 0
    data: bytes = b""
    target: str = ""


class Observer(Protocol):
    """Is told of every call, before and after it is made; one call at a time."""

    def before(self, event: Event) -> None:
        """About to happen."""

    def after(self, event: Event) -> None:
        """Record an event."""


class Seam:
    """Files open below a directory, and their observers.

    Args:
        root: the directory; what is outside is left alone.
        observer: told of every call.
    """

    def __init__(self, root: Path, observer: Observer) -> None:
        self._root = os.fspath(root)
        self._observer = observer
        self._lock = threading.RLock()
        self._files: dict[str, int] = {}
        self._last = 0
        self._open: dict[int, tuple[str, int]] = {}

    # ------------------------------------------------------------ for the two sides

    def covers(self, path: str) -> bool:
        """Return whether a path is below the directory."""
        return path.startswith(self._root)

    def perform(self, event: Event, call: Callable[[], Any]) -> Any:
        """Make a call, and tell."""
        with self._lock:
            self._observer.before(event)
            result = call()
            self._observer.after(event)
            return result

    def opened(self, path: str, call: Callable[[], Any], *, existed: bool) -> tuple[int, Any]:
        """Make the call that opens a file; the file's number, and what the call returned."""
        with self._lock:
            if existed:
                return self._number(path), call()
            self._last += 1
            number = self._last
            result = self.perform(Event(Kind.CREATE, path, number), call)
            self._files[path] = number
            return number, result

    def _number(self, path: str) -> int:
        if path not in self._files:
            self._last += 1
            self._files[path] = self._last
        return self._files[path]

    def unlink(self, path: str, call: Callable[[], Any]) -> None:
        """Remove a file."""
        with self._lock:
            self.perform(Event(Kind.UNLINK, path, self._number(path)), call)
            self._files.pop(path, None)

    def rename(self, path: str, target: str, call: Callable[[], Any]) -> None:
        """Give a file another name."""
        with self._lock:
            number = self._number(path)
            self.perform(Event(Kind.RENAME, path, number, target=target), call)
            self._files[target] = self._files.pop(path)

    # ------------------------------------------------------------ descriptors

    def remember(self, descriptor: int, path: str, number: int) -> None:
        """Record that a descriptor was opened; number 0 for a directory."""
        self._open[descriptor] = (path, number)

    def forget(self, descriptor: int) -> None:
        """Record that a descriptor is about to be closed."""
        self._open.pop(descriptor, None)

    def of(self, descriptor: int) -> tuple[str, int] | None:
        """Path and number behind a descriptor."""
        return self._open.get(descriptor)

    def resolve(self, path: Any, directory: int | None) -> str:
        """Return the whole path of a call that may speak relative to a directory's descriptor."""
        if directory is not None:
            parent = self._open.get(directory)
            return os.path.join(parent[0], os.fspath(path)) if parent else ""
        return os.path.abspath(os.fspath(path)) if isinstance(path, str | os.PathLike) else ""


@contextmanager
def observed(root: Path, observer: Observer) -> Iterator[Seam]:
    """Catch Python's calls for the length of the block; SQLite's need `sqlite_seam.vfs`."""
    seam = Seam(root, observer)
    calls = _Calls(seam)
    with ExitStack() as stack:
        for name in ("open", "close", "pwrite", "write", "fsync", "ftruncate", "replace", "unlink", "mkdir", "rmdir"):
            stack.enter_context(mock.patch.object(os, name, getattr(calls, name)))
        stack.enter_context(mock.patch.object(os, "rename", calls.replace))
        stack.enter_context(mock.patch.object(os, "fdatasync", calls.fsync))
        stack.enter_context(mock.patch.object(os, "remove", calls.unlink))
        stack.enter_context(mock.patch.object(io, "open", calls.open_file))
        yield seam


class _Calls:
    """The functions that stand in for those of `os` and `io` meanwhile."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam
        self._os = {name: getattr(os, name) for name in dir(os) if callable(getattr(os, name))}
        self._io_open = io.open

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        real: Callable[[], int] = lambda: int(self._os["open"](path, flags, mode, dir_fd=dir_fd))  # noqa: E731
        whole = self._seam.resolve(path, dir_fd)
        if not self._seam.covers(whole):
            return real()
        if os.path.isdir(whole):
            descriptor, number = real(), 0
        else:
            number, descriptor = self._seam.opened(whole, real, existed=os.path.exists(whole))
            if flags & os.O_TRUNC:
                self._seam.perform(Event(Kind.TRUNCATE, whole, number), lambda: None)
        self._seam.remember(descriptor, whole, number)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._seam.forget(descriptor)
        self._os["close"](descriptor)

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        known = self._seam.of(descriptor)
        if known is None:
            return int(self._os["pwrite"](descriptor, data, offset))
        event = Event(Kind.WRITE, *known, offset, bytes(data))
        return int(self._seam.perform(event, lambda: self._os["pwrite"](descriptor, data, offset)))

    def write(self, descriptor: int, data: Any) -> int:
        known = self._seam.of(descriptor)
        if known is None:
            return int(self._os["write"](descriptor, data))
        event = Event(Kind.WRITE, *known, os.lseek(descriptor, 0, os.SEEK_CUR), bytes(data))
        return int(self._seam.perform(event, lambda: self._os["write"](descriptor, data)))

    def fsync(self, descriptor: int) -> None:
        known = self._seam.of(descriptor)
        if known is None:
            self._os["fsync"](descriptor)
            return
        kind = Kind.SYNC_DIRECTORY if known[1] == 0 else Kind.SYNC
        self._seam.perform(Event(kind, *known), lambda: self._os["fsync"](descriptor))

    def ftruncate(self, descriptor: int, length: int) -> None:
        known = self._seam.of(descriptor)
        if known is None:
            self._os["ftruncate"](descriptor, length)
            return
        event = Event(Kind.TRUNCATE, *known, length)
        self._seam.perform(event, lambda: self._os["ftruncate"](descriptor, length))

    def replace(self, path: Any, target: Any, **options: Any) -> None:
        real: Callable[[], None] = lambda: self._os["replace"](path, target, **options)  # noqa: E731
        whole = self._seam.resolve(path, None)
        if self._seam.covers(whole):
            self._seam.rename(whole, self._seam.resolve(target, None), real)
        else:
            real()

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        real: Callable[[], None] = lambda: self._os["unlink"](path, dir_fd=dir_fd)  # noqa: E731
        whole = self._seam.resolve(path, dir_fd)
        if self._seam.covers(whole):
            self._seam.unlink(whole, real)
        else:
            real()

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._directory(Kind.MKDIR, path, dir_fd, lambda: self._os["mkdir"](path, mode, dir_fd=dir_fd))

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._directory(Kind.RMDIR, path, dir_fd, lambda: self._os["rmdir"](path, dir_fd=dir_fd))

    def _directory(self, kind: Kind, path: Any, dir_fd: int | None, real: Callable[[], None]) -> None:
        whole = self._seam.resolve(path, dir_fd)
        if self._seam.covers(whole):
            self._seam.perform(Event(kind, whole), real)
        else:
            real()

    def open_file(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> IO[Any]:
        """`io.open`: files that are written to write through `write` above."""
        writes = set(mode) & set("wxa+")
        if not writes or not self._seam.covers(self._seam.resolve(file, None)):
            return self._io_open(file, mode, *args, **options)
        if mode not in ("wb", "r+b"):
            raise NotImplementedError(f"the seam does not know how to watch a file opened as {mode!r}")
        flags = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if mode == "wb" else 0)
        raw = _Watched(self.open(file, flags | os.O_CLOEXEC, 0o666), self)
        return io.BufferedRandom(raw)


class _Watched(io.RawIOBase):
    """A file whose writes go through the seam."""

    def __init__(self, descriptor: int, calls: _Calls) -> None:
        self._descriptor = descriptor
        self._calls = calls

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def readinto(self, buffer: Any) -> int:
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._calls.write(self._descriptor, data)

    def truncate(self, size: int | None = None) -> int:
        length = os.lseek(self._descriptor, 0, os.SEEK_CUR) if size is None else size
        self._calls.ftruncate(self._descriptor, length)
        return length

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._calls.close(self._descriptor)
