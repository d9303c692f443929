"""Damaged files and disks that refuse: what is damaged is set aside, what can be read is read, the rest serves."""

import json
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionState
from vectrograph.domain.errors import (
    CollectionNotFound,
    CollectionQuarantined,
    InternalError,
    OutOfSpace,
    StorageReadOnly,
)
from vectrograph.domain.filters.evaluation import Range
from vectrograph.domain.points import Delete
from vectrograph.engines.contract.subject import TENANT, everything, found, ids, make, one, put, put_many
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.truth import batch
from vectrograph.engines.embedded.truth.store import Store

DOCS = CollectionRef(TENANT, "docs")


# ------------------------------------------------------------ damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])


def flip_vector_byte(path: Path) -> None:
    content = path.read_bytes()
    at = content.index(struct.pack("<4f", 6400, 6401, 6402, 6403))
    path.write_bytes(content[: at + 1] + bytes([content[at + 1] ^ 4]) + content[at + 2 :])


def remove(path: Path) -> None:
    path.unlink()


def lose_a_row(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM points WHERE label = 7")
    connection.close()


def lose_a_vector(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM vectors WHERE label = 7")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [truncate, overwrite_header, flip_vector_byte, remove, lose_a_row, lose_a_vector],
    ids=lambda d: d.__name__,
)
def test_a_damaged_file_is_set_aside_and_the_rest_serves(data: Path, homes: dict[str, Path], damage: Any) -> None:
    damage(homes["docs"] / "points.sqlite")
    engine = EmbeddedEngine.open(data)
    try:
        states = {info.spec.ref.name: info for info in engine.list(TENANT)}
        assert states["docs"].state is CollectionState.QUARANTINED
        assert states["docs"].problem
        assert engine.describe(DOCS).problem == states["docs"].problem
        assert states["other"].state is CollectionState.READY
        for call in (
            lambda: engine.count(DOCS),
            lambda: engine.get(DOCS, ["1"]),
            lambda: found(engine, DOCS, [0.0] * 64),
            lambda: everything(engine, DOCS),
            lambda: engine.changes(DOCS),
            lambda: engine.write(DOCS, [Delete(id="1")]),
        ):
            with pytest.raises(CollectionQuarantined, match="docs") as raised:
                call()
            assert raised.value.details["collection"] == "docs"
        other = CollectionRef(TENANT, "other")
        assert engine.count(other) == 200
        assert not engine.maintain(MaintenanceTask.VERIFY).healthy
        assert engine.maintain(MaintenanceTask.VERIFY, other).healthy
        engine.drop(DOCS)
        make(engine, "docs")
    finally:
        engine.close()
    again = EmbeddedEngine.open(data)
    assert {info.state for info in again.list(TENANT)} == {CollectionState.READY}
    again.close()


def flip_in_place(path: Path, wanted: bytes) -> None:
    """Change one byte of a payload in the file while the engine has it open."""
    content = path.read_bytes()
    at = content.index(wanted) + len(wanted) - 2
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"9")


def test_a_flipped_payload_byte_is_noticed_when_it_is_read(data: Path, homes: dict[str, Path]) -> None:
    flip_in_place(homes["docs"] / "points.sqlite", b'{"n":120}')
    engine = EmbeddedEngine.open(data)
    assert one(engine, DOCS, "7").payload == {"n": 7}
    with pytest.raises(CollectionQuarantined) as raised:
        one(engine, DOCS, "120")
    assert "checksum" in str(raised.value.problem)
    assert engine.describe(DOCS).state is CollectionState.QUARANTINED
    with pytest.raises(CollectionQuarantined):
        one(engine, DOCS, "7")
    assert engine.count(CollectionRef(TENANT, "other")) == 200
    engine.close()


def test_a_payload_that_is_no_json_any_more_is_damage(data: Path, homes: dict[str, Path]) -> None:
    """A filter decodes payloads that nobody asked for, before their checksums are looked at."""
    path = homes["docs"] / "points.sqlite"
    path.write_bytes(path.read_bytes().replace(b'{"n":120}', b'{"n"\x01120}'))
    engine = EmbeddedEngine.open(data)
    with pytest.raises(CollectionQuarantined, match="docs"):
        engine.count(DOCS, Range(("n",), gte=0))
    assert engine.count(CollectionRef(TENANT, "other"), Range(("n",), gte=0)) == 200
    engine.close()


def test_a_flipped_byte_in_the_log_of_changes_is_damage(data: Path, homes: dict[str, Path]) -> None:
    with sqlite3.connect(homes["docs"] / "points.sqlite") as connection:
        connection.execute("UPDATE changes SET id = x'31ff' WHERE seq = 9")
    connection.close()
    engine = EmbeddedEngine.open(data)
    with pytest.raises(CollectionQuarantined) as raised:
        engine.changes(DOCS)
    assert "change 9" in str(raised.value.problem)
    engine.close()


@pytest.mark.parametrize("counter", ["seq", "next_serial", "count"])
def test_flipped_counters_are_damage(data: Path, homes: dict[str, Path], counter: str) -> None:
    with sqlite3.connect(homes["docs"] / "points.sqlite") as connection:
        connection.execute(f"UPDATE state SET {counter} = {counter} + 4")
    connection.close()
    engine = EmbeddedEngine.open(data)
    assert "checksum" in (engine.describe(DOCS).problem or "")
    engine.close()


def test_verify_finds_what_nobody_has_read(data: Path, homes: dict[str, Path]) -> None:
    flip_in_place(homes["docs"] / "points.sqlite", b'{"n":120}')
    engine = EmbeddedEngine.open(data)
    report = engine.maintain(MaintenanceTask.VERIFY)
    engine.close()
    assert not report.healthy
    assert "checksum" in report.details["docs"]
    assert "200 points" in report.details["other"]


def test_a_lost_manifest_is_written_anew(data: Path, homes: dict[str, Path]) -> None:
    directory = homes["docs"]
    good = json.loads((directory / "manifest.json").read_text())
    for content in (None, b"", b"{}", json.dumps({**good, "created_at": 5}).encode()):
        (directory / "manifest.json").unlink()
        if content is not None:
            (directory / "manifest.json").write_bytes(content)
        engine = EmbeddedEngine.open(data)
        assert engine.describe(DOCS).state is CollectionState.READY
        assert engine.describe(DOCS).created_at == good["created_at"]
        assert engine.count(DOCS) == 200
        engine.close()
        assert json.loads((directory / "manifest.json").read_text()) == good


def test_nothing_readable_is_still_listed(data: Path, homes: dict[str, Path]) -> None:
    directory = homes["docs"]
    (directory / "manifest.json").write_bytes(b"?")
    overwrite_header(directory / "points.sqlite")
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    engine = EmbeddedEngine.open(data)
    infos = {info.spec.ref.name: info.state for info in engine.list(TENANT)}
    name = f"unreadable-{directory.name}"
    assert infos == {"other": CollectionState.READY, name: CollectionState.QUARANTINED}
    engine.drop(CollectionRef(TENANT, name))
    assert not directory.exists()
    engine.close()
    if descriptors:  # FINDINGS B4: each such collection kept 64 of them
        assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_data_of_another_collection_is_not_served(data: Path, homes: dict[str, Path]) -> None:
    shutil.copy(homes["other"] / "points.sqlite", homes["docs"] / "points.sqlite")
    engine = EmbeddedEngine.open(data)
    assert engine.describe(DOCS).state is CollectionState.QUARANTINED
    engine.close()


# ------------------------------------------------------------ full and read-only disks


class FaultyFile(apsw.VFSFile):
    """A file whose disk can be made to refuse reads or writes."""

    def xRead(self, amount: int, offset: int) -> bytes:
        if FaultyDisk.unreadable:
            raise apsw.IOError("test")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        if FaultyDisk.error is not None:
            raise FaultyDisk.error
        super().xWrite(data, offset)


class FaultyDisk(apsw.VFS):
    """A VFS over the usual one; while `error` is set, every write raises it, and no read works while `unreadable`."""

    error: Exception | None = None
    unreadable = False

    def __init__(self) -> None:
        super().__init__("faulty", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FaultyFile("", name, flags)


@pytest.fixture
def faulty() -> Iterator[str]:
    """Provide the name of a VFS that can fail."""
    disk = FaultyDisk()
    yield "faulty"
    FaultyDisk.error = None
    FaultyDisk.unreadable = False
    disk.unregister()


@pytest.mark.parametrize(("failure", "wanted"), [(apsw.FullError, OutOfSpace), (apsw.ReadOnlyError, StorageReadOnly)])
def test_a_disk_that_refuses(scratch: Path, faulty: str, failure: type[Exception], wanted: type[Exception]) -> None:
    engine = EmbeddedEngine.open(scratch / "data", vfs=faulty)
    make(engine, "docs")
    seq = put(engine, DOCS, "a", (1, 1), {"k": 1}).seq
    FaultyDisk.error = failure("test")
    with pytest.raises(wanted, match="nothing was written"):
        put_many(engine, DOCS, [("b", (2, 2)), ("a", (9, 9))])
    assert (engine.count(DOCS), engine.describe(DOCS).seq) == (1, seq)
    assert one(engine, DOCS, "a").payload == {"k": 1}
    assert found(engine, DOCS, (1, 1), max_score=0.0) == ["a"]
    FaultyDisk.error = None
    assert put(engine, DOCS, "b", (2, 2)).seq == seq + 1
    engine.close()
    again = EmbeddedEngine.open(scratch / "data")
    assert ids(everything(again, DOCS)) == ["a", "b"]
    again.close()


def test_a_read_that_fails_is_told_and_is_no_damage(scratch: Path, faulty: str) -> None:
    """SQLite ends the transaction then: what failed is the disk, and not that there is nothing to roll back."""
    engine = EmbeddedEngine.open(scratch / "data", vfs=faulty)
    make(engine, "docs")
    put_many(engine, DOCS, [(f"{n}", (n, 1)) for n in range(200)])
    engine.maintain(MaintenanceTask.CHECKPOINT)
    assert engine.changes(DOCS, limit=1).changes
    for call in (lambda: engine.count(DOCS, Range(("n",), gte=0)), lambda: everything(engine, DOCS)):
        FaultyDisk.unreadable = True
        with pytest.raises(InternalError, match="IOError"):
            call()
        FaultyDisk.unreadable = False
    assert len(everything(engine, DOCS)) == 200
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    engine.close()


def test_a_read_that_fails_in_the_middle_of_a_write_is_no_damage(
    scratch: Path, faulty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MAX_ROWS", 8)
    engine = EmbeddedEngine.open(scratch / "data", vfs=faulty)
    make(engine, "docs")
    put_many(engine, DOCS, [(f"{n}", (n, 1)) for n in range(200)])
    engine.maintain(MaintenanceTask.CHECKPOINT)
    apply = Store.apply

    def apply_unreadable(store: Store, rows: batch.Batch) -> None:
        store.writer.pragma("shrink_memory")
        FaultyDisk.unreadable = True
        apply(store, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "apply", apply_unreadable)
        with pytest.raises(InternalError, match="IOError"):
            put_many(engine, DOCS, [(f"{n}", (n, 2)) for n in range(100)])
    FaultyDisk.unreadable = False
    assert found(engine, DOCS, (7, 1), max_score=0.0) == ["7"]
    put_many(engine, DOCS, [(f"{n}", (n, 2)) for n in range(100)])
    assert found(engine, DOCS, (7, 2), max_score=0.0) == ["7"]
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    engine.close()


def test_a_failing_checkpoint_loses_nothing(
    scratch: Path, faulty: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vectrograph.engines.embedded.truth.store._CHECKPOINT_PAGES", 1)

    def full(*_: object, **__: object) -> None:
        raise apsw.FullError("test")

    engine = EmbeddedEngine.open(scratch / "data", vfs=faulty)
    make(engine, "docs")
    with monkeypatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.truth.store.Store._checkpoint", full)
        assert put(engine, DOCS, "a").seq == 1
        wait_until(lambda: "checkpoint" in caplog.text)
    assert put(engine, DOCS, "b").seq == 2
    engine.close()
    again = EmbeddedEngine.open(scratch / "data")
    assert again.count(DOCS) == 2
    again.close()


def test_a_collection_that_cannot_be_made_leaves_nothing(scratch: Path, faulty: str) -> None:
    engine = EmbeddedEngine.open(scratch / "data", vfs=faulty)
    FaultyDisk.error = apsw.FullError("test")
    with pytest.raises(OutOfSpace):
        make(engine, "docs")
    assert engine.list(TENANT) == []
    assert list((scratch / "data" / "collections").iterdir()) == []
    with pytest.raises(CollectionNotFound):
        engine.describe(DOCS)
    FaultyDisk.error = None
    make(engine, "docs")
    engine.close()
