"""The log of changes in the file of a collection: how it is shortened, and what relies on entries that are gone."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.indexed_rows import DOCS, QUICK, assert_whole, covered, fill, flush, home, rows, view
from engines.waiting import wait_until

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.errors import PositionExpired
from vectrograph.domain.log_retention import LogRetention
from vectrograph.domain.points import NOW, ChangeKind, Delete, Patch, Put
from vectrograph.engines.contract.retention import held, held_from
from vectrograph.engines.contract.subject import make, put, put_many, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.rows.derived_files import INDEX_FILE
from vectrograph.engines.embedded.truth.commit_record import FILE_NAME as RECORD
from vectrograph.engines.embedded.truth.store import Store
from vectrograph.engines.embedded.upkeep import log_trimming

HASTY = replace(QUICK, trim_seconds=0.0, ageing_seconds=0.01)
FIVE = LogRetention(max_changes=5)

Opened = Callable[..., EmbeddedEngine]


def open_five(opened: Opened, directory: Path, **options: Any) -> EmbeddedEngine:
    """Open an engine that keeps five changes and removes others at once."""
    return opened(directory, **{"retention": FIVE, "rhythm": HASTY, **options})


def patch_all(engine: EmbeddedEngine, count: int) -> int:
    """Change the payload of points without touching any vector; return the seq of the last change."""
    return engine.write(DOCS, [Patch(id=f"{n}", payload={"n": n}) for n in range(count)]).seq


# ---------------------------------------------------------------- how entries go


def test_a_long_log_is_shortened_in_small_transactions(
    scratch: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None removes more than a portion, and the lock is free after each: no write waits for all of it."""
    engine = opened(scratch / "data")
    make(engine, "docs")
    put_many(engine, DOCS, [(f"{n}", (n, n)) for n in range(95)])
    engine.close()
    monkeypatch.setattr(log_trimming, "_PORTION", 10)
    free, begun, removed = threading.Event(), threading.Event(), list[int]()
    trim = Store.trim_log

    def counted(self: Store, *args: Any) -> bool:
        before = len(self.writer.execute("SELECT seq FROM changes WHERE seq > 0").fetchall())
        more = trim(self, *args)
        removed.append(before - len(self.writer.execute("SELECT seq FROM changes WHERE seq > 0").fetchall()))
        return more

    def reached(stage: str) -> None:
        if stage == "trim" and len(removed) == 3:
            begun.set()
            assert free.wait(30)

    monkeypatch.setattr(Store, "trim_log", counted)
    engine = open_five(opened, scratch / "data", reached=reached)
    assert len(held(engine, DOCS)) > 5
    assert begun.wait(30)
    # A writer that comes now waits for the portion under way and for no other.
    writer = threading.Thread(target=put, args=(engine, DOCS, "late"))
    writer.start()
    free.set()
    writer.join(30)
    assert not writer.is_alive()
    assert held_from(engine, DOCS, 92) == [92, 93, 94, 95, 96]
    assert sum(removed) == 91
    assert max(removed) == 10


@pytest.mark.parametrize(("turn_seconds", "removed"), [(0.0, 10), (1000.0, 90)], ids=["short", "long"])
def test_a_turn_of_the_worker_removes_what_its_time_allows(
    scratch: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, turn_seconds: float, removed: int
) -> None:
    """Many portions, so that the log keeps pace with writes while the index takes most of the worker's time."""
    monkeypatch.setattr(log_trimming, "_PORTION", 10)
    monkeypatch.setattr(log_trimming, "_TURN_SECONDS", turn_seconds)
    engine = opened(scratch / "data", retention=FIVE, rhythm=replace(HASTY, trim_seconds=1000.0))
    make(engine, "docs")
    put_many(engine, DOCS, [(f"{n}", (n, n)) for n in range(95)])
    between = list[int]()
    again = engine._catalog.find(DOCS)._trimming.run(lambda: between.append(len(held(engine, DOCS))))
    assert held(engine, DOCS) == list(range(removed + 1, 96))
    assert (again is None) is (removed == 90)
    # Between two portions the collection is free, and the worker may have to stop.
    assert between == ([] if again is not None else list(range(85, 0, -10)))


def test_a_limit_that_was_lowered_holds_after_the_next_start(scratch: Path, opened: Opened) -> None:
    """Also in collections that nobody uses: they are looked at in the background."""
    now = 1_000
    engine = opened(scratch / "data", clock=lambda: now)
    refs = [make(engine, name) for name in ("one", "two")]
    for ref in refs:
        put_many(engine, ref, [(f"{n}", (n, n)) for n in range(4)])
    engine.close()
    now = 10_000
    trimmed = threading.Semaphore(0)

    def reached(stage: str) -> None:
        if stage == "trim":
            trimmed.release()

    rhythm = replace(HASTY, idle_seconds=0.0)
    retention = LogRetention(max_age=100)
    engine = opened(scratch / "data", clock=lambda: now, rhythm=rhythm, retention=retention, reached=reached)
    assert trimmed.acquire(timeout=30)
    assert trimmed.acquire(timeout=30)
    assert [held_from(engine, ref, 4) for ref in refs] == [[4], [4]]


def test_a_log_without_limits_keeps_everything(scratch: Path, opened: Opened) -> None:
    engine = opened(scratch / "data", clock=lambda: 10**18, rhythm=HASTY)
    make(engine, "docs")
    put_many(engine, DOCS, [(f"{n}", (n, n)) for n in range(50)])
    engine.close()
    engine = opened(scratch / "data", rhythm=HASTY)
    put(engine, DOCS, "more")
    assert held(engine, DOCS) == list(range(1, 52))


def test_space_of_removed_changes_is_used_again(scratch: Path, opened: Opened) -> None:
    """The file has room for what one round writes, and not for all of them."""
    engine = open_five(opened, scratch / "data")
    make(engine, "docs")
    path = home(scratch / "data") / "points.sqlite"
    sizes = list[int]()
    for _ in range(8):
        for _ in range(10):
            engine.write(DOCS, [Put(id="a", vector=vector(0, 0)), *(Patch(id="a", text="x") for _ in range(500))])
        held_from(engine, DOCS, engine.describe(DOCS).seq - 4)
        wait_until(lambda: engine.maintain(MaintenanceTask.CHECKPOINT).healthy)
        sizes.append(path.stat().st_size)
    # 28 bytes an entry with ids of one byte.
    assert sizes[-1] < 3 * 5_010 * 28 < 8 * 5_010 * 28


# ---------------------------------------------------------------- the index that names an entry


def crashed_after_trimming(directory: Path, opened: Opened, vectors: Any) -> EmbeddedEngine:
    """Save an index, let the change that it names leave the log, and open what a crash then leaves."""
    engine = opened(directory)
    fill(engine, vectors)
    flush(engine)
    engine.close()
    saved = (home(directory) / INDEX_FILE).read_bytes()
    lazy = replace(HASTY, idle_seconds=1000.0, swap_rows=100_000)
    engine = open_five(opened, directory, rhythm=lazy)
    for _ in range(3):
        last = patch_all(engine, 100)
        held_from(engine, DOCS, last - 4)
    engine.close()
    (home(directory) / INDEX_FILE).write_bytes(saved)
    return open_five(opened, directory, rhythm=lazy)


@pytest.mark.usefixtures("vectors_in_files")
def test_an_index_is_used_whose_change_has_left_the_log(
    scratch: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = rows(800)
    engine = crashed_after_trimming(scratch / "data", opened, vectors)
    assert covered(engine) == 800
    assert "rebuilt" not in caplog.text
    assert_whole(view(engine), vectors, set(range(800)))
    assert held(engine, DOCS) == list(range(1096, 1101))
    assert engine.maintain(MaintenanceTask.VERIFY).healthy


@pytest.mark.usefixtures("vectors_in_files")
def test_an_index_of_another_history_is_not_used_although_its_change_has_left_the_log(
    scratch: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """An older copy was put beside it, and as many others were written and have left the log."""
    vectors = rows(1400)
    engine = opened(scratch / "data")
    fill(engine, vectors[:400])
    flush(engine)
    engine.close()
    path = home(scratch / "data")
    backup = {name: (path / name).read_bytes() for name in ("points.sqlite", RECORD)}
    engine = opened(scratch / "data")
    fill(engine, vectors[400:800], first=400)
    flush(engine)
    engine.close()
    newer = {each.name: each.read_bytes() for each in path.iterdir() if each.suffix in (".graph", ".f32")}
    for name, content in backup.items():
        (path / name).write_bytes(content)
    for name in newer:
        (path / name).unlink()
    engine = open_five(opened, scratch / "data")
    fill(engine, vectors[1000:1400], first=1000)
    held_from(engine, DOCS, 796)
    patch_all(engine, 100)
    held_from(engine, DOCS, 896)
    engine.close()
    for name, content in newer.items():
        (path / name).write_bytes(content)
    engine = open_five(opened, scratch / "data")
    np.testing.assert_array_equal(view(engine).vectors, np.concatenate([vectors[:400], vectors[1000:]]))
    assert "another history" in caplog.text


@pytest.mark.usefixtures("vectors_in_files")
def test_the_old_index_is_used_after_a_save_that_failed(
    scratch: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """The change that it names and the one that the new files were to name have left the log."""
    engine = opened(scratch / "data")
    vectors = rows(800)
    fill(engine, vectors)
    flush(engine)
    engine.close()

    def reached(stage: str) -> None:
        if stage == "save":
            raise OSError("the disk refuses")

    lazy = replace(HASTY, idle_seconds=1000.0, swap_rows=100_000)
    engine = open_five(opened, scratch / "data", rhythm=lazy, reached=reached)
    patch_all(engine, 2)
    with pytest.raises(OSError, match="refuses"):
        engine._catalog.find(DOCS).upkeep.save_if_changed()
    held_from(engine, DOCS, patch_all(engine, 100) - 4)
    engine.close()
    engine = open_five(opened, scratch / "data", rhythm=lazy)
    assert covered(engine) == 800
    assert "rebuilt" not in caplog.text


@pytest.mark.usefixtures("vectors_in_files")
def test_few_removed_changes_are_kept(scratch: Path, opened: Opened) -> None:
    """Of all indexes that are saved one after another, those of the last ones."""
    engine = open_five(opened, scratch / "data", rhythm=replace(HASTY, idle_seconds=0.0))
    vectors = rows(2_400)
    for start in range(0, 2_400, 400):
        fill(engine, vectors[start : start + 400], first=start)
        flush(engine)
        held_from(engine, DOCS, patch_all(engine, 20) - 4)
    with engine._catalog.find(DOCS).writing() as content:
        kept = content.store.writer.execute("SELECT seq FROM changes WHERE seq < 0").fetchall()
    assert 1 <= len(kept) <= 2


# ---------------------------------------------------------------- damage, repair, older copies


@pytest.mark.parametrize("patched", [False, True], ids=["long unchanged", "patched lately"])
def test_a_repair_names_a_lost_point_whose_creation_has_left_the_log(
    scratch: Path, opened: Opened, patched: bool
) -> None:
    """And reports no point as lost because the log does not tell of it."""
    engine = open_five(opened, scratch / "data")
    make(engine, "docs")
    put_many(engine, DOCS, [(f"p{n}", (n, n)) for n in range(40)])
    engine.write(DOCS, [Patch(id="p2", text="x"), Delete(id="p3")])
    if patched:
        engine.write(DOCS, [Patch(id="p7", payload={"spoil": "this"})])
    else:
        engine.write(DOCS, [Put(id="p7", vector=vector(1, 1), payload={"spoil": "this"})])
        put_many(engine, DOCS, [(f"more {n}", (n, n)) for n in range(5)])
    seq = engine.describe(DOCS).seq
    held_from(engine, DOCS, seq - 4)
    engine.close()
    path = home(scratch / "data") / "points.sqlite"
    content = bytearray(path.read_bytes())
    content[content.index(b'{"spoil":"this"}') + 3] ^= 1
    path.write_bytes(bytes(content))
    engine = open_five(opened, scratch / "data")
    assert not engine.maintain(MaintenanceTask.VERIFY).healthy
    count = 38 if patched else 43
    assert f"{count} points salvaged, 1 lost: 'p7';" in engine.maintain(MaintenanceTask.REPAIR, DOCS).details["docs"]
    last = engine.changes(DOCS).changes[-1]
    assert (last.seq, last.kind, last.id) == (seq + 1, ChangeKind.DELETED, "p7")
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    position = engine.changes(DOCS, NOW).position
    put(engine, DOCS, "p7")
    assert [change.id for change in engine.changes(DOCS, position).changes] == ["p7"]


def test_a_repaired_log_that_lost_its_beginning_says_so(scratch: Path, opened: Opened) -> None:
    """A reader at a position before what is left is not sent on silently."""
    engine = opened(scratch / "data")
    make(engine, "docs")
    put_many(engine, DOCS, [(f"p{n}", (n, n)) for n in range(10)])
    early = engine.changes(DOCS, limit=2).position
    with engine._catalog.find(DOCS).writing() as content:
        content.store.writer.execute("UPDATE changes SET checksum = 0 WHERE seq < 5")
    assert not engine.maintain(MaintenanceTask.VERIFY).healthy
    engine.maintain(MaintenanceTask.REPAIR, DOCS)
    with pytest.raises(PositionExpired) as told:
        engine.changes(DOCS, early)
    assert [change.seq for change in engine.changes(DOCS, told.value.details["oldest"]).changes] == list(range(5, 11))


def test_a_log_that_ends_before_the_last_change_is_left_alone(scratch: Path, opened: Opened) -> None:
    """As after a repair that could not read its end: the newest entry stays, and nothing tries it again and again."""
    engine = opened(scratch / "data")
    make(engine, "docs")
    put_many(engine, DOCS, [(f"p{n}", (n, n)) for n in range(30)])
    with engine._catalog.find(DOCS).writing() as content:
        content.store.writer.execute("DELETE FROM changes WHERE seq > 3")
    engine.close()
    engine = open_five(opened, scratch / "data")
    assert held_from(engine, DOCS, 3) == [3]
    with engine._catalog.find(DOCS).writing() as content:
        assert content.trim_log(first_kept=26, last_expired=-1, portion=1) is False
    put(engine, DOCS, "later")
    assert held_from(engine, DOCS, 31) == [31]


def test_a_reader_is_told_that_an_older_copy_was_put_in_place(scratch: Path, opened: Opened) -> None:
    """Later writes have numbers that the reader has seen: it would miss all of them."""
    engine = opened(scratch / "data")
    make(engine, "docs")
    put(engine, DOCS, "a")
    engine.close()
    shutil.copytree(scratch / "data", scratch / "copy")
    engine = opened(scratch / "data")
    put_many(engine, DOCS, [(f"p{n}", (n, n)) for n in range(3)])
    position = engine.changes(DOCS, NOW).position
    engine.close()
    engine = opened(scratch / "copy")
    put(engine, DOCS, "other")
    with pytest.raises(PositionExpired) as told:
        engine.changes(DOCS, position)
    assert [change.id for change in engine.changes(DOCS, told.value.details["oldest"]).changes] == ["a", "other"]


def test_a_collection_whose_log_was_shortened_is_whole_after_a_restart(scratch: Path, opened: Opened) -> None:
    engine = open_five(opened, scratch / "data")
    make(engine, "docs")
    put_many(engine, DOCS, [(f"p{n}", (n, n)) for n in range(30)])
    held_from(engine, DOCS, 26)
    position = engine.changes(DOCS, limit=2).position
    early = engine.changes(DOCS, NOW).position
    put_many(engine, DOCS, [(f"q{n}", (n, n)) for n in range(10)])
    held_from(engine, DOCS, 36)
    engine.close()
    engine = open_five(opened, scratch / "data")
    assert engine.maintain(MaintenanceTask.VERIFY).healthy
    assert engine.describe(DOCS).seq == 40
    for gone in (position, early):
        with pytest.raises(PositionExpired):
            engine.changes(DOCS, gone)
    wait_until(lambda: held(engine, DOCS) == [36, 37, 38, 39, 40])
