"""The lines of the table: medians, ratios, and whether each bar is met."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from benchmarks.engine.bars import Line, Verdict

Medians: TypeAlias = Mapping[str, Mapping[str, Any]]
RECALL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the table of bars.

    Attributes:
        title, unit: of the line.
        value: what is compared.
        ours: the subject held against the bar.
        reference: what it is compared with.
        factor: at least so many times as much, or at most where `lower`.
        searched: whether both must have reached the recall.
        beyond_engine: compare what is left when the engine's own CPU is taken off ours.
    """

    title: str
    unit: str
    value: str
    ours: str
    reference: str
    factor: float
    lower: bool = False
    searched: bool = False
    beyond_engine: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.lower else '≥'} {self.factor:g} × {self.reference}"


BARS: Final = (
    Bar("search, one caller", "1/s", "alone", "grpc", "chroma", 2.3, searched=True),
    Bar("search, one caller", "1/s", "alone", "grpc", "prototype", 0.9, searched=True),
    Bar("search, eight callers", "1/s", "together", "grpc", "chroma", 3.0, searched=True),
    Bar("search, eight callers", "1/s", "together", "grpc", "prototype", 0.9, searched=True),
    Bar("p99 at eight callers", "ms", "p99_ms", "grpc", "chroma", 0.35, lower=True, searched=True),
    Bar("search_many, 64 a call", "1/s", "many", "grpc", "engine", 0.8, searched=True),
    Bar("upsert, acknowledged", "rows/s", "upserted", "grpc", "chroma", 8.0),
    Bar("upsert, fully indexed", "rows/s", "indexed", "grpc", "chroma", 2.5),
    Bar("server CPU beyond engine", "µs", "server_cpu_us", "grpc", "bare-grpcio", 1.15, lower=True, beyond_engine=True),
    Bar(
        "server CPU beyond engine",
        "µs",
        "server_cpu_us",
        "frames",
        "bare-starlette",
        1.3,
        lower=True,
        beyond_engine=True,
    ),
    Bar("client CPU of an upsert", "s", "client_cpu_s", "client", "client-protobuf", 0.35, lower=True),
    Bar("client CPU of an upsert", "s", "client_cpu_s", "client", "client-qdrant", 0.5, lower=True),
)
"""The bars, in the order of the report."""

SHOWN: Final = (
    ("recall@10", "", "recall"),
    ("breadth of search", "", "breadth"),
    ("server CPU a search", "µs", "server_cpu_us"),
    ("engine CPU a search", "µs", "cpu_us"),
    ("p50 at eight callers", "ms", "p50_ms"),
    ("usual breadth: recall@10", "", "usual_recall"),
    ("usual breadth: search, one caller", "1/s", "usual_alone"),
    ("usual breadth: search, eight callers", "1/s", "usual_together"),
    ("usual breadth: p99 at eight callers", "ms", "usual_p99_ms"),
)
"""Usual is what the server chooses by itself; the bars are about the least breadth that reaches the recall."""


def lines(medians: Medians) -> Iterator[Line]:
    """Yield all lines of a run: those with a bar, then those that explain them."""
    for bar in BARS:
        yield _judged(bar, medians)
    for title, unit, name in SHOWN:
        values = {subject: float(found[name]) for subject, found in medians.items() if name in found}
        yield Line(title=title, cell="tokens", unit=unit, values=values)


def _judged(bar: Bar, medians: Medians) -> Line:
    values: dict[str, float] = {}
    notes: dict[str, str] = {}
    for subject, found in medians.items():
        if "error" in found:
            notes |= {subject: "failed"} if subject in (bar.ours, bar.reference) else {}
        elif bar.value in found:
            values[subject] = float(found[bar.value])
            if bar.searched and found["recall"] < RECALL:
                notes[subject] = "only " + f"{found['recall']:.3f}".lstrip("0")
    ratio = _ratio(bar, medians)
    verdict = Verdict.OPEN
    if ratio is not None:
        verdict = Verdict.MET if (ratio <= bar.factor if bar.lower else ratio >= bar.factor) else Verdict.MISSED
    if bar.ours in notes:
        verdict = Verdict.MISSED
    elif bar.reference in notes:
        verdict = Verdict.OPEN
    return Line(
        title=bar.title,
        cell="768" if bar.value == "client_cpu_s" else "tokens",
        unit=bar.unit,
        values=values,
        notes=notes,
        bar=str(bar),
        reference=bar.reference,
        ratio=ratio,
        verdict=verdict,
    )


def _ratio(bar: Bar, medians: Medians) -> float | None:
    ours, theirs = medians.get(bar.ours, {}).get(bar.value), medians.get(bar.reference, {}).get(bar.value)
    if ours is None or not theirs:
        return None
    if bar.beyond_engine:
        own = medians.get("engine", {}).get("cpu_us")
        return None if own is None else (ours - own) / theirs
    return float(ours / theirs)
