"""The attack bench judges right, and a short run attacks a real server, probes it, and stops it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.judging import MAX_GROWTH_MIB, MAX_P99_MS, MAX_STOP_SECONDS, problems
from benchmarks.attack.measuring import CALM, Measurement

ROOT = Path(__file__).resolve().parents[2]
# Nothing answers late or not at all here, and every limit is just kept.
GOOD = Measurement(
    attack="junk logins",
    sent=100,
    refused=100,
    cut_off=0,
    asked=200,
    latencies={"livez": [1.0] * 100, "gRPC search": [MAX_P99_MS - 1] * 100},
    unanswered={},
    memory_before_mib=200.0,
    memory_mib=200.0 + MAX_GROWTH_MIB,
    threads=20,
    descriptors=100,
    stop_seconds=MAX_STOP_SECONDS,
    status=0,
    broken="",
)


def test_nothing_is_missed_where_every_bar_is_just_met() -> None:
    assert problems(GOOD) == []
    assert problems(replace(GOOD, attack=CALM, sent=0)) == []


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"sent": 0}, "no attack"),
        ({"broken": "ValueError: no"}, "broke off: ValueError: no"),
        (
            {"asked": 201, "unanswered": {"livez": {"refused": 1}}},
            "200 of 201 probes were answered (livez: 1 × refused)",
        ),
        ({"asked": 0, "latencies": {}}, "0 of 0"),
        ({"latencies": {"livez": [1.0] * 197 + [MAX_P99_MS] * 3}}, "p99 250 ms"),
        ({"memory_mib": 201.0 + MAX_GROWTH_MIB}, "memory grew by 257 MiB"),
        ({"stop_seconds": MAX_STOP_SECONDS + 0.1}, "the stop took"),
        ({"status": -9}, "status -9"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_bar_is_missed_alone(worse: dict[str, Any], words: str) -> None:
    [problem] = problems(replace(GOOD, **worse))
    assert words in problem


def test_one_slow_probe_in_two_hundred_is_let_pass_and_two_are_not() -> None:
    assert problems(replace(GOOD, latencies={"livez": [1.0] * 198 + [4_000.0] * 2})) != []
    assert problems(replace(GOOD, latencies={"livez": [1.0] * 199 + [4_000.0]})) == []


@pytest.mark.slow
def test_a_short_run_attacks_a_real_server(tmp_path: Path) -> None:
    """FINDINGS B: its bars are about an idle machine, so the status of the run is not looked at; the counts are."""
    output = tmp_path / "result.json"
    name = "watches opened and cancelled"
    sizes = ("--quick", "--seconds", "0.5", "--points", "200", "--only", name)
    command = [sys.executable, "-m", "benchmarks.attack", *sizes, "--output", str(output)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode in (0, 1), ended.stderr
    content = json.loads(output.read_text(encoding="utf-8"))
    calm, attack = content["attacks"]
    assert [calm["attack"], attack["attack"]] == [CALM, name]
    assert (calm["sent"], calm["status"], attack["status"]) == (0, 0, 0)
    assert attack["sent"] > 0
    assert attack["broken"] == ""
    for each in (calm, attack):
        assert each["asked"] == 20
        assert set(each["latencies"]) == {"livez", "REST get", "gRPC search", "gRPC filtered search"}
        assert sum(map(len, each["latencies"].values())) == 20
        assert each["memory_mib"] >= each["memory_before_mib"] > 0
        assert each["threads"] > 0
        assert each["descriptors"] > 0
        assert each["stop_seconds"] > 0
    assert set(content["problems"]) == {CALM, name}
    assert name in ATTACKS
    # Nothing of the machine's paths, and no credential.
    text = output.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "ng_live_" not in text
