"""Latency of searches while rows are inserted at full speed."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.engine.conditions import labels_of, unfiltered
from benchmarks.engine.datasets import Vectors, load
from benchmarks.engine.figures.ingest import fill, shape_of
from benchmarks.engine.figures.search import questions_of
from benchmarks.engine.jobs import Job
from benchmarks.engine.subjects import open_subject
from benchmarks.engine.subjects.base import Subject
from benchmarks.engine.sweep import Sweep
from benchmarks.engine.timing import seconds_of
from benchmarks.engine.truth import K

_TARGET: Final = 0.95


class _Writer(threading.Thread):
    """Inserts rows at full speed, then waits until they are indexed."""

    def __init__(self, insert: Callable[[], None], wait_indexed: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.acknowledged = threading.Event()
        self.done = threading.Event()
        self.seconds = 0.0
        self.problem: Exception | None = None
        self._insert = insert
        self._wait_indexed = wait_indexed

    def run(self) -> None:
        try:
            self.seconds = seconds_of(self._insert)
            self.acknowledged.set()
            self._wait_indexed()
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self.problem = error
        finally:
            self.acknowledged.set()
            self.done.set()


def mixed(job: Job) -> dict[str, Any]:
    """Fill and index half of the rows, then insert the other half from a second thread while this one searches.

    Searches are at recall .95. The job's cell names the first half; the option `rows` tells how many there are in all.

    Returns:
        p50, p99, worst: milliseconds of a search while batches were being acknowledged. indexed_p99, indexed_worst:
        the same over the time until everything was indexed too. searches: how many the first three stand on. rate:
        rows acknowledged a second.
    """
    cache, half = Path(job.cache), job.cell.rows
    whole = load(job.cell.source, job.options["rows"], cache)
    labels = labels_of(whole, job.cell.distance)
    questions = questions_of(job, unfiltered(load(job.cell.source, half, cache), job.budget.queries))
    subject = open_subject(job.subject, Path(job.directory), shape_of(job, whole))
    fill(subject, whole, labels, 0, half, job.budget.batch, flush=False)
    subject.wait_indexed()
    reached = Sweep(subject, questions, job.budget, threads=1).reach(_TARGET)
    subject.prepare(reached.effort, None)
    writer = _Writer(
        lambda: fill(subject, whole, labels, half, whole.rows, job.budget.batch, flush=False),
        subject.wait_indexed,
    )
    writer.start()
    inserting, indexing = _latencies(subject, questions.groups[0].queries, writer)
    writer.join()
    if writer.problem is not None:
        raise writer.problem
    subject.close()
    rate = (whole.rows - half) / writer.seconds
    return _summary(inserting, inserting + indexing) | {"recall": reached.recall, "rate": rate}


def _latencies(subject: Subject, queries: Vectors, writer: _Writer) -> tuple[list[float], list[float]]:
    """Return milliseconds of every search begun while rows were inserted, and of those begun while they were
    indexed.
    """
    inserting: list[float] = []
    indexing: list[float] = []
    asked = 0
    while asked == 0 or not writer.done.is_set():
        into = indexing if asked and writer.acknowledged.is_set() else inserting
        start = time.perf_counter()
        subject.search(queries[asked % len(queries)], K)
        into.append(1e3 * (time.perf_counter() - start))
        asked += 1
    return inserting, indexing


def _summary(inserting: list[float], everything: list[float]) -> dict[str, Any]:
    return {
        "p50": float(np.percentile(inserting, 50)),
        "p99": float(np.percentile(inserting, 99)),
        "worst": max(inserting),
        "indexed_p99": float(np.percentile(everything, 99)),
        "indexed_worst": max(everything),
        "searches": len(inserting),
    }
