"""Numbers of formats: newer ones are refused before anything is written, and a layout has one of its own."""

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.indexed_rows import DIMENSION, DOCS, covered, fill, flush, home, rows

from vectrograph.domain.collections import (
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Distance,
    IdKind,
    Quantisation,
)
from vectrograph.domain.errors import UnsupportedFormat
from vectrograph.engines.contract.subject import found
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.disk.open_files import OpenFiles
from vectrograph.engines.embedded.index import saving
from vectrograph.engines.embedded.rows.derived_files import INDEX_FILE
from vectrograph.engines.embedded.truth.manifest import FORMAT, Manifest
from vectrograph.engines.embedded.truth.schema import creation_script
from vectrograph.engines.embedded.truth.store import Store

NEWER = FORMAT + 1
OTHER = "the layout is another than the one of that number: give FORMAT the next"


def snapshot(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def renumber(path: Path, number: int = NEWER, **changes: Any) -> None:
    """Write a file as a later version would."""
    body = {**json.loads(path.read_text()), "format": number, "something": "new", **changes}
    del body["checksum"]
    body["checksum"] = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    path.write_text(json.dumps(body))


def newer_root(home: Path) -> None:
    """Raise the format number of the database."""
    renumber(home.parent.parent / "vectrograph.json")


def newer_manifest(home: Path) -> None:
    """Raise the format number of one collection."""
    renumber(home / "manifest.json")


def newer_manifest_of_a_drop(home: Path) -> None:
    """Leave a collection of a later version half made."""
    renumber(home / "manifest.json", state=CollectionState.DROPPING.value)


def raise_data(home: Path) -> None:
    """Raise the format number of its SQLite file alone."""
    with sqlite3.connect(home / "points.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {NEWER}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def newer_data(home: Path) -> None:
    """Raise the format number of its SQLite file and of its manifest."""
    raise_data(home)
    newer_manifest(home)


def newer_data_with_damaged_manifest(home: Path) -> None:
    """Damage the manifest of a later version."""
    newer_data(home)
    (home / "manifest.json").write_text("{")


def newer_data_without_manifest(home: Path) -> None:
    """Lose the manifest of a later version."""
    raise_data(home)
    (home / "manifest.json").unlink()


@pytest.mark.parametrize(
    "change",
    [
        newer_root,
        newer_manifest,
        newer_manifest_of_a_drop,
        newer_data,
        newer_data_with_damaged_manifest,
        newer_data_without_manifest,
    ],
)
def test_a_newer_format_is_refused_untouched(
    data: Path, homes: dict[str, Path], change: Callable[[Path], None]
) -> None:
    change(homes["docs"])
    before = snapshot(data)
    with pytest.raises(UnsupportedFormat, match=rf"format {NEWER} and this version reads up to {FORMAT}; .* newer"):
        EmbeddedEngine.open(data)
    assert snapshot(data) == before


def test_a_newer_number_that_its_manifest_denies_is_damage_of_one_collection(
    data: Path, homes: dict[str, Path]
) -> None:
    """One flipped bit in a header must not keep all collections out of reach."""
    raise_data(homes["docs"])
    before = snapshot(homes["docs"])
    with closing(EmbeddedEngine.open(data)) as engine:
        assert engine.describe(DOCS).state is CollectionState.QUARANTINED
        assert "format number" in (engine.describe(DOCS).problem or "")
        assert engine.count(CollectionRef(DOCS.tenant, "other")) == 200
    # SQLite adds an empty log and its shared memory.
    assert before.items() <= snapshot(homes["docs"]).items()


def test_the_format_that_is_written_is_read(data: Path, homes: dict[str, Path]) -> None:
    numbers = [json.loads((data / "vectrograph.json").read_text())["format"]]
    numbers += [json.loads((each / "manifest.json").read_text())["format"] for each in homes.values()]
    for each in homes.values():
        with sqlite3.connect(each / "points.sqlite") as connection:
            numbers += connection.execute("PRAGMA user_version").fetchone()
        connection.close()
    assert numbers == [FORMAT] * 5
    EmbeddedEngine.open(data).close()


@pytest.mark.usefixtures("vectors_in_files")
def test_an_index_of_another_format_is_built_anew(
    scratch: Path, opened: Callable[..., EmbeddedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Derived files are no reason to refuse: whatever is in them is in SQLite."""
    vectors = rows(400)
    engine = opened(scratch / "data")
    fill(engine, vectors)
    flush(engine)
    with monkeypatch.context() as later:
        later.setattr(saving, "FORMAT", saving.FORMAT + 1)
        fill(engine, rows(1, seed=2), first=400)
        engine.close()
    newer = (home(scratch / "data") / INDEX_FILE).read_bytes()
    assert newer[8:12] == (saving.FORMAT + 1).to_bytes(4, "little")
    stages: list[str] = []
    again = opened(scratch / "data", reached=stages.append)
    assert found(again, DOCS, vectors[7], 1) == ["7"]
    flush(again)
    assert covered(again) == 401
    assert "build" in stages
    again.close()
    assert (home(scratch / "data") / INDEX_FILE).read_bytes()[8:12] == saving.FORMAT.to_bytes(4, "little")


# ------------------------------------------------------------ layouts


def fingerprint(layout: object) -> str:
    """Return a short name of a layout."""
    return hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16]


LAYOUTS = {1: "081febccded39862"}
"""Layout of manifests and SQLite files, by its number. Add a line, and never change one that was in a
release: files of that layout are out there."""

DERIVED_LAYOUTS = {2: "a6dfb04db1d83b68"}
"""Layout of the file of the index, by its number. Files of other numbers are rebuilt, so only the last one is here."""


def test_the_layout_does_not_change_without_its_number(tmp_path: Path) -> None:
    spec = CollectionSpec.dense(DOCS, 4, Distance.DOT, model="m", quantisation=Quantisation.FLOAT16)
    Manifest(spec, CollectionState.READY, 5).save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    open_files = OpenFiles()
    store = Store.create(tmp_path, spec, 5, None, open_files)
    state = store.writer.execute("SELECT * FROM state").fetchall()
    store.close()
    open_files.close()
    layout = [manifest, [creation_script(ids, FORMAT) for ids in IdKind], state]
    assert LAYOUTS.get(FORMAT) == fingerprint(layout), OTHER


@pytest.mark.usefixtures("vectors_in_files")
def test_the_layout_of_the_index_does_not_change_without_its_number(
    scratch: Path, opened: Callable[..., EmbeddedEngine]
) -> None:
    engine = opened(scratch / "data")
    fill(engine, rows(400))
    flush(engine)
    engine.close()
    content = (home(scratch / "data") / INDEX_FILE).read_bytes()
    length = int(np.frombuffer(content[12:16], "<u4")[0])
    head = json.loads(content[16 : 16 + length])
    layout = [list(head), list(head["graph"]), [(name, saving._DTYPES[name]) for name in head["arrays"]]]
    assert content[8:12] == saving.FORMAT.to_bytes(4, "little")
    assert len(rows(1)[0]) == DIMENSION == head["dimension"]
    assert DERIVED_LAYOUTS.get(saving.FORMAT) == fingerprint(layout), (
        "the layout is another: give FORMAT its next number"
    )
