"""zvec: HNSW over 8-bit codes, searched plain or refined with the original vectors, as its benchmark page does.

Inserting writes a log without fsync; `flush()` syncs. Rows are searched exactly until `optimize()` has built the
graph; searches and writes go on meanwhile. Under L2 the uniform quantiser is used, which version 0.8 introduced as
the faster one (it takes no other distance).
"""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.engine.conditions import NAMES, Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import EF_CONSTRUCTION, Durability, Effort, M, Shape, Subject

_METRICS: Final = {"cosine": "COSINE", "dot": "IP", "euclidean": "L2"}


class ZvecCollection(Subject):
    """One zvec collection with the vector field `v` and one whole-number field a label."""

    durability: ClassVar = Durability.REQUEST
    styles: ClassVar = ("plain", "refined")
    filters: ClassVar = True

    def __init__(self, directory: Path, shape: Shape) -> None:
        self._zvec: Any = import_module("zvec")
        self._threads = shape.threads
        self._filter: str | None = None
        self._param: Any = None
        self._zvec.init(
            log_level=self._zvec.LogLevel.ERROR, query_threads=shape.threads, optimize_threads=shape.threads
        )
        path = directory / "collection"
        if path.exists():
            self._collection = self._zvec.open(str(path))
        else:
            self._collection = self._zvec.create_and_open(str(path), self._schema(shape))

    def _schema(self, shape: Shape) -> Any:
        zvec = self._zvec
        uniform = shape.distance == "euclidean"
        quantiser = zvec.QuantizeType.UNIFORM_UINT8 if uniform else zvec.QuantizeType.INT8
        index = zvec.HnswIndexParam(
            metric_type=getattr(zvec.MetricType, _METRICS[shape.distance]),
            m=M,
            ef_construction=EF_CONSTRUCTION,
            quantize_type=quantiser,
            use_contiguous_memory=True,
        )
        label_index = zvec.InvertIndexParam(enable_range_optimization=True) if shape.filterable else None
        return zvec.CollectionSchema(
            name="bench",
            fields=[zvec.FieldSchema(name, zvec.DataType.INT32, index_param=label_index) for name in NAMES],
            vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, shape.dimension, index),
        )

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Make one `insert` call; raises RuntimeError when a row is refused."""
        doc = self._zvec.Doc
        statuses = self._collection.insert(
            [
                doc(id=str(first + row), vectors={"v": vector}, fields=fields)
                for row, (vector, fields) in enumerate(zip(vectors, labels, strict=True))
            ]
        )
        refused = [status for status in statuses if not status.ok()]
        if refused:
            raise RuntimeError(f"zvec refused {len(refused)} rows: {refused[0].message()}")

    def sync(self) -> None:
        """`flush()`."""
        self._collection.flush()

    def wait_indexed(self) -> None:
        """`optimize()`."""
        self._collection.optimize(self._zvec.OptimizeOption(concurrency=self._threads))

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Build the query parameters and the filter expression once."""
        self._param = self._zvec.HnswQueryParam(ef=effort.breadth, is_using_refiner=effort.style == "refined")
        self._filter = None if condition is None else _expression(condition)

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return one `query` call without fields."""
        found = self._collection.query(
            self._zvec.Query(field_name="v", vector=query, param=self._param),
            topk=k,
            filter=self._filter,
            output_fields=[],
        )
        return [int(document.id) for document in found]

    def close(self) -> None:
        """Flush and close."""
        self._collection.flush()
        self._collection.close()


def _expression(condition: Condition) -> str:
    if condition.low == 0:
        return f"{condition.label} < {condition.high}"
    return f"{condition.label} >= {condition.low}"


CLASSES: Final = {"zvec": ZvecCollection}
