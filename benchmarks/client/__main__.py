"""The `neurograph` client beside bare httpx2, and beside qdrant-client and pymilvus with vectors.

Two figures; one table each, and one JSON file at the end.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.client import calls, vectors
from benchmarks.client.subjects import OURS, SUBJECTS, installed

FIGURES: Final = ("calls", "vectors")
CALL_BAR: Final = 1.25
VECTOR_BAR: Final = 0.5
RESULTS: Final = Path(__file__).resolve().parents[1] / "results"
_PACKAGES: Final = ("httpx2", "pydantic", "numpy", "qdrant-client", "pymilvus", "grpcio", "protobuf")


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how fast it is")
    parser.add_argument("--only", choices=FIGURES, help="one figure instead of both")
    parser.add_argument("--rounds", type=int, help="rounds whose median counts (default 5, quick 1)")
    parser.add_argument("--output", type=Path, help="JSON file (default: one named by the time)")
    chosen = parser.parse_args(given)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return chosen


def main(given: Sequence[str]) -> int:
    """Measure, print the tables, write the JSON file; 0 whatever the bars say."""
    chosen = arguments(given)
    console = Console(width=None if sys.stdout.isatty() else 140)
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    started = datetime.now(UTC)
    content: dict[str, Any] = {"format": 1, "started": started.isoformat(timespec="seconds"), "rounds": rounds}
    content["machine"] = _machine()
    if chosen.only in (None, "calls"):
        content["calls"] = calls.measure(50 if chosen.quick else 2_000, rounds)
        console.print(_call_table(content["calls"]))
    if chosen.only in (None, "vectors"):
        subjects = installed()
        for name in SUBJECTS.keys() - set(subjects):
            console.print(f"{name} is not installed and left out.")
        count, dimension = (300, 64) if chosen.quick else (10_000, 768)
        content["vectors"] = vectors.measure(subjects, count, dimension, rounds)
        console.print(_vector_table(content["vectors"], subjects, f"{count:,} × {dimension} floats"))
    kind = "client-quick" if chosen.quick else "client"
    path = chosen.output or RESULTS / f"{kind}-{started:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(f"Written: {path.name}")
    return 0


def _call_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="calls, beside bare httpx2", title_justify="left", pad_edge=False)
    for column in ("call", "", "calls/s", "bare", "µs CPU per call", "bare", "ratio", f"bar ≤ {CALL_BAR}"):
        table.add_column(column, justify="left" if column in ("call", "") else "right")
    for row in rows:
        ours, bare = row["ours"], row["bare"]
        rates = f"{ours['rate']:,.0f}", f"{bare['rate']:,.0f}"
        costs = f"{1e6 * ours['cpu']:,.0f}", f"{1e6 * bare['cpu']:,.0f}"
        judged = f"{row['ratio']:.2f}", _verdict(row["ratio"], CALL_BAR)
        table.add_row(row["call"], row["world"], *rates, *costs, *judged)
    return table


def _vector_table(rows: list[dict[str, Any]], subjects: Sequence[str], title: str) -> Table:
    table = Table(box=SIMPLE_HEAD, title=f"{title}, seconds of client CPU", title_justify="left", pad_edge=False)
    for column in ("", *subjects, "ratio to the best peer", f"bar ≤ {VECTOR_BAR}"):
        table.add_column(column, justify="left" if column == "" else "right")
    for row in rows:
        peers = [cpu for name, cpu in row["cpu"].items() if name != OURS]
        ratio = row["cpu"][OURS] / min(peers) if peers else None
        shown = "–" if ratio is None else f"{ratio:.2f}"
        costs = (f"{row['cpu'][name]:.3f}" for name in subjects)
        table.add_row(row["direction"], *costs, shown, "open" if ratio is None else _verdict(ratio, VECTOR_BAR))
    return table


def _verdict(ratio: float, bar: float) -> str:
    return "met" if ratio <= bar else "missed"


def _machine() -> dict[str, Any]:
    """Describe the machine that the numbers were measured on, without paths and host names."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
