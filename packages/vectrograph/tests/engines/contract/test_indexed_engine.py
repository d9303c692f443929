"""With a graph over every point and every kind of code, the engine gives the same answers as without."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import (
    CollectionInfo,
    CollectionRef,
    CollectionSpec,
    Distance,
    Quantisation,
)
from vectrograph.domain.points import Put, Vector
from vectrograph.domain.queries import DenseLeg, Plan, SearchRequest
from vectrograph.engines.base import Engine, Results
from vectrograph.engines.contract import FilterContract, SearchContract, engine_machine
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.index.effort import Route
from vectrograph.engines.embedded.index.graph import BEAM, Graph, ServedGraph
from vectrograph.engines.embedded.index.recall import recall
from vectrograph.engines.embedded.query.planner import CODES, ROWS, WALK
from vectrograph.engines.embedded.upkeep.background import Rhythm

pytestmark = pytest.mark.slow

EAGER = Rhythm(first_rows=(1, 1), swap_rows=1, idle_seconds=1000.0)


def forced(way: Route) -> Callable[[int, int, int, int], Route]:
    return lambda nodes, allowed, dimension, beam: way


def as_it_is(graph: Graph, *_: object) -> ServedGraph:
    """Return every graph is walked."""
    return ServedGraph(graph, BEAM)


class IndexedEngine(EmbeddedEngine):
    """Everything is in a graph before it is searched."""

    quantisation = Quantisation.INT8

    @classmethod
    def over(cls, directory: Path, quantisation: Quantisation, way: Route) -> "IndexedEngine":
        """In a directory, with this kind of codes, always going this way."""
        engine = cls.open(directory, rhythm=EAGER, tune=as_it_is, choose=forced(way))
        assert isinstance(engine, IndexedEngine)
        engine.quantisation = quantisation
        return engine

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """Create a collection whose index is of the kind under test."""
        fields = tuple(replace(field, quantisation=self.quantisation) for field in spec.fields)
        return super().create(replace(spec, fields=fields))

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Search when all is indexed."""
        self.maintain(MaintenanceTask.FLUSH, ref)
        return super().search(ref, request, deadline=deadline)


@pytest.mark.parametrize(
    ("quantisation", "way"),
    [
        (Quantisation.INT8, Route.WALK),
        (Quantisation.FLOAT16, Route.CODES),
        (Quantisation.FLOAT32, Route.WALK),
    ],
)
class TestIndexed(SearchContract, FilterContract):
    """Searches and filters, whatever the codes and the way."""

    @pytest.fixture
    def engine(self, scratch: Path, quantisation: Quantisation, way: Route) -> Iterator[Engine]:
        """Provide a fresh one in its own directory."""
        engine = IndexedEngine.over(scratch / "data", quantisation, way)
        yield engine
        engine.close()

    def test_the_graph_is_used(
        self, engine: Engine, docs: CollectionRef, quantisation: Quantisation, way: Route
    ) -> None:
        """Or else the rest would show nothing."""
        engine.write(docs, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows_of(40, 2))])
        plan = plan_of(engine, docs, rows_of(1, 2)[0])
        assert (plan.index, plan.strategy) == ("hnsw", {"walk": WALK, "codes": CODES, "rows": ROWS}[way.value])
        assert engine.describe(docs).spec.quantisation is quantisation


def fresh(way: Route) -> Engine:
    """Return a fresh engine in a directory that goes with it."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - fsync costs nothing there
    directory = tempfile.TemporaryDirectory(prefix="vectrograph-indexed-", dir=memory)

    class Temporary(IndexedEngine):
        def close(self) -> None:
            super().close()
            directory.cleanup()

    return Temporary.over(Path(directory.name), Quantisation.INT8, way)


def machine(way: Route) -> Any:
    case = engine_machine(partial(fresh, way)).TestCase
    case.settings = settings(
        max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    return case


TestWalkingBehavesLikeTheReference = machine(Route.WALK)
TestScanningCodesBehavesLikeTheReference = machine(Route.CODES)


# ---------------------------------------------------------------- as anybody would use it


def rows_of(count: int, dimension: int) -> Vector:
    generator = np.random.default_rng(12)
    centres = generator.standard_normal((30, dimension))
    rows = centres[generator.integers(0, 30, count)] + 0.5 * generator.standard_normal((count, dimension))
    return rows.astype(np.float32)


def plan_of(engine: Engine, ref: CollectionRef, query: Vector, **options: Any) -> Plan:
    request = SearchRequest(legs=(DenseLeg(vectors=query[None]),), k=10, explain=True, **options)
    plan = engine.search(ref, request)[0].plan
    assert plan is not None
    return plan


@pytest.mark.parametrize("distance", Distance)
def test_a_large_collection_is_walked_and_nearly_nothing_missed(scratch: Path, distance: Distance) -> None:
    rows = rows_of(6_100, 32)
    stored, queries = rows[:6_000], rows[6_000:]
    engine = EmbeddedEngine.open(scratch / "data", rhythm=Rhythm(first_rows=(1_000, 1_000)))
    ref = CollectionRef("default", "rows")
    engine.create(CollectionSpec.dense(ref, 32, distance))
    for start in range(0, 6_000, 1_000):
        engine.write(ref, [Put(id=f"{start + n}", vector=row) for n, row in enumerate(stored[start : start + 1_000])])
    engine.maintain(MaintenanceTask.FLUSH, ref)
    found = engine.search(ref, SearchRequest(legs=(DenseLeg(vectors=queries),), k=10))
    exact = engine.search(ref, SearchRequest(legs=(DenseLeg(vectors=queries),), k=10, exact=True))
    shares = [
        recall(np.array([hit.score for hit in given.hits]), np.array([hit.score for hit in wanted.hits]))
        for given, wanted in zip(found, exact, strict=True)
    ]
    assert np.mean(shares) > 0.97
    assert plan_of(engine, ref, queries[0], exact=True).strategy == "exact scan"
    assert plan_of(engine, ref, queries[0]).index == "hnsw"
    engine.close()


def test_the_kind_of_codes_is_kept_and_may_be_absent(scratch: Path) -> None:
    specs = {
        kind: CollectionSpec.dense(CollectionRef("default", kind.value), 4, Distance.COSINE, quantisation=kind)
        for kind in Quantisation
    }
    engine = EmbeddedEngine.open(scratch / "data")
    for spec in specs.values():
        engine.create(spec)
    engine.close()
    written = [json.loads(path.read_text()) for path in (scratch / "data").glob("collections/*/manifest.json")]
    said = {body["spec"]["name"]: body["spec"]["fields"][0].get("quantisation") for body in written}
    assert said == {"int8": None, "float16": "float16", "float32": "float32"}
    again = EmbeddedEngine.open(scratch / "data")
    assert {info.spec.ref.name: info.spec for info in again.list("default")} == {
        spec.ref.name: spec for spec in specs.values()
    }
    again.close()
