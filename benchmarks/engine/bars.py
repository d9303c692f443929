"""The lines of the table: medians, the best peer of each, and whether the bar is met."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from benchmarks.engine.datasets import Cell
from benchmarks.engine.runner import Results
from benchmarks.engine.subjects import LIMITS, OURS, PEERS

Values: TypeAlias = Mapping[str, Any]
Number: TypeAlias = Callable[[Values], float | None]


class Verdict(StrEnum):
    """met and missed speak of a bar; open: nothing to compare with; a line without one is only shown."""

    MET = "met"
    MISSED = "missed"
    SHOWN = ""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Bar:
    """Bar of our value against the reference: at least (or, where lower is better, at most) `factor` times as great.

    against: peers, limits (bare faiss), or nothing (the value itself is held against `factor`).
    """

    factor: float
    against: str = "peers"
    lower: bool = False

    def __str__(self) -> str:
        sign = "≤" if self.lower else "≥"
        return f"{sign} {self.factor:g}" + {"peers": " ×", "limits": " × faiss", "nothing": ""}[self.against]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table.

    values: by subject, only where there is a number. notes: by subject, what stands where there is none, or beside
    it. reference: the subject ours is compared with; ratio: ours divided by its value.
    """

    title: str
    cell: str
    unit: str
    values: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)
    bar: str = ""
    reference: str | None = None
    ratio: float | None = None
    verdict: Verdict = Verdict.SHOWN


INSERT: Final = Bar(2.0)
INDEXED: Final = Bar(2.0)
SEARCH: Final = Bar(1.5)
FILTERED: Final = Bar(1.0)
MIXED: Final = Bar(0.5, lower=True)
MEMORY: Final = Bar(0.6, lower=True)
REOPEN: Final = Bar(1.0, against="nothing", lower=True)
FAISS: Final = Bar(0.7, against="limits")
GROWTH: Final = Bar(1.0, against="limits")
"""The bars, in the order of the report."""


def judge(
    title: str,
    cell: Cell | str,
    unit: str,
    values: dict[str, float],
    bar: Bar | None,
    *,
    notes: dict[str, str] | None = None,
    among: Sequence[str] | None = None,
    lower: bool = False,
) -> Line:
    """Put values side by side and hold ours against the bar.

    Args:
        title, cell, unit: of the line.
        values: by subject.
        bar: None shows the ratio to the best peer and judges nothing.
        notes: by subject.
        among: which subjects ours is compared with; all peers, or all limits, when it is not said.
        lower: lower is better, where there is no bar to say so.

    >>> judge("speed", "tokens", "1/s", {"vectrograph": 30.0, "zvec": 10.0}, SEARCH).verdict
    <Verdict.MET: 'met'>
    """
    lower = bar.lower if bar is not None else lower
    against = bar.against if bar is not None else "peers"
    rivals = among if among is not None else (LIMITS if against == "limits" else PEERS)
    there = [name for name in rivals if name in values]
    best = (min if lower else max)(there, key=lambda name: values[name], default=None)
    ours = values.get(OURS)
    reference = None if against == "nothing" else best
    basis = 1.0 if against == "nothing" else (values[best] if best is not None else None)
    ratio = ours / basis if ours is not None and basis else None
    verdict = Verdict.SHOWN
    if bar is not None:
        tried = {*values, *(notes or {})}
        verdict = _verdict(bar, ratio, ours=ours is not None, others=basis is not None, tried=tried, rivals=rivals)
    return Line(
        title=title,
        cell=str(cell),
        unit=unit,
        values=values,
        notes=notes or {},
        bar="" if bar is None else str(bar),
        reference=reference,
        ratio=ratio,
        verdict=verdict,
    )


def _verdict(
    bar: Bar, ratio: float | None, *, ours: bool, others: bool, tried: Container[str], rivals: Sequence[str]
) -> Verdict:
    """Compare a figure where both have a number, or only one of them has.

    Ours failed, or did not reach the recall, where another one did: missed. Where all the others tried in vain: met.
    """
    if ratio is not None:
        return Verdict.MET if (ratio <= bar.factor if bar.lower else ratio >= bar.factor) else Verdict.MISSED
    if others and OURS in tried:
        return Verdict.MISSED
    if ours and any(name in tried for name in rivals):
        return Verdict.MET
    return Verdict.OPEN


class Reader:
    """Numbers and notes of one run, for some subjects."""

    def __init__(self, results: Results, subjects: Sequence[str]) -> None:
        self.results = results
        self.subjects = subjects

    def numbers(self, name: str, cell: Cell, number: Number) -> dict[str, float]:
        """Return a number by subject, where there is one."""
        found = {subject: number(self.results.median(name, cell, subject)) for subject in self.subjects}
        return {subject: value for subject, value in found.items() if value is not None}

    def errors(self, name: str, cell: Cell) -> dict[str, str]:
        """Return the subjects that failed."""
        return {subject: "failed" for subject in self.subjects if "error" in self.results.median(name, cell, subject)}

    def at_recall(self, name: str, cell: Cell, target: str) -> tuple[dict[str, float], dict[str, str]]:
        """Return queries a second at a target recall, and the recall that was measured ("only …" below the target)."""
        speeds, notes = {}, self.errors(name, cell)
        for subject in self.subjects:
            found = self.results.median(name, cell, subject).get(target)
            if found is None:
                continue
            if "qps" in found:
                speeds[subject] = float(found["qps"])
                notes[subject] = f"{found['recall']:.3f}".lstrip("0")
            else:
                notes[subject] = "only " + f"{found['recall']:.3f}".lstrip("0")
        return speeds, notes


def key(name: str) -> Number:
    """Read one value of a figure."""
    return lambda values: float(values[name]) if name in values else None


def lines(results: Results, subjects: Sequence[str]) -> Iterator[Line]:
    """Yield all lines of a run, in the order of the report."""
    from benchmarks.engine.lines import MAKERS

    reader = Reader(results, subjects)
    for maker in MAKERS:
        yield from maker(reader)
