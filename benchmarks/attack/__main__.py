"""Attack a server in every way that it is to withstand, and say what another caller notices of it.

Each attack has a fresh server with a collection, an attacker in a process of its own, and a prober in another one that
asks for the health, a token and two searches at fixed times. SIGTERM comes while the attack goes on. Fails when a probe
is not answered, their p99 is 250 ms or more, memory grows by more than 256 MiB, or the server does not stop in time.

As in the load bench, the server has all processors but the last, and everybody else has that one.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.judging import problems
from benchmarks.attack.measuring import CALM, Measurement, measured
from benchmarks.engine.bars import Verdict
from benchmarks.engine.jobs import without_paths
from benchmarks.engine.machine import description
from benchmarks.engine.report import RESULTS, write
from benchmarks.load.subject import divided

_FORMAT: Final = 1
_WIDTH: Final = 180
_COLUMNS: Final = (
    "sent", "refused", "cut off", "answered", "p50 ms", "p99 ms", "max ms", "MiB before", "MiB peak", "threads",
    "descriptors", "stop s",
)  # fmt: skip


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read and check the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few points, short: shows that it works, no more")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"this attack; may be given again. {', '.join(ATTACKS)}"
    )
    parser.add_argument("--seconds", type=float, help="of each attack (default 5, quick 1)")
    parser.add_argument("--points", type=int, help="points to search (default 20,000, quick 2,000)")
    parser.add_argument("--output", type=Path, help="JSON file (default: named by the time, under benchmarks/results)")
    chosen = parser.parse_args(given)
    chosen.only = chosen.only or list(ATTACKS)
    if unknown := [name for name in chosen.only if name not in ATTACKS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(ATTACKS)}")
    chosen.seconds = chosen.seconds or (1.0 if chosen.quick else 5.0)
    chosen.points = chosen.points or (2_000 if chosen.quick else 20_000)
    return chosen


def main(given: Sequence[str]) -> int:
    """Attack, print the table, write the JSON file. 1 when a bar was missed or an attack could not be measured."""
    chosen = arguments(given)
    # Whoever ends this bench ends its servers too.
    signal.signal(signal.SIGTERM, _stop)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    machine = description([], Path(tempfile.gettempdir()))
    processors = divided()
    if processors is None:
        console.print("One processor: the callers share it with the server, and the figures are of both.")
    started = datetime.now(UTC)
    found: list[Measurement] = []
    failures: dict[str, list[str]] = {}
    for name in (CALM, *chosen.only):
        try:
            found.append(measured(name, chosen.points, chosen.seconds, processors))
        except Exception as error:  # noqa: BLE001  (told in the table; the other attacks are measured all the same)
            failures[name] = [f"could not be measured: {type(error).__name__}: {without_paths(str(error))}"]
        else:
            failures[name] = problems(found[-1])
        console.print(f"{name}: {'; '.join(failures[name]) or 'met'}", markup=False)
    console.print(table(found, failures))
    missed = [name for name, reasons in failures.items() if reasons]
    console.print(f"{len(failures) - len(missed)} of {len(failures)} met their bars.")
    if CALM in missed:
        console.print("Missed without an attack too: something else runs on this machine, or it is too slow.")
    kind = "attack-quick" if chosen.quick else "attack"
    path = chosen.output or RESULTS / f"{kind}-{started:%Y%m%d-%H%M%S}.json"
    settings = {name: getattr(chosen, name) for name in ("quick", "only", "seconds", "points")}
    content: dict[str, Any] = {
        "format": _FORMAT,
        "machine": machine,
        "settings": {"started": started.isoformat(timespec="seconds"), **settings},
        "attacks": [asdict(each) for each in found],
        "problems": failures,
    }
    write(path, content)
    console.print(f"Written: {path.name}")
    return int(bool(missed))


def _stop(*_: object) -> None:
    raise SystemExit("stopped")


def table(found: Sequence[Measurement], failures: dict[str, list[str]]) -> Table:
    """Return all measurements side by side."""
    made = Table(box=SIMPLE_HEAD, title="probes of another caller", title_justify="left", pad_edge=False)
    made.add_column("attack")
    for name in _COLUMNS:
        made.add_column(name, justify="right")
    made.add_column("verdict")
    for each in found:
        missed = bool(failures[each.attack])
        made.add_row(
            Text(each.attack),
            *(f"{number:,}" for number in (each.sent, each.refused, each.cut_off)),
            f"{each.answered} / {each.asked}",
            *(f"{each.quantile(share):.1f}" for share in (0.5, 0.99, 1.0)),
            *(f"{mib:.0f}" for mib in (each.memory_before_mib, each.memory_mib)),
            *(str(number) for number in (each.threads, each.descriptors)),
            f"{each.stop_seconds:.1f}",
            Text(Verdict.MISSED, style="red") if missed else Text(Verdict.MET, style="green"),
        )
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
