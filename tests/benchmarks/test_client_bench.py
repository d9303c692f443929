"""The client bench measures what it says: the same vectors there and back, the same bytes beside bare httpx2."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.client import vectors
from benchmarks.client.subjects import OURS, installed
from benchmarks.client.subjects.base import Vectors, made

ROOT = Path(__file__).resolve().parents[2]


class Memory:
    """A client without a server; `lossy` gives back something else, `deaf` takes only half."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._held: Vectors = np.empty((0, 0), dtype=np.float32)

    def ways(self) -> tuple[str, ...]:
        return ("first", "second")

    def up(self, vectors: Vectors, way: str) -> int:
        self._held = vectors
        if way == "first":
            sum(n * n for n in range(300_000))  # the other way is the cheaper one
        return len(vectors) // (2 if self._kind == "deaf" else 1)

    def down(self, count: int) -> Vectors:
        return self._held[:count] + np.float32(0.1 if self._kind == "lossy" else 0)

    def close(self) -> None:
        return


class Module:
    """A subject without a module of its own."""

    @staticmethod
    def client(name: str, address: str) -> Memory:
        return Memory(address)


def test_the_cheaper_way_counts_and_wrong_vectors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "module_of", lambda name: Module)
    assert vectors.one("memory", "honest", 50, 4)["up"]["way"] == "second"
    with pytest.raises(RuntimeError, match="other vectors"):
        vectors.one("memory", "lossy", 50, 4)
    with pytest.raises(RuntimeError, match="25 of 50"):
        vectors.one("memory", "deaf", 50, 4)


def test_the_vectors_are_the_same_in_every_process() -> None:
    np.testing.assert_array_equal(made(10, 8)[:5], made(10, 8)[:5])
    assert len({row.tobytes() for row in made(1_500, 8)}) == 1_500


@pytest.mark.slow
def test_a_quick_run_writes_all_it_measured(tmp_path: Path) -> None:
    file = tmp_path / "quick.json"
    command = [sys.executable, "-m", "benchmarks.client", "--quick", "--output", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(file.read_text())
    assert [(row["world"], row["call"]) for row in content["calls"]] == [
        (world, call) for world in ("sync", "async") for call in ("health.check", "tokens.get", "tokens.create")
    ]
    assert all(0 < row["ours"]["cpu"] < 1 and 0.1 < row["ratio"] < 20 for row in content["calls"])
    assert [row["direction"] for row in content["vectors"]] == ["up", "down"]
    for row in content["vectors"]:
        assert list(row["cpu"]) == installed()
        assert row["cpu"][OURS] > 0
    assert str(Path.home()) not in file.read_text()
    assert "ratio" in done.stdout
