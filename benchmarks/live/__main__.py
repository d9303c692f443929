"""Write at a steady rate while many subscribe to the collection: latency, events/s, memory, cost of a write.

Fails when the bars are missed: p99 of the time from the acknowledgement of a batch to its last event at 100 subscribers
is over 50 ms, or the median of an upsert is more than 10 % longer with one subscriber than with none.

The server has all processors but the last; the writer (vectron_client) and the process with the subscribers share that
one. Each batch is due at a fixed time, whether or not the one before it was answered in time.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.load.subject import COLLECTION, Subject, divided, served
from vectron_client import Point, VectronClient

DIMENSION: Final = 128
MOST_P99_MS: Final = 50.0
MOST_SLOWER: Final = 1.10
_PATH: Final = f"/api/v1/events?channels=collection:{COLLECTION}"
# Seconds that delivery is waited for after the last write. Generous: what is late is seen in the figures.
_DRAIN_SECONDS: Final = 30.0


@dataclass
class Written:
    """Batches that were written.

    Attributes:
        first: version of the first change.
        size: points of a batch.
        asked, answered: nanoseconds of the monotonic clock, for each batch.
    """

    first: int
    size: int
    asked: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Median of the time from asking to the answer."""
        return statistics.median(b - a for a, b in zip(self.asked, self.answered, strict=True)) / 1e6

    @property
    def last(self) -> int:
        """Version of the last change."""
        return self.first + self.size * len(self.asked) - 1


class Writer:
    """Upserts new points, and knows their versions."""

    def __init__(self, subject: Subject) -> None:
        self._client = VectronClient(subject.grpc_address, api_key=subject.key)
        self._rows = np.random.default_rng(11).standard_normal((1_024, DIMENSION), np.float32)
        self._next = 0

    def write(self, size: int, points_per_second: float, seconds: float) -> Written:
        """Write batches of a size, each at its time; as fast as they are answered when the rate is infinite."""
        written = Written(self._next + 1, size)
        began = time.monotonic_ns()
        while True:
            due = began + int(len(written.asked) * size / points_per_second * 1e9)
            if max(due, time.monotonic_ns()) - began >= seconds * 1e9:
                return written
            time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            batch = [
                Point(id=str(self._next + n), vector=self._rows[(self._next + n) % len(self._rows)], payload={"n": n})
                for n in range(size)
            ]
            written.asked.append(time.monotonic_ns())
            self._client.upsert(COLLECTION, batch)
            written.answered.append(time.monotonic_ns())
            self._next += size

    def close(self) -> None:
        """Close the client."""
        self._client.close()


@dataclass
class Delivered:
    """Events as they came: subscriber, time, number, and version of the last one."""

    who: np.ndarray
    when: np.ndarray
    count: np.ndarray
    version: np.ndarray

    def latencies_ms(self, written: Written, subscribers: int) -> np.ndarray:
        """Return for each batch and subscriber the time from the acknowledgement to the last event, 0 at least."""
        lasts = written.first - 1 + written.size * (1 + np.arange(len(written.asked)))
        answered = np.array(written.answered)
        found = []
        for each in range(subscribers):
            own = self.who == each
            place = np.searchsorted(self.version[own], lasts)
            found.append(np.maximum(0, self.when[own][place] - answered))
        return np.concatenate(found) / 1e6

    def events_per_second(self, written: Written) -> float:
        """Return how many events came in a second, from the first write to the last event."""
        return float(self.count.sum() / ((self.when.max() - written.asked[0]) / 1e9))


class Subscribers:
    """A process with subscribers."""

    def __init__(self, subject: Subject, number: int, directory: Path) -> None:
        self.number = number
        self._file = directory / "delivered.npy"
        arguments = [str(subject.http_port), str(number), _PATH, str(self._file)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.live.readers", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{subject.key}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit("the subscribers did not connect")

    def wait_for(self, version: int) -> Delivered:
        """Return what came, once every subscriber has the change of this version."""
        self._process.communicate(f"{version}\n", timeout=_DRAIN_SECONDS)
        return Delivered(*np.load(self._file))


@contextmanager
def subscribed(subject: Subject, number: int, directory: Path) -> Iterator[Subscribers | None]:
    """Subscribe so many; none is a process less."""
    subscribers = Subscribers(subject, number, directory) if number else None
    try:
        yield subscribers
    finally:
        if subscribers is not None and subscribers._process.poll() is None:
            subscribers._process.kill()
            subscribers._process.wait()


@dataclass
class Figures:
    """Results of one number of subscribers, over all rounds."""

    medians_ms: list[float] = field(default_factory=list)
    latencies_ms: list[np.ndarray] = field(default_factory=list)
    events: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)


def measure(
    subject: Subject, writer: Writer, number: int, rate: tuple[int, float, float], directory: Path, figures: Figures
) -> None:
    """Write once with so many subscribers."""
    size, points_per_second, seconds = rate
    with subscribed(subject, number, directory) as subscribers:
        writer.write(size, points_per_second, 0.5)
        cpu, began = subject.processor_seconds(), time.monotonic()
        written = writer.write(size, points_per_second, seconds)
        figures.processors.append((subject.processor_seconds() - cpu) / (time.monotonic() - began))
        figures.medians_ms.append(written.median_ms)
        if subscribers is None:
            return
        delivered = subscribers.wait_for(written.last)
    figures.latencies_ms.append(delivered.latencies_ms(written, number))
    own = delivered.version > written.first
    figures.events.append(
        Delivered(
            delivered.who[own], delivered.when[own], delivered.count[own], delivered.version[own]
        ).events_per_second(written)
    )


def memory_of(subject: Subject, writer: Writer, number: int, directory: Path) -> float:
    """Return KiB of the server for each of so many subscribers who were sent something."""
    before = subject.resident_mib()
    with subscribed(subject, number, directory):
        writer.write(20, 200, 1.0)
        return (subject.resident_mib() - before) * 1024 / number


def main() -> int:
    """Measure everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works")
    given = parser.parse_args()
    seconds, rounds = (1.5, 1) if given.quick else (given.seconds, given.rounds)
    steady, slow, flood = (256, 5_000.0, seconds), (20, 200.0, seconds), (256, float("inf"), seconds)
    plans = {
        "5,000 points/s": (steady, (0, 1, 100)),
        "200 points/s": (slow, (0, 1_000)),
        "as fast as answered": (flood, (0, 1, 100)),
    }
    limits = ("live-streams-per-account", "live-streams-per-address", "connections-per-address")
    options = [word for limit in limits for word in (f"--max-{limit}", "2000")]
    processors = divided()
    if processors is None:
        print("one processor: subscribers share it with the server, and the figures are of both")
    found: dict[tuple[str, int], Figures] = {}
    with (
        tempfile.TemporaryDirectory(prefix="vectrograph-live-") as name,
        served(Path(name), 0, DIMENSION, processors, *options) as subject,
    ):
        writer = Writer(subject)
        writer.write(256, 5_000.0, 1.0)
        memory = memory_of(subject, writer, 100 if given.quick else 1_000, Path(name))
        for _ in range(rounds):
            for plan, (rate, numbers) in plans.items():
                for number in numbers:
                    figures = found.setdefault((plan, number), Figures())
                    measure(subject, writer, number, rate, Path(name), figures)
        writer.close()
    heads = ("subscribers", 11), ("upsert p50", 11), ("late p50", 9), ("late p99", 9), ("events/s", 11), ("CPU", 5)
    print(f"{'written':20} {' '.join(f'{head:>{width}}' for head, width in heads)}")
    for (plan, number), figures in found.items():
        line = f"{plan:20} {number:11} {statistics.median(figures.medians_ms):8.2f} ms"
        if figures.latencies_ms:
            late = np.concatenate(figures.latencies_ms)
            line += f" {np.percentile(late, 50):6.1f} ms {np.percentile(late, 99):6.1f} ms"
            line += f" {statistics.median(figures.events):11,.0f}"
        else:
            line += " " * 33
        print(f"{line} {statistics.median(figures.processors):5.2f}")
    print(f"memory of the server for each subscriber: {memory:.1f} KiB")
    return _judged(found)


def _judged(found: dict[tuple[str, int], Figures]) -> int:
    late = np.percentile(np.concatenate(found["5,000 points/s", 100].latencies_ms), 99)
    alone, one = (statistics.median(found["5,000 points/s", number].medians_ms) for number in (0, 1))
    problems = []
    if late > MOST_P99_MS:
        problems.append(f"p99 with 100 subscribers is {late:.1f} ms, and {MOST_P99_MS:g} ms is the bar")
    if one > MOST_SLOWER * alone:
        problems.append(f"an upsert takes {one / alone:.2f} times as long with one subscriber")
    for problem in problems:
        print(f"FAILED  {problem}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
