"""Small indexes of the native kernel, and what numpy says they hold."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.distances import scores
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Mapped, Shape
from vectrograph.engines.embedded.kernel.library import instruction_set, instruction_sets, use_instruction_set
from vectrograph.engines.embedded.kernel.search import Searcher, link, publish_linked

Rows = NDArray[np.int64]


@contextmanager
def using(path: str) -> Iterator[None]:
    """Use one instruction set in a block."""
    before = instruction_set()
    use_instruction_set(path)
    try:
        yield
    finally:
        use_instruction_set(before)


def paths() -> list[str]:
    """Return the instruction sets that this processor has."""
    return instruction_sets()


def built(
    vectors: Vector,
    distance: Distance,
    quantisation: Quantisation = Quantisation.INT8,
    *,
    centre: Vector | None = None,
    linked: bool = True,
    breadth: int = 128,
    alpha: float = 1.0,
) -> tuple[IndexArrays, Mapped]:
    """Return an index over vectors, at seq 1."""
    arrays = IndexArrays.create(Shape(distance, quantisation, vectors.shape[1]), centre=centre)
    arrays.append(0, vectors)
    mapped = arrays.bind(vectors)
    arrays.publish(1, len(vectors))
    if linked:
        link(Searcher(vectors.shape[1]), arrays, 0, len(vectors), breadth=breadth, alpha=alpha)
        publish_linked(mapped, len(vectors))
    return arrays, mapped


def nearest(
    distance: Distance, query: Vector, vectors: Vector, k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[Rows, Vector]:
    """Return the best k rows by the kernel of the domain, the newest first among equals, and their scores."""
    exact = scores(distance, query, vectors)
    order = np.lexsort((-np.arange(len(vectors)), exact))
    if allowed is not None:
        order = order[allowed[order]]
    return order[:k], exact[order[:k]]


def code_scores(mapped: Mapped, query: Vector) -> Vector:
    """Return the score of every row by its int8 code, rounded as the kernel rounds."""
    shape = mapped.shape
    records = mapped.arrays["records"]
    padded = shape.stride - 8
    factors = np.ascontiguousarray(records[:, padded:]).view(np.float32)
    moved = query.astype(np.float32)
    if shape.distance is Distance.COSINE:
        moved = moved * np.float32(1 / np.sqrt(np.square(query.astype(np.float64)).sum()))
    centre = mapped.arrays["centre"]
    if len(centre):
        moved = moved - centre[0]
    largest = np.abs(moved).max()
    whole = np.rint(moved * (np.float32(127) / largest)).astype(np.int32)
    codes = records[:, : shape.dimension].astype(np.int32) - 128
    products = (codes @ whole).astype(np.float32)
    scaled: Vector = factors[:, 1] - factors[:, 0] * (largest / np.float32(127)) * products
    return scaled
