"""The results for people (one table) and for programs (one JSON file)."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.engine.bars import Line, Verdict
from benchmarks.engine.runner import Results
from benchmarks.engine.subjects import OURS

RESULTS: Final = Path(__file__).resolve().parents[1] / "results"
_FORMAT: Final = 1
_COLOURS: Final = {Verdict.MET: "green", Verdict.MISSED: "red", Verdict.OPEN: "yellow", Verdict.SHOWN: ""}


def print_table(console: Console, lines: Sequence[Line], subjects: Sequence[str], title: str) -> None:
    """Print all lines as one table, and how many bars are met."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1))
    table.add_column("figure")
    table.add_column("data")
    table.add_column("unit")
    for subject in subjects:
        table.add_column(subject, justify="right", style="bold" if subject == OURS else "")
    table.add_column("ratio", justify="right")
    table.add_column("to")
    table.add_column("bar")
    table.add_column("verdict")
    for line in lines:
        table.add_row(
            line.title,
            line.cell,
            line.unit,
            *(_shown(line, subject) for subject in subjects),
            "" if line.ratio is None else f"{line.ratio:.2f}",
            line.reference or "",
            line.bar,
            Text(line.verdict, style=_COLOURS[line.verdict]),
        )
    console.print(table)
    judged = [line.verdict for line in lines if line.bar]
    counts = {verdict: judged.count(verdict) for verdict in (Verdict.MET, Verdict.MISSED, Verdict.OPEN)}
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + f" of {len(judged)} bars.")


def _shown(line: Line, subject: str) -> str:
    """Return the number with three digits that matter, and the note beside it."""
    value, note = line.values.get(subject), line.notes.get(subject)
    if value is None:
        return note or "–"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} ({note})" if note else text


def to_json(
    results: Results, lines: Sequence[Line], machine: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that was measured, every round of it.

    Returns:
        format, machine, settings; lines: the table; rounds: what every job said. No paths, no host names.
    """
    rounds = [
        {"figure": name, "cell": asdict(cell), "subject": subject, "rounds": values}
        for (name, cell, subject), values in results.rounds.items()
    ]
    return {
        "format": _FORMAT,
        "machine": machine,
        "settings": settings,
        "lines": [asdict(line) for line in lines],
        "rounds": rounds,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the JSON file, making its folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
