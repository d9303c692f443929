"""Many servers over one database: what one does, the others see at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import (
    AlreadyExists,
    CollectionNotFound,
    InvalidArgument,
    QuotaExceeded,
    StartupError,
)
from vectrograph.domain.filters.evaluation import Compare, Comparison, Exists, Not
from vectrograph.domain.points import Delete, IdempotencyKey, Precondition, Put
from vectrograph.engines.contract.subject import everything, found, ids, make, nearest, one, put, put_many, vector
from vectrograph.engines.postgres import PostgresEngine, writing
from vectrograph.engines.postgres.searching import Options
from vectrograph.engines.quotas import Quota

Connect = Callable[..., PostgresEngine]


def test_a_collection_dropped_elsewhere_is_gone(connect: Connect) -> None:
    """Also for a server that knows it well; the one that has its name now is another."""
    first, second = connect(), connect()
    ref = make(first, "docs")
    put(first, ref, "a")
    assert found(second, ref, (0, 0)) == ["a"]
    position = second.changes(ref).position
    first.drop(ref)
    for ask in (
        lambda: second.get(ref, ["a"]),
        lambda: found(second, ref, (0, 0)),
        lambda: put(second, ref, "b"),
        lambda: second.count(ref),
        lambda: second.changes(ref),
    ):
        with pytest.raises(CollectionNotFound):
            ask()
    make(first, "docs", dimension=3, distance=Distance.DOT)
    put(second, ref, "b", (1, 2, 3))
    assert found(first, ref, (1, 1, 1)) == ["b"]
    with pytest.raises(InvalidArgument, match="since"):
        second.changes(ref, position)


def test_seq_is_dense_whoever_writes(connect: Connect) -> None:
    """Two servers with four threads: no number is missing, none is used twice, and the log is whole."""
    servers = [connect(), connect()]
    ref = make(servers[0], "docs")

    def writes(number: int) -> None:
        for turn in range(10):
            put_many(servers[number % 2], ref, [(f"{number}-{turn}-{n}", (n, n)) for n in range(3)])

    threads = [threading.Thread(target=writes, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert servers[1].describe(ref).seq == servers[0].count(ref) == 120
    assert [change.seq for change in servers[0].changes(ref).changes] == [*range(1, 121)]


def test_only_one_of_two_servers_wins(connect: Connect) -> None:
    servers = [connect(), connect()]
    ref = make(servers[0], "docs")
    put(servers[0], ref, "a")
    start = threading.Barrier(2)
    won: list[int] = []

    def compare_and_set(number: int) -> None:
        start.wait()
        result = servers[number].write(
            ref, [Put(id="a", vector=vector(number, 0))], precondition=Precondition(if_version={"a": 1})
        )
        won.extend(
            [number] * (result.seq == 2 and result.outcomes[0].version == 2 and result.outcomes[0].status == "updated")
        )

    threads = [threading.Thread(target=compare_and_set, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert found(servers[0], ref, (won[0], 0), max_score=0.0) == ["a"]


def test_a_key_used_at_one_server_is_replayed_by_another(connect: Connect) -> None:
    first, second = connect(), connect()
    ref = make(first, "docs")
    key = IdempotencyKey(principal="p", operation="o", key="k", body_hash="h")
    result = first.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=key)
    again = second.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=key)
    assert (again.replayed, again.outcomes, again.at) == (True, result.outcomes, result.at)


def test_records_of_keys_are_bounded(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, a few at a time, and those that are older than a day."""
    monkeypatch.setattr(writing, "MAX_REPLIES", 5)
    times = iter(range(1_000_000, 2_000_000))
    clock = [0]
    engine = connect(clock=lambda: next(times) + clock[0])
    ref = make(engine, "docs")

    def write(name: str) -> bool:
        key = IdempotencyKey(principal="p", operation="o", key=name, body_hash="h")
        return engine.write(ref, [Delete(id="none")], idempotency=key).replayed

    assert [write(f"{n}") for n in range(7)] == [False] * 7
    assert [write("6"), write("3"), write("0")] == [True, True, False]
    monkeypatch.setattr(writing, "MAX_REPLY_BYTES", 1_000)
    assert write("new") is False
    assert [write("new"), write("3")] == [True, False]
    clock[0] = writing.REPLAY_MICROSECONDS
    assert write("new") is False


def test_quotas_hold_for_all_servers(connect: Connect) -> None:
    servers = [connect(quota=Quota(database=3, tenant=2)) for _ in range(2)]
    make(servers[0], "a")
    make(servers[1], "b")
    make(servers[0], "tokens")
    with pytest.raises(QuotaExceeded, match="max_tenant_collections"):
        make(servers[1], "c")
    make(servers[1], "c", tenant="other")
    with pytest.raises(QuotaExceeded, match="max_collections"):
        make(servers[0], "d", tenant="third")
    with pytest.raises(AlreadyExists):
        make(servers[0], "c", tenant="other")


def test_an_index_is_built_in_the_background(connect: Connect) -> None:
    """By whichever server stores the point that makes a collection large; the others use it too."""
    servers = [connect(index_rows=300, options=Options(scan_matches=10)) for _ in range(2)]
    ref = make(servers[0], "docs", dimension=8, distance=Distance.COSINE)
    rows = np.random.default_rng(5).standard_normal((400, 8)).astype(np.float32)
    servers[0].write(
        ref, [Put(id=f"{n}", vector=row, payload={"even": n % 2 == 0}) for n, row in enumerate(rows[:299])]
    )
    assert servers[0].describe(ref).indexed == 299
    servers[0].write(ref, [Put(id=f"{n}", vector=row, payload={"even": n % 2 == 0}) for n, row in enumerate(rows)])
    wait_until(lambda: servers[1].describe(ref).indexed == 400)
    query = rows[0].tolist()
    for condition in (None, Compare(("even",), Comparison.EQ, True), Not(Exists(("none",)))):
        exact = nearest(servers[1], ref, query, 10, filter=condition, exact=True)
        assert nearest(servers[1], ref, query, 10, filter=condition, ef=400) == exact
        assert nearest(servers[1], ref, query, 10, filter=condition) == exact
    servers[0].write(ref, [Delete(id="0"), Put(id="new", vector=rows[0])])
    assert found(servers[1], ref, query, 1) == ["new"]
    report = servers[1].maintain(MaintenanceTask.MEASURE_RECALL, ref)
    assert report.healthy
    assert report.details["docs"]["queries"] == 50


def test_dropping_a_collection_stops_the_build_of_its_index(
    connect: Connect, url: str, sql: psycopg.Connection[Any]
) -> None:
    builder, other = connect(index_rows=1), connect()
    ref = make(builder, "docs")
    points = tables(sql)[0]
    with psycopg.connect(url) as writer, ThreadPoolExecutor(2) as threads:
        # A concurrent build waits for writers of the table.
        writer.execute(f"LOCK TABLE vectrograph.{points} IN ROW EXCLUSIVE MODE")
        put(other, ref, "a")
        build = threads.submit(builder.maintain, MaintenanceTask.FLUSH, ref)
        wait_until(lambda: bool(sql.execute("SELECT 1 FROM pg_stat_progress_create_index").fetchall()))
        drop = threads.submit(other.drop, ref)
        wait_until(lambda: not sql.execute("SELECT 1 FROM pg_stat_progress_create_index").fetchall())
        assert not drop.done()
        writer.rollback()
        drop.result()
        assert (build.result().healthy, build.result().details) == (True, {})
    assert tables(sql) == []


def test_a_build_that_is_stopped_otherwise_says_so(connect: Connect, url: str, sql: psycopg.Connection[Any]) -> None:
    """And the next one succeeds."""
    engine, other = connect(index_rows=1), connect()
    ref = make(engine, "docs")
    points = tables(sql)[0]
    with psycopg.connect(url) as writer, ThreadPoolExecutor(1) as threads:
        writer.execute(f"LOCK TABLE vectrograph.{points} IN ROW EXCLUSIVE MODE")
        put(other, ref, "a")
        build = threads.submit(engine.maintain, MaintenanceTask.FLUSH, ref)
        stop = "SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index"
        wait_until(lambda: bool(sql.execute(stop).fetchall()))
        assert not build.result().healthy
        assert "canceling statement due to user request" in build.result().details["docs"]
    assert engine.maintain(MaintenanceTask.FLUSH, ref).healthy
    assert engine.describe(ref).indexed == 1


def test_what_a_deadlock_ends_is_run_again(connect: Connect, url: str, sql: psycopg.Connection[Any]) -> None:
    engine = connect()
    ref = make(engine, "docs")
    points = tables(sql)[0]
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as threads:
        # The other side of the deadlock looks for none, so that the engine is the victim.
        other.execute("SET deadlock_timeout = '1h'")
        other.execute(f"LOCK TABLE vectrograph.{points} IN ACCESS SHARE MODE")
        drop = threads.submit(engine.drop, ref)
        wait_until(lambda: bool(sql.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall()))
        other.execute("UPDATE vectrograph.collections SET longest = 0")
        other.commit()
        drop.result()
    assert tables(sql) == []


def tables(sql: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the tables of points."""
    found = sql.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'points_%'")
    return [row[0] for row in found.fetchall()]


def test_what_no_index_takes_is_found_all_the_same(connect: Connect) -> None:
    """Zero vectors, the longest and the shortest; beside an index, too."""
    engine = connect(index_rows=1)
    for distance in Distance:
        ref = make(engine, distance.value, distance=distance)
        put_many(engine, ref, [("one", (1, 1)), ("zero", (0, 0)), ("huge", (3e38, 3e38)), ("tiny", (1e-44, 1e-44))])
        put_many(engine, ref, [(f"{n}", (-n, n)) for n in range(1, 50)])
        engine.maintain(MaintenanceTask.FLUSH, ref)
        for query in ((1.0, 1.0), (0.0, 0.0), (3e38, -3e38), (1e-44, 0.0)):
            assert nearest(engine, ref, query, 60) == nearest(engine, ref, query, 60, exact=True)
            assert len(nearest(engine, ref, query, 60)) == 53


def test_payloads_that_jsonb_cannot_hold_are_filtered(engine: PostgresEngine) -> None:
    ref = make(engine, "docs")
    put(engine, ref, "nul", payload={"k": "a\x00b", "n": 1})
    put(engine, ref, "key", payload={"a\x00b": 1, "n": 1})
    put(engine, ref, "plain", payload={"k": "a", "n": 1})
    is_nul = Compare(("k",), Comparison.EQ, "a\x00b")
    both = Compare(("n",), Comparison.EQ, 1)
    assert found(engine, ref, (0, 0), filter=is_nul) == ["nul"]
    assert ids(everything(engine, ref, filter=Exists(("a\x00b",)))) == ["key"]
    assert (engine.count(ref, both), engine.count(ref, Not(is_nul))) == (3, 2)
    assert one(engine, ref, "nul").payload == {"k": "a\x00b", "n": 1}


def test_a_cluster_does_not_take_positions_of_another(engine: PostgresEngine) -> None:
    """A position names its cluster, so that there may be several."""
    ref = make(engine, "docs")
    put(engine, ref, "a")
    position = engine.changes(ref).position
    engine._cluster = "another"
    with pytest.raises(InvalidArgument, match="no position of this collection"):
        engine.changes(ref, position)


def test_names_of_schemas_are_refused_when_they_need_quotes(url: str) -> None:
    for name in ("", "A", "a b", "x; DROP TABLE points", "pg_x", "é"):
        with pytest.raises(StartupError, match="schema"):
            PostgresEngine.open(url, schema=name)


def test_names_that_are_no_unicode_are_refused(engine: PostgresEngine) -> None:
    with pytest.raises(InvalidArgument, match="name"):
        engine.create(CollectionSpec.dense(CollectionRef("default", "\ud800"), 2, Distance.DOT))
    with pytest.raises(CollectionNotFound):
        engine.count(CollectionRef("default", "\ud800"))
