"""The held-out queries with their exact answers, and how much of those a server has found."""

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.engine.conditions import labels_of, unfiltered
from benchmarks.engine.datasets import DataSet, Vectors
from benchmarks.engine.truth import recall, truth_of

DISTANCE: Final = "cosine"
QUERIES: Final = 500


def queries_of(data: DataSet) -> Vectors:
    """Return the queries that are asked, (n, dimension)."""
    return data.queries[:QUERIES]


def recall_of(data: DataSet, search: Callable[[Vectors], Sequence[int]]) -> float:
    """Return recall@10 of a way to search, judged by distance as the engine bench does."""
    [group] = unfiltered(data, QUERIES)
    labels = labels_of(data, DISTANCE)
    truth = truth_of(data, labels, group.queries, DISTANCE, None, group.name)
    answers = [list(search(query)) for query in group.queries]
    return recall(truth, data, labels, group.queries, answers, None)
