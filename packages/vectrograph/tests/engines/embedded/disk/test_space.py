"""Full and read-only disks: real ones where mounting is permitted, and a VFS that refuses everywhere."""

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import OutOfSpace, StartupError, StorageReadOnly
from vectrograph.domain.filters.evaluation import Exists
from vectrograph.domain.points import Delete, DeleteWhere, Put, Vector
from vectrograph.engines.contract.subject import TENANT, everything, found, make, put, vector
from vectrograph.engines.embedded import EmbeddedEngine

DOCS = CollectionRef(TENANT, "docs")
BALLAST = 1 << 20
DISK = 24 << 20


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Take all room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def open_engine(directory: Path) -> EmbeddedEngine:
    return EmbeddedEngine.open(directory, ballast_bytes=BALLAST)


def test_a_full_disk(disk: Path) -> None:
    """Write fail and say why, reads and deletes go on, writing resumes by itself, and nothing is lost."""
    engine = open_engine(disk / "data")
    make(engine, "docs", dimension=64)
    rows = np.eye(64, dtype=np.float32)
    for start in range(0, 512, 64):
        points = [Put(id=f"{start + n}", vector=row, payload={"n": n}) for n, row in enumerate(rows)]
        engine.write(DOCS, points)
    fill(disk / "filler")
    for _ in range(3):
        with pytest.raises(OutOfSpace, match="full"):
            write_until_full(engine, rows)
    kept = engine.count(DOCS)
    assert engine.get(DOCS, ["7"])[0] is not None
    assert len(found(engine, DOCS, rows[0].tolist(), 5)) == 5
    for n in range(100):
        engine.write(DOCS, [Delete(id=f"{n}")])
    assert engine.count(DOCS) == kept - 100
    assert engine.maintain(MaintenanceTask.CHECKPOINT).healthy
    with pytest.raises(OutOfSpace):
        engine.write(DOCS, [Put(id="still not", vector=rows[0])])
    make_refused(engine)
    (disk / "filler").unlink()
    engine.write(DOCS, [Put(id="again", vector=rows[0])])
    assert (disk / "data" / "ballast").stat().st_size == BALLAST
    wanted = sorted(point.id for point in everything(engine, DOCS))
    engine.close()
    again = open_engine(disk / "data")
    assert sorted(point.id for point in everything(again, DOCS)) == wanted
    assert len(wanted) == kept - 99
    again.close()


def write_until_full(engine: EmbeddedEngine, rows: Vector) -> None:
    for n in range(1000):
        engine.write(DOCS, [Put(id=f"new {n} {m}", vector=row) for m, row in enumerate(rows)])


def make_refused(engine: EmbeddedEngine) -> None:
    with pytest.raises(OutOfSpace):
        make(engine, "new")


def test_a_full_disk_can_be_opened_and_a_collection_dropped(disk: Path) -> None:
    """As after a process that died of it: the log is there, and has to be folded in somewhere."""
    engine = open_engine(disk / "data")
    for name in ("docs", "other"):
        ref = make(engine, name)
        put(engine, ref, "a")
    shutil.copytree(disk / "data", disk / "copy")
    engine.close()
    shutil.rmtree(disk / "data")
    fill(disk / "filler")
    engine = open_engine(disk / "copy")
    assert engine.count(DOCS) == 1
    with pytest.raises(OutOfSpace):
        put(engine, DOCS, "b")
    engine.write(DOCS, [DeleteWhere(filter=Exists(("none",))), Delete(id="a")])
    engine.drop(CollectionRef(TENANT, "other"))
    assert [info.spec.ref for info in engine.list(TENANT)] == [DOCS]
    engine.close()


def test_a_read_only_disk(disk: Path) -> None:
    """Everything can be read, also what is only in the log; every write says why it is refused."""
    engine = open_engine(disk / "data")
    for name in ("docs", "closed"):
        make(engine, name)
    put(engine, CollectionRef(TENANT, "closed"), "old")
    engine.close()
    engine = open_engine(disk / "data")
    put(engine, DOCS, "a", (1, 1), {"k": 1}, "text")
    shutil.copytree(disk / "data", disk / "copy")
    engine.close()
    mount("-o", "remount,ro", str(disk))
    engine = open_engine(disk / "copy")
    assert found(engine, DOCS, (1, 1), filter=Exists(("k",))) == ["a"]
    assert [point.text for point in everything(engine, DOCS)] == ["text"]
    assert engine.count(CollectionRef(TENANT, "closed")) == 1
    assert [change.id for change in engine.changes(DOCS).changes] == ["a"]
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    for write in (
        lambda: put(engine, DOCS, "b"),
        lambda: engine.write(DOCS, [Delete(id="a")]),
        lambda: make(engine, "new"),
        lambda: engine.drop(DOCS),
        lambda: engine.maintain(MaintenanceTask.CHECKPOINT),
    ):
        with pytest.raises(StorageReadOnly, match="read-only"):
            write()
    assert engine.count(DOCS) == 1
    engine.close()
    mount("-o", "remount,rw", str(disk))
    engine = open_engine(disk / "copy")
    put(engine, DOCS, "b")
    assert sorted(point.id for point in everything(engine, DOCS)) == ["a", "b"]
    engine.close()


def test_a_large_collection_on_a_read_only_disk(disk: Path) -> None:
    """With an index that was saved, and rows behind it that are only in SQLite."""
    engine = open_engine(disk / "data")
    ref = make(engine, "docs", dimension=256)
    rows = np.random.default_rng(0).standard_normal((1500, 256)).astype(np.float32)
    engine.write(ref, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows[:1400])])
    engine.close()
    engine = open_engine(disk / "data")
    engine.write(ref, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows[1400:], 1400)])
    shutil.copytree(disk / "data", disk / "copy")
    engine.close()
    # Maps of files that were written to keep the disk writable.
    del engine
    gc.collect()
    mount("-o", "remount,ro", str(disk))
    engine = open_engine(disk / "copy")
    for n in (3, 1450):
        assert found(engine, ref, rows[n].tolist(), 1) == [f"{n}"]
    assert engine.count(ref) == 1500
    engine.close()
    mount("-o", "remount,rw", str(disk))


def test_a_read_only_disk_without_a_database(disk: Path) -> None:
    mount("-o", "remount,ro", str(disk))
    with pytest.raises(StartupError, match="data"):
        open_engine(disk / "data")


# ------------------------------------------------------------ where nothing can be mounted


class FullFile(apsw.VFSFile):
    """A file whose disk is full as long as the ballast is there."""

    def xWrite(self, data: Any, offset: int) -> None:
        if FullDisk.full and FullDisk.ballast.exists():
            raise apsw.FullError("test")
        super().xWrite(data, offset)


class FullDisk(apsw.VFS):
    """A VFS over the usual one."""

    full = False
    ballast = Path("ballast")

    def __init__(self) -> None:
        super().__init__("full", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FullFile("", name, flags)


def test_the_ballast_goes_for_deletes_and_comes_back(scratch: Path) -> None:
    disk = FullDisk()
    try:
        engine = EmbeddedEngine.open(scratch / "data", vfs="full", ballast_bytes=BALLAST)
        FullDisk.ballast = scratch / "data" / "ballast"
        make(engine, "docs")
        put(engine, DOCS, "a")
        put(engine, DOCS, "b")
        FullDisk.full = True
        with pytest.raises(OutOfSpace, match="nothing was written"):
            put(engine, DOCS, "c")
        with pytest.raises(OutOfSpace, match="nothing was written"):
            engine.write(DOCS, [Delete(id="a"), Put(id="d", vector=vector(0, 0))])
        assert FullDisk.ballast.exists()
        engine.write(DOCS, [Delete(id="a")])
        assert not FullDisk.ballast.exists()
        FullDisk.full = False
        put(engine, DOCS, "c")
        assert FullDisk.ballast.stat().st_size == BALLAST
        assert sorted(point.id for point in everything(engine, DOCS)) == ["b", "c"]
        engine.close()
    finally:
        FullDisk.full = False
        disk.unregister()


def test_without_ballast_a_full_disk_only_reads(scratch: Path) -> None:
    disk = FullDisk()
    try:
        engine = EmbeddedEngine.open(scratch / "data", vfs="full", ballast_bytes=0)
        assert not (scratch / "data" / "ballast").exists()
        FullDisk.ballast = scratch
        make(engine, "docs")
        put(engine, DOCS, "a")
        FullDisk.full = True
        with pytest.raises(OutOfSpace):
            engine.write(DOCS, [Delete(id="a")])
        assert engine.count(DOCS) == 1
        FullDisk.full = False
        engine.close()
    finally:
        FullDisk.full = False
        disk.unregister()
