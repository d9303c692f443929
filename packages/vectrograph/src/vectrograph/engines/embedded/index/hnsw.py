"""faiss behind one narrow door: codes, the links between them, and the search along the links.

Nothing else in the engine imports faiss, and this module only for the first graph it builds or loads: the import takes
a tenth of a second, which a server without large collections need not spend. What is known about it (measured with
faiss-cpu 1.15.1) and relied on here:

- `omp_set_num_threads` holds for the calling thread alone; a new Python thread starts with all cores. One query runs
  in its own thread whatever the number. Every call gives up the GIL.
- A search reads the index only, so any number of threads may search one index while another thread adds to its
  *clone*; adding to an index that is being searched is undefined.
- A search whose selector lets few through returns fewer than it was asked for, or far ones it met on its way: the
  beam of ef nodes is spent on the neighbourhood of the query, whether they match or not. Searching without a selector
  for all ef nodes and dropping what does not match finds the same (equal recall once some 20 match) and tells how
  many matched, so selectors are used for scans alone. `IDSelectorBitmap` costs a scan 1 to 2 ns per row; wrapping it in
  `IDSelectorNot` adds a second virtual call, negating the bits does not.
- A scanner that is asked to keep pairs shows a selector the number of the list in the upper half of each number, the
  place in the list in the lower; the selectors here know rows, so each scan brings the numbers of its rows.
- `hnsw_stats` is one global that threads add to without a lock: no use for statistics of one query.
- Ctrl-C ends a call with an exception if the call is on the main thread, and leaves a half-added index behind, which
  is harmless when only unpublished clones are added to. The hook is process-wide, so it cannot serve as a deadline.
- `keep_max_size_level0` is cloned but not written to files.
- Codes whose length is no multiple of 16 are compared by scalar code, eight times slower. With AVX-512 and a multiple
  of 64, int8 codes are compared in integers, up to twice as fast again (784 padded to 832: 31 ns instead of 56); the
  query is then cut to whole numbers and, out of range, *wraps*. Hence queries of whole numbers in range.
- The constructor of a scanner hands out a raw pointer; setting its `thisown` does not free it and breaks the proxies.
"""

import os
import time
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.allocator import use_large_pages

Codes: TypeAlias = NDArray[np.uint8]
Nodes: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_CODE_KINDS: Final = {"int8": "QT_8bit_direct_signed", "float16": "QT_fp16"}
_WAITING: Final = "OMP_WAIT_POLICY"
# Weight of the newest walk in the moving average of the pace: it follows a change within some twenty walks.
_PACE_WEIGHT: Final = 0.05
_SCAN_BYTES: Final = 8 << 20
"""Codes scanned between two looks at the clock: one to four milliseconds."""


@cache
def _faiss() -> Any:  # Its stubs lack half of what it has, and some contradict it.
    # OpenMP's threads, as they come, spin while they wait for one another. On a machine that has other work to do,
    # building with two of them then took 9.8 s instead of 3.1. The library reads this when it is loaded, only then.
    asleep = _WAITING not in os.environ
    if asleep:
        os.environ[_WAITING] = "PASSIVE"
    try:
        import faiss
    finally:
        if asleep:
            del os.environ[_WAITING]
    return faiss


class Hnsw:
    """Links between codes; not to be searched while it is added to.

    Args:
        index: a faiss HNSW index.
    """

    def __init__(self, index: Any) -> None:
        index.keep_max_size_level0 = True
        self._index = index
        self._storage: Any = _faiss().downcast_index(index.storage)
        self._count = int(index.ntotal)
        self.pace = 0.0
        """Seconds of a core that a walk lately took for each node of its beam; 0 before the first."""

    @classmethod
    def empty(cls, width: int, kind: str, *, by_products: bool, links: int, breadth: int) -> "Hnsw":
        """Return an index without nodes.

        Args:
            width: components per code.
            kind: "int8", "float16" or "float32".
            by_products: rank by largest inner product, not by smallest squared L2.
            links: M: links per node and level, twice as many on level 0.
            breadth: efConstruction: candidates for the links of a new node.
        """
        metric = _faiss().METRIC_INNER_PRODUCT if by_products else _faiss().METRIC_L2
        if kind == "float32":
            index = _faiss().IndexHNSWFlat(width, links, metric)
        else:
            index = _faiss().IndexHNSWSQ(width, getattr(_faiss().ScalarQuantizer, _CODE_KINDS[kind]), links, metric)
        index.is_trained = True
        index.hnsw.efConstruction = breadth
        return cls(index)

    def copy(self) -> "Hnsw":
        """Return a copy that can be added to while this one is searched."""
        return Hnsw(_faiss().clone_index(self._index))

    def __len__(self) -> int:
        return self._count

    @property
    def width(self) -> int:
        """Components per code."""
        return int(self._index.d)

    @property
    def links(self) -> int:
        """M, of which level 0 has twice as many."""
        return int(self._index.hnsw.nb_neighbors(1))

    @property
    def by_products(self) -> bool:
        """Return whether nodes are ranked by inner product."""
        return bool(self._index.metric_type == _faiss().METRIC_INNER_PRODUCT)

    @property
    def nbytes(self) -> int:
        """Memory taken by codes and links."""
        hnsw = self._index.hnsw
        linked = 4 * hnsw.neighbors.size() + 8 * hnsw.offsets.size() + 4 * hnsw.levels.size()
        return int(linked + len(self) * self._storage.code_size)

    def encode(self, points: Vector) -> Codes:
        """Return the codes of points, shape (n, bytes per code)."""
        codes: Codes = self._storage.sa_encode(points)
        return codes

    def codes(self, nodes: Nodes) -> Codes:
        """Return the codes of nodes, shape (n, bytes per code), copied."""
        size = int(self._storage.code_size)
        if not len(nodes):
            return np.empty((0, size), np.uint8)
        everything: Codes = _faiss().rev_swig_ptr(self._storage.codes.data(), len(self) * size).reshape(-1, size)
        return everything[nodes]

    def add(self, points: Vector, threads: int) -> None:
        """Append nodes, shape (n, width), linked by this many threads."""
        _faiss().omp_set_num_threads(threads)
        self._index.add(points)
        self._count = int(self._index.ntotal)

    def settle(self) -> None:
        """Make searching quicker, once all nodes are there that will be; see `allocator`."""
        rows = _faiss().rev_swig_ptr
        links = self._index.hnsw.neighbors
        use_large_pages(rows(self._storage.codes.data(), self._count * int(self._storage.code_size)))
        use_large_pages(rows(links.data(), links.size()))

    def search(self, aims: Vector, beam: int, best: int) -> tuple[Vector, Nodes]:
        """Return the best nodes of each beam, best first.

        Args:
            aims: shape (m, width), C-contiguous.
            beam: ef: nodes to keep while walking.
            best: how many of them to return; all of a wide beam cost an eighth more than the first thirty.

        Returns:
            Distances or products, and nodes, -1 where there are fewer; shape (m, min(best, beam, nodes)).
        """
        faiss, shape = _faiss(), (len(aims), min(best, beam, len(self)))
        values, nodes = np.empty(shape, np.float32), np.empty(shape, np.int64)
        faiss.omp_set_num_threads(1)
        # What `index.search` would call after looking at its arguments once more.
        places = faiss.swig_ptr(values), faiss.swig_ptr(nodes)
        began = time.thread_time()
        self._index.search_c(shape[0], faiss.swig_ptr(aims), shape[1], *places, _parameters(beam))
        pace = (time.thread_time() - began) / (shape[0] * beam)
        # Threads may overwrite each other's: it is an average, and of no importance for what is found.
        self.pace += _PACE_WEIGHT * (pace - self.pace) if self.pace else pace
        return values, nodes

    def scan(
        self, aim: Vector, count: int, allowed: Mask | None, check_cancelled: Cancellation
    ) -> tuple[Vector, Nodes]:
        """Return the nearest codes among the allowed, by comparing every one; not for float32.

        Args:
            aim: shape (1, width).
            count: how many to keep.
            allowed: shape (nodes,); None for all.
            check_cancelled: called every few milliseconds; may raise to stop.

        Returns:
            Distances or products, and nodes, best first; shape (at most count,).
        """
        size, nodes = int(self._storage.code_size), len(self)
        count = min(count, nodes)
        worst = -np.inf if self.by_products else np.inf
        values, found = np.full(count, worst, np.float32), np.full(count, -1, np.int64)
        codes = _faiss().rev_swig_ptr(self._storage.codes.data(), nodes * size)
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        step = max(8, _SCAN_BYTES // size // 8 * 8)
        for start in range(0, nodes, step):
            if start:
                check_cancelled()
            numbers = np.arange(start, min(start + step, nodes))
            self._scan_chunk(aim, numbers, codes[start * size : (start + step) * size], bits, values, found)
        order = np.argsort(-values if self.by_products else values, kind="stable")
        order = order[found[order] >= 0]
        return values[order], found[order]

    def _scan_chunk(
        self, aim: Vector, numbers: Nodes, codes: Codes, bits: Codes | None, values: Vector, found: Nodes
    ) -> None:
        selector = None if bits is None else _faiss().IDSelectorBitmap(bits)
        quantizer, size = self._storage.sq, int(self._storage.code_size)
        scanner = quantizer.select_InvertedListScanner(self._index.metric_type, None, False, selector, False)
        try:
            scanner.set_query(_faiss().swig_ptr(aim))
            scanner.scan_codes(
                len(codes) // size,
                _faiss().swig_ptr(codes),
                _faiss().swig_ptr(numbers),
                _faiss().swig_ptr(values),
                _faiss().swig_ptr(found),
                len(found),
            )
        finally:
            _faiss().InvertedListScanner.__swig_destroy__(scanner)

    def write(self, sink: Callable[[bytes], int]) -> None:
        """Hand the index to `sink` in pieces; what it raises is raised here."""
        _faiss().write_index(self._index, _faiss().PyCallbackIOWriter(sink, 1 << 20))

    @classmethod
    def read(cls, source: Callable[[int], bytes]) -> "Hnsw":
        """Read an index that `write` wrote, from a function that returns up to so many of the next bytes.

        Raises:
            RuntimeError: these bytes are none. Check them first: what is no index, but looks like one, may crash.
        """
        return cls(_faiss().read_index(_faiss().PyCallbackIOReader(source, 1 << 20)))


@lru_cache(maxsize=256)
def _parameters(beam: int) -> Any:
    # Searches only read it, so threads share one.
    return _faiss().SearchParametersHNSW(efSearch=beam)


def squared_distances(query: Vector, vectors: Vector, rows: Nodes) -> Vector:
    """|q - v|² for some rows, float32, without copying them; a result is off by at most (d + 2) · 2⁻²⁴ of itself.

    Args:
        query: shape (d,).
        vectors: shape (n, d), contiguous.
        rows: shape (m,).
    """
    _faiss().omp_set_num_threads(1)
    result = np.empty(len(rows), np.float32)
    pointers = [_faiss().swig_ptr(each) for each in (result, query, vectors, rows)]
    _faiss().fvec_L2sqr_by_idx(*pointers, vectors.shape[1], 1, len(rows))
    return result


def inner_products(query: Vector, vectors: Vector, rows: Nodes) -> Vector:
    """⟨q, v⟩ for some rows, float32, without copying them; off by at most (d + 2) · 2⁻²⁴ · |q||v|.

    Args:
        query: shape (d,).
        vectors: shape (n, d), contiguous.
        rows: shape (m,).
    """
    _faiss().omp_set_num_threads(1)
    result = np.empty(len(rows), np.float32)
    pointers = [_faiss().swig_ptr(each) for each in (result, query, vectors, rows)]
    _faiss().fvec_inner_products_by_idx(*pointers, vectors.shape[1], 1, len(rows))
    return result
