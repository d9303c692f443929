"""An index that was saved is used again where it fits the rows, and small collections have none."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engines.indexed_rows import (
    DOCS,
    QUICK,
    assert_whole,
    covered,
    fill,
    flush,
    home,
    rows,
    view,
)

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.points import Delete, Put
from vectrograph.engines.contract.subject import TENANT
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.rows.derived_files import INDEX_FILE
from vectrograph.engines.embedded.rows.vector_file import VectorFile
from vectrograph.engines.embedded.truth.commit_record import FILE_NAME as RECORD

pytestmark = pytest.mark.usefixtures("vectors_in_files")


def test_reopening_resumes_the_index(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    vectors = rows(1000)
    fill(engine, vectors[:900])
    engine.write(DOCS, [Delete(id="5")])
    flush(engine)
    before = view(engine)
    engine.close()

    def reached(stage: str) -> None:
        assert stage not in ("build", "compact"), "nothing needs to be built"

    again = opened(scratch / "data", reached=reached)
    after = view(again)
    assert (after.seq, after.count, covered(again)) == (before.seq, before.count, 900)
    for part in ("labels", "created", "lengths", "live", "vectors"):
        np.testing.assert_array_equal(getattr(after, part), getattr(before, part))
    assert isinstance(after.vectors.base, np.ndarray)
    fill(again, vectors[900:], first=900)
    flush(again)
    assert covered(again) == 1000


def test_what_came_after_the_last_save_is_caught_up(
    scratch: Path, opened: Callable[..., EmbeddedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: the index is older than the file."""
    engine = opened(scratch / "data")
    vectors = rows(1000)
    fill(engine, vectors[:800])
    flush(engine)
    engine.close()
    saved = (home(scratch / "data") / INDEX_FILE).read_bytes()
    engine = opened(scratch / "data", rhythm=replace(QUICK, idle_seconds=1000.0))
    fill(engine, vectors[800:], first=800)
    engine.write(DOCS, [Delete(id=f"{n}") for n in (3, 799, 950)])
    engine.close()
    (home(scratch / "data") / INDEX_FILE).write_bytes(saved)
    again = opened(scratch / "data", rhythm=replace(QUICK, idle_seconds=1000.0, swap_rows=100_000))
    assert covered(again) == 800
    assert_whole(view(again), vectors, set(range(1000)) - {3, 799, 950})


def test_an_index_of_another_history_is_not_used(
    scratch: Path, opened: Callable[..., EmbeddedEngine], caplog: pytest.LogCaptureFixture
) -> None:
    """A backup was restored beside a newer index, and others were written since: as many, but others.

    The backup has the record of the last commit too: without it, the older file would be set aside.
    """
    engine = opened(scratch / "data")
    vectors = rows(1400)
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
    assert newer.keys() >= {INDEX_FILE}
    for name, content in backup.items():
        (path / name).write_bytes(content)
    for name in newer:
        (path / name).unlink()
    engine = opened(scratch / "data")
    fill(engine, vectors[1000:1400], first=1000)
    engine.close()
    for name, content in newer.items():
        (path / name).write_bytes(content)
    again = opened(scratch / "data")
    # The first use opens the collection.
    np.testing.assert_array_equal(view(again).vectors, np.concatenate([vectors[:400], vectors[1000:]]))
    assert "another history" in caplog.text
    flush(again)


def test_small_collections_have_no_files_and_no_thread(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    threads = threading.active_count()
    for n in range(20):
        ref = CollectionRef(TENANT, f"c{n}")
        engine.create(CollectionSpec.dense(ref, 8, Distance.DOT))
        engine.write(ref, [Put(id="a", vector=np.ones(8, np.float32))])
    assert threading.active_count() == threads
    assert list((scratch / "data").rglob("vectors-*")) == []
    assert list((scratch / "data").rglob(INDEX_FILE)) == []


def test_vectors_of_large_collections_lie_in_a_file(scratch: Path, opened: Callable[..., EmbeddedEngine]) -> None:
    engine = opened(scratch / "data")
    fill(engine, rows(300))
    content = engine._catalog.find(DOCS)._content
    assert content is not None
    assert isinstance(content.builder.generation.vectors, VectorFile)
