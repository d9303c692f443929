import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from control.quick import memory
from engines.postgres_databases import emptied, opened, prepared_database
from postgresql_server import PostgresServer

from vectrograph.engines.postgres import PostgresEngine


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Provide an empty directory for a server of its own; a killed process loses nothing in memory either."""
    with tempfile.TemporaryDirectory(prefix="vg-pg-", dir=memory(), ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def database(postgresql: PostgresServer) -> str:
    return prepared_database(postgresql)


@pytest.fixture
def url(database: str) -> str:
    """Provide the connection string of an empty database."""
    return emptied(database)


@pytest.fixture
def connect(url: str) -> Iterator[Callable[..., PostgresEngine]]:
    """Open engines on one database, as many servers do."""
    engines: list[PostgresEngine] = []

    def open_engine(**options: Any) -> PostgresEngine:
        engines.append(opened(url, **options))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(connect: Callable[..., PostgresEngine]) -> PostgresEngine:
    return connect()


@pytest.fixture
def sql(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Provide an operator's connection."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = vectrograph, public")
        yield connection
