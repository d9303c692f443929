"""Recall of an index, measured in the background with recent queries, and on demand."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import Distance
from vectrograph.domain.errors import DomainError
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.recall import TARGET, judge, recall
from vectrograph.engines.embedded.rows.exact_scan import ExactScan, Question, Searcher
from vectrograph.engines.embedded.rows.view import Mask, View
from vectrograph.engines.embedded.upkeep.query_sample import QuerySample

if TYPE_CHECKING:
    from vectrograph.engines.embedded.upkeep.index_upkeep import Writing

SAMPLE: Final = 100
"""Queries that recall is measured with."""
RECENT: Final = "recent queries"
STORED: Final = "stored points"

# Recent queries that are enough to measure with; of fewer, stored points are taken instead.
_MIN_RECENT_QUERIES: Final = 30
# Any number: measured twice, a collection gives the same recall.
_SEED: Final = 13


class RecallMonitor:
    """A job of the worker: measure the recall of recent queries, and adapt how the index is served.

    Args:
        query_sample: recent queries.
        writing: opens the collection.
    """

    def __init__(self, query_sample: QuerySample, writing: "Writing") -> None:
        self._query_sample = query_sample
        self._writing = writing

    def run(self, check_cancelled: Cancellation) -> None:
        """Judge the index once; see `Job.run`."""
        self._query_sample.mark_judged()
        try:
            with self._writing() as content:
                view = content.view
            if view.served is None:
                return
            served = judge(view.served, view, view.live, self._query_sample.vectors(), check_cancelled)
            if served is view.served:
                return
            with self._writing() as content:
                if content.view.served is view.served:
                    content.builder.serve(served)
        except DomainError:
            # The collection is gone or damaged: whoever asks next is told.
            return


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Recall of searches for which the engine chooses the route.

    Attributes:
        recall: mean share of the truly nearest k that were found.
        queries: how many were compared.
        k: neighbours of each.
        strategies: how often each route was taken.
        beam: of the graph for ten neighbours, None where none is walked.
        source: "recent queries", or "stored points" where too few were asked: these are found more easily.
    """

    recall: float
    queries: int
    k: int
    strategies: dict[str, int]
    beam: int | None
    source: str

    @property
    def good(self) -> bool:
        """Return whether it reaches what the engine aims at."""
        return self.recall >= TARGET


def measure_recall(
    view: View,
    distance: Distance,
    recent: Vector,
    searcher: Searcher,
    check_cancelled: Cancellation,
    *,
    sample: int = SAMPLE,
    k: int = 10,
    matching: Mask | None = None,
) -> RecallReport:
    """Compare answers with exact ones.

    Args:
        view: where to look.
        distance: of the collection.
        recent: latest queries, shape (m, dimension).
        searcher: answers.
        check_cancelled: called now and then; may raise to stop.
        sample: how many queries to compare.
        k: neighbours of each.
        matching: live rows that match a filter; None for no filter.
    """
    vectors, allowed, source = recent[-sample:], matching, RECENT
    if len(vectors) < min(sample, _MIN_RECENT_QUERIES):
        rows = np.random.default_rng(_SEED).permutation(np.flatnonzero(view.live))[:sample]
        vectors, source = view.vectors[rows], STORED
        allowed = (view.live if matching is None else matching).copy()
        # Nothing is to be found by looking for itself.
        allowed[rows] = False
    question = Question(distance=distance, queries=vectors, best=k, allowed=allowed)
    shares, strategies = list[float](), Counter[str]()
    truths = ExactScan().search(view, question, check_cancelled)
    for found, truth in zip(searcher.search(view, question, check_cancelled), truths, strict=True):
        shares.append(recall(found.scores, truth.scores))
        strategies[found.strategy] += 1
    beam = view.served.beam if view.served is not None else None
    return RecallReport(float(np.mean(shares or [1.0])), len(shares), k, dict(strategies), beam, source)
