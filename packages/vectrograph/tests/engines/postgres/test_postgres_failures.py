"""Deadlines, callers that leave, connections that break, a server that is killed, rows that rot."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engines.postgres_databases import opened, prepared_database
from engines.waiting import wait_until
from postgresql_server import PostgresServer

from vectrograph.domain.cancellation import CancelledWhen
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import (
    Cancelled,
    CollectionQuarantined,
    DeadlineExceeded,
    DomainError,
    InternalError,
    OutOfSpace,
    Overloaded,
    StartupError,
    StorageReadOnly,
    Unavailable,
)
from vectrograph.domain.points import Delete, IdempotencyKey, Put
from vectrograph.engines.contract.subject import everything, found, ids, make, put, put_many, vector
from vectrograph.engines.postgres import PostgresEngine, writing
from vectrograph.engines.postgres.connections import Connection, Watch, Work, translated

Connect = Callable[..., PostgresEngine]
DOCS = CollectionRef("default", "docs")
KEY = IdempotencyKey(principal="p", operation="o", key="k", body_hash="h")


@pytest.fixture
def locked(engine: PostgresEngine, url: str) -> Iterator[None]:
    """Hold the lock that writes to the only collection wait for."""
    make(engine, "docs")
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM vectrograph.collections FOR UPDATE")
        yield


def test_a_deadline_stops_what_waits_in_postgresql(engine: PostgresEngine, locked: None) -> None:
    """Nothing is written, and the connection serves the next request."""
    for _ in range(6):
        with pytest.raises(DeadlineExceeded):
            engine.write(DOCS, [Put(id="a", vector=vector(0, 0))], deadline=time.monotonic() + 0.05)
    assert engine.count(DOCS) == 0


def test_without_the_watch_statement_timeout_stops_it(
    engine: PostgresEngine, locked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "_cancel", lambda *_: None)
    with pytest.raises(DeadlineExceeded):
        engine.write(DOCS, [Put(id="a", vector=vector(0, 0))], deadline=time.monotonic() + 0.05)


def test_a_caller_that_leaves_stops_its_work(engine: PostgresEngine, locked: None) -> None:
    left = threading.Event()
    threading.Timer(0.05, left.set).start()
    with CancelledWhen(left.is_set), pytest.raises(Cancelled):
        put(engine, DOCS, "a")


def test_closing_stops_what_waits(engine: PostgresEngine, locked: None) -> None:
    raised: list[DomainError] = []

    def write() -> None:
        try:
            put(engine, DOCS, "a")
        except DomainError as error:
            raised.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(lambda: bool(engine._database._watch._running))
    engine.close()
    thread.join()
    assert [type(error) for error in raised] == [Unavailable]
    assert "closed" in raised[0].message


def test_when_all_connections_are_taken_callers_are_refused(
    connect: Connect, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their deadline, or after a while; reads go on while writes wait."""
    monkeypatch.setattr("vectrograph.engines.postgres.connections._POOL_SECONDS", 0.1)
    engine = connect(write_connections=1)
    make(engine, "docs")
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM vectrograph.collections FOR UPDATE")
        waiting = threading.Thread(target=put, args=(engine, DOCS, "a"))
        waiting.start()
        wait_until(lambda: bool(engine._database._watch._running))
        with pytest.raises(Overloaded):
            put(engine, DOCS, "b")
        with pytest.raises(DeadlineExceeded):
            engine.write(DOCS, [Put(id="b", vector=vector(0, 0))], deadline=time.monotonic() + 0.01)
        assert engine.count(DOCS) == 0
    waiting.join()
    assert engine.count(DOCS) == 1


def end_connections(sql: psycopg.Connection[Any]) -> None:
    sql.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'vectrograph'")


def test_broken_connections_are_replaced(engine: PostgresEngine, sql: psycopg.Connection[Any]) -> None:
    """No caller hears of them."""
    make(engine, "docs")
    for n in range(3):
        end_connections(sql)
        put(engine, DOCS, f"{n}")
        end_connections(sql)
        assert len(found(engine, DOCS, (0, 0))) == n + 1


class Breaking:
    """Breaks the connection of the next write at its COMMIT, before or after PostgreSQL has got it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.when: str | None = None
        usual = Connection.execute

        def execute(connection: Connection, statement: Any, *arguments: Any, **options: Any) -> Any:
            if statement == "COMMIT" and self.when is not None:
                when, self.when = self.when, None
                if when == "after":
                    usual(connection, "COMMIT")
                connection.close()
                raise psycopg.OperationalError("the connection is lost")
            return usual(connection, statement, *arguments, **options)

        monkeypatch.setattr(Connection, "execute", execute)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Breaking:
    return Breaking(monkeypatch)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_lost_commit_that_happened_is_acknowledged(
    engine: PostgresEngine, breaking: Breaking, key: IdempotencyKey | None
) -> None:
    """The log of changes, or the idempotency record, tells."""
    ref = make(engine, "docs")
    put(engine, ref, "before")
    breaking.when = "after"
    result = engine.write(ref, [Put(id="a", vector=vector(0, 0)), Delete(id="before")], idempotency=key)
    assert (result.seq, [outcome.version for outcome in result.outcomes]) == (3, [2, 3])
    assert ids(everything(engine, ref)) == ["a"]
    assert len(engine.changes(ref).changes) == 3


@pytest.mark.parametrize("key", [None, KEY])
def test_a_lost_commit_that_did_not_happen_is_refused(
    engine: PostgresEngine, breaking: Breaking, key: IdempotencyKey | None
) -> None:
    """And the caller is told that nothing was written; the same write goes through afterwards."""
    ref = make(engine, "docs")
    put(engine, ref, "before")
    breaking.when = "before"
    with pytest.raises(Unavailable, match="nothing was written"):
        engine.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=key)
    assert ids(everything(engine, ref)) == ["before"]
    assert engine.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=key).seq == 2


def test_a_lost_commit_of_another_with_the_same_number_is_not_taken_for_it(
    connect: Connect, breaking: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server has taken the seq meanwhile."""
    engine, other = connect(), connect()
    ref = make(engine, "docs")
    usual = PostgresEngine.write
    settled = writing._Attempt.settled

    def late(attempt: Any, *arguments: Any) -> Any:
        usual(other, ref, [Put(id="theirs", vector=vector(0, 0))])
        return settled(attempt, *arguments)

    monkeypatch.setattr("vectrograph.engines.postgres.writing._Attempt.settled", late)
    breaking.when = "before"
    with pytest.raises(Unavailable, match="nothing was written"):
        put(engine, ref, "mine")
    assert ids(everything(engine, ref)) == ["theirs"]


def test_an_unknown_outcome_says_so(
    engine: PostgresEngine, breaking: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as PostgreSQL does not answer at all."""
    ref = make(engine, "docs")

    def no_answer(*_: object) -> None:
        raise Unavailable("PostgreSQL does not answer.")

    monkeypatch.setattr("vectrograph.engines.postgres.writing._Attempt._is_committed", no_answer)
    breaking.when = "after"
    with pytest.raises(Unavailable, match="not known whether"):
        engine.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=KEY)
    assert engine.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=KEY).replayed


def test_a_killed_server_loses_no_acknowledged_write(short_directory: Path) -> None:
    """Writers go on through two kills; afterwards every acknowledged point is there, and every unacknowledged write is
    there whole or not at all.
    """
    server = PostgresServer(short_directory, fsync="on")
    server.start()
    engine = opened(prepared_database(server))
    ref = make(engine, "docs")
    acknowledged: list[str] = []
    refused: list[str] = []
    done = threading.Event()

    def write(name: str) -> None:
        turn = 0
        while not done.is_set():
            batch = [f"{name}-{turn}-{n}" for n in range(5)]
            turn += 1
            try:
                put_many(engine, ref, [(each, (1, 1)) for each in batch])
                acknowledged.extend(batch)
            except (Unavailable, Overloaded):
                refused.append(batch[0])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            so_far = len(acknowledged)
            wait_until(lambda: len(acknowledged) > so_far + 100)  # noqa: B023
            server.kill()
            server.start()
        so_far = len(acknowledged)
        wait_until(lambda: len(acknowledged) > so_far)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    stored = {point.id for point in everything(engine, ref, limit=1000)}
    assert set(acknowledged) <= stored
    assert all(f"{each[:-1]}4" in stored for each in refused if each in stored)
    assert engine.count(ref) == engine.describe(ref).seq == len(stored)
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    engine.close()
    server.stop()


def test_verify_finds_what_rots_and_repair_what_can_be_derived(
    engine: PostgresEngine, sql: psycopg.Connection[Any]
) -> None:
    ref = make(engine, "docs")
    engine.write(ref, [Put(id=f"{n}", vector=vector(n, n), payload={"n": n}, text="t") for n in range(5)])
    table = "points_" + sql.execute("SELECT uid FROM collections").fetchall()[0][0]
    assert engine.maintain(MaintenanceTask.VERIFY, ref).healthy
    for change, said in (
        ("fields = '{}'", "filter column"),
        ("payload = '{\"n\":9}'", "checksum of point"),
        ("vector = '[7,7]'", "checksum of the vector"),
        ("id = '99'", "checksum of point"),
    ):
        column = change.partition(" ")[0]
        sql.execute(f"CREATE TEMP TABLE kept AS SELECT {column} FROM {table} WHERE created_seq = 2")
        sql.execute(f"UPDATE {table} SET {change} WHERE created_seq = 2")
        report = engine.maintain(MaintenanceTask.VERIFY, ref)
        assert not report.healthy
        assert said in report.details["docs"]
        sql.execute(f"UPDATE {table} SET {column} = kept.{column} FROM kept WHERE created_seq = 2")
        sql.execute("DROP TABLE kept")
    sql.execute(f"UPDATE {table} SET fields = NULL WHERE created_seq = 3")
    sql.execute("UPDATE collections SET count = 77")
    finding = engine.maintain(MaintenanceTask.VERIFY, ref)
    assert "the counter says 77" in finding.details["docs"]
    assert engine.maintain(MaintenanceTask.REPAIR, ref).healthy
    assert engine.maintain(MaintenanceTask.VERIFY, ref).healthy
    assert engine.count(ref) == 5


def test_failures_have_the_names_of_the_domain() -> None:
    for error, wanted in (
        (psycopg.errors.DiskFull("x"), OutOfSpace),
        (psycopg.errors.ReadOnlySqlTransaction("x"), StorageReadOnly),
        (psycopg.errors.InsufficientPrivilege("x"), StorageReadOnly),
        (psycopg.errors.DataCorrupted("x"), CollectionQuarantined),
        (psycopg.errors.IndexCorrupted("x"), CollectionQuarantined),
        (psycopg.errors.TooManyConnections("x"), Unavailable),
        (psycopg.errors.DeadlockDetected("x"), Unavailable),
        (psycopg.errors.SyntaxError("x"), InternalError),
    ):
        assert type(translated(error, Work())) is wanted


def test_a_server_that_is_not_there_is_a_clear_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vectrograph.engines.postgres.connections._POOL_SECONDS", 0.2)
    with pytest.raises(StartupError, match="PostgreSQL does not answer"):
        PostgresEngine.open(f"postgresql://test@/nothing?host={tmp_path}")
