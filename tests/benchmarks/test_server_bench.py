"""The server bench judges right, and a quick run measures a real server and writes a whole JSON file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine.bars import Verdict
from benchmarks.server.subjects import SUBJECTS
from benchmarks.server.table import BARS, lines

ROOT = Path(__file__).resolve().parents[2]
GOOD: dict[str, dict[str, Any]] = {
    "grpc": {"alone": 230.0, "together": 300.0, "p99_ms": 3.5, "many": 80.0, "upserted": 80.0, "indexed": 25.0},
    "chroma": {"alone": 100.0, "together": 100.0, "p99_ms": 10.0, "upserted": 10.0, "indexed": 10.0, "recall": 0.96},
    "prototype": {"alone": 250.0, "together": 330.0, "recall": 0.95},
    "engine": {"cpu_us": 100.0, "many": 100.0, "recall": 1.0},
    "bare-grpcio": {"server_cpu_us": 200.0},
    "frames": {"server_cpu_us": 230.0},
    "bare-starlette": {"server_cpu_us": 100.0},
    "client": {"client_cpu_s": 1.0},
    "client-protobuf": {"client_cpu_s": 3.0},
    "client-qdrant": {"client_cpu_s": 2.0},
}
GOOD["grpc"] |= {"recall": 0.96, "server_cpu_us": 330.0}


def verdicts(medians: dict[str, dict[str, Any]]) -> list[Verdict]:
    return [line.verdict for line in lines(medians) if line.bar]


def changed(subject: str, **values: float) -> dict[str, dict[str, Any]]:
    return {**GOOD, subject: {**GOOD[subject], **values}}


def test_every_bar_is_met_where_it_is() -> None:
    assert set(verdicts(GOOD)) == {Verdict.MET}


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: f"{bar.title}, {bar.reference}")
def test_a_little_worse_than_a_bar_misses_it_and_it_alone(bar: Any) -> None:
    ours = GOOD[bar.ours][bar.value]
    theirs = GOOD[bar.reference][bar.value]
    limit = theirs * bar.factor + (GOOD["engine"]["cpu_us"] if bar.beyond_engine else 0.0)
    worse = changed(bar.ours, **{bar.value: limit * (1.01 if bar.lower else 0.99)})
    assert worse[bar.ours][bar.value] != ours
    judged = [(line.title, line.bar) for line in lines(worse) if line.verdict is Verdict.MISSED]
    assert (bar.title, str(bar)) in judged
    assert {title for title, _ in judged} == {bar.title}
    assert [line.verdict for line in lines(changed(bar.ours)) if line.bar] == [Verdict.MET] * len(BARS)


def test_speed_without_recall_counts_for_nothing() -> None:
    found = {line.title: line.verdict for line in lines(changed("grpc", recall=0.94)) if line.bar}
    assert [title for title, verdict in found.items() if verdict is Verdict.MISSED] == [
        "search, one caller", "search, eight callers", "p99 at eight callers", "search_many, 64 a call",
    ]  # fmt: skip
    peer = {line.title: line.verdict for line in lines(changed("chroma", recall=0.94)) if line.bar}
    assert peer["p99 at eight callers"] is Verdict.OPEN


def test_without_a_peer_a_bar_stays_open_and_a_failure_of_ours_misses_it() -> None:
    alone = {"grpc": GOOD["grpc"], "client": GOOD["client"]}
    assert set(verdicts(alone)) == {Verdict.OPEN}
    failed = [line for line in lines({**GOOD, "grpc": {"error": "late"}}) if line.bar]
    assert [line.verdict for line in failed].count(Verdict.MISSED) == 9


@pytest.mark.slow(seconds=25)
def test_a_quick_run_measures_a_real_server(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    only = "grpc,rest,frames,prototype,engine,bare-grpcio,bare-starlette,client,client-protobuf"
    sizes = ("--rows", "300", "--seconds", "0.1", "--only", only)
    command = [sys.executable, "-m", "benchmarks.server", "--quick", *sizes, "--cache", str(tmp_path / "cache")]
    (tmp_path / "cache").mkdir()
    ended = subprocess.run([*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    content = json.loads(output.read_text(encoding="utf-8"))
    [measured] = content["rounds"]["grpc"]
    assert measured["recall"] >= 0.95
    assert all(measured[name] > 0 for name in ("alone", "together", "p99_ms", "many", "upserted", "indexed"))
    assert not [name for name, [values] in content["rounds"].items() if "error" in values]
    assert set(content["rounds"]) < set(SUBJECTS)
    # Nothing of the machine's paths, and nothing left behind.
    assert str(tmp_path) not in output.read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["tokens-300-v1"]
