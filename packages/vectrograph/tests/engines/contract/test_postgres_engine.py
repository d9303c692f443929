"""The PostgreSQL engine passes the conformance suite and behaves like the reference engine."""

from collections.abc import Callable, Iterator

import pytest
from engines.postgres_databases import emptied, opened, prepared_database
from hypothesis import HealthCheck, settings
from postgresql_server import PostgresServer

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.points import Put
from vectrograph.domain.queries import DenseLeg, SearchRequest
from vectrograph.engines.base import Engine, Results
from vectrograph.engines.contract import (
    DurabilityContract,
    EngineContract,
    SearchContract,
    engine_machine,
)
from vectrograph.engines.contract.subject import vector
from vectrograph.engines.postgres import PostgresEngine
from vectrograph.engines.postgres.searching import WALK, Options

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def database(postgresql: PostgresServer) -> str:
    return prepared_database(postgresql)


class TestPostgresEngine(EngineContract, DurabilityContract):
    """Every part."""

    @pytest.fixture
    def engine(self, database: str) -> Iterator[Engine]:
        """Provide an empty one."""
        engine = opened(emptied(database))
        yield engine
        engine.close()

    @pytest.fixture
    def reopen(self, database: str) -> Iterator[Callable[[Engine], Engine]]:
        """Close, and connect to the same database."""
        made: list[Engine] = []

        def again(engine: Engine) -> Engine:
            engine.close()
            made.append(opened(database))
            return made[-1]

        yield again
        for engine in made:
            engine.close()


class IndexedEngine(PostgresEngine):
    """Everything is in an HNSW index before it is searched."""

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Search when there is an index, and this server knows of it."""
        self.maintain(MaintenanceTask.FLUSH, ref)
        self._indexed.add(self._catalog.find(ref, self._work()).uid)
        return super().search(ref, request, deadline=deadline)


class TestIndexed(SearchContract):
    """Searches by the index, which small collections have not."""

    @pytest.fixture
    def engine(self, database: str) -> Iterator[Engine]:
        """Provide an empty one."""
        engine = IndexedEngine.open(
            emptied(database), index_rows=1, options=Options(scan_matches=0, overfetch=4.0), read_connections=4
        )
        yield engine
        engine.close()

    def test_the_index_is_used(self, engine: Engine, docs: CollectionRef) -> None:
        """Or else the rest would show nothing."""
        engine.write(docs, [Put(id=f"{n}", vector=vector(n, n * n)) for n in range(2_000)])
        request = SearchRequest(legs=(DenseLeg(vectors=vector(5, 25)[None]),), k=3, explain=True)
        result = engine.search(docs, request)[0]
        assert result.plan is not None
        assert (result.plan.strategy, result.plan.index) == (WALK, "hnsw")
        assert [hit.point.id for hit in result.hits] == ["5", "4", "6"]


_databases: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _database_of_the_machine(postgresql: PostgresServer) -> Iterator[None]:
    _databases.append(prepared_database(postgresql))
    yield
    _databases.clear()


def _reopen(engine: Engine) -> Engine:
    engine.close()
    return opened(_databases[0])


TestPostgresBehavesLikeReference = pytest.mark.slow(
    engine_machine(lambda: opened(emptied(_databases[0])), reopen=_reopen).TestCase
)
TestPostgresBehavesLikeReference.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
