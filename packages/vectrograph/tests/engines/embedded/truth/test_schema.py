"""Schema of a collection's file: one that is not as it was made sets the collection aside, and repair restores it."""

import shutil
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import apsw
import pytest
from engines.indexed_rows import home

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionState, IdKind
from vectrograph.domain.errors import CollectionQuarantined
from vectrograph.domain.points import Put
from vectrograph.engines.contract.subject import TENANT, everything, found, ids, make, one, put, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.disk.failures import Damaged
from vectrograph.engines.embedded.truth.first_page import COPY
from vectrograph.engines.embedded.truth.schema import creation_script, require_schema

DOCS = CollectionRef(TENANT, "docs")
POINTS = 30

Change = Callable[[apsw.Connection], Any]


def statement(text: str) -> Change:
    """Return a change that one statement makes."""
    return lambda connection: connection.execute(text)


def other_text(name: str, old: str, new: str) -> Change:
    """Return a change of the text of a table or index."""

    def act(connection: apsw.Connection) -> None:
        texts: Any = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchall()
        assert old in texts[0][0]
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (texts[0][0].replace(old, new, 1), name))

    return act


CHANGES: dict[str, Change] = {
    "a renamed column": other_text("points", "updated_at", "updated_ad"),
    "another type": other_text("points", "text BLOB", "text TEXT"),
    "another check": other_text("state", "CHECK (one = 1)", "CHECK (one < 3)"),
    "NULL is allowed": other_text("vectors", "vector BLOB NOT NULL", "vector BLOB"),
    "no longer strict": other_text("points", ") STRICT", ")"),
    "regardless of case": other_text("replies", "key TEXT NOT NULL", "key TEXT NOT NULL COLLATE NOCASE"),
    "another column in an index": other_text("points_version", "(version)", "(created_seq)"),
    "one more space": other_text("changes", "seq INTEGER", "seq  INTEGER"),
    "a text that cannot be parsed": other_text("points", "CREATE TABLE", "CREATE TAFLE"),
    "a lost index": statement("DELETE FROM sqlite_schema WHERE name = 'points_created'"),
    "a lost table": statement("DELETE FROM sqlite_schema WHERE tbl_name = 'replies'"),
    "no longer unique": lambda connection: (
        other_text("points", " UNIQUE", "")(connection),
        connection.execute("DELETE FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_points%'"),
    ),
    "a trigger": statement("CREATE TRIGGER silent BEFORE INSERT ON changes BEGIN SELECT RAISE(IGNORE); END"),
    "a view": statement("CREATE VIEW more AS SELECT * FROM points"),
    "a table": statement("CREATE TABLE more (a)"),
    "an index": statement("CREATE INDEX more ON changes (at)"),
    "a table that begins elsewhere": statement(
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'vectors')"
        " WHERE name = 'changes'"
    ),
    "a name that is no text": statement("UPDATE sqlite_schema SET tbl_name = x'ff' WHERE name = 'points_version'"),
    "another number of the format": statement("PRAGMA user_version = 0"),
    "a number of a newer format": statement("PRAGMA user_version = 3"),
    "not a collection's": statement("PRAGMA application_id = 5"),
}
"""Damage of a schema or a header. SQLite opens most of these files without a complaint."""

CHANGES_OF_NUMBERS: dict[str, Change] = {
    "a lost index of numbers": statement("DELETE FROM sqlite_schema WHERE name = 'points_number'")
}
"""Likewise, where ids are numbers."""


def change_file(path: Path, change: Change, *, fold: bool = True) -> None:
    """Change the schema of a file; unless `fold`, in its log alone."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        connection.execute("PRAGMA writable_schema = ON")
        change(connection)
        if fold:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


@pytest.fixture(params=IdKind, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> IdKind:
    """Provide the kind of the ids of the collection."""
    chosen: IdKind = request.param
    return chosen


@pytest.fixture
def directory(kind: IdKind, scratch: Path) -> Path:
    """Provide the directory of a closed database with one collection of that kind."""
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        make(engine, "docs", ids=kind)
        add(engine, POINTS)
    return scratch / "data"


@pytest.fixture
def path(directory: Path) -> Path:
    """Provide the file of the collection."""
    return home(directory) / "points.sqlite"


def add(engine: EmbeddedEngine, count: int = 1) -> None:
    """Put new points."""
    serial = engine.describe(DOCS).spec.ids is IdKind.SERIAL
    names = [None if serial else f"{n} of {count}" for n in range(count)]
    engine.write(DOCS, [Put(id=name, vector=vector(n, 1), text="t") for n, name in enumerate(names)])


def content(engine: EmbeddedEngine) -> tuple[list[Any], Any, int]:
    """Return points, log and seq of the collection."""
    points = sorted((p.id, p.version, p.text, repr(p.vector)) for p in everything(engine, DOCS))
    return points, engine.changes(DOCS, limit=1000).changes, engine.describe(DOCS).seq


@pytest.mark.parametrize(
    ("kind", "name"),
    [*product(IdKind, CHANGES), (IdKind.SERIAL, "a lost index of numbers")],
    indirect=["kind"],
)
def test_another_schema_is_damage_and_repair_loses_nothing(directory: Path, path: Path, name: str) -> None:
    with closing(EmbeddedEngine.open(directory)) as engine:
        before = content(engine)
    change_file(path, {**CHANGES, **CHANGES_OF_NUMBERS}[name])
    spoilt = path.read_bytes()
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED
        for call in (
            lambda: everything(engine, DOCS),
            lambda: found(engine, DOCS, (1, 1)),
            lambda: engine.changes(DOCS),
            lambda: add(engine),
        ):
            with pytest.raises(CollectionQuarantined):
                call()
        assert path.read_bytes() == spoilt
        assert engine.maintain(MaintenanceTask.REPAIR).healthy
        assert content(engine) == before
        assert engine.maintain(MaintenanceTask.VERIFY).healthy
    assert not path.with_name(COPY).exists()
    assert (path.parent / "damaged-1" / "points.sqlite").read_bytes() == spoilt
    with closing(EmbeddedEngine.open(directory)) as engine:
        add(engine)
        assert engine.count(DOCS) == POINTS + 1
        assert engine.maintain(MaintenanceTask.VERIFY).healthy


HEADER = {
    "another magic": (0, 1),
    "not to be written by this version": (18, 1),
    "bytes reserved at the end of each page": (20, 1),
    "fewer pages": (31, 8),
    "pages that are moved": (55, 1),
    "another encoding of texts": (59, 2),
    "a newer format": (62, 1),
    "another application": (71, 1),
}
"""Bytes and bits of the header of an SQLite file: https://sqlite.org/fileformat2.html#the_database_header."""


@pytest.mark.parametrize("kind", [IdKind.STRING], indirect=True)
@pytest.mark.parametrize(("at", "bit"), HEADER.values(), ids=HEADER)
def test_another_header_is_damage_and_repair_loses_nothing(directory: Path, path: Path, at: int, bit: int) -> None:
    with closing(EmbeddedEngine.open(directory)) as engine:
        before = content(engine)
    spoilt = bytearray(path.read_bytes())
    spoilt[at] ^= bit
    path.write_bytes(spoilt)
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED
        with pytest.raises(CollectionQuarantined):
            add(engine)
        assert engine.maintain(MaintenanceTask.REPAIR).healthy
        assert content(engine) == before
        assert engine.maintain(MaintenanceTask.VERIFY).healthy


@pytest.mark.parametrize("name", ["a renamed column", "a trigger", "no longer strict"])
def test_a_schema_that_changes_while_the_file_is_open(directory: Path, path: Path, name: str) -> None:
    """Connections keep the schema that they have read; verify reads what is there, and so do new connections."""
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert len(everything(engine, DOCS)) == POINTS
        engine.maintain(MaintenanceTask.CHECKPOINT)
        change_file(path, CHANGES[name])
        assert not engine.maintain(MaintenanceTask.VERIFY).healthy
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED


def test_connections_that_are_opened_again_look_again(directory: Path, path: Path) -> None:
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert len(everything(engine, DOCS)) == POINTS
        store = engine._catalog.find(DOCS)._opened().store
        assert store.park()
        change_file(path, CHANGES["a trigger"])
        with pytest.raises(CollectionQuarantined):
            everything(engine, DOCS)
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED


def test_a_writer_that_is_opened_again_looks_again(directory: Path, path: Path) -> None:
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.count(DOCS) == POINTS
        assert engine._catalog.find(DOCS)._opened().store.park()
        change_file(path, CHANGES["a trigger"])
        with pytest.raises(CollectionQuarantined):
            add(engine)


def test_a_lost_manifest_beside_another_schema(directory: Path, path: Path) -> None:
    """Nothing but the file tells the kind of ids then: either schema is one of ours, and no other."""
    (path.parent / "manifest.json").unlink()
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.count(DOCS) == POINTS
    (path.parent / "manifest.json").unlink()
    change_file(path, CHANGES["a view"])
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert [info.state for info in engine.list(TENANT)] == [CollectionState.QUARANTINED]


@pytest.mark.parametrize("kind", IdKind)
def test_the_schema_of_the_other_kind_of_ids_is_another(kind: IdKind) -> None:
    other = next(each for each in IdKind if each is not kind)
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(creation_script(kind, 1))
        require_schema(connection, kind)
        require_schema(connection, None)
        with pytest.raises(Damaged):
            require_schema(connection, other)


# ------------------------------------------------------------ files that are in order


def test_a_file_that_an_operator_compacted_is_as_good(directory: Path, path: Path) -> None:
    """VACUUM moves tables to other pages."""
    roots = "SELECT rootpage FROM sqlite_schema ORDER BY name"
    with closing(apsw.Connection(str(path))) as connection:
        before = connection.execute(roots).fetchall()
        connection.execute("VACUUM")
        assert connection.execute(roots).fetchall() != before
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert len(everything(engine, DOCS)) == POINTS
        assert engine.maintain(MaintenanceTask.VERIFY).healthy


OLDER_BATCH = """
CREATE VIEW batch AS SELECT
    NULL AS gone_points, NULL AS gone_vectors, NULL AS points, NULL AS vectors, NULL AS changes, NULL AS data,
    NULL AS stride, NULL AS at, NULL AS seq, NULL AS next_serial, NULL AS count,
    NULL AS principal, NULL AS operation, NULL AS key, NULL AS body_hash, NULL AS result,
    NULL AS reply_checksum, NULL AS expired, NULL AS checksum;
CREATE TRIGGER write_batch INSTEAD OF INSERT ON batch BEGIN
    DELETE FROM points WHERE label IN (SELECT value FROM json_each(NEW.gone_points));
    DELETE FROM vectors WHERE label IN (SELECT value FROM json_each(NEW.gone_vectors));
    INSERT INTO points SELECT
        value ->> 0, substr(NEW.data, value ->> 6, value ->> 7), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
        substr(NEW.data, value ->> 8, value ->> 9), substr(NEW.data, value ->> 10, value ->> 11), value ->> 5
        FROM json_each(NEW.points);
    INSERT INTO vectors SELECT value ->> 0, substr(NEW.data, value ->> 1, NEW.stride), value ->> 2
        FROM json_each(NEW.vectors);
    INSERT INTO changes SELECT value ->> 0, value ->> 1, substr(NEW.data, value ->> 2, value ->> 3), NEW.at,
        value ->> 4 FROM json_each(NEW.changes);
    DELETE FROM replies WHERE at <= NEW.expired;
    INSERT INTO replies SELECT NEW.principal, NEW.operation, NEW.key, NEW.body_hash, NEW.result, NEW.at,
        NEW.reply_checksum WHERE NEW.key IS NOT NULL;
    UPDATE state SET seq = NEW.seq, next_serial = NEW.next_serial, count = NEW.count, checksum = NEW.checksum;
END;
"""
"""View and trigger by which earlier development builds wrote, as they are in files of that time."""


def test_files_of_earlier_builds_are_served(directory: Path, path: Path) -> None:
    change_file(path, statement(OLDER_BATCH))
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert len(everything(engine, DOCS)) == POINTS
        add(engine)
        assert engine.maintain(MaintenanceTask.VERIFY).healthy
    change_file(path, other_text("write_batch", "json_each(NEW.points)", "json_each(NEW.pointt)"))
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED


# ------------------------------------------------------------ errors of statements


def test_a_row_that_cannot_be_there_is_damage_when_a_write_meets_it(scratch: Path) -> None:
    """Every write would fail for ever, and not say that the file is damaged."""
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        make(engine, "docs")
        put(engine, DOCS, "a")
    with closing(apsw.Connection(str(home(scratch / "data") / "points.sqlite"))) as connection:
        connection.execute("INSERT INTO changes SELECT seq + 1, kind, id, at, checksum FROM changes")
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        assert one(engine, DOCS, "a").id == "a"
        with pytest.raises(CollectionQuarantined) as raised:
            put(engine, DOCS, "b")
        assert "ConstraintError" in str(raised.value.problem)
        engine.maintain(MaintenanceTask.REPAIR)
        put(engine, DOCS, "b")
        assert ids(everything(engine, DOCS)) == ["a", "b"]


def test_a_statement_that_fails_on_this_file_alone_is_damage(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS C2, a sibling: "no such column" is no failure of the server."""
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        make(engine, "docs")
        put(engine, DOCS, "a")
    path = home(scratch / "data") / "points.sqlite"
    change_file(path, CHANGES["a renamed column"])
    for module in ("truth.store", "collection.verify"):
        monkeypatch.setattr(f"vectrograph.engines.embedded.{module}.require_schema", lambda *_: None)
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        with pytest.raises(CollectionQuarantined) as raised:
            one(engine, DOCS, "a")
        assert "no such column" in str(raised.value.problem)


# ------------------------------------------------------------ the first page


def test_a_lost_first_page_costs_no_points(directory: Path, path: Path) -> None:
    """It holds the header and the schema, which are the same in every file."""
    with closing(EmbeddedEngine.open(directory)) as engine:
        before = content(engine)
    path.write_bytes(b"\xff" * 4096 + path.read_bytes()[4096:])
    with closing(EmbeddedEngine.open(directory)) as engine:
        assert engine.maintain(MaintenanceTask.REPAIR).healthy
        assert content(engine) == before


def test_a_spoilt_schema_in_a_log_costs_no_points(directory: Path, scratch: Path) -> None:
    """A log that a dead process left holds points that the file has not, and here a spoilt first page too."""
    with closing(EmbeddedEngine.open(directory)) as engine:
        add(engine, POINTS + 1)
        before = content(engine)
        shutil.copytree(directory, scratch / "copy")
    path = home(scratch / "copy") / "points.sqlite"
    change_file(path, CHANGES["a renamed column"], fold=False)
    assert b"updated_ad" not in path.read_bytes()
    with closing(EmbeddedEngine.open(scratch / "copy")) as engine:
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED
        assert engine.maintain(MaintenanceTask.REPAIR).healthy
        assert content(engine) == before
