"""Runs the steps: one process a job, the subjects taking turns in every round, medians at the end."""

import shutil
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from benchmarks.engine.datasets import Cell
from benchmarks.engine.jobs import Budget, Job, run
from benchmarks.engine.plan import FASTEST, Step
from benchmarks.engine.subjects import PEERS

Values: TypeAlias = dict[str, Any]


class Progress(Protocol):
    """Told what is going on."""

    def begin(self, jobs: int) -> None:
        """Note how many jobs are ahead."""
        ...

    def job(self, text: str) -> None:
        """Note that one of them starts."""
        ...

    def done(self, problem: str | None) -> None:
        """Record the end, with a problem or without."""
        ...


@dataclass
class Results:
    """Results of every job, by figure, cell and subject, in the order of the rounds."""

    rounds: dict[tuple[str, Cell, str], list[Values]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, cell: Cell, subject: str, values: Values) -> None:
        """Append what one job said."""
        self.rounds[name, cell, subject].append(values)

    def median(self, name: str, cell: Cell, subject: str) -> Values:
        """Return medians of the numbers of all rounds that worked; `{"error": …}` when none did, `{}` when there was
        none.

        A number that is missing from one of the rounds is missing here: a recall reached now and then is not reached.
        """
        all_rounds = self.rounds.get((name, cell, subject), [])
        return median(all_rounds)

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of a figure, in the order in which they were measured."""
        return list(dict.fromkeys(cell for figure, cell, _ in self.rounds if figure == name))

    def names(self) -> list[str]:
        """Return the figures, in the order in which they were measured."""
        return list(dict.fromkeys(name for name, _, _ in self.rounds))


def median(rounds: Sequence[Mapping[str, Any]]) -> Values:
    """Return medians of the numbers of those rounds that worked; the last one's error when none did, `{}` without
    rounds.

    >>> median([{"rate": 1.0}, {"error": "late"}, {"rate": 3.0}])
    {'rate': 2.0}
    """
    good = [values for values in rounds if "error" not in values]
    if not good:
        return dict(rounds[-1]) if rounds else {}
    return _median(good)


def _median(values: Sequence[Mapping[str, Any]]) -> Values:
    merged: Values = {}
    for key in values[0]:
        each = [value[key] for value in values if key in value]
        if len(each) < len(values):
            continue
        if isinstance(each[0], Mapping):
            merged[key] = _median(each)
        elif isinstance(each[0], bool) or not isinstance(each[0], int | float):
            merged[key] = each[-1]
        else:
            merged[key] = statistics.median(each)
    return merged


class Runner:
    """Measures steps with the collections in a temporary directory below `work`, which is gone afterwards."""

    def __init__(
        self, *, subjects: Sequence[str], rounds: int, budget: Budget, timeout: float, cache: Path, progress: Progress
    ) -> None:
        self.results = Results()
        self._subjects = subjects
        self._rounds = rounds
        self._budget = budget
        self._timeout = timeout
        self._cache = cache
        self._progress = progress
        self._hints: dict[tuple[str, Cell, str], dict[str, Any]] = {}
        self._unbuildable: dict[Path, Values] = {}

    def run(self, steps: Sequence[Step]) -> Results:
        """Measure all steps. A job that fails is a result like any other and stops nothing."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._progress.begin(sum(self._turns(step) * len(self._who(step)) for step in steps))
        with tempfile.TemporaryDirectory(dir=self._cache, prefix="work-") as work:
            for place, step in enumerate(steps):
                for number in range(self._turns(step)):
                    self._round(step, number, Path(work))
                self._tidy(Path(work), steps[place + 1 :])
        return self.results

    def _tidy(self, work: Path, ahead: Sequence[Step]) -> None:
        """Remove the collections that no step ahead asks for."""
        wanted = {self._kept(step, name, work) for step in ahead if step.build for name in self._subjects}
        for directory in set(work.iterdir()) - wanted:
            shutil.rmtree(directory)

    def _turns(self, step: Step) -> int:
        return self._rounds if step.rounds is None else min(self._rounds, step.rounds)

    def _round(self, step: Step, number: int, work: Path) -> None:
        """One job for every subject, another one first in each round."""
        who = self._who(step)
        turn = number % len(who) if who else 0
        for subject in who[turn:] + who[:turn]:
            self._progress.job(f"{step.name} · {step.cell} · {subject} · round {number + 1}")
            values = self._measure(step, subject, work)
            self.results.add(step.name, step.cell, subject, values)
            self._progress.done(values.get("error"))

    def _who(self, step: Step) -> list[str]:
        names: list[str] = []
        for name in step.subjects:
            names += self._fastest() if name == FASTEST else [name]
        return [name for name in names if name in self._subjects]

    def _fastest(self) -> list[str]:
        """Return the two peers with the most queries a second in the cells searched so far; before any, the
        first two.
        """
        peers = [name for name in PEERS if name in self._subjects]
        speed = dict.fromkeys(peers, 0.0)
        for cell in self.results.cells("search"):
            for peer in peers:
                found = self.results.median("search", cell, peer).get("0.95", {})
                speed[peer] += found.get("qps", 0.0)
        return sorted(peers, key=lambda peer: -speed[peer])[:2]

    def _measure(self, step: Step, subject: str, work: Path) -> Values:
        kept = self._kept(step, subject, work)
        if step.build:
            problem = self._build(step, subject, kept)
            return problem if problem is not None else self._job(step, subject, kept)
        directory = work / "now"
        values = self._job(step, subject, directory)
        if step.keep and "error" not in values:
            shutil.rmtree(kept, ignore_errors=True)
            directory.rename(kept)
        shutil.rmtree(directory, ignore_errors=True)
        return values

    def _kept(self, step: Step, subject: str, work: Path) -> Path:
        kind = "filterable" if step.filterable else "plain"
        cell = step.cell
        return work / f"{subject}-{cell.source}-{cell.rows}-{cell.distance}-{kind}"

    def _build(self, step: Step, subject: str, directory: Path) -> Values | None:
        """Fill the collection that a step searches, unless an earlier one has; the problem if that cannot be done."""
        if directory in self._unbuildable or directory.exists():
            return self._unbuildable.get(directory)
        filling = Step(name="fill", figure="ingest", cell=step.cell, subjects=(), threads=2, filterable=step.filterable)
        values = self._job(filling, subject, directory)
        if "error" not in values:
            return None
        shutil.rmtree(directory, ignore_errors=True)
        self._unbuildable[directory] = {"error": f"could not be filled: {values['error']}"}
        return self._unbuildable[directory]

    def _job(self, step: Step, subject: str, directory: Path) -> Values:
        key = (step.name, step.cell, subject)
        job = Job(
            figure=step.figure,
            subject=subject,
            cell=step.cell,
            directory=str(directory),
            cache=str(self._cache),
            threads=step.threads,
            filterable=step.filterable,
            budget=self._budget,
            options=step.options,
            hints=self._hints.get(key, {}),
        )
        values = run(job, self._timeout)
        efforts = {name: value for name, value in values.items() if isinstance(value, dict) and "qps" in value}
        self._hints[key] = efforts
        return values
