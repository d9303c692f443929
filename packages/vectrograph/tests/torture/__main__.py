"""All proofs for long: python -m torture [--seed N] [--kills N] [--outages N] [--spoils N] [--home DIRECTORY]."""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from torture import damage, kills, power_loss
from torture.seeds import VARIABLE, seed

_EVERY_SECONDS = 2.0
_OUTAGES_PER_STORY = 200


class Progress:
    """One line that tells how far a part has come, written anew every two seconds."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._started = self._told = time.monotonic()

    def __call__(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if done == self._total or now - self._told > _EVERY_SECONDS:
            self._told = now
            end = "\n" if done == self._total else "\r" if sys.stdout.isatty() else "\n"
            print(f"{self._name}: {done} of {self._total}, {now - self._started:.0f} s", end=end, flush=True)


def _outages(chance: random.Random, count: int, home: Path) -> None:
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
    print("".join(f"  {count:5} {loss}\n" for loss, count in sorted(losses.items())), end="")


def _kills(chance: random.Random, count: int, home: Path) -> None:
    progress = Progress("kill -9", count)
    tally = kills.run(chance.randrange(1 << 30), count, home, lambda done, _: progress(done))
    for place, times in sorted(tally.deaths.items()):
        print(f"  {times:5} {place}")
    print(f"  {tally.steps} acknowledged steps are all there; {tally.under_way} steps under way were there whole")
    if tally.walks.wanted:
        print(f"  walks along the graph met {tally.walks.recall():.5f} of {tally.walks.wanted} neighbours")


def _spoils(chance: random.Random, count: int, home: Path) -> None:
    victim = damage.Victim(home, chance.randrange(1 << 30))
    damage.spoil_derived(victim, chance, count, Progress("spoilt derived files", count))
    outcomes = damage.spoil_truth(victim, chance, count, Progress("spoilt SQLite files, logs and manifests", count))
    for (file, outcome), times in sorted(outcomes.counts.items()):
        print(f"  {times:5} {file}: {outcome}")


def main() -> None:
    """Run all parts; the first that fails ends it with what it found."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--seed", type=int, help=f"of everything; {VARIABLE} does the same")
    parser.add_argument("--kills", type=int, default=300, help="processes that die by kill -9 (300)")
    parser.add_argument("--outages", type=int, default=2000, help="power failures (2000)")
    parser.add_argument("--spoils", type=int, default=1000, help="spoilt derived files, and as many of SQLite (1000)")
    parser.add_argument("--home", type=Path, help="where databases are made (a temporary directory)")
    options = parser.parse_args()
    chosen = seed() if options.seed is None else options.seed
    print(f"seed {chosen}", flush=True)
    logging.getLogger("vectrograph").setLevel(logging.CRITICAL)
    started = time.monotonic()
    chance = random.Random(chosen)
    for part, count in ((_outages, options.outages), (_spoils, options.spoils), (_kills, options.kills)):
        with tempfile.TemporaryDirectory(prefix="torture-", dir=options.home, ignore_cleanup_errors=True) as directory:
            part(chance, count, Path(directory))
    print(f"Nothing was lost. Seed {chosen}, {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
