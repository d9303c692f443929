"""What the embedded engine does about its files: locks, formats, damage, full and read-only disks, half-made things."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from vectrograph.domain.errors import (
    CollectionNotFound,
    CollectionQuarantined,
    DirectoryLocked,
    OutOfSpace,
    StartupError,
    StorageReadOnly,
    UnsupportedFormat,
)
from vectrograph.domain.values import (
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Delete,
    Distance,
    IdempotencyKey,
    IdKind,
    MaintenanceTask,
    Put,
)
from vectrograph.engines.contract.subject import TENANT, everything, found, ids, make, one, put, put_many, vector
from vectrograph.engines.embedded import EmbeddedEngine

DOCS = CollectionRef(TENANT, "docs")


@pytest.fixture
def data(scratch: Path) -> Path:
    """A closed database of two collections with some points."""
    directory = scratch / "data"
    engine = EmbeddedEngine.open(directory)
    for name in ("docs", "other"):
        ref = make(engine, name, dimension=64)
        points = np.arange(200 * 64, dtype=np.float32).reshape(200, 64)
        engine.write(ref, [Put(id=f"{n}", vector=row, payload={"n": n}) for n, row in enumerate(points)])
    engine.close()
    return directory


def home(directory: Path, name: str) -> Path:
    """The sub-directory of a collection."""
    for manifest in directory.glob("collections/*/manifest.json"):
        if json.loads(manifest.read_text())["spec"]["name"] == name:
            return manifest.parent
    raise AssertionError(f"no collection {name}")


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


# ------------------------------------------------------------ one owner


def test_a_directory_has_one_owner(scratch: Path) -> None:
    first = EmbeddedEngine.open(scratch / "data")
    with pytest.raises(DirectoryLocked, match=r"in use by process \d+ on host .+ since 20\d\d-"):
        EmbeddedEngine.open(scratch / "data")
    first.close()
    EmbeddedEngine.open(scratch / "data").close()


def test_another_process_is_refused_and_told_who(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    code = f"from vectrograph.engines.embedded import EmbeddedEngine; EmbeddedEngine.open({str(scratch / 'data')!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    engine.close()
    assert result.returncode != 0
    assert f"in use by process {os.getpid()} on host" in result.stderr


def test_a_lock_left_by_the_dead_locks_nothing(scratch: Path) -> None:
    (scratch / "data").mkdir()
    (scratch / "data" / "LOCK").write_text('{"pid": 1, "host": "elsewhere", "since": "2020"}')
    EmbeddedEngine.open(scratch / "data").close()


def test_a_directory_that_cannot_be_is_one_clear_line(scratch: Path) -> None:
    (scratch / "file").write_text("x")
    with pytest.raises(StartupError, match="file"):
        EmbeddedEngine.open(scratch / "file" / "data")


# ------------------------------------------------------------ formats


def renumber(path: Path, number: int) -> None:
    """What a later version would have written."""
    body = {**json.loads(path.read_text()), "format": number, "something": "new"}
    del body["checksum"]
    body["checksum"] = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    path.write_text(json.dumps(body))


def newer_root(directory: Path) -> None:
    renumber(directory / "vectrograph.json", 2)


def newer_manifest(directory: Path) -> None:
    renumber(home(directory, "docs") / "manifest.json", 99)


def newer_data(directory: Path) -> None:
    with sqlite3.connect(home(directory, "docs") / "points.sqlite") as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.mark.parametrize("change", [newer_root, newer_manifest, newer_data])
def test_a_newer_format_is_refused_untouched(data: Path, change: Any) -> None:
    change(data)
    before = snapshot(data)
    with pytest.raises(UnsupportedFormat, match="newer version"):
        EmbeddedEngine.open(data)
    assert snapshot(data) == before


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
def test_a_damaged_file_is_set_aside_and_the_rest_serves(data: Path, damage: Any) -> None:
    damage(home(data, "docs") / "points.sqlite")
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


def test_a_flipped_payload_byte_is_noticed_when_it_is_read(data: Path) -> None:
    flip_in_place(home(data, "docs") / "points.sqlite", b'{"n":120}')
    engine = EmbeddedEngine.open(data)
    assert one(engine, DOCS, "7").payload == {"n": 7}
    with pytest.raises(CollectionQuarantined, match="checksum"):
        one(engine, DOCS, "120")
    assert engine.describe(DOCS).state is CollectionState.QUARANTINED
    with pytest.raises(CollectionQuarantined):
        one(engine, DOCS, "7")
    assert engine.count(CollectionRef(TENANT, "other")) == 200
    engine.close()


def test_verify_finds_what_nobody_has_read(data: Path) -> None:
    flip_in_place(home(data, "docs") / "points.sqlite", b'{"n":120}')
    engine = EmbeddedEngine.open(data)
    report = engine.maintain(MaintenanceTask.VERIFY)
    engine.close()
    assert not report.healthy
    assert "checksum" in report.details["docs"]
    assert "200 points" in report.details["other"]


def test_a_lost_manifest_is_written_anew(data: Path) -> None:
    directory = home(data, "docs")
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


def test_nothing_readable_is_still_listed(data: Path) -> None:
    directory = home(data, "docs")
    (directory / "manifest.json").write_bytes(b"?")
    overwrite_header(directory / "points.sqlite")
    engine = EmbeddedEngine.open(data)
    infos = {info.spec.ref.name: info.state for info in engine.list(TENANT)}
    name = f"unreadable-{directory.name}"
    assert infos == {"other": CollectionState.READY, name: CollectionState.QUARANTINED}
    engine.drop(CollectionRef(TENANT, name))
    assert not directory.exists()
    engine.close()


def test_data_of_another_collection_is_not_served(data: Path) -> None:
    shutil.copy(home(data, "other") / "points.sqlite", home(data, "docs") / "points.sqlite")
    engine = EmbeddedEngine.open(data)
    assert engine.describe(DOCS).state is CollectionState.QUARANTINED
    engine.close()


# ------------------------------------------------------------ crashes in the middle


def set_state(directory: Path, state: CollectionState) -> None:
    """Rewrite a manifest as a crash would have left it."""
    from vectrograph.engines.embedded.manifest import Manifest

    old = Manifest.load(directory)
    Manifest(old.spec, state, old.created_at).save(directory)


@pytest.mark.parametrize("state", [CollectionState.CREATING, CollectionState.DROPPING])
def test_half_made_and_half_dropped_collections_go(data: Path, state: CollectionState) -> None:
    directory = home(data, "docs")
    set_state(directory, state)
    engine = EmbeddedEngine.open(data)
    assert [info.spec.ref.name for info in engine.list(TENANT)] == ["other"]
    assert not directory.exists()
    make(engine, "docs")
    engine.close()


def test_a_manifest_with_a_flipped_format_number_is_damaged_not_newer(data: Path) -> None:
    path = home(data, "docs") / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    engine = EmbeddedEngine.open(data)
    assert engine.count(DOCS) == 200
    engine.close()


def test_an_empty_directory_goes(data: Path) -> None:
    (data / "collections" / "0123").mkdir()
    EmbeddedEngine.open(data).close()
    assert not (data / "collections" / "0123").exists()


def test_what_was_not_closed_is_complete(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    make(engine, "docs")
    put_many(engine, DOCS, [(f"{n}", (n, n)) for n in range(50)])
    engine.write(DOCS, [Delete(id="3")])
    shutil.copytree(scratch / "data", scratch / "copy")
    again = EmbeddedEngine.open(scratch / "copy")
    assert again.count(DOCS) == 49
    assert found(again, DOCS, (3, 3), 2) == ["4", "2"]
    again.close()
    engine.close()


def test_an_interrupted_writer_leaves_no_doubt(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Committed but not published: the next call finds the truth in the file."""
    engine = EmbeddedEngine.open(scratch / "data")
    make(engine, "docs")
    put(engine, DOCS, "a")
    with monkeypatch.context() as patch:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("vectrograph.engines.embedded.view.ViewBuilder.advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            put(engine, DOCS, "b")
    assert put(engine, DOCS, "c").seq == 3
    assert ids(everything(engine, DOCS)) == ["a", "b", "c"]
    assert sorted(found(engine, DOCS, (0, 0))) == ["a", "b", "c"]
    engine.close()


# ------------------------------------------------------------ full and read-only disks


class FaultyFile(apsw.VFSFile):
    """A file whose disk can be made to refuse writes."""

    def xWrite(self, data: Any, offset: int) -> None:
        if FaultyDisk.error is not None:
            raise FaultyDisk.error
        super().xWrite(data, offset)


class FaultyDisk(apsw.VFS):
    """A VFS over the usual one; while `error` is set, every write raises it."""

    error: Exception | None = None

    def __init__(self) -> None:
        super().__init__("faulty", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FaultyFile("", name, flags)


@pytest.fixture
def faulty() -> Iterator[str]:
    """The name of a VFS that can fail."""
    disk = FaultyDisk()
    yield "faulty"
    FaultyDisk.error = None
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


def test_a_failing_checkpoint_loses_nothing(
    scratch: Path, faulty: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vectrograph.engines.embedded.store._CHECKPOINT_PAGES", 1)

    def full(*_: object, **__: object) -> None:
        raise apsw.FullError("test")

    engine = EmbeddedEngine.open(scratch / "data", vfs=faulty)
    make(engine, "docs")
    with monkeypatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.store.Store._checkpoint", full)
        assert put(engine, DOCS, "a").seq == 1
    assert "checkpoint" in caplog.text
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


# ------------------------------------------------------------ housekeeping


def test_the_log_is_folded_in_before_it_grows_large(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    ref = make(engine, "docs", dimension=2048)
    rows = np.ones((256, 2048), np.float32)
    for turn in range(40):
        engine.write(ref, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows * turn)])
    log = home(scratch / "data", "docs") / "points.sqlite-wal"
    assert 0 < log.stat().st_size < 48 << 20
    assert engine.maintain(MaintenanceTask.CHECKPOINT).healthy
    assert log.stat().st_size == 0
    engine.close()


def test_idempotency_records_live_a_day(scratch: Path) -> None:
    now = 1_700_000_000_000_000
    clock = [now]
    engine = EmbeddedEngine.open(scratch / "data", clock=lambda: clock[0])
    make(engine, "docs")
    key = IdempotencyKey(principal="p", operation="o", key="k", body_hash="h")
    point = [Put(id="a", vector=vector(0, 0))]
    assert not engine.write(DOCS, point, idempotency=key).replayed
    clock[0] = now + 24 * 3600 * 1_000_000 - 1
    assert engine.write(DOCS, point, idempotency=key).replayed
    clock[0] += 1
    assert not engine.write(DOCS, point, idempotency=key).replayed
    assert engine.write(DOCS, point, idempotency=key).replayed
    engine.close()


def test_the_engine_tells_what_it_stands_on(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    assert engine.capabilities.versions["sqlite"] == apsw.sqlite_lib_version()
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)
    ref = CollectionRef(TENANT, "tokens")
    engine.create(CollectionSpec.dense(ref, 2, Distance.COSINE, ids=IdKind.SERIAL))
    assert engine.describe(ref).bytes_on_disk > 4096
    engine.close()
