"""The engine bench measures what it says: exact answers have recall 1, bars are judged right, the JSON is whole."""

import json
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from benchmarks.engine.bars import GROWTH, MIXED, REOPEN, SEARCH, Bar, Verdict, judge
from benchmarks.engine.conditions import Condition, filtered, labels_of, matching, unfiltered
from benchmarks.engine.datasets import Cell, DataSet, Vectors, load
from benchmarks.engine.figures.search import questions_of
from benchmarks.engine.jobs import Budget, Job, run
from benchmarks.engine.plan import FULL, QUICK, steps
from benchmarks.engine.runner import Results
from benchmarks.engine.subjects.base import Durability, Effort, Subject
from benchmarks.engine.sweep import Sweep, ladder
from benchmarks.engine.timing import Questions, measured_recall
from benchmarks.engine.truth import exact_distances, truth_of

ROOT = Path(__file__).resolve().parents[2]
BUDGET = Budget(queries=20, seconds=0.01, recall_seconds=5.0)


class Scan(Subject):
    """Answers exactly, but gives only `given` of the rows found, and none at a breadth below `needed`."""

    durability: ClassVar = Durability.NEVER
    styles: ClassVar = ("default",)
    filters: ClassVar = True

    def __init__(self, data: DataSet, distance: str, *, given: int = 10, needed: int = 0, obeys: bool = True) -> None:
        self.asked: list[int] = []
        self._vectors = np.asarray(data.mapped())
        self._labels = labels_of(data, distance)
        self._distance = distance
        self._given, self._needed, self._obeys = given, needed, obeys
        self._condition: Condition | None = None

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        raise NotImplementedError

    def sync(self) -> None:
        raise NotImplementedError

    def wait_indexed(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        self.asked.append(effort.breadth)
        self._condition = condition if self._obeys else None

    def search(self, query: Vectors, k: int) -> list[int]:
        if self.asked[-1] < self._needed:
            return []
        rows = np.arange(len(self._vectors))
        if self._condition is not None:
            rows = matching(self._labels, self._condition)
        order = np.argsort(exact_distances(query, self._vectors[rows], self._distance))
        found: list[int] = rows[order[: min(k, self._given)]].tolist()
        return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return load("clustered", 600, tmp_path_factory.mktemp("cache"))


def questions(data: DataSet, distance: str, place: str | None = None, percent: int = 10) -> Questions:
    labels = labels_of(data, distance)
    groups = unfiltered(data, 20) if place is None else filtered(data, distance, place, percent, 20)
    truths = [truth_of(data, labels, group.queries, distance, group.condition, group.name) for group in groups]
    return Questions(data, labels, groups, truths)


@pytest.mark.parametrize("distance", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("place", [None, "random", "near", "far"])
def test_an_exact_answer_has_recall_one(data: DataSet, distance: str, place: str | None) -> None:
    asked = questions(data, distance, place)
    assert measured_recall(Scan(data, distance), asked, Effort(10, "default"), BUDGET) == 1.0


def test_half_an_answer_has_half_the_recall(data: DataSet) -> None:
    asked = questions(data, "euclidean")
    subject = Scan(data, "euclidean", given=5)
    assert measured_recall(subject, asked, Effort(10, "default"), BUDGET) == pytest.approx(0.5)


def test_fewer_matches_than_ten_are_all_there_is_to_find(data: DataSet) -> None:
    asked = questions(data, "euclidean", "random", percent=1)
    assert asked.truths[0].available == 6
    assert measured_recall(Scan(data, "euclidean"), asked, Effort(10, "default"), BUDGET) == 1.0


def test_rows_that_do_not_match_the_filter_do_not_count(data: DataSet) -> None:
    subject = Scan(data, "euclidean", obeys=False)
    asked = questions(data, "euclidean", "far", percent=1)
    assert measured_recall(subject, asked, Effort(10, "default"), BUDGET) < 0.1


def test_near_filters_match_rows_near_the_queries_and_far_ones_do_not(data: DataSet) -> None:
    near, far, free = (questions(data, "euclidean", place).truths[0].kth.mean() for place in ("near", "far", "random"))
    assert near < free < far


def test_a_smaller_data_set_is_the_beginning_of_a_greater_one(data: DataSet, tmp_path: Path) -> None:
    small = load("clustered", 250, tmp_path)
    assert np.array_equal(small.mapped(), data.read(0, 250))
    assert np.array_equal(small.queries, data.queries)


def sweep_of(subject: Scan, data: DataSet) -> Sweep:
    return Sweep(subject, questions(data, "euclidean"), BUDGET, threads=1)


@pytest.mark.parametrize("needed", [1, 10, 11, 48, 50, 700, 2_048])
def test_the_sweep_finds_the_least_breadth_of_the_ladder_that_is_enough(data: DataSet, needed: int) -> None:
    reached = sweep_of(Scan(data, "euclidean", needed=needed), data).reach(0.95)
    assert reached.enough
    assert reached.recall == 1.0
    assert reached.effort.breadth == min(step for step in ladder(2_048) if step >= needed)


def test_a_recall_out_of_reach_is_told_as_such(data: DataSet) -> None:
    reached = sweep_of(Scan(data, "euclidean", given=6), data).reach(0.95)
    assert not reached.enough
    assert reached.recall == pytest.approx(0.6)


def test_a_hint_that_still_holds_is_taken_and_another_one_is_not(data: DataSet) -> None:
    subject = Scan(data, "euclidean", needed=48)
    assert sweep_of(subject, data).reach(0.95, {"breadth": 90, "style": "default"}).effort.breadth == 90
    assert subject.asked == [90]
    assert sweep_of(subject, data).reach(0.95, {"breadth": 20, "style": "default"}).effort.breadth == 48


@pytest.mark.parametrize(
    ("values", "notes", "bar", "verdict"),
    [
        ({"vectrograph": 15.0, "zvec": 10.0, "lancedb": 1.0}, {}, SEARCH, Verdict.MET),
        ({"vectrograph": 14.0, "zvec": 10.0, "lancedb": 1.0}, {}, SEARCH, Verdict.MISSED),
        ({"vectrograph": 15.0, "faiss-sq8": 10.0}, {}, SEARCH, Verdict.OPEN),
        ({"zvec": 10.0}, {"vectrograph": "only .93"}, SEARCH, Verdict.MISSED),
        ({"zvec": 10.0}, {}, SEARCH, Verdict.OPEN),
        ({"vectrograph": 15.0}, {"zvec": "only .93"}, SEARCH, Verdict.MET),
        ({"vectrograph": 5.0, "zvec": 10.0, "lancedb": 90.0}, {}, MIXED, Verdict.MET),
        ({"vectrograph": 6.0, "zvec": 10.0, "lancedb": 90.0}, {}, MIXED, Verdict.MISSED),
        ({"vectrograph": 1.1, "zvec": 10.0}, {}, REOPEN, Verdict.MISSED),
        ({"vectrograph": 0.9, "zvec": 0.1}, {}, REOPEN, Verdict.MET),
        ({"vectrograph": 0.4, "faiss-sq8": 0.5, "zvec": 0.1}, {}, GROWTH, Verdict.MISSED),
    ],
)
def test_bars_are_judged_against_the_best(
    values: dict[str, float], notes: dict[str, str], bar: Bar, verdict: Verdict
) -> None:
    assert judge("title", "cell", "unit", values, bar, notes=notes).verdict is verdict


def test_medians_leave_out_failures_and_recalls_not_reached_every_time() -> None:
    results, cell = Results(), Cell("tokens", 1, "dot")
    for values in (
        {"a": 1.0, "b": {"qps": 1.0}},
        {"error": "gone"},
        {"a": 5.0, "b": {}},
        {"a": 3.0, "b": {"qps": 2.0}},
    ):
        results.add("figure", cell, "zvec", values)
    assert results.median("figure", cell, "zvec") == {"a": 3.0, "b": {}}
    assert results.median("figure", cell, "lancedb") == {}


def test_a_full_run_holds_every_row_of_the_table() -> None:
    full = steps(FULL)
    assert {(step.cell.source, step.cell.distance) for step in full if step.name == "search"} == {
        ("tokens", "cosine"),
        ("tokens", "dot"),
        ("tokens", "euclidean"),
        ("patches", "euclidean"),
    }
    assert len([step for step in full if step.name.startswith("filtered")]) == 2 * 3 * 3
    assert {step.cell.rows for step in full if step.name == "growth search"} == {10_000, 100_000, 1_000_000}
    assert {step.name.split()[0] for step in full} == {step.name.split()[0] for step in steps(QUICK)}


def test_exact_answers_are_computed_once(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(
        figure="search",
        subject="vectrograph",
        cell=Cell("clustered", 600, "dot"),
        directory="",
        cache=str(data.folder.parent),
        threads=1,
    )
    first = questions_of(job, unfiltered(data, 7)).truths[0].kth
    monkeypatch.setattr("benchmarks.engine.truth._kth_distances", None)
    assert np.array_equal(questions_of(job, unfiltered(data, 7)).truths[0].kth, first)


def test_a_quick_run_prints_a_table_and_writes_whole_json(tmp_path: Path) -> None:
    engines = "vectrograph,faiss-flat" if find_spec("faiss") is not None else "vectrograph"
    output = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks.engine", "--quick", "--rows", "300", "--engines", engines]
    command += ["--only", "ingest,search", "--cache", str(tmp_path / "cache"), "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recall ≥ 0.95" in done.stdout
    assert not list((tmp_path / "cache").glob("work-*"))
    text = output.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert platform.node() not in text
    content: dict[str, Any] = json.loads(text)
    assert set(content) == {"format", "machine", "settings", "lines", "rounds"}
    assert content["machine"]["cores"] >= 1
    ours = {entry["figure"]: entry["rounds"][0] for entry in content["rounds"] if entry["subject"] == "vectrograph"}
    assert set(ours) == {"ingest", "search"}
    assert ours["ingest"]["durable"] is True
    assert ours["ingest"]["acknowledged"] >= ours["ingest"]["indexed"] > 0
    for target in ("0.95", "0.99"):
        assert ours["search"][target]["recall"] == 1.0
        assert ours["search"][target]["qps"] > 0
    searched = [line for line in content["lines"] if line["title"].startswith("queries/s, one thread")]
    assert [line["cell"] for line in searched] == ["tokens 300 cosine"] * 2
    assert all(line["values"]["vectrograph"] > 0 for line in searched)


def test_a_subject_that_fails_is_a_result_and_the_run_goes_on(tmp_path: Path) -> None:
    job = Job(
        figure="search",
        subject="vectrograph",
        cell=Cell("tokens", 10**9, "cosine"),
        directory=str(tmp_path / "db"),
        cache=str(tmp_path / "cache"),
        threads=1,
    )
    assert "1,000,000,000 were asked for" in run(job, timeout=60)["error"]
