"""The arrays of an index: made, opened, grown, and described to the library.

Arrays grow in place: a longer map of the same bytes takes over, and whoever still uses the shorter one sees the same.
So a search never waits for growth, and what it found stays valid.
"""

import ctypes
import errno
import mmap
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.disk.durable import open_private
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.disk.mapping import mapped
from vectrograph.engines.embedded.kernel.library import (
    ALIVE,
    HEADER_BYTES,
    KINDS,
    LINKS,
    METRICS,
    UPPER_LINKS,
    HeaderStruct,
    IndexStruct,
    Status,
    library,
)

Labels: TypeAlias = NDArray[np.int64]

# Locks that linking threads share; VGK_LOCKS of the library.
_LOCKS: Final = 4096
# Rows of the smallest arrays that are made.
_MIN_ROWS: Final = 256
# Largest number of rows: row numbers have 31 bits.
_MAX_ROWS: Final = 2**31 - 1
# Rows for which room is made for one block of links on upper levels. Levels take one for 15 rows on average.
_ROWS_PER_BLOCK: Final = 10
# Blocks beyond that, because few rows may be on more levels by chance. Arrays grow where these are not enough.
_SPARE_BLOCKS: Final = 64
# Distance of arrays in one file in memory, bytes. Between them is nothing, which takes no room.
_APART: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Shape:
    """Properties of an index that decide the layout of its arrays.

    Attributes:
        distance: of the collection.
        quantisation: of components.
        dimension: of the vectors.
    """

    distance: Distance
    quantisation: Quantisation
    dimension: int

    @property
    def stride(self) -> int:
        """Bytes of a record."""
        return int(library().vgk_stride(KINDS[self.quantisation], self.dimension))

    @property
    def row_bytes(self) -> int:
        """Bytes of all arrays for a row, the original vector left out."""
        return self.stride + 4 * LINKS + 4 + 4 * UPPER_LINKS // _ROWS_PER_BLOCK + 4 + 8


class State(NamedTuple):
    """A committed state, as a search needs it.

    Attributes:
        seq: of the last change that it contains.
        rows: how many were written, dead ones included.
        linked: how many the linker had considered before the other two were read.
    """

    seq: int
    rows: int
    linked: int


class _Place(Protocol):
    """Storage of arrays."""

    def grow(self, name: str, length: int) -> Any:
        """Make an array so many bytes long; returns a map of all of them."""
        ...

    def length(self, name: str) -> int:
        """Return how many bytes an array has."""
        ...


class _Memory:
    """One file without a name, in memory where the system can do that."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("vectrograph index", os.MFD_CLOEXEC)
        else:
            self._descriptor, path = tempfile.mkstemp()
            os.unlink(path)
        weakref.finalize(self, os.close, self._descriptor)
        self._offsets: dict[str, int] = {}
        self._lengths: dict[str, int] = {}

    def grow(self, name: str, length: int) -> Any:
        """Make an array so many bytes long."""
        offset = self._offsets.setdefault(name, len(self._offsets) * _APART)
        end = max(offset + length, *(self._offsets[each] + self._lengths[each] for each in self._lengths), 0)
        os.ftruncate(self._descriptor, end)
        self._lengths[name] = length
        return mapped(self._descriptor, length, offset=offset, writable=True)

    def length(self, name: str) -> int:
        """Return how many bytes an array has."""
        return self._lengths.get(name, 0)


class _Folder:
    """A file for each array; none stays open."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._folder = folder
        self._writable = writable

    def grow(self, name: str, length: int) -> Any:
        """Make an array so many bytes long, on a disk that has room for them."""
        path = self._folder / name
        descriptor = (
            open_private(path, os.O_RDWR | os.O_CREAT) if self._writable else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        )
        try:
            size = os.fstat(descriptor).st_size
            if size < length:
                if not self._writable:
                    raise DamagedIndex(f"{path} has {size} bytes and not {length}")
                # A write to a map of a file with holes ends the process when the disk is full. This says so instead.
                _allocate(descriptor, size, length)
            return mapped(descriptor, length, writable=self._writable)
        finally:
            os.close(descriptor)

    def length(self, name: str) -> int:
        """Return how many bytes an array has."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return 0


def _allocate(descriptor: int, size: int, length: int) -> None:
    """Make a file longer, with blocks of the disk behind every byte.

    Raises:
        OSError: the disk is full or refuses; the file is as long as before.
    """
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, size, length - size)
            return
        zeros = bytes(1 << 20)
        while size < length:
            size += os.pwrite(descriptor, zeros[: length - size], size)
    except OSError as error:
        os.ftruncate(descriptor, size)
        if error.errno == errno.EFBIG:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


class Mapped:
    """The arrays as they lie in this process: what the library is handed. Never changed.

    Args:
        shape: of the index.
        arrays: by name.
        vectors: the originals, shape (rows, dimension), C-contiguous.
        created: of each row, decides among equal scores; None for the row number.
    """

    def __init__(
        self,
        shape: Shape,
        arrays: dict[str, NDArray[Any]],
        vectors: Vector,
        created: Labels | None = None,
    ) -> None:
        if vectors.dtype != np.float32 or not vectors.flags.c_contiguous or vectors.shape[1:] != (shape.dimension,):
            raise ValueError(f"vectors must be contiguous float32 of shape (rows, {shape.dimension})")
        self.shape = shape
        self.arrays = arrays
        self.capacity = min(len(arrays[name]) for name in _BY_ROW)
        self.vector_rows = len(vectors) if created is None else min(len(vectors), len(created))
        self._kept = vectors, created
        centre = arrays["centre"]
        self._struct = IndexStruct(
            **{name: arrays[name].ctypes.data for name in ("header", "upper", *_BY_ROW)},
            vectors=vectors.ctypes.data,
            created=None if created is None else created.ctypes.data,
            centre=centre.ctypes.data if len(centre) else None,
            locks=arrays["locks"].ctypes.data if "locks" in arrays else None,
            capacity=self.capacity,
            upper_capacity=len(arrays["upper"]),
            vector_rows=self.vector_rows,
            stride=arrays["records"].shape[1],
            dimension=shape.dimension,
            kind=KINDS[shape.quantisation],
            metric=METRICS[shape.distance],
        )
        self.address = ctypes.addressof(self._struct)

    def state(self) -> State:
        """Return the committed state that was published last."""
        values = (ctypes.c_int64 * 3)()
        library().vgk_state(self.address, values)
        return State(*values)


_BY_ROW: Final = ("records", "links", "upper_at", "same", "died")
"""Arrays with an entry for each row."""


class IndexArrays:
    """The arrays of one index. One thread at a time appends, marks rows dead, publishes and lets arrays grow.

    Args:
        shape: of the index.
        place: where they are kept.
        writable: whether this process writes them.
    """

    def __init__(self, shape: Shape, place: _Place, *, writable: bool) -> None:
        self.shape = shape
        self._place = place
        self._writable = writable
        self._arrays: dict[str, NDArray[Any]] = {}
        self._lock = Lock()
        self._vectors: Vector = np.empty((0, shape.dimension), np.float32)
        self._created: Labels | None = None
        if writable:
            self._arrays["locks"] = np.zeros(_LOCKS, np.uint8)

    @classmethod
    def create(cls, shape: Shape, folder: Path | None = None, centre: Vector | None = None) -> "IndexArrays":
        """Make arrays without rows, in files or in memory.

        Args:
            shape: of the index.
            folder: where no array is yet; None for memory.
            centre: subtracted from vectors before they are coded, shape (dimension,); None for the origin.

        Raises:
            OSError: the disk refuses.
        """
        arrays = cls(shape, _Memory() if folder is None else _Folder(folder, writable=True), writable=True)
        arrays._grow("header", 1)
        arrays._grow("centre", 0 if centre is None else 1)
        if centre is not None:
            arrays._arrays["centre"][:] = centre
        arrays._fit(_MIN_ROWS, 1 + _MIN_ROWS // _ROWS_PER_BLOCK + _SPARE_BLOCKS)
        library().vgk_header_create(arrays.mapped.address)
        return arrays

    @classmethod
    def open(cls, shape: Shape, folder: Path, *, writable: bool = True) -> "IndexArrays":
        """Open arrays that were made before, in this process or another.

        Raises:
            DamagedIndex: one is missing or too short, or they are of another shape or format.
            OSError: the disk refuses.
        """
        place = _Folder(folder, writable=writable)
        arrays = cls(shape, place, writable=writable)
        sizes = {name: place.length(name) // arrays._item(name) for name in ("header", "upper", *_BY_ROW)}
        for name, size in sizes.items():
            if size < (1 if name in ("header", "upper") else _MIN_ROWS):
                raise DamagedIndex(f"{folder / name} is missing or cut short")
        arrays._grow("header", 1)
        arrays._grow("centre", min(1, place.length("centre") // arrays._item("centre")))
        arrays._fit(min(sizes[name] for name in _BY_ROW), sizes["upper"])
        if not library().vgk_header_fits(arrays.mapped.address):
            raise DamagedIndex(f"{folder} holds an index of another format or shape, or none")
        header = HeaderStruct.from_buffer_copy(arrays.mapped.arrays["header"].tobytes())
        if not 0 <= header.upper_used <= sizes["upper"]:
            raise DamagedIndex(f"{folder / 'upper'} has {sizes['upper']} blocks and not {header.upper_used}")
        state = arrays.mapped.state()
        if not 0 <= state.linked <= state.rows <= arrays.mapped.capacity:
            raise DamagedIndex(f"{folder} claims {state.rows} rows and has {arrays.mapped.capacity}")
        return arrays

    def bind(self, vectors: Vector, created: Labels | None = None) -> Mapped:
        """Search with these originals from now on; returns the arrays with them.

        Args:
            vectors: shape (rows, dimension); may be longer than what is committed.
            created: of as many rows; see `Mapped`.
        """
        with self._lock:
            self._vectors, self._created = vectors, created
            self._show()
            return self.mapped

    def reserve(self, rows: int) -> None:
        """Make room for so many rows in all, and some more.

        Raises:
            OSError: the disk is full or refuses; what is there stays.
        """
        if rows > _MAX_ROWS:
            raise OSError(errno.ENOSPC, f"an index has at most {_MAX_ROWS} rows")
        mapped = self.mapped
        if rows > mapped.capacity:
            larger = min(_MAX_ROWS, max(_MIN_ROWS, rows + rows // 2))
            self._fit(larger, larger // _ROWS_PER_BLOCK + _SPARE_BLOCKS)

    def append(self, first: int, vectors: Vector) -> NDArray[np.bool_]:
        """Code vectors as the rows from `first` on, which nobody was shown before.

        Args:
            first: the row of the first.
            vectors: shape (n, dimension).

        Returns:
            Which of them have a code, shape (n,). The others are found by `Search.also` alone.

        Raises:
            OSError: the disk is full or refuses; nothing was appended.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        placed = np.empty(len(vectors), np.uint8)
        self.reserve(first + len(vectors))
        mapped = self.mapped
        arguments = (vectors.ctypes.data, first, len(vectors), placed.ctypes.data)
        status = library().vgk_append(mapped.address, *arguments)
        if status == Status.NO_ROOM:
            # Chance put more rows on upper levels than there was room for.
            self._fit(mapped.capacity, 2 * len(mapped.arrays["upper"]) + _SPARE_BLOCKS + len(vectors))
            status = library().vgk_append(self.mapped.address, *arguments)
        if status != Status.OK:
            raise ValueError(f"rows {first} to {first + len(vectors)} cannot be appended: {Status(status).name}")
        return placed.view(np.bool_)

    def mark_dead(self, rows: NDArray[np.int64], seq: int) -> None:
        """Hide rows from states from `seq` on; to be published afterwards."""
        rows = np.ascontiguousarray(rows, np.int64)
        status = library().vgk_mark_dead(self.mapped.address, rows.ctypes.data, len(rows), seq)
        if status != Status.OK:
            raise ValueError(f"a row to be marked dead is not below {self.mapped.capacity}")

    def publish(self, seq: int, rows: int) -> State:
        """Show a committed state to every search that begins from now on, in any process."""
        library().vgk_publish(self.mapped.address, seq, rows)
        return self.mapped.state()

    def roll_back(self, seq: int, rows: int) -> int:
        """Undo what was written beyond a committed state, after a crash; returns how many rows live again."""
        revived = int(library().vgk_revive_after(self.mapped.address, seq, rows))
        library().vgk_publish(self.mapped.address, seq, rows)
        library().vgk_set_linked(self.mapped.address, min(rows, self.mapped.state().linked))
        return revived

    def refresh(self) -> Mapped:
        """Map what was added, perhaps by another process; returns the arrays."""
        sizes = {name: self._place.length(name) // self._item(name) for name in ("upper", *_BY_ROW)}
        self._fit(min(sizes[name] for name in _BY_ROW), sizes["upper"])
        return self.mapped

    def _fit(self, rows: int, blocks: int) -> None:
        with self._lock:
            for name in _BY_ROW:
                self._grow(name, rows)
            self._grow("upper", blocks)
            self._show()

    def _show(self) -> None:
        self.mapped = Mapped(self.shape, dict(self._arrays), self._vectors, self._created)

    def _grow(self, name: str, items: int) -> None:
        kind, width = self._layout(name)
        now = self._arrays.get(name)
        if now is not None and len(now) >= items:
            return
        if not items:
            self._arrays[name] = np.empty((0, width), kind)
            return
        length = items * self._item(name)
        block = self._place.grow(name, -(-length // mmap.PAGESIZE) * mmap.PAGESIZE if self._writable else length)
        array = np.frombuffer(block, kind, count=items * width)
        self._arrays[name] = array if name in ("upper_at", "same", "died") else array.reshape(items, width)

    def _item(self, name: str) -> int:
        kind, width = self._layout(name)
        return int(np.dtype(kind).itemsize) * width

    def _layout(self, name: str) -> tuple[Any, int]:
        """Return the type and number of what an array has for a row, a block or, the header and centre, in all."""
        return {
            "header": (np.uint8, HEADER_BYTES),
            "centre": (np.float32, self.shape.dimension),
            "records": (np.uint8, self.shape.stride),
            "links": (np.int32, LINKS),
            "upper_at": (np.int32, 1),
            "upper": (np.int32, UPPER_LINKS),
            "same": (np.int32, 1),
            "died": (np.int64, 1),
        }[name]


__all__ = ["ALIVE", "IndexArrays", "Labels", "Mapped", "Shape", "State"]
