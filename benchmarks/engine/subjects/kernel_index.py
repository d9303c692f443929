"""The bare index kernel: what it gives without durability, payload, filters, ids, updates and the planner.

Rows are linked in one go, by as many threads as the engine may use.
"""

from pathlib import Path
from threading import Thread
from typing import ClassVar, Final

import numpy as np

from benchmarks.engine.conditions import Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import Durability, Effort, Shape, Subject
from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.engines.embedded.kernel import arrays, library
from vectrograph.engines.embedded.kernel.search import Searcher, Searchers, link, publish_linked

# Candidates refined beyond k, by style.
_REFINED: Final = {"refine 6": 6, "refine 20": 20, "scan": 20}
# Rows that one thread links first, because those of one batch hardly see one another.
_FIRST: Final = 1000
# Rows that a thread links at a time afterwards.
_BATCH: Final = 500
# Pruning factor by distance. Measured by the prototype: image patches need longer links, text embeddings do not.
_ALPHA: Final = {"euclidean": 1.15, "cosine": 1.0, "dot": 1.0}


class Kernel(Subject):
    """Codes of a byte and links, refined with the float32 vectors beside them."""

    durability: ClassVar = Durability.NEVER
    styles: ClassVar[tuple[str, ...]] = tuple(_REFINED)
    filters: ClassVar = False
    instruction_set: ClassVar[str | None] = None

    def __init__(self, directory: Path, shape: Shape) -> None:
        if self.instruction_set is not None:
            library.use_instruction_set(self.instruction_set)
        self._shape = shape
        self._layout = arrays.Shape(Distance(shape.distance), Quantisation.INT8, shape.dimension)
        self._path = directory / "vectors"
        self._folder = directory / "index"
        self._waiting: list[Vectors] = []
        self._searchers = Searchers(shape.dimension)
        if self._path.exists():
            self._vectors: Vectors = np.memmap(self._path, np.float32, "r").reshape(-1, shape.dimension)
            self._index = arrays.IndexArrays.open(self._layout, self._folder)
            self._show()

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Collect the rows."""
        self._waiting.append(vectors)

    def sync(self) -> None:
        """Do nothing: what is written is not synced."""

    def wait_indexed(self) -> None:
        """Code and link all rows that were collected."""
        rows = np.ascontiguousarray(np.concatenate(self._waiting))
        self._waiting.clear()
        rows.tofile(self._path)
        self._vectors = np.memmap(self._path, np.float32, "r").reshape(rows.shape)
        self._folder.mkdir()
        centre = rows.mean(axis=0) if self._shape.distance == "euclidean" else None
        self._index = arrays.IndexArrays.create(self._layout, self._folder, centre)
        self._index.append(0, rows)
        self._index.bind(self._vectors)
        self._index.publish(1, len(rows))
        self._link(0, min(_FIRST, len(rows)))
        starts = iter(range(_FIRST, len(rows), _BATCH))

        def work() -> None:
            # `next` of a range iterator is one step of the interpreter: no two threads get the same.
            for start in starts:
                self._link(start, min(start + _BATCH, len(rows)))

        threads = [Thread(target=work) for _ in range(self._shape.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        publish_linked(self._index.mapped, len(rows))
        self._show()

    def _link(self, first: int, end: int) -> None:
        link(Searcher(self._shape.dimension), self._index, first, end, alpha=_ALPHA[self._shape.distance])

    def _show(self) -> None:
        self._state = self._index.bind(self._vectors).state()

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Fix beam, refinement and way."""
        self._beam, self._more = effort.breadth, _REFINED[effort.style]
        self._way = library.Way.SCAN if effort.style == "scan" else library.Way.WALK

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return the rows of one call."""
        found = self._searchers.search(
            self._index, self._state, query, k, beam=self._beam, refine=k + self._more, way=self._way, any_dead=False
        )
        rows: list[int] = found.rows.tolist()
        return rows

    def close(self) -> None:
        """Do nothing: the arrays are in files."""


class KernelAvx2(Kernel):
    """The kernel on a processor without AVX-512."""

    instruction_set: ClassVar[str | None] = "avx2"


CLASSES: Final = {"kernel": Kernel, "kernel-avx2": KernelAvx2}
