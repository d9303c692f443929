"""Files of the embedded engine: one owner, half-made things, housekeeping."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, CollectionState, Distance, IdKind
from vectrograph.domain.errors import (
    DeadlineExceeded,
    DirectoryLocked,
    StartupError,
)
from vectrograph.domain.points import Delete, IdempotencyKey, Put
from vectrograph.domain.write_validation import ValidatedWrites
from vectrograph.engines.contract.subject import TENANT, everything, found, ids, make, put, put_many, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.truth.batch import Batch
from vectrograph.engines.embedded.truth.commit_record import CommitRecord, LastCommit
from vectrograph.engines.embedded.truth.manifest import Manifest
from vectrograph.engines.embedded.truth.write_plan import Plan

DOCS = CollectionRef(TENANT, "docs")


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
    engine = EmbeddedEngine.open(scratch / "data")
    assert json.loads((scratch / "data" / "LOCK").read_text())["pid"] == os.getpid()
    engine.close()


def test_a_directory_that_cannot_be_is_one_clear_line(scratch: Path) -> None:
    (scratch / "file").write_text("x")
    with pytest.raises(StartupError, match="file"):
        EmbeddedEngine.open(scratch / "file" / "data")


# ------------------------------------------------------------ crashes in the middle


def set_state(directory: Path, state: CollectionState) -> None:
    """Rewrite a manifest as a crash would have left it."""
    from vectrograph.engines.embedded.truth.manifest import Manifest

    old = Manifest.load(directory)
    Manifest(old.spec, state, old.created_at).save(directory)


@pytest.mark.parametrize("state", [CollectionState.CREATING, CollectionState.DROPPING])
def test_half_made_and_half_dropped_collections_go(data: Path, homes: dict[str, Path], state: CollectionState) -> None:
    directory = homes["docs"]
    set_state(directory, state)
    if state is CollectionState.CREATING:
        CommitRecord.create(directory, LastCommit(Manifest.load(directory).created_at))
    engine = EmbeddedEngine.open(data)
    assert [info.spec.ref.name for info in engine.list(TENANT)] == ["other"]
    assert not directory.exists()
    make(engine, "docs")
    engine.close()


def test_a_collection_whose_files_cannot_be_removed_does_not_come_back(
    data: Path, homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dropped although a file stays; the next opening, which may fail as well, removes the rest."""
    unlink = os.unlink

    def reluctant(path: Any, **options: Any) -> None:
        if str(path).endswith("points.sqlite"):
            raise OSError(5, "test")
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", reluctant)
        engine = EmbeddedEngine.open(data)
        engine.drop(DOCS)
        engine.close()
        EmbeddedEngine.open(data).close()
    assert (homes["docs"] / "points.sqlite").exists()
    engine = EmbeddedEngine.open(data)
    assert [info.spec.ref.name for info in engine.list(TENANT)] == ["other"]
    engine.close()
    assert not homes["docs"].exists()


def test_a_manifest_with_a_flipped_format_number_is_damaged_not_newer(data: Path, homes: dict[str, Path]) -> None:
    path = homes["docs"] / "manifest.json"
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

        patch.setattr("vectrograph.engines.embedded.rows.view.ViewBuilder.advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            put(engine, DOCS, "b")
    assert put(engine, DOCS, "c").seq == 3
    assert ids(everything(engine, DOCS)) == ["a", "b", "c"]
    assert sorted(found(engine, DOCS, (0, 0))) == ["a", "b", "c"]
    engine.close()


# ------------------------------------------------------------ housekeeping


def test_a_deadline_that_passes_before_the_commit(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    make(engine, "docs")
    plan = Plan.batch

    def slow(self: Plan, writes: ValidatedWrites, expired: int) -> Batch:
        time.sleep(0.2)
        return plan(self, writes, expired)

    monkeypatch.setattr(Plan, "batch", slow)
    with pytest.raises(DeadlineExceeded):
        engine.write(DOCS, [Put(id="a", vector=vector(0, 0))], deadline=time.monotonic() + 0.1)
    assert (engine.count(DOCS), engine.describe(DOCS).seq) == (0, 0)
    engine.close()


def test_the_log_is_folded_in_before_it_grows_large(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    ref = make(engine, "docs", dimension=2048)
    rows = np.ones((256, 2048), np.float32)
    for turn in range(40):
        engine.write(ref, [Put(id=f"{n}", vector=row) for n, row in enumerate(rows * turn)])
    (log,) = (scratch / "data").glob("collections/*/points.sqlite-wal")
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
