"""init, check and upgrade: what an operator does to a database before servers use it."""

from typing import Any

import psycopg
import pytest
from postgresql_server import PostgresServer, new_database

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.errors import StartupError, UnsupportedFormat
from vectrograph.engines.contract.subject import found, make, put
from vectrograph.engines.postgres import PostgresEngine
from vectrograph.engines.postgres.administration import initialise, upgrade
from vectrograph.engines.postgres.schema import HEAD


@pytest.fixture
def bare(postgresql: PostgresServer) -> str:
    """Provide the connection string of a database without the schema."""
    return postgresql.conninfo(str(new_database(postgresql).database))


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        return rows


def test_init_twice_is_fine_and_keeps_everything(bare: str) -> None:
    assert initialise(bare) == HEAD
    engine = PostgresEngine.open(bare)
    put(engine, make(engine, "docs"), "a")
    engine.close()
    assert initialise(bare) == upgrade(bare) == HEAD
    engine = PostgresEngine.open(bare)
    assert engine.list("default")[0].count == 1
    engine.close()


def test_a_server_refuses_what_is_not_prepared(bare: str) -> None:
    """And changes nothing."""
    with pytest.raises(StartupError, match="vectrograph postgres init"):
        PostgresEngine.open(bare)
    assert run(bare, "SELECT 1 FROM pg_namespace WHERE nspname = 'vectrograph'") == []
    initialise(bare)
    run(bare, "UPDATE vectrograph.alembic_version SET version_num = '9999'")
    with pytest.raises(StartupError, match="revision 9999"):
        PostgresEngine.open(bare)
    with pytest.raises(UnsupportedFormat, match="another version"):
        upgrade(bare)
    assert run(bare, "SELECT version_num FROM vectrograph.alembic_version") == [("9999",)]


def test_the_role_of_servers_needs_no_privileges_but_its_schema(bare: str, postgresql: PostgresServer) -> None:
    run(bare, "DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN", "REVOKE CREATE ON SCHEMA public FROM public")
    initialise(bare, role="plain")
    url = bare.replace("test@", "plain@")
    engine = PostgresEngine.open(url)
    ref = make(engine, "docs")
    put(engine, ref, "a")
    assert found(engine, ref, (0, 0)) == ["a"]
    for task in MaintenanceTask:
        assert engine.maintain(task, ref).healthy
    engine.drop(ref)
    engine.close()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(url, "CREATE TABLE public.x (n int)")
    assert run(url, "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'plain'") == [
        (False, False, False)
    ]


def test_schemas_live_beside_each_other(bare: str) -> None:
    for name in ("one", "two"):
        initialise(bare, schema=name)
    first, second = (PostgresEngine.open(bare, schema=name) for name in ("one", "two"))
    put(first, make(first, "docs"), "a")
    assert second.list("default") == []
    first.close()
    second.close()


def test_refusals_are_one_sentence(postgresql: PostgresServer) -> None:
    with pytest.raises(StartupError, match="refuses to prepare"):
        initialise(postgresql.conninfo("nowhere"))
    with pytest.raises(StartupError, match="refuses to upgrade"):
        upgrade(postgresql.conninfo("nowhere"))
