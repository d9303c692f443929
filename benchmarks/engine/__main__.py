"""This project's embedded engine beside zvec, qdrant-edge, lancedb, chromadb and bare faiss.

One process a figure and engine, alternating rounds, medians, recall with every speed; one table and one JSON file at
the end.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from benchmarks.engine.bars import lines
from benchmarks.engine.datasets import CACHE
from benchmarks.engine.machine import description
from benchmarks.engine.plan import FIGURES, FULL, QUICK, Sizes, steps
from benchmarks.engine.report import RESULTS, print_table, to_json, write
from benchmarks.engine.runner import Runner
from benchmarks.engine.subjects import OURS, SUBJECTS, installed

_WIDTH = 230


class _Shown:
    """Progress on a terminal, one line a job elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("")
        self._text = ""

    def begin(self, jobs: int) -> None:
        """Show a bar of so many jobs."""
        self._bar.update(self._task, total=jobs)
        self._bar.start()

    def job(self, text: str) -> None:
        """Show what is measured now."""
        self._text = text
        self._bar.update(self._task, description=text)
        if not self._console.is_terminal:
            self._console.print(text)

    def done(self, problem: str | None) -> None:
        """Advance; a problem is shown at once."""
        self._bar.advance(self._task)
        if problem is not None:
            self._console.print(f"[red]{self._text}: [/red]", end="")
            self._console.print(problem, markup=False)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one round: shows that it works, not how fast it is"
    )
    parser.add_argument(
        "--only", type=_names(FIGURES), default=list(FIGURES), metavar="FIGURE,…", help=", ".join(FIGURES)
    )
    parser.add_argument(
        "--engines", type=_names(tuple(SUBJECTS)), default=list(SUBJECTS), metavar="NAME,…", help=", ".join(SUBJECTS)
    )
    parser.add_argument("--rounds", type=int, help="rounds whose median counts (default 3, quick 1)")
    parser.add_argument("--rows", type=int, help="rows of the token table in a quick run, instead of 2,000")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of data sets and temporary collections")
    parser.add_argument(
        "--output", type=Path, help="JSON file (default: one named by the time, under benchmarks/results)"
    )
    chosen = parser.parse_args(given)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if chosen.rows is not None and not (chosen.quick and chosen.rows >= 200):
        parser.error("--rows belongs to --quick and must be 200 or more")
    return chosen


def _names(known: Sequence[str]) -> "type[list[str]]":
    def split(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return [name for name in known if name in names]

    return split  # type: ignore[return-value]


def main(given: Sequence[str]) -> int:
    """Measure, print the table, write the JSON file. 0 whatever the bars say, 1 when our engine failed."""
    chosen = arguments(given)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    subjects = installed(chosen.engines)
    for name in chosen.engines:
        if name not in subjects:
            console.print(f"{name} is not installed and left out.")
    sizes = _sizes(chosen)
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    started = datetime.now(UTC)
    shown = _Shown(console)
    runner = Runner(
        subjects=subjects,
        rounds=rounds,
        budget=sizes.budget,
        timeout=sizes.timeout,
        cache=chosen.cache,
        progress=shown,
    )
    try:
        results = runner.run(steps(sizes, chosen.only))
    finally:
        shown.close()
    table = list(lines(results, subjects))
    print_table(console, table, subjects, f"medians of {rounds} round{'s' * (rounds > 1)}{', quick' * chosen.quick}")
    settings = {
        "started": started.isoformat(timespec="seconds"),
        "quick": chosen.quick,
        "rounds": rounds,
        "only": chosen.only,
        "sizes": asdict(sizes),
    }
    content = to_json(results, table, description(subjects, chosen.cache), settings)
    kind = "engine-quick" if chosen.quick else "engine"
    path = chosen.output or RESULTS / f"{kind}-{started:%Y%m%d-%H%M%S}.json"
    write(path, content)
    console.print(f"Written: {path.name}")
    ours = (values for (_, _, name), each in results.rounds.items() if name == OURS for values in each)
    return int(any("error" in values for values in ours))


def _sizes(chosen: argparse.Namespace) -> Sizes:
    if not chosen.quick:
        return FULL
    return QUICK if chosen.rows is None else replace(QUICK, tokens=chosen.rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
