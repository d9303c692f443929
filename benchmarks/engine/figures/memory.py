"""Resident memory a vector, from the kernel's own account of the process."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.engine.conditions import labels_of, unfiltered
from benchmarks.engine.datasets import load
from benchmarks.engine.figures.ingest import fill, shape_of
from benchmarks.engine.jobs import Job
from benchmarks.engine.subjects import open_subject
from benchmarks.engine.subjects.base import USUAL_BREADTH, Effort
from benchmarks.engine.truth import K

_ROLLUP: Final = Path("/proc/self/smaps_rollup")
_STEADY_SHARE: Final = 0.005
_STEADY_LOOKS: Final = 4
_LOOK_SECONDS: Final = 0.25
_MOST_LOOKS: Final = 80


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes of this process in memory: anonymous ones (heap), and pages mapped from files."""

    anonymous: int
    mapped: int


def resident() -> Resident:
    """Return the kernel's figures of this moment.

    Raises:
        FileNotFoundError: this system has no /proc/self/smaps_rollup (it is not Linux).
    """
    kilobytes = {}
    for line in _ROLLUP.read_text(encoding="ascii").splitlines()[1:]:
        name, _, rest = line.partition(":")
        kilobytes[name] = int(rest.split()[0])
    anonymous = kilobytes["Anonymous"]
    return Resident(1024 * anonymous, 1024 * (kilobytes["Rss"] - anonymous))


def memory(job: Job) -> dict[str, Any]:
    """Fill, index and search a third of the rows, then all: the difference is the cost of the vectors between.

    Each time the figure is read when it has not changed for a second. Nothing is trimmed for the engine: what its
    allocator keeps, it keeps.

    Returns:
        anonymous, mapped: bytes a vector. small, large: bytes in all at both sizes. in_memory: at least a byte for
        every component is anonymous, so the engine holds its vectors, or codes of them, on the heap.
    """
    data = load(job.cell.source, job.cell.rows, Path(job.cache))
    labels = labels_of(data, job.cell.distance)
    subject = open_subject(job.subject, Path(job.directory), shape_of(job, data))
    queries = unfiltered(data, job.budget.queries)[0].queries
    subject.prepare(Effort(USUAL_BREADTH, subject.styles[0]), None)
    found, first = [], 0
    for last in (data.rows // 3, data.rows):
        fill(subject, data, labels, first, last, job.budget.batch, flush=False)
        subject.wait_indexed()
        for query in queries:
            subject.search(query, K)
        found.append(_steady())
        first = last
    small, large = found
    rows = data.rows - data.rows // 3
    subject.close()
    anonymous = (large.anonymous - small.anonymous) / rows
    return {
        "anonymous": anonymous,
        "in_memory": anonymous >= data.dimension,
        "mapped": (large.mapped - small.mapped) / rows,
        "small": {"anonymous": small.anonymous, "mapped": small.mapped},
        "large": {"anonymous": large.anonymous, "mapped": large.mapped},
    }


def _steady() -> Resident:
    """Return memory when it has stood still for some looks, or after the last look."""
    last, still = resident(), 0
    for _ in range(_MOST_LOOKS):
        time.sleep(_LOOK_SECONDS)
        now = resident()
        change = abs(now.anonymous - last.anonymous) + abs(now.mapped - last.mapped)
        still = still + 1 if change <= _STEADY_SHARE * (now.anonymous + now.mapped) else 0
        last = now
        if still == _STEADY_LOOKS:
            break
    return last
