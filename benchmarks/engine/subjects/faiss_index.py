"""Bare faiss: what the same graph parameters give without durability, payload, filters, ids or updates.

Rows are collected and added in one call, which is the fastest way to build; the file is written once and read back
when opened again.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from benchmarks.engine.conditions import Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import EF_CONSTRUCTION, Durability, Effort, M, Shape, Subject

_FACTORS: Final = {"plain": None, "refined": 1.0, "refined twice": 2.0}


class _Faiss(Subject):
    """Base of both indexes; cosine is the inner product of normalised vectors."""

    durability: ClassVar = Durability.NEVER
    styles: ClassVar[tuple[str, ...]] = ("plain",)
    filters: ClassVar = False

    def __init__(self, directory: Path, shape: Shape) -> None:
        self._faiss: Any = import_module("faiss")
        self._faiss.omp_set_num_threads(shape.threads)
        self._shape = shape
        self._path = directory / "index.faiss"
        self._waiting: list[Vectors] = []
        self._params: Any = None
        self._index: Any = self._faiss.read_index(str(self._path)) if self._path.exists() else None

    def _metric(self) -> int:
        euclidean = self._shape.distance == "euclidean"
        return int(self._faiss.METRIC_L2 if euclidean else self._faiss.METRIC_INNER_PRODUCT)

    def _build(self, rows: Vectors) -> Any:
        raise NotImplementedError

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Collect the rows."""
        self._waiting.append(self._normalised(vectors))

    def _normalised(self, vectors: Vectors) -> Vectors:
        if self._shape.distance != "cosine":
            return vectors
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-30), np.float32)

    def sync(self) -> None:
        """Do nothing: nothing is on the disk before the index is written."""

    def wait_indexed(self) -> None:
        """Add all collected rows, two threads wide."""
        rows = np.concatenate(self._waiting)
        self._waiting.clear()
        if self._index is None:
            self._index = self._build(rows)
        self._index.add(rows)

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Build the search parameters once."""
        graph = self._faiss.SearchParametersHNSW(efSearch=effort.breadth)
        factor = _FACTORS[effort.style]
        self._params = (
            graph
            if factor is None
            else self._faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=graph)
        )

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return one `search` call with one row."""
        asked = self._normalised(query.reshape(1, -1))
        found: list[int] = self._index.search(asked, k, params=self._params)[1][0].tolist()
        return found

    def close(self) -> None:
        """Write the index file, unless it is there."""
        if self._index is not None and not self._path.exists():
            self._faiss.write_index(self._index, str(self._path))


class FaissFlat(_Faiss):
    """HNSW over the float32 vectors."""

    def _build(self, rows: Vectors) -> Any:
        graph = self._faiss.IndexHNSWFlat(self._shape.dimension, M, self._metric())
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        return graph


class FaissSq8(_Faiss):
    """HNSW over 8-bit codes, refined with the float32 vectors held beside it."""

    styles: ClassVar[tuple[str, ...]] = ("refined", "refined twice")

    def _build(self, rows: Vectors) -> Any:
        faiss, dimension, metric = self._faiss, self._shape.dimension, self._metric()
        graph = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_8bit, M, metric)
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        graph.train(rows)
        self._parts = (graph, faiss.IndexFlat(dimension, metric))
        return faiss.IndexRefine(*self._parts)


CLASSES: Final = {"faiss-sq8": FaissSq8, "faiss-flat": FaissFlat}
