"""lancedb: IVF_HNSW_SQ with one partition, the number its documentation recommends for HNSW.

`add` writes a new fragment and never calls fsync. Rows are searched exactly until the index takes them in:
`create_index` the first time, `optimize()` afterwards. Two styles: by codes alone, and refined with the original
vectors.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from benchmarks.engine.conditions import NAMES, Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import EF_CONSTRUCTION, Durability, Effort, M, Shape, Subject

_METRICS: Final = {"cosine": "cosine", "dot": "dot", "euclidean": "l2"}
_REFINE: Final = {"plain": None, "refined": 1, "refined twice": 2}


class LancedbTable(Subject):
    """One table with an id, the labels and a fixed-size list of float32."""

    durability: ClassVar = Durability.NEVER
    styles: ClassVar = tuple(_REFINE)
    filters: ClassVar = True

    def __init__(self, directory: Path, shape: Shape) -> None:
        lancedb: Any = import_module("lancedb")
        self._index: Any = import_module("lancedb.index")
        self._arrow: Any = import_module("pyarrow")
        self._shape = shape
        self._effort = Effort(0, "plain")
        self._where: str | None = None
        database = lancedb.connect(str(directory))
        vector = self._arrow.list_(self._arrow.float32(), shape.dimension)
        fields = [("id", self._arrow.int64()), *((name, self._arrow.int32()) for name in NAMES), ("v", vector)]
        self._schema = self._arrow.schema(fields)
        there = (directory / "bench.lance").exists()
        self._table = database.open_table("bench") if there else database.create_table("bench", schema=self._schema)

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Make one `add` of an Arrow batch."""
        arrow = self._arrow
        columns = [arrow.array(np.arange(first, first + len(vectors)))]
        columns += [arrow.array([row[name] for row in labels], arrow.int32()) for name in NAMES]
        flat = arrow.array(np.ascontiguousarray(vectors).reshape(-1))
        columns.append(arrow.FixedSizeListArray.from_arrays(flat, self._shape.dimension))
        self._table.add(arrow.RecordBatch.from_arrays(columns, schema=self._schema))

    def sync(self) -> None:
        """Do nothing: the engine has no such call."""

    def wait_indexed(self) -> None:
        """Compact, then build the index or take the new rows into it."""
        self._table.optimize()
        if self._table.list_indices():
            return
        config = self._index.HnswSq(
            distance_type=_METRICS[self._shape.distance],
            num_partitions=1,
            m=M,
            ef_construction=EF_CONSTRUCTION,
        )
        self._table.create_index("v", config=config)
        if self._shape.filterable:
            for name in NAMES:
                self._table.create_index(name, config=self._index.Bitmap())

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Remember the breadth and the predicate."""
        self._effort = effort
        self._where = None if condition is None else _expression(condition)

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return one vector query that selects the id."""
        refine = _REFINE[self._effort.style]
        asked = (
            self._table.search(query, vector_column_name="v")
            .distance_type(_METRICS[self._shape.distance])
            .nprobes(1)
            .ef(max(self._effort.breadth, k * (refine or 1)))
            .limit(k)
            .select(["id", "_distance"])
        )
        if refine is not None:
            asked = asked.refine_factor(refine)
        if self._where is not None:
            asked = asked.where(self._where, prefilter=True)
        found: list[int] = asked.to_arrow()["id"].to_pylist()
        return found

    def close(self) -> None:
        """Do nothing: a table holds no lock and every `add` is a finished file."""


def _expression(condition: Condition) -> str:
    if condition.low == 0:
        return f"{condition.label} < {condition.high}"
    return f"{condition.label} >= {condition.low}"


CLASSES: Final = {"lancedb": LancedbTable}
