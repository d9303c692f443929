"""Settings and commands of the engine postgres, and the connections that they refuse."""

from collections.abc import Callable
from pathlib import Path

import pytest
from postgresql_server import PostgresServer, new_database
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from vectrograph import running
from vectrograph.cli import app
from vectrograph.domain.errors import StartupError
from vectrograph.engines.contract.subject import make, put
from vectrograph.engines.postgres import PostgresEngine
from vectrograph.engines.postgres.administration import initialise, upgrade
from vectrograph.engines.postgres.conninfo import checked_conninfo
from vectron_client import Point


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@127.0.0.1/db",
        "postgresql://user@[::1]:5433/db",
        "postgresql://user@localhost,127.0.0.2/db",
        "host=/run/postgresql dbname=db",
        "postgresql:///db",
        "postgresql://user@db.example/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://user@name.example/db?hostaddr=127.0.0.1",
    ],
)
def test_safe_connections_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several hosts, the one that takes writes."""
    monkeypatch.delenv("PGHOST", raising=False)
    assert conninfo_to_dict(checked_conninfo(url))["target_session_attrs"] == "read-write"
    assert conninfo_to_dict(checked_conninfo(url)).items() >= conninfo_to_dict(url).items()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@db.example/db",
        "postgresql://user:secret@db.example/db?sslmode=require",
        "postgresql://user:secret@db.example/db?sslmode=verify-ca",
        "postgresql://user:secret@127.0.0.1,10.0.0.7/db",
        "postgresql://user:secret@localhost/db?hostaddr=10.0.0.7",
        "host=localhost.example password=secret",
    ],
)
@pytest.mark.parametrize("act", [PostgresEngine.open, initialise, upgrade, checked_conninfo])
def test_connections_that_others_could_read_are_refused(url: str, act: Callable[[str], object]) -> None:
    with pytest.raises(StartupError, match="without verified TLS") as caught:
        act(url)
    assert "secret" not in str(caught.value)


def test_the_environment_of_libpq_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(StartupError, match=r"db\.example without verified TLS"):
        checked_conninfo("postgresql:///db")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    checked_conninfo("postgresql:///db")


@pytest.mark.parametrize("url", ["mysql://x", "nonsense", "service=x"])
def test_what_is_no_connection_string_is_refused(url: str) -> None:
    with pytest.raises(StartupError, match="engine_url"):
        checked_conninfo(url)


def test_engine_and_url_belong_together(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="needs --engine-url"), running(tmp_path, engine="postgres"):
        pass
    with (
        pytest.raises(StartupError, match="is for the engine postgres"),
        running(tmp_path, engine_url="postgresql:///x"),
    ):
        pass
    with pytest.raises(StartupError, match="Setting engine"), running(tmp_path, engine="mysql"):
        pass


def test_two_servers_serve_one_database(database: str, url: str, tmp_path: Path) -> None:
    """A point written at one is found at the other."""
    settings = {"engine": "postgres", "engine_url": url, "engine_connections": 4}
    with running(tmp_path / "a", **settings) as first, running(tmp_path / "b", **settings) as second:
        with first.vectron() as here, second.vectron() as there:
            here.create_collection("docs", dimension=2, distance="euclidean")
            here.upsert("docs", [Point("a", [1.0, 2.0])])
            assert [hit.id for hit in there.search("docs", vector=[1.0, 2.0], top_k=1)] == ["a"]
            there.delete("docs", "a")
            assert list(here.search("docs", vector=[1.0, 2.0], top_k=1)) == []


def test_the_commands_of_an_operator(postgresql: PostgresServer) -> None:
    url = postgresql.conninfo(str(new_database(postgresql).database))
    runner = CliRunner()

    def run(*words: str) -> tuple[int, str]:
        done = runner.invoke(app, ["postgres", *words], env={"VECTROGRAPH_ENGINE_URL": url})
        return done.exit_code, done.output

    code, said = run("check")
    assert (code, "vectrograph postgres init" in said) == (1, True)
    assert run("init") == (0, "the schema vectrograph is ready, at revision 0001\n")
    assert run("upgrade") == (0, "the tables are at revision 0001\n")
    code, said = run("check")
    assert code == 0
    assert "pgvector" in said
    code, said = run("check", "--engine-url", "postgresql://u:secret@db.example/d")
    assert (code, "verified TLS" in said, "secret" in said) == (1, True, False)


def test_a_tenant_cannot_see_another(database: str, url: str) -> None:
    """Tenants are rows: the same name in two tenants is two collections."""
    engine = PostgresEngine.open(url, read_connections=2, write_connections=2)
    put(engine, make(engine, "docs", tenant="one"), "a")
    assert engine.count(make(engine, "docs", tenant="two")) == 0
    assert [info.count for info in engine.list("one")] == [1]
    engine.close()
