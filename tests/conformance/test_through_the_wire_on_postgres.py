"""The conformance suite through a real server whose engine is PostgreSQL."""

from collections.abc import Iterator

import pytest
from engines.postgres_databases import prepared_database
from postgresql_server import PostgresServer, postgresql

from tests.conformance import test_through_the_wire
from tests.conformance.through_the_wire import ThroughRest
from vectrograph import RunningServer, running

__all__ = ["postgresql"]

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.fixture(scope="module")
def database(postgresql: PostgresServer) -> str:
    return prepared_database(postgresql)


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[RunningServer]:
    with running(max_top_k=10_000, engine="postgres", engine_url=database) as server:
        yield server


class TestThroughGrpcOnPostgres(test_through_the_wire.TestThroughGrpc):
    """Every part that gRPC carries."""

    def test_the_engine_is_postgres(self, server: RunningServer) -> None:
        assert server.server.engine.capabilities.name == "postgres"


class TestThroughRestOnPostgres(test_through_the_wire.TestThroughRest):
    """Every part that REST carries."""

    @pytest.fixture
    def engine(self, postgresql: PostgresServer) -> Iterator[ThroughRest]:
        url = prepared_database(postgresql)
        with running(engine="postgres", engine_url=url) as server, server.neurograph() as client:
            yield ThroughRest(server.server.engine, client)
