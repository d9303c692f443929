"""All proofs for long: python -m torture [--seed N] [--kills N] [--outages N] [--spoils N] [--home DIRECTORY]."""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from torture import damage, kills, power_loss
from torture.seeds import VARIABLE, seed
from torture.story import DOCS, NUMBERS

Part: TypeAlias = Callable[[random.Random, int, Path], str]
"""Does so many of its kind in a directory of its own, and says in words how many."""

_EVERY_SECONDS = 2.0
_EVERY_SECONDS_IN_A_FILE = 15.0
_OUTAGES_PER_STORY = 200


class Progress:
    """One line that tells how far a part has come, written anew every two seconds; a line now and then in a file."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._started = self._told = time.monotonic()

    def __call__(self, done: int) -> None:
        """Show how many are done."""
        now, terminal = time.monotonic(), sys.stdout.isatty()
        if done == self._total or now - self._told > (_EVERY_SECONDS if terminal else _EVERY_SECONDS_IN_A_FILE):
            self._told = now
            end = "\r" if terminal and done != self._total else "\n"
            print(f"{self._name}: {done} of {self._total}, {now - self._started:.0f} s", end=end, flush=True)


def _outages(chance: random.Random, count: int, home: Path) -> str:
    progress, done = Progress("power failures", count), 0
    losses: Counter[str] = Counter()
    while done < count:
        part = min(_OUTAGES_PER_STORY, count - done)
        with tempfile.TemporaryDirectory(dir=home) as directory:
            before = done

            def told(number: int, outage: power_loss.Outage, before: int = before) -> None:
                losses[str(outage.loss)] += 1
                progress(before + number)

            power_loss.run(chance.randrange(1 << 30), 60, part, Path(directory), told)
        done += part
    print("".join(f"  {times:5} {loss}\n" for loss, times in sorted(losses.items())), end="")
    return f"{count} power failures"


def _kills(chance: random.Random, count: int, home: Path) -> str:
    progress = Progress("kill -9", count)
    tally = kills.run(chance.randrange(1 << 30), count, home, lambda done, _: progress(done))
    for place, times in sorted(tally.deaths.items()):
        print(f"  {times:5} {place}")
    print(f"  {tally.steps} acknowledged steps are all there; {tally.under_way} steps under way were there whole")
    if tally.walks.wanted:
        print(f"  walks along the graph met {tally.walks.recall():.5f} of {tally.walks.wanted} neighbours")
    return f"{count} deaths by kill -9"


def _spoils(chance: random.Random, count: int, home: Path) -> str:
    victim = damage.Victim(home, chance.randrange(1 << 30))
    damage.spoil_derived(victim, chance, count, Progress("spoilt derived files", count))
    outcomes = damage.spoil_truth(victim, chance, count, Progress("spoilt SQLite files, logs and manifests", count))
    columns = damage.spoil_columns(victim, lambda _: damage.VALUES)
    places = [*damage.places(victim, DOCS), *(place for place in damage.places(victim, NUMBERS) if place.name)]
    pages = damage.spoil_schema(victim, chance, places, Progress("bits of headers and schemas", len(places)))
    for (place, outcome), times in sorted([*outcomes.counts.items(), *columns.counts.items(), *pages.counts.items()]):
        print(f"  {times:5} {place}: {outcome}")
    return f"{2 * count} spoilt files, {columns.counts.total()} spoilt values, {len(places)} spoilt bits of first pages"


_PARTS: Final[Mapping[str, Part]] = {"outages": _outages, "spoils": _spoils, "kills": _kills}


def main(arguments: list[str] | None = None) -> int:
    """Run all parts; the first that fails ends it with what it found, and how to find it again."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--seed", type=int, help=f"of everything; {VARIABLE} does the same")
    parser.add_argument("--kills", type=int, default=300, help="processes that die by kill -9 (300)")
    parser.add_argument("--outages", type=int, default=2000, help="power failures (2000)")
    parser.add_argument("--spoils", type=int, default=1000, help="spoilt derived files, and as many of SQLite (1000)")
    parser.add_argument("--home", type=Path, help="where databases are made (a temporary directory)")
    options = parser.parse_args(arguments)
    chosen = seed() if options.seed is None else options.seed
    print(f"seed {chosen}", flush=True)
    logging.getLogger("vectrograph").setLevel(logging.CRITICAL)
    started = time.monotonic()
    done = []
    for name, part in _PARTS.items():
        count = getattr(options, name)
        if not count:
            continue
        directory = Path(tempfile.mkdtemp(prefix="torture-", dir=options.home))
        try:
            # Of its own chance, so that it goes the same way without the others.
            done.append(part(random.Random(f"{chosen} {name}"), count, directory))
        except Exception:  # noqa: BLE001 - whatever it was is told, and what it takes to see it again
            _tell(name, chosen, count, directory)
            return 1
        shutil.rmtree(directory, ignore_errors=True)
    survived = ", ".join(done) or "nothing was tried"
    print(f"Nothing was lost: {survived}. Seed {chosen}, {time.monotonic() - started:.0f} s.")
    return 0


def _tell(failed: str, chosen: int, count: int, directory: Path) -> None:
    print(flush=True)
    traceback.print_exc()
    counts = " ".join(f"--{name} {count if name == failed else 0}" for name in _PARTS)
    print(f'\nFAILED. What was found is in {directory}. Repeat it with: make torture ARGS="--seed {chosen} {counts}"')


if __name__ == "__main__":
    sys.exit(main())
