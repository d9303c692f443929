"""This project's embedded engine, through the Engine protocol that every engine of the project keeps."""

import time
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.engine.conditions import Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import Durability, Effort, Shape, Subject
from benchmarks.engine.truth import K
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.filters.evaluation import Filter, Range
from vectrograph.domain.points import Put
from vectrograph.domain.queries import DenseLeg, Include, SearchRequest
from vectrograph.engines.base import Engine

_REF: Final = CollectionRef("default", "bench")
_BARE: Final = Include(vector=False, payload=False, text=False)
_POLL_SECONDS: Final = 0.005


class Embedded(Subject):
    """Defaults everywhere: one durable transaction a batch, indexing in the background."""

    durability: ClassVar = Durability.BATCH
    styles: ClassVar = ("default",)
    filters: ClassVar = True

    def __init__(self, directory: Path, shape: Shape) -> None:
        from vectrograph.engines.embedded import EmbeddedEngine

        self._engine: Engine = EmbeddedEngine.open(directory)
        self._breadth: int | None = None
        self._filter: Filter | None = None
        if not self._engine.list(_REF.tenant):
            self._engine.create(CollectionSpec.dense(_REF, shape.dimension, Distance(shape.distance)))

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Make one write, one transaction."""
        self._engine.write(
            _REF,
            [
                Put(id=str(first + row), vector=vector, payload=payload)
                for row, (vector, payload) in enumerate(zip(vectors, labels, strict=True))
            ],
        )

    def sync(self) -> None:
        """Do nothing: a write returns when it is on the disk."""

    def wait_indexed(self) -> None:
        """Flush, then wait until all rows are in the index; an engine that cannot flush has none and scans."""
        if MaintenanceTask.FLUSH not in self._engine.capabilities.maintenance:
            return
        self._engine.maintain(MaintenanceTask.FLUSH, _REF)
        while (info := self._engine.describe(_REF)).indexed < info.count:
            time.sleep(_POLL_SECONDS)

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Pass the breadth on as `ef`."""
        self._breadth = effort.breadth
        self._filter = _filter(condition) if condition is not None else None

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return one leg, ids only."""
        request = SearchRequest(
            legs=(DenseLeg(vectors=query.reshape(1, -1)),),
            k=k,
            filter=self._filter,
            include=_BARE,
            ef=self._breadth,
        )
        return [int(hit.point.id) for hit in self._engine.search(_REF, request)[0].hits]

    def search_many(self, queries: Vectors) -> list[list[int]]:
        """Return one search with many rows, ids only."""
        request = SearchRequest(legs=(DenseLeg(vectors=queries),), k=K, include=_BARE, ef=self._breadth)
        return [[int(hit.point.id) for hit in result.hits] for result in self._engine.search(_REF, request)]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


def _filter(condition: Condition) -> Filter:
    if condition.low == 0:
        return Range((condition.label,), lt=condition.high)
    return Range((condition.label,), gte=condition.low)


CLASSES: Final = {"vectrograph": Embedded}
