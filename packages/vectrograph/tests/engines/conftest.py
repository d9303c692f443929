"""Directories for engines under test."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.indexed_rows import QUICK

from vectrograph.domain.points import Put
from vectrograph.engines.contract.subject import make
from vectrograph.engines.embedded import EmbeddedEngine

_MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one, fsync costs nothing there


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Provide an empty directory, in memory where possible, for tests that ask for answers and not for durability."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="vectrograph-", dir=_MEMORY, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def data(scratch: Path) -> Path:
    """Provide a closed database of two collections with some points."""
    directory = scratch / "data"
    engine = EmbeddedEngine.open(directory)
    for name in ("docs", "other"):
        ref = make(engine, name, dimension=64)
        points = np.arange(200 * 64, dtype=np.float32).reshape(200, 64)
        engine.write(ref, [Put(id=f"{n}", vector=row, payload={"n": n}) for n, row in enumerate(points)])
    engine.close()
    return directory


@pytest.fixture
def homes(data: Path) -> dict[str, Path]:
    """Provide the sub-directory of each collection of `data`, by name."""
    manifests = data.glob("collections/*/manifest.json")
    return {json.loads(path.read_text())["spec"]["name"]: path.parent for path in manifests}


@pytest.fixture
def vectors_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide vectors go to a file soon."""
    for module in ("view", "compaction"):
        monkeypatch.setattr(f"vectrograph.engines.embedded.rows.{module}.MEMORY_BYTES", 1 << 14)


@pytest.fixture
def opened() -> Iterator[Callable[..., EmbeddedEngine]]:
    """Open engines with a quick rhythm and closes them."""
    engines: list[EmbeddedEngine] = []

    def open_engine(directory: Path, **options: Any) -> EmbeddedEngine:
        engines.append(EmbeddedEngine.open(directory, **{"rhythm": QUICK, **options}))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()
