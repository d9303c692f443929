"""Databases for tests of the PostgreSQL engine."""

from typing import Any

import psycopg
from postgresql_server import PostgresServer, new_database

from vectrograph.engines.postgres import PostgresEngine
from vectrograph.engines.postgres.administration import initialise


def prepared_database(server: PostgresServer) -> str:
    """Return the connection string of a fresh database with the engine's schema."""
    url = server.conninfo(str(new_database(server).database))
    initialise(url)
    return url


def emptied(url: str) -> str:
    """Drop all collections; much quicker than a fresh database."""
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = vectrograph")
        for (uid,) in connection.execute("DELETE FROM collections RETURNING uid").fetchall():
            connection.execute(f"DROP TABLE points_{uid}, changes_{uid}")
        connection.execute("DELETE FROM replies")
    return url


def opened(url: str, **options: Any) -> PostgresEngine:
    """Return an engine with few connections."""
    return PostgresEngine.open(url, **{"read_connections": 4, "write_connections": 4, **options})
