"""Disks that refuse: what does not get in is not shown, and what cannot be saved is said."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import OutOfSpace
from vectrograph.domain.points import Delete, Put
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.upkeep.background import Rhythm

DOCS = CollectionRef(TENANT, "docs")


@pytest.fixture
def filled(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedEngine]:
    """Provide an engine with vectors in a file."""
    monkeypatch.setattr("vectrograph.engines.embedded.rows.view.MEMORY_BYTES", 1 << 12)
    engine = EmbeddedEngine.open(scratch / "data", rhythm=replace(Rhythm(), first_rows=(100, 100), idle_seconds=1000.0))
    engine.create(CollectionSpec.dense(DOCS, 64, Distance.EUCLIDEAN))
    put(engine, range(200))
    yield engine
    engine.close()


def put(engine: EmbeddedEngine, numbers: range) -> None:
    """One batch of points."""
    vectors = np.random.default_rng(numbers.start).standard_normal((len(numbers), 64)).astype(np.float32)
    engine.write(DOCS, [Put(id=f"{n}", vector=row) for n, row in zip(numbers, vectors, strict=True)])


def full(*_: Any) -> int:
    """Return a disk that is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_vectors_that_find_no_room_are_not_written(filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    seq = filled.describe(DOCS).seq
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OutOfSpace, match="nothing was written"):
            put(filled, range(200, 300))
        assert (filled.count(DOCS), filled.describe(DOCS).seq) == (200, seq)
        filled.write(DOCS, [Delete(id="7")])
        assert filled.get(DOCS, ["7", "8"])[0] is None
    put(filled, range(200, 300))
    assert filled.count(DOCS) == 299
    assert filled.maintain(MaintenanceTask.VERIFY).healthy
    view = filled._catalog.find(DOCS).view()
    np.testing.assert_array_equal(
        view.vectors[-100:], np.random.default_rng(200).standard_normal((100, 64)).astype(np.float32)
    )


def test_an_index_that_cannot_be_saved_serves_and_complains(
    filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.rows.derived_files.save_rows", full)
        filled.maintain(MaintenanceTask.FLUSH, DOCS)
        wait_until(lambda: filled.describe(DOCS).index_problem is not None)
        assert "No space left" in str(filled.describe(DOCS).index_problem)
        assert filled._catalog.find(DOCS).view().served is not None
    filled.close()
    again = EmbeddedEngine.open(scratch / "data")
    assert (again.count(DOCS), again.describe(DOCS).indexed) == (200, 200)
    again.close()


def test_what_fails_is_not_tried_again_with_every_write(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = EmbeddedEngine.open(scratch / "data", rhythm=replace(Rhythm(), first_rows=(100, 100), swap_rows=64))
    engine.create(CollectionSpec.dense(DOCS, 64, Distance.EUCLIDEAN))
    worker = engine._background.worker

    def idle() -> bool:
        return not worker._running and all(due > time.monotonic() for due in list(worker._due.values()))

    with monkeypatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.upkeep.graph_maker.GraphMaker.built", full)
        for start in range(0, 2_000, 100):
            put(engine, range(start, start + 100))
            wait_until(idle)
    complaints = [record for record in caplog.records if "No space left" in record.getMessage()]
    assert 1 <= len(complaints) <= 3
    engine.maintain(MaintenanceTask.FLUSH, DOCS)
    assert (engine.describe(DOCS).index_problem, engine.describe(DOCS).indexed) == (None, 2_000)
    engine.close()


def test_a_refused_commit_leaves_no_rows_behind(filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are in the file before the commit; when that fails they are overwritten, not shown."""
    import apsw

    with monkeypatch.context() as patch:

        def refuse(*_: Any) -> None:
            raise apsw.FullError("test")

        patch.setattr("vectrograph.engines.embedded.truth.store.Store.apply", refuse)
        with pytest.raises(OutOfSpace):
            put(filled, range(500, 600))
    put(filled, range(200, 260))
    view = filled._catalog.find(DOCS).view()
    assert (view.count, len(view.labels)) == (260, 260)
    np.testing.assert_array_equal(
        view.vectors[200:], np.random.default_rng(200).standard_normal((60, 64)).astype(np.float32)
    )


def test_checkpoints_do_not_hold_up_writers(filled: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log is folded into the file, for as long as that takes, writes go on."""
    folding, going_on = threading.Event(), threading.Event()
    store = filled._catalog.find(DOCS)._content.store  # type: ignore[union-attr]
    original = type(store).fold

    def slow(self: Any, writing: Any) -> None:
        folding.set()
        assert going_on.wait(30.0)
        original(self, writing)

    monkeypatch.setattr("vectrograph.engines.embedded.truth.store._CHECKPOINT_PAGES", 1)
    monkeypatch.setattr(type(store), "fold", slow)
    put(filled, range(200, 300))
    assert folding.wait(30.0)
    put(filled, range(300, 400))
    assert filled.count(DOCS) == 400
    before = store._checkpointed
    going_on.set()
    wait_until(lambda: store._checkpointed > before)
