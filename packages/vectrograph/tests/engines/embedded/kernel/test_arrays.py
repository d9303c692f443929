"""Arrays grow while they are used, are opened again, and are refused when they are not what they should be."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.kernel_rows import nearest

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Shape, State
from vectrograph.engines.embedded.kernel.library import Way
from vectrograph.engines.embedded.kernel.search import Searcher, Searchers, Stale, link, publish_linked

SHAPE = Shape(Distance.EUCLIDEAN, Quantisation.INT8, 12)
FILES = ("header", "records", "links", "upper_at", "upper", "same", "died")


def _rows(count: int, seed: int = 1) -> Vector:
    return np.random.default_rng(seed).standard_normal((count, SHAPE.dimension)).astype(np.float32)


def _filled(folder: Path | None, vectors: Vector) -> IndexArrays:
    arrays = IndexArrays.create(SHAPE, folder, centre=vectors.mean(axis=0))
    arrays.append(0, vectors)
    mapped = arrays.bind(vectors)
    arrays.publish(5, len(vectors))
    link(Searcher(SHAPE.dimension), arrays, 0, len(vectors), breadth=50)
    publish_linked(mapped, len(vectors))
    return arrays


@pytest.mark.parametrize("in_files", [False, True])
def test_whoever_has_the_shorter_arrays_sees_what_is_written_to_the_longer(in_files: bool, tmp_path: Path) -> None:
    vectors = _rows(3000)
    arrays = IndexArrays.create(SHAPE, tmp_path if in_files else None)
    arrays.append(0, vectors[:200])
    old = arrays.bind(vectors)
    state = arrays.publish(1, 200)
    for first in range(200, 3000, 100):
        arrays.append(first, vectors[first : first + 100])
        mapped = arrays.mapped
        link(Searcher(12), arrays, first - 200, first - 100, breadth=40)
        publish_linked(mapped, first - 100)
        arrays.publish(first, first + 100)
    assert arrays.mapped.capacity >= 3000 > old.capacity
    assert (old.arrays["links"][:200] == arrays.mapped.arrays["links"][:200]).all()
    wanted, _ = nearest(Distance.EUCLIDEAN, vectors[7], vectors[:200], 10)
    for way in Way:
        found = Searcher(12).search(old, state, vectors[7], 10, beam=200, refine=20, way=way)
        assert found.rows.tolist() == wanted.tolist()
    wanted, _ = nearest(Distance.EUCLIDEAN, vectors[7], vectors, 10)
    found = Searcher(12).search(arrays.mapped, arrays.mapped.state(), vectors[7], 10, beam=300, refine=30)
    assert found.rows.tolist() == wanted.tolist()


def test_rows_behind_newer_equal_ones_are_found_by_mapping_anew() -> None:
    """The newest of equal rows leads to the others. Whoever has not mapped it cannot follow, and must not miss them."""
    vectors = np.tile(_rows(400), (3, 1))
    arrays = IndexArrays.create(SHAPE)
    arrays.append(0, vectors[:400])
    old = arrays.bind(vectors)
    state = arrays.publish(1, 400)
    link(Searcher(12), arrays, 0, 400, breadth=50)
    publish_linked(old, 400)
    state = old.state()
    arrays.append(400, vectors[400:])
    arrays.publish(2, 1200)
    link(Searcher(12), arrays, 400, 1200, breadth=50)
    with pytest.raises(Stale):
        Searcher(12).search(old, state, vectors[5], 2, beam=50, refine=10)
    assert arrays.mapped.capacity > old.capacity
    found = Searchers(12).search(arrays, state, vectors[5], 2, beam=50, refine=10)
    assert found.rows[0] == 5
    assert found.scores[0] == 0 < found.scores[1]


def test_equal_rows_that_are_not_there_are_damage() -> None:
    vectors = _rows(300)
    arrays = _filled(None, vectors)
    arrays.mapped.arrays["same"][:300] = 1_000_000
    with pytest.raises(DamagedIndex, match="leads to one that is not among its"):
        Searchers(12).search(arrays, arrays.mapped.state(), vectors[5], 2, beam=50, refine=10)
    arrays.append(300, vectors[:1])
    with pytest.raises(DamagedIndex, match="leads to one that is not among its"):
        link(Searcher(12), arrays, 300, 301)


def test_what_was_written_is_opened_again(tmp_path: Path) -> None:
    vectors = _rows(600)
    before = _filled(tmp_path, vectors)
    before.mark_dead(np.array([3, 5]), seq=9)
    for writable in (False, True):
        arrays = IndexArrays.open(SHAPE, tmp_path, writable=writable)
        mapped = arrays.bind(vectors)
        assert mapped.state() == State(seq=5, rows=600, linked=600)
        for row in (3, 100, 599):
            found = Searcher(12).search(mapped, mapped.state(), vectors[row], 1, beam=60, refine=10)
            assert (found.rows.tolist(), found.scores.tolist()) == ([row], [0.0])
    # The deaths were of a change that was never committed.
    assert arrays.roll_back(seq=5, rows=600) == 2
    assert (arrays.mapped.arrays["died"][:600] == 2**63 - 1).all()


def test_rows_that_were_not_committed_are_written_again(tmp_path: Path) -> None:
    vectors = _rows(500)
    arrays = _filled(tmp_path, vectors)
    arrays.roll_back(seq=4, rows=450)
    assert arrays.mapped.state() == State(seq=4, rows=450, linked=450)
    other = vectors.copy()
    other[450:] = _rows(50, seed=2)
    arrays.append(450, other[450:])
    mapped = arrays.bind(other)
    state = arrays.publish(5, 500)
    found = Searcher(12).search(mapped, state, other[470], 1, beam=50, refine=10)
    assert (found.rows.tolist(), found.scores.tolist()) == ([470], [0.0])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("missing", [False, True])
def test_a_file_that_is_cut_or_missing_is_refused(name: str, missing: bool, tmp_path: Path) -> None:
    _filled(tmp_path, _rows(600))
    if missing:
        (tmp_path / name).unlink()
    else:
        os.truncate(tmp_path / name, 1000)
    with pytest.raises(DamagedIndex):
        IndexArrays.open(SHAPE, tmp_path)


def test_a_file_that_ends_before_its_rows_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path, _rows(2000))
    os.truncate(tmp_path / "same", 4 * 1000)
    with pytest.raises(DamagedIndex, match="claims 2000 rows and has 1000"):
        IndexArrays.open(SHAPE, tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        Shape(Distance.DOT, Quantisation.INT8, 12),
        Shape(Distance.EUCLIDEAN, Quantisation.INT8, 13),
        Shape(Distance.EUCLIDEAN, Quantisation.FLOAT16, 12),
    ],
)
def test_an_index_of_another_shape_is_refused(other: Shape, tmp_path: Path) -> None:
    _filled(tmp_path, _rows(3000))
    with pytest.raises(DamagedIndex):
        IndexArrays.open(other, tmp_path)


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path, _rows(300))
    with (tmp_path / "header").open("r+b") as file:
        file.seek(8)
        file.write(b"\x63")
    with pytest.raises(DamagedIndex, match="another format or shape"):
        IndexArrays.open(SHAPE, tmp_path)


def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = _rows(600)
    arrays = _filled(tmp_path, vectors)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sizes = {name: (tmp_path / name).stat().st_size for name in FILES}
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        arrays.append(600, _rows(5000))
    assert sizes == {name: (tmp_path / name).stat().st_size for name in FILES}
    mapped = arrays.mapped
    found = Searcher(12).search(mapped, mapped.state(), vectors[9], 1, beam=50, refine=10)
    assert found.rows.tolist() == [9]


def test_files_have_blocks_behind_every_byte(tmp_path: Path) -> None:
    """A write to a hole of a mapped file would end the process when the disk is full."""
    _filled(tmp_path, _rows(600))
    for name in FILES:
        status = (tmp_path / name).stat()
        assert status.st_blocks * 512 >= status.st_size
        assert status.st_mode & 0o777 == 0o600


def test_more_rows_on_upper_levels_than_expected_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectrograph.engines.embedded.kernel.arrays._ROWS_PER_BLOCK", 10_000)
    monkeypatch.setattr("vectrograph.engines.embedded.kernel.arrays._SPARE_BLOCKS", 0)
    vectors = _rows(2000)
    arrays = _filled(tmp_path, vectors)
    assert len(arrays.mapped.arrays["upper"]) > 100


def test_originals_of_another_dimension_or_layout_are_refused() -> None:
    arrays = IndexArrays.create(SHAPE)
    other: list[Any] = [np.zeros((5, 11), np.float32), np.zeros((5, 12)), np.zeros((12, 5), np.float32).T]
    for wrong in other:
        with pytest.raises(ValueError, match="contiguous float32"):
            arrays.bind(wrong)
