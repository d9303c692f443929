"""A collection that is large enough for an index, and what its View shows."""

from pathlib import Path

import numpy as np

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.points import Put, Vector
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.upkeep.background import Rhythm

DOCS = CollectionRef(TENANT, "docs")
QUICK = Rhythm(first_rows=(300, 300), swap_rows=200, lag_rows=100_000, idle_seconds=0.2)
DIMENSION = 128


def rows(count: int, seed: int = 1) -> Vector:
    """Return some clusters."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((20, DIMENSION))
    noise = generator.standard_normal((count, DIMENSION))
    return (centres[generator.integers(0, 20, count)] + 0.5 * noise).astype(np.float32)


def fill(engine: EmbeddedEngine, vectors: Vector, first: int = 0) -> None:
    """Put vectors under their numbers, a hundred at a time."""
    if not engine.list(TENANT):
        engine.create(CollectionSpec.dense(DOCS, DIMENSION, Distance.EUCLIDEAN))
    for start in range(0, len(vectors), 100):
        part = vectors[start : start + 100]
        engine.write(DOCS, [Put(id=f"{first + start + n}", vector=row) for n, row in enumerate(part)])


def flush(engine: EmbeddedEngine) -> None:
    """Wait until every row is in the index."""
    assert engine.maintain(MaintenanceTask.FLUSH, DOCS).healthy


def view(engine: EmbeddedEngine) -> View:
    """Return the newest View of the collection."""
    return engine._catalog.find(DOCS).view()


def covered(engine: EmbeddedEngine) -> int:
    """Return rows that the published graph covers."""
    served = view(engine).served
    return 0 if served is None else served.graph.covered


def graph_bytes(seen: View) -> int:
    """Return the bytes that the graph of a View takes."""
    return 0 if seen.served is None else seen.served.graph.nbytes


def home(directory: Path) -> Path:
    """Return the directory of the one collection."""
    (path,) = (directory / "collections").iterdir()
    return path


def assert_whole(seen: View, vectors: Vector, alive: set[int]) -> None:
    """Expect a View to show exactly the vectors of these numbers (those that were not overwritten have label
    number + 1).
    """
    assert seen.count == len(alive)
    labels = seen.labels[seen.live]
    assert set((labels - 1).tolist()) == alive
    np.testing.assert_array_equal(seen.vectors[seen.live], vectors[labels - 1])
    np.testing.assert_allclose(seen.lengths[seen.live], np.linalg.norm(vectors[labels - 1], axis=1), rtol=1e-5)
