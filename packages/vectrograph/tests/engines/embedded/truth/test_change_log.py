"""Kinds in the log of changes: their stored numbers, and logs from before CREATED had one."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from engines.indexed_rows import home

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.points import ChangeKind, Delete, Patch, Put
from vectrograph.engines.contract.subject import TENANT, make, put, vector
from vectrograph.engines.embedded import EmbeddedEngine

DOCS = CollectionRef(TENANT, "docs")

OLDER_LOG = [
    (1, 0, b"a", 1_700_000_000_000_001, 0xCF026B96),
    (2, 0, b"b", 1_700_000_000_000_001, 0x63E68C7F),
    (3, 0, b"a", 1_700_000_000_000_002, 0x66E9710E),
    (4, 1, b"a", 1_700_000_000_000_003, 0x386452A6),
    (5, 2, b"b", 1_700_000_000_000_004, 0x331DA55F),
]
"""Log of `write_history` as it was stored while every put was 0: seq, kind, id, time, CRC-32."""


def write_history(engine: EmbeddedEngine) -> None:
    """Create two points, then update, patch and delete."""
    engine.write(DOCS, [Put(id="a", vector=vector(0, 0)), Put(id="b", vector=vector(0, 0))])
    engine.write(DOCS, [Put(id="a", vector=vector(1, 1)), Patch(id="a", text="x"), Delete(id="b")])


def stored_kinds(directory: Path) -> list[int]:
    """Return the kinds of the log as they are in the file of a collection that nobody has open."""
    with sqlite3.connect(home(directory) / "points.sqlite") as connection:
        kinds = [kind for (kind,) in connection.execute("SELECT kind FROM changes ORDER BY seq")]
    connection.close()
    return kinds


def told(engine: EmbeddedEngine) -> list[tuple[ChangeKind, str]]:
    """Return kinds and ids of the log."""
    return [(change.kind, change.id) for change in engine.changes(DOCS).changes]


@pytest.fixture
def older(scratch: Path) -> Path:
    """Return a data directory with the log of an earlier version."""
    engine = EmbeddedEngine.open(scratch / "data")
    make(engine, "docs")
    write_history(engine)
    engine.close()
    with sqlite3.connect(home(scratch / "data") / "points.sqlite") as connection:
        connection.execute("DELETE FROM changes")
        connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", OLDER_LOG)
    connection.close()
    return scratch / "data"


def test_numbers_of_kinds_stay(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    """Stored logs hold these numbers, so no kind may get another."""
    engine = opened(scratch / "data")
    make(engine, "docs")
    write_history(engine)
    put(engine, DOCS, "b")
    put(engine, DOCS, "b")
    engine.close()
    assert stored_kinds(scratch / "data") == [3, 3, 0, 1, 2, 3, 0]


def test_an_older_log_tells_every_put_as_updated(older: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(older)
    puts = [(ChangeKind.UPDATED, "a"), (ChangeKind.UPDATED, "b"), (ChangeKind.UPDATED, "a")]
    history = [*puts, (ChangeKind.PATCHED, "a"), (ChangeKind.DELETED, "b")]
    assert told(engine) == history
    assert [change.at for change in engine.changes(DOCS).changes] == [at for _, _, _, at, _ in OLDER_LOG]
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    put(engine, DOCS, "a")
    put(engine, DOCS, "b")
    assert told(engine) == [*history, (ChangeKind.UPDATED, "a"), (ChangeKind.CREATED, "b")]


def test_a_repair_of_an_older_log_keeps_its_kinds(older: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    """A lost point is recorded as deleted, also when only an older put names it."""
    with sqlite3.connect(home(older) / "points.sqlite") as connection:
        connection.execute("UPDATE points SET payload = x'00'")
    connection.close()
    engine = opened(older)
    assert not engine.maintain(MaintenanceTask.VERIFY).healthy
    assert "0 points salvaged, 1 lost: 'a'" in engine.maintain(MaintenanceTask.REPAIR, DOCS).details["docs"]
    assert told(engine)[:3] == [(ChangeKind.UPDATED, "a"), (ChangeKind.UPDATED, "b"), (ChangeKind.UPDATED, "a")]
    assert told(engine)[3:] == [(ChangeKind.PATCHED, "a"), (ChangeKind.DELETED, "b"), (ChangeKind.DELETED, "a")]
    put(engine, DOCS, "a")
    assert told(engine)[-1] == (ChangeKind.CREATED, "a")
