"""The original vectors of a collection: one file, written with pwrite, read through a map.

Row n of the file is the n-th vector that was appended. Readers get arrays over a read-only map, so the pages belong
to the file and not to the process, and the kernel gives them up when memory is short. The file is derived from
SQLite: nothing is synced until a graph that counts on the rows is saved, and the checksum that `sync` returns is kept
with that graph. Rows beyond it are not trusted after a restart but appended again.

Layout, little-endian: a header page of 4,096 bytes (magic, format, dimension, length and bytes of the collection's
name, CRC-32 of all that), then float32 rows without padding, then room to grow: zeros that take no blocks on disk.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.disk.durable import open_private
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.disk.mapping import mapped

# Number of the format of the file.
FORMAT: Final = 1
# Bytes before the vectors: a page, so that the vectors are aligned in a map.
HEADER_BYTES: Final = 4096

_MAGIC: Final = b"VGVECTOR"
_FIXED: Final = struct.Struct("<8sIIH")
_CHECKSUM: Final = struct.Struct("<I")
# Bytes of the smallest file, in which vectors move from memory; it grows by half.
_MIN_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 16 << 20
"""Checksummed at a time: some ten milliseconds."""
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


class VectorFile:
    """Appended to by one thread at a time, read by any number; arrays that were handed out stay valid for ever.

    It is open only while something is done with it, so that collections that are left alone cost no descriptors.

    Args:
        path: of the file.
        dimension: of the vectors.
        rows: how many to keep; what lies behind is forgotten.
        writable: whether vectors can be appended.
    """

    def __init__(self, path: Path, dimension: int, rows: int, *, writable: bool = True) -> None:
        self.path = path
        self._closed = False
        self._writable = writable
        self._row_bytes = 4 * dimension
        self._dimension = dimension
        self._rows = rows
        self._capacity = 0
        self._everything: Vector = np.empty((0, dimension), np.float32)
        self._summed, self._checksum = 0, 0
        with self._opened() as descriptor:
            self._reserve(descriptor, rows)

    @classmethod
    def create(cls, path: Path, collection: str, dimension: int) -> "VectorFile":
        """Make an empty file, in place of an older one.

        Raises:
            OSError: the disk refuses.
        """
        path.unlink(missing_ok=True)
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            try:
                _write(descriptor, _header(collection, dimension), 0)
            finally:
                os.close(descriptor)
            return cls(path, dimension, 0)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @classmethod
    def open(cls, path: Path, collection: str, dimension: int, rows: int) -> "VectorFile":
        """Open a file that has at least these rows; `verify` tells whether they are what was written.

        On a disk that cannot be written to, the rows can be read and none appended.

        Raises:
            DamagedIndex: there is none, it is not of this collection and dimension, or it is too short.
            OSError: the disk refuses.
        """
        try:
            descriptor, writable = _open(path)
        except FileNotFoundError as error:
            raise DamagedIndex(f"{path} is missing") from error
        try:
            header = _header(collection, dimension)
            if os.pread(descriptor, HEADER_BYTES, 0) != header:
                raise DamagedIndex(f"{path} is damaged, or of another collection, dimension or format")
            if os.fstat(descriptor).st_size < HEADER_BYTES + rows * 4 * dimension:
                raise DamagedIndex(f"{path} has fewer than {rows} rows")
        finally:
            os.close(descriptor)
        return cls(path, dimension, rows, writable=writable)

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return self._rows

    @property
    def vectors(self) -> Vector:
        """All vectors at this moment, shape (rows, dimension), read-only; still valid after more are appended."""
        return self._everything[: self._rows]

    @property
    def mapped_bytes(self) -> int:
        """Size of the rows in the file: what a full scan would bring into the page cache."""
        return self._rows * self._row_bytes

    def append(self, vectors: Vector) -> int:
        """Write vectors of shape (n, dimension) behind the last; returns the row of the first.

        Raises:
            OSError: the disk is full or refuses; nothing was appended.
        """
        if not len(vectors):
            return self._rows
        if not self._writable:
            raise OSError(errno.EROFS, "the vectors were opened for reading", str(self.path))
        first = self._rows
        content = np.ascontiguousarray(vectors, np.float32).data.cast("B")
        with self._opened() as descriptor:
            self._reserve(descriptor, first + len(vectors))
            _write(descriptor, content, HEADER_BYTES + first * self._row_bytes)
        # Readers of the new length find the bytes in the same page cache that pwrite filled.
        self._rows = first + len(vectors)
        return first

    def forget(self, rows: int) -> None:
        """Keep this many; only rows that nobody was shown, and that were never synced, may be forgotten."""
        self._rows = min(self._rows, rows)

    def sync(self, rows: int, check_cancelled: Cancellation = never_cancelled) -> int:
        """Put rows on disk; returns the CRC-32 of so many from the first, for `verify` after the next start.

        Args:
            rows: how many; not fewer than in the call before.
            check_cancelled: called every 16 MB; may raise to stop.

        Raises:
            OSError: the disk refuses.
        """
        checksum = self._sum(rows, check_cancelled)
        with self._opened() as descriptor:
            os.fsync(descriptor)
        return checksum

    def verify(self, checksum: int, check_cancelled: Cancellation = never_cancelled) -> None:
        """Compare all rows with a checksum that `sync` returned for as many.

        Args:
            checksum: that one.
            check_cancelled: called every 16 MB; may raise to stop.

        Raises:
            DamagedIndex: they are not what was written.
        """
        if self._sum(self._rows, check_cancelled) != checksum:
            raise DamagedIndex(f"the first {self._rows} rows of {self.path} are not what was written")

    def close(self) -> None:
        """Append no more; arrays that were handed out stay valid."""
        self._closed = True

    def discard(self) -> None:
        """Close and remove the file; arrays that were handed out stay valid."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _sum(self, rows: int, check_cancelled: Cancellation) -> int:
        step = max(1, _CHUNK_BYTES // self._row_bytes)
        while self._summed < rows:
            check_cancelled()
            end = min(rows, self._summed + step)
            self._checksum = zlib.crc32(self._everything[self._summed : end].data.cast("B"), self._checksum)
            self._summed = end
        return self._checksum

    @contextmanager
    def _opened(self) -> Iterator[int]:
        if self._closed:
            raise ValueError(f"{self.path} is closed")
        descriptor = os.open(self.path, (os.O_RDWR if self._writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _reserve(self, descriptor: int, rows: int) -> None:
        """Make the file and the map long enough, with room for half as many again."""
        if rows <= self._capacity and self._capacity:
            return
        capacity = max(rows + rows // 2, _MIN_BYTES // self._row_bytes, 1) if self._writable else rows
        length = HEADER_BYTES + capacity * self._row_bytes
        if self._writable:
            # Room is a hole: taking blocks is left to pwrite, which can say that the disk is full; a map could not.
            os.ftruncate(descriptor, length)
        everything = np.frombuffer(mapped(descriptor, length), np.float32, offset=HEADER_BYTES)
        everything.flags.writeable = False
        self._everything = everything.reshape(capacity, self._dimension)
        self._capacity = capacity


def _header(collection: str, dimension: int) -> bytes:
    name = collection.encode()
    start = _FIXED.pack(_MAGIC, FORMAT, dimension, len(name)) + name
    return (start + _CHECKSUM.pack(zlib.crc32(start))).ljust(HEADER_BYTES, b"\0")


def _open(path: Path) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC), True
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False


def _write(descriptor: int, content: bytes | memoryview, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
