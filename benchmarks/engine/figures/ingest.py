"""Rate of inserts: until acknowledged, and until fully indexed."""

from pathlib import Path
from typing import Any

from benchmarks.engine.conditions import Labels, labels_of
from benchmarks.engine.datasets import DataSet, load
from benchmarks.engine.jobs import Job
from benchmarks.engine.subjects import open_subject
from benchmarks.engine.subjects.base import Durability, Shape, Subject
from benchmarks.engine.timing import seconds_of


def shape_of(job: Job, data: DataSet) -> Shape:
    """Return the shape of the collection a job is about."""
    return Shape(data.dimension, job.cell.distance, job.threads, job.filterable)


def fill(subject: Subject, data: DataSet, labels: Labels, first: int, last: int, batch: int, flush: bool) -> None:
    """Insert rows `first` to `last` in batches, with a flush after each where that is asked for."""
    for start, vectors in data.batches(first, last, batch):
        subject.insert(start, vectors, labels.of(start, len(vectors)))
        if flush:
            subject.sync()


def ingest(job: Job) -> dict[str, Any]:
    """Fill a new collection in batches of 256 with a label payload, wait until it is indexed, close it.

    With the option `flush`, a subject that syncs only on request is asked to after every batch. Reading the rows from
    the page cache and making the objects that the engine's API takes is part of the time, for all alike.

    Returns:
        acknowledged, indexed: rows/s. durable: whether every acknowledged batch was on the disk.
    """
    data = load(job.cell.source, job.cell.rows, Path(job.cache))
    labels = labels_of(data, job.cell.distance)
    subject = open_subject(job.subject, Path(job.directory), shape_of(job, data))
    flush = bool(job.options.get("flush"))
    acknowledging = seconds_of(lambda: fill(subject, data, labels, 0, data.rows, job.budget.batch, flush=flush))
    indexing = seconds_of(subject.wait_indexed)
    subject.close()
    return {
        "acknowledged": data.rows / acknowledging,
        "indexed": data.rows / (acknowledging + indexing),
        "durable": subject.durability is Durability.BATCH or (flush and subject.durability is Durability.REQUEST),
    }
