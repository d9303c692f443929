"""This server beside the Chroma server, a bare prototype and bare handlers; clients beside plain protobuf and Qdrant's.

One process a subject, alternating rounds, medians, recall with every speed; one table and one JSON file at the end.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.engine.datasets import CACHE, load
from benchmarks.engine.machine import description
from benchmarks.engine.report import RESULTS, print_table, write
from benchmarks.engine.runner import median
from benchmarks.server.jobs import Job, run
from benchmarks.server.subjects import DISTRIBUTIONS, SUBJECTS, installed
from benchmarks.server.table import lines

_WIDTH = 230
_FORMAT = 1
_TIMEOUT = 1_800.0


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Return the command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: shows that it works, no more")
    parser.add_argument("--only", default=",".join(SUBJECTS), metavar="SUBJECT,…", help=", ".join(SUBJECTS))
    parser.add_argument("--rounds", type=int, help="rounds whose median counts (default 3, quick 1)")
    parser.add_argument("--rows", type=int, help="rows of the token table (default 31,000, quick 2,000)")
    parser.add_argument("--seconds", type=float, help="of each timed run (default 5, quick 0.5)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of data sets and temporary data")
    parser.add_argument("--output", type=Path, help="JSON file (default: named by the time, under benchmarks/results)")
    chosen = parser.parse_args(given)
    chosen.only = chosen.only.split(",")
    if unknown := [name for name in chosen.only if name not in SUBJECTS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    chosen.rows = chosen.rows or (2_000 if chosen.quick else 31_000)
    chosen.seconds = chosen.seconds or (0.5 if chosen.quick else 5.0)
    return chosen


def main(given: Sequence[str]) -> int:
    """Measure, print the table, write the JSON file. 0 whatever the bars say, 1 when this project's own part failed."""
    chosen = arguments(given)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    subjects = installed(chosen.only)
    for name in chosen.only:
        if name not in subjects:
            console.print(f"{name}: {SUBJECTS[name].package} is not installed, left out.")
    started = datetime.now(UTC)
    # Made here, so that no subject pays for it.
    load("tokens", chosen.rows, chosen.cache)
    rounds = _measured(chosen, subjects, console)
    medians = {name: median(each) for name, each in rounds.items()}
    table = list(lines(medians))
    title = f"medians of {chosen.rounds} round{'s' * (chosen.rounds > 1)}{', quick' * chosen.quick}"
    print_table(console, table, subjects, title)
    machine = description([], chosen.cache) | {"subjects": _versions()}
    settings = {name: getattr(chosen, name) for name in ("quick", "only", "rounds", "rows", "seconds")}
    kind = "server-quick" if chosen.quick else "server"
    path = chosen.output or RESULTS / f"{kind}-{started:%Y%m%d-%H%M%S}.json"
    content = {
        "format": _FORMAT,
        "machine": machine,
        "settings": {"started": started.isoformat(timespec="seconds"), **settings},
        "lines": [asdict(line) for line in table],
        "rounds": rounds,
    }
    write(path, content)
    console.print(f"Written: {path.name}")
    own = [name for name in subjects if name in ("grpc", "rest", "frames", "engine", "client")]
    return int(any("error" in values for name in own for values in rounds[name]))


def _measured(chosen: argparse.Namespace, subjects: list[str], console: Console) -> dict[str, list[dict[str, Any]]]:
    """Return every job's results by subject, in the order of the rounds; another subject is first in each round."""
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in subjects}
    for number in range(chosen.rounds):
        turn = number % len(subjects)
        for name in subjects[turn:] + subjects[:turn]:
            console.print(f"{name} · round {number + 1}")
            with tempfile.TemporaryDirectory(dir=chosen.cache, prefix="server-") as directory:
                job = Job(
                    subject=name,
                    directory=Path(directory),
                    cache=chosen.cache.resolve(),
                    rows=chosen.rows,
                    points=1_000 if chosen.quick else 10_000,
                    seconds=chosen.seconds,
                )
                values = run(job, _TIMEOUT)
            if "error" in values:
                console.print(f"[red]{name}: [/red]", end="")
                console.print(values["error"], markup=False)
            rounds[name].append(values)
    return rounds


def _versions() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
