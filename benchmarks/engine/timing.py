"""Clocks: queries a second by one or more threads, latencies, and recall passes that stop in time."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.engine.conditions import Group, Labels
from benchmarks.engine.datasets import DataSet
from benchmarks.engine.jobs import Budget
from benchmarks.engine.subjects.base import Effort, Subject
from benchmarks.engine.truth import K, Truth, recall

_WARM_UP: Final = 10


@dataclass(frozen=True)
class Questions:
    """Groups of queries with the exact answers to each, over one data set."""

    data: DataSet
    labels: Labels
    groups: Sequence[Group]
    truths: Sequence[Truth]


def measured_recall(subject: Subject, questions: Questions, effort: Effort, budget: Budget) -> float:
    """Return recall of one pass over the queries of all groups; each group's pass stops when its share of the time is
    over.

    It also warms up whatever the timed run that follows needs.
    """
    shares = []
    for group, truth in zip(questions.groups, questions.truths, strict=True):
        subject.prepare(effort, group.condition)
        stop = time.perf_counter() + budget.recall_seconds / len(questions.groups)
        answers: list[list[int]] = []
        for query in group.queries:
            answers.append(subject.search(query, K))
            if time.perf_counter() > stop and len(answers) >= budget.least_queries:
                break
        shares.append(recall(truth, questions.data, questions.labels, group.queries, answers, group.condition))
    return float(np.mean(shares))


def queries_per_second(subject: Subject, questions: Questions, effort: Effort, seconds: float, threads: int) -> float:
    """Return queries answered a second, one at a time in each thread, in about `seconds` shared by all groups."""
    answered, elapsed = 0, 0.0
    share = seconds / len(questions.groups)
    for group in questions.groups:
        subject.prepare(effort, group.condition)
        for query in group.queries[:_WARM_UP]:
            subject.search(query, K)
        count, took = _count_for(subject, group, share, threads)
        answered, elapsed = answered + count, elapsed + took
    return answered / elapsed


def _count_for(subject: Subject, group: Group, seconds: float, threads: int) -> tuple[int, float]:
    barrier = threading.Barrier(threads + 1)
    counts = [0] * threads
    problems: list[Exception] = []
    stop = threading.Event()

    def ask(number: int) -> None:
        queries = np.roll(group.queries, number * len(group.queries) // threads, axis=0)
        barrier.wait()
        try:
            while not stop.is_set():
                for query in queries:
                    subject.search(query, K)
                    counts[number] += 1
                    if stop.is_set():
                        break
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            problems.append(error)

    workers = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - start
    if problems:
        raise problems[0]
    return sum(counts), elapsed


def seconds_of(action: Callable[[], object]) -> float:
    """Return wall-clock seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
