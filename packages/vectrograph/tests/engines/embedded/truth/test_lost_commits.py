"""FINDINGS C2: the record of the last commit. No acknowledged commit is lost without the collection being set aside."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from torture import power_loss

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionRef, CollectionState
from vectrograph.domain.errors import CollectionQuarantined
from vectrograph.domain.points import Delete, IdempotencyKey
from vectrograph.engines.contract.subject import TENANT, make, put
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.collection.content import Content
from vectrograph.engines.embedded.truth.commit_record import FILE_NAME as RECORD
from vectrograph.engines.embedded.truth.commit_record import read_record
from vectrograph.engines.embedded.truth.manifest import Manifest
from vectrograph.engines.embedded.truth.store import Store

pytestmark = pytest.mark.slow

DOCS = CollectionRef(TENANT, "docs")
OTHER = CollectionRef(TENANT, "other")
POINTS = "points.sqlite"
LOG = "points.sqlite-wal"
_FRAME_BYTES = 24 + 4096

_WRITER = """
import sys
import numpy as np
from vectrograph.domain.points import Put
from vectrograph.engines.contract.subject import make
from vectrograph.engines.embedded import EmbeddedEngine
engine = EmbeddedEngine.open(sys.argv[1], ballast_bytes=0)
for name in ("docs", "other"):
    ref = make(engine, name)
    for start in range(0, 5000, 500):
        engine.write(ref, [Put(id=f"{start + n}", vector=np.ones(2, np.float32)) for n in range(500)])
print("acknowledged", flush=True)
sys.stdin.read()
"""


def home_of(directory: Path, ref: CollectionRef = DOCS) -> Path:
    return next(home for home in directory.glob("collections/*") if Manifest.load(home).spec.ref == ref)


def looked_at(directory: Path, ref: CollectionRef = DOCS) -> CollectionInfo:
    with closing(EmbeddedEngine.open(directory, ballast_bytes=0)) as engine:
        return engine.describe(ref)


@pytest.fixture
def living(scratch: Path) -> Iterator[EmbeddedEngine]:
    """Provide an open engine with an empty collection, whose files can be copied as a killed process would
    leave them.
    """
    with closing(EmbeddedEngine.open(scratch / "data", ballast_bytes=0)) as engine:
        make(engine, "docs")
        yield engine


@pytest.fixture
def left(scratch: Path) -> Any:
    """Copy the files as they are, to the same place each time."""

    def copied(name: str = "left") -> Path:
        shutil.rmtree(scratch / name, ignore_errors=True)
        shutil.copytree(scratch / "data", scratch / name)
        return scratch / name

    return copied


def test_a_log_that_is_deleted_after_a_kill(scratch: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(scratch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"acknowledged\n"
        writer.send_signal(signal.SIGKILL)
    (home_of(scratch) / LOG).unlink()
    with closing(EmbeddedEngine.open(scratch, ballast_bytes=0)) as engine:
        info = engine.describe(DOCS)
        assert info.state is CollectionState.QUARANTINED
        assert info.problem is not None
        assert "change 5000 was acknowledged" in info.problem
        with pytest.raises(CollectionQuarantined) as raised:
            put(engine, DOCS, "new", [0.0] * 2)
        assert "change 5000" in str(raised.value.problem)
        assert engine.count(OTHER) == 5000
        assert not engine.maintain(MaintenanceTask.VERIFY).healthy
        engine.drop(DOCS)
        make(engine, "docs")


def test_a_log_that_is_cut_anywhere(living: EmbeddedEngine, left: Any) -> None:
    for n in range(2):
        put(living, DOCS, f"{n}", [1.0] * 2)
    size = (home_of(left()) / LOG).stat().st_size
    frames = range(32, size, _FRAME_BYTES)
    for length in (0, 1, 31, *(at + more for at in frames for more in (-1, 0, 1, 23, 24, 2000))):
        copy = left()
        os.truncate(home_of(copy) / LOG, length)
        info = looked_at(copy)
        assert info.state is CollectionState.QUARANTINED or info.count == 2, length


def test_a_log_that_is_flipped_anywhere(living: EmbeddedEngine, left: Any) -> None:
    for n in range(3):
        put(living, DOCS, f"{n}", [1.0] * 2)
    size = (home_of(left()) / LOG).stat().st_size
    for at in (0, 5, 9, 13, 17, 25, *range(32, size, 1777), size - 1):
        copy = left()
        with (home_of(copy) / LOG).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x20]))
        info = looked_at(copy)
        assert info.state is CollectionState.QUARANTINED or info.count == 3, at


def test_an_older_file_under_the_log_of_today(living: EmbeddedEngine, left: Any) -> None:
    """The number of the last change comes from the log, so it alone tells nothing."""
    put(living, DOCS, "first", [1.0] * 2)
    living.maintain(MaintenanceTask.CHECKPOINT)
    older = left("older")
    put(living, DOCS, "first", [2.0] * 2, payload={"of": "today"})
    living.maintain(MaintenanceTask.CHECKPOINT)
    put(living, DOCS, "last", [3.0] * 2)
    copy = left()
    shutil.copyfile(home_of(older) / POINTS, home_of(copy) / POINTS)
    info = looked_at(copy)
    assert info.state is CollectionState.QUARANTINED
    assert info.problem is not None
    assert "replaced by an older one" in info.problem


@pytest.mark.parametrize("lost", [LOG, POINTS])
def test_an_idempotency_record_counts_too(living: EmbeddedEngine, left: Any, lost: str) -> None:
    """A write that changed nothing has no number of its own, and yet it was answered and must be remembered."""
    put(living, DOCS, "first", [1.0] * 2)
    living.maintain(MaintenanceTask.CHECKPOINT)
    older = left("older")
    key = IdempotencyKey(principal="me", operation="write", key="one", body_hash="x")
    seq = living.write(DOCS, [Delete(id="nobody")], idempotency=key).seq
    assert seq == 1
    if lost == POINTS:
        living.maintain(MaintenanceTask.CHECKPOINT)
    assert looked_at(left()).state is CollectionState.READY
    copy = left()
    shutil.copyfile(home_of(older) / lost, home_of(copy) / lost)
    problem = looked_at(copy).problem
    assert problem is not None
    assert "idempotency" in problem


def test_an_expired_idempotency_record_is_not_missed(scratch: Path) -> None:
    now = [1_700_000_000_000_000]
    key = IdempotencyKey(principal="me", operation="write", key="one", body_hash="x")
    with closing(EmbeddedEngine.open(scratch, clock=lambda: now[0], ballast_bytes=0)) as engine:
        make(engine, "docs")
        engine.write(DOCS, [Delete(id="nobody")], idempotency=key)
        now[0] += 25 * 3600 * 1_000_000
        put(engine, DOCS, "first", [1.0] * 2)
    assert looked_at(scratch).state is CollectionState.READY


def test_a_record_that_lags_is_what_a_power_loss_leaves(living: EmbeddedEngine, left: Any) -> None:
    put(living, DOCS, "first", [1.0] * 2)
    older = left("older")
    put(living, DOCS, "second", [1.0] * 2)
    copy = left()
    shutil.copyfile(home_of(older) / RECORD, home_of(copy) / RECORD)
    assert looked_at(copy).count == 2
    assert read_record(home_of(copy))[1].seq == 2


def test_one_slot_of_the_record_is_enough(living: EmbeddedEngine, left: Any) -> None:
    """A write of the record may be torn by a power loss, but only in one of its two slots."""
    put(living, DOCS, "first", [1.0] * 2)
    for slot in (0, 4096):
        copy = left()
        with (home_of(copy) / RECORD).open("r+b") as file:
            file.seek(slot)
            file.write(bytes(64))
        assert looked_at(copy).count == 1


@pytest.mark.parametrize("loss", ["deleted", "emptied", "of another collection"])
def test_a_lost_record_sets_aside_and_repair_writes_it_anew(living: EmbeddedEngine, left: Any, loss: str) -> None:
    """Otherwise a log could be lost together with it."""
    put(living, DOCS, "first", [1.0] * 2)
    make(living, "other")
    copy = left()
    record = home_of(copy) / RECORD
    if loss == "deleted":
        record.unlink()
    elif loss == "emptied":
        os.truncate(record, 0)
    else:
        shutil.copyfile(home_of(copy, OTHER) / RECORD, record)
    with closing(EmbeddedEngine.open(copy, ballast_bytes=0)) as engine:
        problem = engine.describe(DOCS).problem
        assert problem is not None
        assert "the record of its last commit is" in problem
        report = engine.maintain(MaintenanceTask.REPAIR, DOCS)
        assert report.healthy
        assert "1 points salvaged, 0 lost" in report.details["docs"]
        assert engine.count(DOCS) == 1
        assert engine.maintain(MaintenanceTask.VERIFY).healthy
    assert looked_at(copy).count == 1


def test_repair_after_a_lost_log_tells_what_is_missing(living: EmbeddedEngine, left: Any) -> None:
    put(living, DOCS, "kept", [1.0] * 2)
    living.maintain(MaintenanceTask.CHECKPOINT)
    for n in range(4):
        put(living, DOCS, f"lost {n}", [1.0] * 2)
    copy = left()
    (home_of(copy) / LOG).unlink()
    with closing(EmbeddedEngine.open(copy, ballast_bytes=0)) as engine:
        report = engine.maintain(MaintenanceTask.REPAIR, DOCS)
        assert not report.healthy
        assert "1 points salvaged" in report.details["docs"]
        assert "changes 2 to 5 are lost" in report.details["docs"]
        assert engine.count(DOCS) == 1
        assert put(engine, DOCS, "new", [1.0] * 2).seq == 6
    assert looked_at(copy).count == 2


def test_a_record_that_is_damaged_meanwhile_is_found_by_verify(living: EmbeddedEngine, scratch: Path) -> None:
    put(living, DOCS, "first", [1.0] * 2)
    (home_of(scratch / "data") / RECORD).unlink()
    report = living.maintain(MaintenanceTask.VERIFY, DOCS)
    assert not report.healthy
    assert "the record of the last commit is damaged" in report.details["docs"]
    assert living.describe(DOCS).state is CollectionState.READY
    assert living.maintain(MaintenanceTask.REPAIR, DOCS).healthy
    assert living.maintain(MaintenanceTask.VERIFY, DOCS).healthy
    put(living, DOCS, "second", [1.0] * 2)
    assert read_record(home_of(scratch / "data"))[1].seq == 2


def test_an_older_manifest_does_not_undo_a_creation(scratch: Path) -> None:
    """A manifest from before the creation was acknowledged says that the collection may be removed."""
    with closing(EmbeddedEngine.open(scratch, ballast_bytes=0)) as engine:
        make(engine, "docs")
        put(engine, DOCS, "first", [1.0] * 2)
    home = home_of(scratch)
    manifest = Manifest.load(home)
    Manifest(manifest.spec, CollectionState.CREATING, manifest.created_at).save(home)
    assert looked_at(scratch).count == 1


def test_a_collection_of_which_only_the_record_is_left(scratch: Path) -> None:
    with closing(EmbeddedEngine.open(scratch, ballast_bytes=0)) as engine:
        make(engine, "docs")
    home = home_of(scratch)
    for name in ("manifest.json", POINTS):
        (home / name).unlink()
    with closing(EmbeddedEngine.open(scratch, ballast_bytes=0)) as engine:
        (info,) = engine.list("default")
        assert info.state is CollectionState.QUARANTINED
    assert (home / RECORD).exists()


def test_a_collection_from_before_there_were_records(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(EmbeddedEngine.open(scratch, ballast_bytes=0)) as engine:
        make(engine, "docs")
        put(engine, DOCS, "first", [1.0] * 2)
    home = home_of(scratch)
    manifest = Manifest.load(home)
    Manifest(manifest.spec, manifest.state, manifest.created_at, recorded=False).save(home)
    (home / RECORD).unlink()
    assert looked_at(scratch).count == 1
    assert read_record(home)[1].seq == 1
    (home / RECORD).unlink()
    assert looked_at(scratch).state is CollectionState.QUARANTINED


def test_a_record_that_cannot_be_written_stops_no_write(
    living: EmbeddedEngine, scratch: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.pwrite

    def refusing(descriptor: int, data: bytes, offset: int) -> int:
        if data.startswith(b"VGCOMMIT"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    put(living, DOCS, "first", [1.0] * 2)
    monkeypatch.setattr(os, "pwrite", refusing)
    for n in range(3):
        put(living, DOCS, f"{n}", [1.0] * 2)
    monkeypatch.undo()
    assert living.count(DOCS) == 4
    assert [line.levelname for line in caplog.records if RECORD in line.getMessage()] == ["ERROR"]
    put(living, DOCS, "last", [1.0] * 2)
    assert read_record(home_of(scratch / "data"))[1].seq == 5


def test_the_record_costs_one_system_call_a_commit_and_no_descriptor_when_idle(
    living: EmbeddedEngine, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FINDINGS C2 and B4: it is open while the connection that writes is, and closed with it."""
    record = home_of(scratch / "data") / RECORD
    writes: list[int] = []
    opened: list[str] = []
    real_pwrite, real_open = os.pwrite, os.open

    def counted_pwrite(descriptor: int, data: bytes, offset: int) -> int:
        writes.append(descriptor)
        return real_pwrite(descriptor, data, offset)

    def counted_open(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(path))
        return real_open(path, *arguments, **options)

    put(living, DOCS, "first", [1.0] * 2)
    monkeypatch.setattr(os, "pwrite", counted_pwrite)
    monkeypatch.setattr(os, "open", counted_open)
    for n in range(3):
        put(living, DOCS, f"{n}", [1.0] * 2)
    assert len(writes) == 3
    assert len(set(writes)) == 1
    assert opened == []
    store = content_of(living).store
    assert descriptors_of(record) == 1
    assert store.park()
    assert descriptors_of(record) == 0
    put(living, DOCS, "after", [1.0] * 2)
    assert opened == [str(record)]
    assert descriptors_of(record) == 1
    assert read_record(record.parent)[1].seq == 5
    assert store._open_files.used >= len([*descriptors(record.parent)])


@pytest.mark.parametrize("way", ["drop", "close", "repair"])
def test_the_record_is_closed_with_its_collection(living: EmbeddedEngine, scratch: Path, way: str) -> None:
    home = home_of(scratch / "data")
    put(living, DOCS, "first", [1.0] * 2)
    assert descriptors_of(home / RECORD) == 1
    if way == "drop":
        living.drop(DOCS)
    elif way == "close":
        living.close()
    else:
        living._catalog.find(DOCS)._quarantine("damage")
        living.maintain(MaintenanceTask.REPAIR, DOCS)
    assert [each for each in descriptors(home) if RECORD in each] == []


def test_a_record_that_is_removed_meanwhile_is_complained_about_at_the_next_checkpoint(
    living: EmbeddedEngine, scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(living, DOCS, "first", [1.0] * 2)
    (home_of(scratch / "data") / RECORD).unlink()
    living.maintain(MaintenanceTask.CHECKPOINT, DOCS)
    assert [line.levelname for line in caplog.records if RECORD in line.getMessage()] == ["ERROR"]
    living.drop(DOCS)


def descriptors(home: Path) -> Iterator[str]:
    """Yield paths below a directory that this process has open, one for each descriptor."""
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            target = os.readlink(each)
            if target.startswith(f"{home}/"):
                yield target


def descriptors_of(path: Path) -> int:
    return [*descriptors(path.parent)].count(str(path))


def content_of(engine: EmbeddedEngine) -> Content:
    content = engine._catalog.find(DOCS)._content
    assert content is not None
    return content


def test_a_record_that_runs_ahead_is_noticed_by_the_power_failures(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of its order can fail: written before the commit, it sets whole collections aside."""
    apply = Store.apply

    def hasty(self: Store, batch: Any) -> None:
        Store.recorded(self, batch)
        apply(self, batch)

    monkeypatch.setattr(Store, "apply", hasty)
    with pytest.raises(power_loss.Lost, match="was acknowledged"):
        power_loss.run(1, 60, 400, scratch, lambda _, __: None)
