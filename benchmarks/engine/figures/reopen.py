"""Time until a filled collection is open and answers its first query."""

import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.engine.conditions import unfiltered
from benchmarks.engine.datasets import load
from benchmarks.engine.figures.ingest import shape_of
from benchmarks.engine.figures.search import questions_of
from benchmarks.engine.jobs import Job
from benchmarks.engine.subjects import SUBJECTS, open_subject, subject_class
from benchmarks.engine.subjects.base import USUAL_BREADTH, Effort
from benchmarks.engine.truth import K, recall


def reopen(job: Job) -> dict[str, Any]:
    """Open a collection that another process filled, indexed and closed, and ask one query.

    The page cache is warm, as after a restart of the program.
    Importing the engine is part of the time, because whoever reopens a database has just started; it is told beside it.

    Returns:
        seconds: from before the import to the first answer. importing: the share of the import. recall: of the first
        twenty answers, at a breadth of `USUAL_BREADTH`.
    """
    questions = questions_of(job, unfiltered(load(job.cell.source, job.cell.rows, Path(job.cache)), job.budget.queries))
    group = questions.groups[0]
    start = time.perf_counter()
    import_module(SUBJECTS[job.subject].package)
    importing = time.perf_counter() - start
    effort = Effort(USUAL_BREADTH, subject_class(job.subject).styles[0])
    subject = open_subject(job.subject, Path(job.directory), shape_of(job, questions.data))
    subject.prepare(effort, None)
    answers = [subject.search(group.queries[0], K)]
    seconds = time.perf_counter() - start
    answers += [subject.search(query, K) for query in group.queries[1:20]]
    found = recall(questions.truths[0], questions.data, questions.labels, group.queries, answers, None)
    subject.close()
    return {"seconds": seconds, "importing": importing, "recall": found}
