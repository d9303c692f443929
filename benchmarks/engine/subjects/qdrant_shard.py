"""qdrant-edge: HNSW over int8 codes pinned in memory, one segment, as its guides advise for speed.

An update writes a memory-mapped log without syncing it; `flush()` syncs. Rows are searched exactly until `optimize()`
has built the graph; that call blocks the shard. Three styles: by codes and rescored, the same with twice the
candidates, and without the codes.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.engine.conditions import NAMES, Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import EF_CONSTRUCTION, Durability, Effort, M, Shape, Subject

_DISTANCES: Final = {"cosine": "Cosine", "dot": "Dot", "euclidean": "Euclid"}
_FULL_SCAN_KB: Final = 10_000
_ONE_SEGMENT_KB: Final = 100_000_000


class QdrantShard(Subject):
    """One shard with an unnamed vector and the labels as payload."""

    durability: ClassVar = Durability.REQUEST
    styles: ClassVar = ("int8", "int8 oversampled", "float32")
    filters: ClassVar = True

    def __init__(self, directory: Path, shape: Shape) -> None:
        self._edge: Any = import_module("qdrant_edge")
        self._params: Any = None
        self._filter: Any = None
        path = directory / "shard"
        if path.exists():
            self._shard = self._edge.EdgeShard.load(str(path), self._config(shape))
            return
        path.mkdir()
        self._shard = self._edge.EdgeShard.create(str(path), self._config(shape))
        if shape.filterable:
            index = self._edge.IntegerIndexParams(lookup=True, range=True, memory=self._edge.Memory.Pinned)
            for name in NAMES:
                self._shard.update(self._edge.UpdateOperation.create_field_index(name, index))

    def _config(self, shape: Shape) -> Any:
        edge = self._edge
        vectors = edge.EdgeVectorParams(
            size=shape.dimension,
            distance=getattr(edge.Distance, _DISTANCES[shape.distance]),
            memory=edge.Memory.Cached,
            hnsw_config=edge.HnswIndexConfig(
                m=M,
                ef_construct=EF_CONSTRUCTION,
                full_scan_threshold=_FULL_SCAN_KB,
                max_indexing_threads=shape.threads,
                memory=edge.Memory.Pinned,
            ),
            quantization_config=edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=edge.Memory.Pinned),
        )
        optimizers = edge.EdgeOptimizersConfig(
            default_segment_number=1, indexing_threshold=1, max_segment_size=_ONE_SEGMENT_KB
        )
        return edge.EdgeConfig(vectors=vectors, optimizers=optimizers, max_search_threads=shape.threads)

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Make one `upsert_points` operation."""
        point = self._edge.Point
        points = [
            point(first + row, vector.tolist(), payload)
            for row, (vector, payload) in enumerate(zip(vectors, labels, strict=True))
        ]
        self._shard.update(self._edge.UpdateOperation.upsert_points(points))

    def sync(self) -> None:
        """`flush()`."""
        self._shard.flush()

    def wait_indexed(self) -> None:
        """`optimize()`."""
        self._shard.optimize()

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Build the search parameters and the filter once."""
        edge = self._edge
        oversampling = 2.0 if effort.style == "int8 oversampled" else None
        codes = edge.QuantizationSearchParams(ignore=effort.style == "float32", rescore=True, oversampling=oversampling)
        self._params = edge.SearchParams(hnsw_ef=effort.breadth, quantization=codes)
        self._filter = None if condition is None else self._expression(condition)

    def _expression(self, condition: Condition) -> Any:
        edge = self._edge
        bounds = edge.RangeFloat(lt=condition.high) if condition.low == 0 else edge.RangeFloat(gte=condition.low)
        return edge.Filter(must=[edge.FieldCondition(condition.label, range=bounds)])

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return one `search` call."""
        request = self._edge.SearchRequest(
            query=self._edge.Query.Nearest(query.tolist()),
            limit=k,
            filter=self._filter,
            params=self._params,
        )
        return [point.id for point in self._shard.search(request)]

    def close(self) -> None:
        """Flush and close."""
        self._shard.flush()
        self._shard.close()


CLASSES: Final = {"qdrant-edge": QdrantShard}
