"""Recall with default settings, in data that are hard for graphs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.points import Put, Vector
from vectrograph.domain.queries import DenseLeg, Include, SearchRequest
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine

pytestmark = pytest.mark.slow

DOCS = CollectionRef(TENANT, "docs")
ROWS = 9_000
QUERIES = 300
K = 10
BARE = Include(vector=False, payload=False, text=False)


@pytest.fixture(scope="module")
def tokens() -> Vector:
    """Provide embeddings of the words of a language model, in random order."""
    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    (file,) = Path(spec.origin).parent.glob("weights/*_256.safetensors")
    table = next(iter(load_file(file).values())).astype(np.float32)
    chosen: Vector = np.random.default_rng(5).permutation(table)[: ROWS + QUERIES]
    return chosen


@pytest.mark.parametrize("distance", Distance)
def test_the_nearest_ten_words_are_found(scratch: Path, tokens: Vector, distance: Distance) -> None:
    """Under plain L2 a third of the nodes of such a graph cannot be reached: walks find half of what is near."""
    engine = EmbeddedEngine.open(scratch / "data")
    engine.create(CollectionSpec.dense(DOCS, tokens.shape[1], distance))
    for start in range(0, ROWS, 3_000):
        part = tokens[start : start + 3_000]
        engine.write(DOCS, [Put(id=f"{start + n}", vector=row) for n, row in enumerate(part)])
    engine.maintain(MaintenanceTask.FLUSH, DOCS)
    info = engine.describe(DOCS)
    assert (info.indexed, engine._catalog.find(DOCS).view().buffered) == (ROWS, 0)
    legs = (DenseLeg(vectors=tokens[ROWS:]),)
    given = engine.search(DOCS, SearchRequest(legs=legs, k=K, include=BARE, explain=True))
    truths = engine.search(DOCS, SearchRequest(legs=legs, k=K, include=BARE, exact=True))
    met = sum(
        len({hit.point.id for hit in found.hits} & {hit.point.id for hit in truth.hits})
        for found, truth in zip(given, truths, strict=True)
    )
    # Or the test would compare one exact scan with another.
    assert {found.plan.index for found in given if found.plan is not None} == {"hnsw"}
    assert met >= 0.98 * K * QUERIES
    engine.close()
