"""Derived files: what is read is what was written, or it is noticed."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.distances import Norms, norms
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.index.graph import Graph, ServedGraph
from vectrograph.engines.embedded.index.refine import Query
from vectrograph.engines.embedded.index.saving import SavedRows, load_rows, save_rows
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.vector_file import HEADER_BYTES, VectorFile

OWNER = "0123456789abcdef"
DIMENSION = 20
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Rows:
    """Vectors and their lengths."""

    vectors: Vector
    lengths: Norms


def originals(count: int, seed: int = 1) -> Rows:
    """Return vectors, some of them equal, some zero."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, DIMENSION)).astype(np.float32)
    vectors[::7] = vectors[0]
    vectors[3::50] = 0
    return Rows(vectors, norms(vectors))


def state(rows: Rows, distance: Distance, covered: int | None = None, checksum: int = 5) -> SavedRows:
    """Return the saved state of these rows, some of them dead; with a graph over the first, unless it covers none."""
    count = len(rows.vectors)
    live = np.arange(count) % 5 != 2
    served = None
    if covered:
        graph = Graph.build(Rows(rows.vectors[:covered], rows.lengths[:covered]), distance, live=live[:covered])
        served = ServedGraph(graph, 144)
    return SavedRows(
        served=served,
        labels=np.arange(1, count + 1, dtype=np.int64) * 3,
        created=np.arange(count, dtype=np.int64)[::-1].copy(),
        lengths=rows.lengths,
        live=live,
        seq=3 * count,
        change="0 6162 17",
        vectors="vectors-1.f32",
        checksum=checksum,
    )


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("covered", [0, 400, 500])
def test_a_saved_state_comes_back(tmp_path: Path, distance: Distance, covered: int) -> None:
    rows = originals(500)
    saved = state(rows, distance, covered)
    save_rows(saved, tmp_path / "index", OWNER, DIMENSION, distance)
    loaded = load_rows(tmp_path / "index", OWNER, DIMENSION, distance)
    for name in ("labels", "created", "lengths", "live"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    for name in ("seq", "change", "vectors", "checksum"):
        assert getattr(loaded, name) == getattr(saved, name)
    if saved.served is None:
        assert loaded.served is None
        return
    assert loaded.served is not None
    assert (loaded.served.beam, loaded.served.graph.covered) == (144, covered)
    asked = Query.of(distance, originals(20, seed=9).vectors, 10)
    for before, after in zip(
        saved.served.graph.search(rows, asked, 64), loaded.served.graph.search(rows, asked, 64), strict=True
    ):
        np.testing.assert_array_equal(before.rows, after.rows)
        np.testing.assert_array_equal(before.scores, after.scores)
    # And it can be extended as the other can.
    assert len(loaded.served.graph.extend(rows).hnsw) == len(saved.served.graph.extend(rows).hnsw)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Provide the bytes of a saved state with a graph."""
    path = tmp_path_factory.mktemp("saved") / "index"
    save_rows(state(originals(60), Distance.EUCLIDEAN, 50), path, OWNER, DIMENSION, Distance.EUCLIDEAN)
    return path.read_bytes()


@FEW
@given(st.data())
def test_a_flipped_bit_is_noticed(index: bytes, tmp_path: Path, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(index) - 1)), data.draw(st.integers(0, 7))
    spoilt = bytearray(index)
    spoilt[at] ^= 1 << bit
    (tmp_path / "index").write_bytes(spoilt)
    with pytest.raises(DamagedIndex):
        load_rows(tmp_path / "index", OWNER, DIMENSION, Distance.EUCLIDEAN)


@FEW
@given(st.data())
def test_a_cut_or_longer_file_is_noticed(index: bytes, tmp_path: Path, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(index) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))
    for content in (index[:length], index + more, more):
        (tmp_path / "index").write_bytes(content)
        with pytest.raises(DamagedIndex):
            load_rows(tmp_path / "index", OWNER, DIMENSION, Distance.EUCLIDEAN)


def test_the_state_of_another_collection_is_not_taken(index: bytes, tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(index)
    for owner in (
        ("f" * 16, DIMENSION, Distance.EUCLIDEAN),
        (OWNER, DIMENSION + 1, Distance.EUCLIDEAN),
        (OWNER, DIMENSION, Distance.COSINE),
    ):
        with pytest.raises(DamagedIndex, match="another collection"):
            load_rows(tmp_path / "index", *owner)
    with pytest.raises(DamagedIndex, match="missing"):
        load_rows(tmp_path / "nothing", OWNER, DIMENSION, Distance.EUCLIDEAN)


def test_a_save_that_is_given_up_leaves_the_old_file(index: bytes, tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(index)
    calls = iter(range(3))

    def stop() -> None:
        if next(calls, None) is None:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        save_rows(state(originals(90), Distance.DOT, 90), path, OWNER, DIMENSION, Distance.DOT, stop)
    assert path.read_bytes() == index
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------ vectors


def test_vectors_come_back_and_stay_where_they_were(tmp_path: Path) -> None:
    path, vectors = tmp_path / "vectors", originals(40_000).vectors
    file = VectorFile.create(path, OWNER, DIMENSION)
    early: list[tuple[Vector, int]] = []
    for start in range(0, len(vectors), 1500):
        assert file.append(vectors[start : start + 1500]) == start
        early.append((file.vectors, file.rows))
    assert file.append(vectors[:0]) == len(vectors)
    for seen, count in early:
        np.testing.assert_array_equal(seen, vectors[:count])
    checksum = file.sync(len(vectors))
    file.close()
    again = VectorFile.open(path, OWNER, DIMENSION, len(vectors))
    again.verify(checksum)
    np.testing.assert_array_equal(again.vectors, vectors)
    again.close()


def test_forgotten_rows_are_overwritten(tmp_path: Path) -> None:
    vectors = originals(300).vectors
    file = VectorFile.create(tmp_path / "vectors", OWNER, DIMENSION)
    file.append(vectors[:100])
    shown = file.vectors
    file.append(vectors[200:])
    file.forget(100)
    assert file.rows == 100
    file.append(vectors[100:200])
    np.testing.assert_array_equal(file.vectors, vectors[:200])
    np.testing.assert_array_equal(shown, vectors[:100])
    checksum = file.sync(200)
    file.append(vectors[200:])
    file.close()
    # Rows behind those that were synced are of no account.
    VectorFile.open(tmp_path / "vectors", OWNER, DIMENSION, 200).verify(checksum)


@FEW
@given(st.data())
def test_spoilt_vectors_are_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path, vectors = tmp_path / "vectors", originals(50).vectors
    file = VectorFile.create(path, OWNER, DIMENSION)
    file.append(vectors)
    checksum = file.sync(50)
    file.close()
    content = bytearray(path.read_bytes()[: HEADER_BYTES + vectors.nbytes])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(DamagedIndex):
        VectorFile.open(path, OWNER, DIMENSION, 50).verify(checksum)


def test_files_that_are_replaced_while_they_are_read_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `make torture`: verify ended in FileNotFoundError beside the compaction that replaced the vectors."""
    spec = CollectionSpec.dense(CollectionRef("default", "docs"), DIMENSION, Distance.EUCLIDEAN)
    files = DerivedFiles(tmp_path / OWNER, spec)
    (tmp_path / OWNER).mkdir()
    vectors = files.create_vectors()
    rows = originals(60)
    vectors.append(rows.vectors)
    saved = state(rows, Distance.EUCLIDEAN, checksum=vectors.sync(60))
    files.save(saved)
    assert files.load() is not None
    opened = VectorFile._opened

    def replaced(file: VectorFile) -> AbstractContextManager[int]:
        file.path.unlink(missing_ok=True)
        return opened(file)

    monkeypatch.setattr(VectorFile, "_opened", replaced)
    with pytest.raises(DamagedIndex, match=r"vectors-1\.f32 is missing"):
        files.load()


def test_room_to_grow_takes_no_blocks(tmp_path: Path) -> None:
    file = VectorFile.create(tmp_path / "vectors", OWNER, DIMENSION)
    file.append(originals(10).vectors)
    file.sync(10)
    found = (tmp_path / "vectors").stat()
    assert found.st_blocks * 512 < 64 << 10 < found.st_size
    file.close()


def test_vectors_on_a_read_only_disk_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path, vectors = tmp_path / "vectors", originals(100).vectors
    file = VectorFile.create(path, OWNER, DIMENSION)
    file.append(vectors)
    file.close()
    really = os.open

    def read_only(name: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise OSError(30, "Read-only file system")
        return really(name, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    again = VectorFile.open(path, OWNER, DIMENSION, 100)
    np.testing.assert_array_equal(again.vectors, vectors)
    with pytest.raises(OSError, match="opened for reading"):
        again.append(vectors)
    again.close()
