"""Search and linking over the arrays of an index, one call of the library each."""

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Mapped, State
from vectrograph.engines.embedded.kernel.library import (
    AnswerStruct,
    LinkOptionsStruct,
    Status,
    Way,
    library,
)

Rows = NDArray[np.int32]

# Layout of `QueryStruct`: one call packs all fields, a third of the time that setting them takes.
_QUERY: Final = struct.Struct("@5P7q6i")
# Searchers that are kept for the next search; more at the same time are made and thrown away.
_KEPT: Final = 64
# Nanoseconds after which a library call returns to let Python look at a `Cancellation`.
_SLICE: Final = 5_000_000
BREADTH: Final = 128
"""efConstruction: candidates for the links of a row."""


class Stopped(Exception):
    """A call ended before its time: the flag was raised, or the budget is spent."""


class Stale(Exception):
    """The arrays have grown since they were mapped, and what is wanted lies behind what was added."""


class Flag:
    """A flag by which one thread ends the calls of others."""

    def __init__(self) -> None:
        self._value = ctypes.c_int32(0)
        self.address = ctypes.addressof(self._value)

    def raise_(self) -> None:
        """End the calls that were given this flag."""
        self._value.value = 1

    @property
    def raised(self) -> bool:
        """Return whether it was raised."""
        return bool(self._value.value)


class Bits:
    """A set of rows, a bit for each.

    Args:
        mask: by row.
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.rows = len(mask)
        words = np.zeros(-(-self.rows // 64), np.uint64)
        words.view(np.uint8)[: -(-self.rows // 8)] = np.packbits(mask, bitorder="little")
        self.words = words
        self.address = words.ctypes.data

    def __len__(self) -> int:
        return int(library().vgk_count_bits(self.address, self.rows))

    def list(self) -> Rows:
        """Return the rows of the set, ascending."""
        found = np.empty(len(self), np.int32)
        library().vgk_rows_of_bits(self.address, self.rows, found.ctypes.data, len(found))
        return found


class Found(NamedTuple):
    """Result of a search.

    Attributes:
        rows: the best, best first; among equals the newest first. Shape (n,), int64.
        scores: of these rows, exact, shape (n,), float32.
        compared: codes and vectors that were compared with the query.
        refined: original vectors that were read.
        accepted: nodes that a walk met and that may be found; in a scan, all that were compared.
        way: in which it was searched: exactly, where the query has no code.
    """

    rows: NDArray[np.int64]
    scores: Vector
    compared: int
    refined: int
    accepted: int
    way: Way


class Searcher:
    """Memory for one search at a time.

    Args:
        dimension: of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        self._library = library()
        self._scratch = self._library.vgk_scratch_new()
        if not self._scratch:
            raise MemoryError("no memory for a search")
        self._vector = np.zeros(dimension, np.float32)
        self._query = ctypes.create_string_buffer(_QUERY.size)
        self._answer = AnswerStruct()
        self._addresses = self._vector.ctypes.data, ctypes.addressof(self._query), ctypes.addressof(self._answer)
        self._room = 0
        self._fit(16)

    def __del__(self) -> None:
        scratch = getattr(self, "_scratch", None)
        if scratch:
            self._library.vgk_scratch_free(scratch)

    @property
    def nbytes(self) -> int:
        """Memory that is kept for the next search."""
        return int(self._library.vgk_scratch_bytes(self._scratch))

    @property
    def scratch(self) -> Any:
        """Address of the memory, for linking."""
        return self._scratch

    def search(
        self,
        mapped: Mapped,
        state: State,
        vector: Vector,
        k: int,
        *,
        beam: int,
        refine: int,
        way: Way = Way.WALK,
        allowed: Bits | None = None,
        rows: Rows | None = None,
        also: Rows | None = None,
        any_dead: bool = True,
        budget: int = 0,
        flag: Flag | None = None,
    ) -> Found:
        """Return the nearest rows of a committed state.

        Args:
            mapped: the arrays.
            state: which one; as `Mapped.state` gave it.
            vector: the query, shape (dimension,).
            k: how many rows are wanted.
            beam: ef: nodes that a walk keeps.
            refine: candidates whose original vectors are read, k at least.
            way: to search; the exact one is taken for queries that have no code.
            allowed: rows that may be found; None for all.
            rows: scan these rows alone, int32.
            also: rows without a code, compared exactly on every search, int32.
            any_dead: False when no row of the state is dead, which saves looking.
            budget: nanoseconds after which to stop; 0 for no limit.
            flag: raised by another thread to stop.

        Raises:
            Stopped: the budget is spent, or the flag was raised.
            Stale: the arrays must be mapped anew; `Searchers` does.
            ValueError: an argument is out of range, or the arrays have fewer rows than the state.
            MemoryError: there is none left.
        """
        self._vector[:] = vector
        if k > self._room:
            self._fit(min(k, max(1, state.rows)))
        at, query, answer = self._addresses
        _QUERY.pack_into(
            self._query,
            0,
            at,
            allowed.address if allowed is not None else 0,
            rows.ctypes.data if rows is not None else 0,
            also.ctypes.data if also is not None else 0,
            flag.address if flag is not None else 0,
            allowed.rows if allowed is not None else 0,
            len(rows) if rows is not None else 0,
            len(also) if also is not None else 0,
            state.seq,
            state.rows,
            state.linked,
            budget,
            k,
            beam,
            refine,
            way,
            any_dead,
            0,
        )
        status = self._library.vgk_search(mapped.address, self._scratch, query, answer)
        if status:
            raise _error(status, f"a search for {k} of {state.rows} rows, beam {beam}, refine {refine}")
        result = self._answer
        count = result.count
        return Found(
            self._rows[:count].copy(),
            self._scores[:count].copy(),
            result.compared,
            result.refined,
            result.accepted,
            Way(result.way),
        )

    def _fit(self, k: int) -> None:
        self._rows, self._scores = np.empty(k, np.int64), np.empty(k, np.float32)
        self._answer.rows, self._answer.scores = self._rows.ctypes.data, self._scores.ctypes.data
        self._room = k


class Searchers:
    """Searchers for one dimension, lent to one search at a time."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._free: list[Searcher] = []

    def search(self, arrays: IndexArrays, state: State, vector: Vector, k: int, **options: Any) -> Found:
        """Return the nearest rows of a committed state; see `Searcher.search`.

        Raises:
            DamagedIndex: rows lead to others that are not there.
        """
        # Appending to a list and taking from it are atomic.
        try:
            searcher = self._free.pop()
        except IndexError:
            searcher = Searcher(self._dimension)
        try:
            mapped = arrays.mapped
            while True:
                try:
                    return searcher.search(mapped, state, vector, k, **options)
                except Stale:
                    mapped = _mapped_anew(arrays, mapped)
        finally:
            if len(self._free) < _KEPT:
                self._free.append(searcher)

    @property
    def nbytes(self) -> int:
        """Memory that is kept for the next searches."""
        return sum(searcher.nbytes for searcher in self._free)


def _mapped_anew(arrays: IndexArrays, before: Mapped) -> Mapped:
    mapped = arrays.refresh()
    if mapped.capacity <= before.capacity:
        raise DamagedIndex(f"a row of the index leads to one that is not among its {mapped.capacity}")
    return mapped


def link(
    searcher: Searcher,
    arrays: IndexArrays,
    first: int,
    end: int,
    *,
    breadth: int = BREADTH,
    alpha: float = 1.0,
    check_cancelled: Callable[[], None] | None = None,
    flag: Flag | None = None,
) -> None:
    """Link rows to those that are linked, without holding the GIL. Several threads may link, each other rows.

    Args:
        searcher: memory that nothing else uses meanwhile.
        arrays: to which the rows were appended.
        first: of the rows.
        end: behind the last of them.
        breadth: efConstruction: candidates for the links of a row.
        alpha: pruning factor: 1 as HNSW does; above, longer links are kept.
        check_cancelled: called every few milliseconds; may raise to stop.
        flag: raised by another thread to stop.

    Raises:
        Stopped: the flag was raised. The rows of the call can be linked again.
        DamagedIndex: rows lead to others that are not there.
        ValueError: an argument is out of range.
    """
    done = ctypes.c_int64()
    budget = _SLICE if check_cancelled is not None else 0
    options = LinkOptionsStruct(flag.address if flag is not None else None, budget, breadth, alpha)
    mapped = arrays.mapped
    while first < end:
        status = library().vgk_link(
            mapped.address, searcher.scratch, ctypes.addressof(options), first, end, ctypes.addressof(done)
        )
        first += done.value
        if status == Status.STOPPED and check_cancelled is not None and (flag is None or not flag.raised):
            check_cancelled()
        elif status == Status.STALE:
            mapped = _mapped_anew(arrays, mapped)
        elif status:
            raise _error(status, f"linking rows {first} to {end} of {mapped.capacity}")


def publish_linked(mapped: Mapped, linked: int) -> None:
    """Let walks find all rows below, which were linked or are dead."""
    library().vgk_set_linked(mapped.address, linked)


def _error(status: int, what: str) -> Exception:
    if status == Status.STOPPED:
        return Stopped(f"{what} was stopped")
    if status == Status.STALE:
        return Stale(what)
    if status == Status.NO_MEMORY:
        return MemoryError(f"no memory for {what}")
    return ValueError(f"{what}: {Status(status).name}")
