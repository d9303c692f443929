"""Queries a second at a stated recall, without and with a filter."""

from pathlib import Path
from typing import Any

from benchmarks.engine.conditions import Group, labels_of, unfiltered
from benchmarks.engine.conditions import filtered as filtered_groups
from benchmarks.engine.datasets import load
from benchmarks.engine.figures.ingest import shape_of
from benchmarks.engine.jobs import Job
from benchmarks.engine.subjects import open_subject
from benchmarks.engine.sweep import Sweep
from benchmarks.engine.timing import Questions, queries_per_second
from benchmarks.engine.truth import truth_of


def questions_of(job: Job, groups: list[Group]) -> Questions:
    """Return the groups with their exact answers."""
    data = load(job.cell.source, job.cell.rows, Path(job.cache))
    labels = labels_of(data, job.cell.distance)
    truths = [truth_of(data, labels, group.queries, job.cell.distance, group.condition, group.name) for group in groups]
    return Questions(data, labels, groups, truths)


def search(job: Job) -> dict[str, Any]:
    """Open a filled collection and ask one query at a time, in as many threads as the job has.

    Returns:
        For each target in the option `targets`, under its text: see `_at_targets`.
    """
    data = load(job.cell.source, job.cell.rows, Path(job.cache))
    return _at_targets(job, questions_of(job, unfiltered(data, job.budget.queries)))


def filtered(job: Job) -> dict[str, Any]:
    """Return the same under a condition; options `place` (random, near, far) and `percent`."""
    data = load(job.cell.source, job.cell.rows, Path(job.cache))
    groups = filtered_groups(data, job.cell.distance, job.options["place"], job.options["percent"], job.budget.queries)
    return _at_targets(job, questions_of(job, groups))


def _at_targets(job: Job, questions: Questions) -> dict[str, Any]:
    """For each target recall: queries a second, the recall that was measured, and the breadth and style that gave it.

    Where the target is out of reach there are no queries a second, and the recall is the best there was.
    """
    subject = open_subject(job.subject, Path(job.directory), shape_of(job, questions.data))
    sweep = Sweep(subject, questions, job.budget, job.threads)
    values: dict[str, Any] = {}
    for target in job.options["targets"]:
        hint = job.hints.get(f"{target}")
        reached = sweep.reach(target, hint)
        value: dict[str, Any] = {
            "recall": reached.recall,
            "breadth": reached.effort.breadth,
            "style": reached.effort.style,
        }
        if reached.enough:
            value["qps"] = queries_per_second(subject, questions, reached.effort, job.budget.seconds, job.threads)
        values[f"{target}"] = value
    subject.close()
    return values
