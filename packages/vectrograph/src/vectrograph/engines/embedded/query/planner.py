"""Chooses how to answer a search: compare everything, compare what matches, or walk along the links of the graph.

The choice is by cost (`index.effort`): how many rows there are, how many of them match, how many are wanted, and the
beam that was measured to hold the recall. A walk that meets fewer matches than it counted on got lost, because the
matches are where the query is not; it is given up for a scan. So min(k, matches) rows are found always.

Rows behind the graph are compared exactly, whatever the route, and every rank is decided by the one kernel.
"""

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import Distance
from vectrograph.domain.points import Vector
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.engines.embedded.index.code_scan import scan_codes, scan_rows
from vectrograph.engines.embedded.index.effort import Route, beam_for, cheapest_route, cost, trustworthy
from vectrograph.engines.embedded.index.float32_arithmetic import LONGEST, SHORTEST
from vectrograph.engines.embedded.index.graph import Nearest, ServedGraph
from vectrograph.engines.embedded.index.refine import Query
from vectrograph.engines.embedded.rows.exact_scan import ExactScan, Question, Ranking
from vectrograph.engines.embedded.rows.view import Mask, Rows, View

Choice: TypeAlias = Callable[[int, int, int, int], Route]
"""Function from nodes, how many of them may be found, dimension and beam to the route to take."""

WALK: Final = "graph walk"
"""Along the links of the graph; what was met was refined with the original vectors."""
CODES: Final = "code scan"
"""All codes that may be found were compared, the nearest refined with the original vectors."""
ROWS: Final = "row scan"
"""The original vectors of all rows that may be found were compared."""
ABANDONED: Final = "graph walk given up for a {}"
"""The walk met fewer matches than it counted on."""

INDEX: Final = "hnsw"

_COMPONENT_SECONDS: Final = 2.5e-10
"""Of an exact scan, about."""

_STRATEGIES: Final = {Route.WALK: WALK, Route.CODES: CODES, Route.ROWS: ROWS}


class Planner:
    """A `Searcher` that takes the cheapest route that finds enough.

    Args:
        choose: decides between the routes.
        placement: where searching threads run.
    """

    def __init__(self, choose: Choice = cheapest_route, placement: ThreadPlacement | None = None) -> None:
        self._choose = choose
        self._placement = placement or ThreadPlacement()
        self._exact = ExactScan()

    def search(self, view: View, question: Question, check_cancelled: Cancellation) -> list[Ranking]:
        """Return the best rows for each query; see `Searcher.search`."""
        served = view.served
        if question.exact or served is None or not len(served.graph.hnsw):
            self._placement.before_native_work(len(question.queries) * view.vectors.size * _COMPONENT_SECONDS)
            return self._exact.search(view, question, check_cancelled)
        search = _Search(view, served, question, check_cancelled, self._choose, self._exact)
        self._placement.before_native_work(search.seconds)
        return search.run()


class _Search:
    """One question to one View that has a graph."""

    def __init__(
        self,
        view: View,
        served: ServedGraph,
        question: Question,
        check_cancelled: Cancellation,
        choose: Choice,
        exact: ExactScan,
    ) -> None:
        graph, base = served.graph, served.beam
        self._view = view
        self._graph = graph
        self._question = question
        self._check_cancelled = check_cancelled
        self._exact = exact
        self._allowed = question.allowed
        if self._allowed is None and view.count < len(view.labels):
            self._allowed = view.live
        nodes, covered = len(graph.hnsw), graph.covered
        self._inside = covered if self._allowed is None else int(np.count_nonzero(self._allowed[:covered]))
        share = min(1.0, self._inside / nodes)
        self._beam = nodes
        if base is not None and self._inside:
            self._beam = self._wanted_beam(base, share)
        self._expected = min(round(self._beam * share), self._inside)
        self._route = choose(nodes, self._inside, graph.space.dimension, self._beam)
        if base is None and self._route is Route.WALK:
            self._route = Route.CODES

    @property
    def seconds(self) -> float:
        """About how long all queries will take outside of Python."""
        hnsw, dimension = self._graph.hnsw, self._graph.space.dimension
        if self._route is Route.WALK and hnsw.pace:
            return len(self._question.queries) * self._beam * hnsw.pace
        return len(self._question.queries) * 1e-9 * cost(self._route, len(hnsw), self._inside, dimension, self._beam)

    def _wanted_beam(self, base: int, share: float) -> int:
        if self._question.beam is not None:
            return math.ceil(max(self._question.best, self._question.beam) / share)
        return beam_for(self._question.best, base, share)

    def run(self) -> list[Ranking]:
        question, view = self._question, self._view
        queries = Query.of(question.distance, question.queries, question.best)
        walks: list[Nearest | None] = [None] * len(queries)
        if self._route is Route.WALK:
            walks = [
                *self._graph.search(
                    view, queries, self._beam, allowed=self._allowed, check_cancelled=self._check_cancelled
                )
            ]
        behind = self._behind()
        rankings = []
        for nth, (query, walk) in enumerate(zip(queries, walks, strict=True)):
            self._check_cancelled()
            if walk is not None and self._found_enough(walk):
                rankings.append(self._ranking(nth, WALK, walk, walk, behind))
            elif _comparable(query):
                # A query without a place in the space of the graph was not walked for.
                rankings.append(self._scan(nth, query, walk if walk is None or walk.visited else None, behind))
            else:
                rankings.append(self._exact.search(view, self._one(nth, self._allowed), self._check_cancelled)[0])
        return rankings

    def _found_enough(self, walk: Nearest) -> bool:
        if len(walk.rows) < min(self._question.best, self._inside):
            return False
        return self._allowed is None or trustworthy(walk.matched, self._expected)

    def _scan(self, nth: int, query: Query, walk: Nearest | None, behind: View | None) -> Ranking:
        graph, route = self._graph, self._route
        if route is Route.WALK and walk is None:
            route = Route.ROWS
        elif route is Route.WALK:
            route = cheapest_route(len(graph.hnsw), self._inside, graph.space.dimension, len(graph.hnsw))
        scan = scan_codes if route is Route.CODES else scan_rows
        nearest = scan(graph, self._view, query, allowed=self._allowed, check_cancelled=self._check_cancelled)
        strategy = _STRATEGIES[route] if walk is None else ABANDONED.format(_STRATEGIES[route])
        return self._ranking(nth, strategy, nearest, walk, behind)

    # ------------------------------------------------------------ rows behind the graph

    def _behind(self) -> View | None:
        """Return the rows behind the graph that may be found, as a View of their own; None when there are none."""
        view, start = self._view, self._graph.covered
        if start >= len(view.labels):
            return None
        rows = slice(start, None)
        live = view.live[rows] if self._allowed is None else self._allowed[rows]
        count = int(np.count_nonzero(live))
        if not count:
            return None
        return View(
            view.seq, count, view.vectors[rows], view.lengths[rows], view.labels[rows], view.created[rows], live
        )

    def _ranking(self, nth: int, strategy: str, nearest: Nearest, walk: Nearest | None, behind: View | None) -> Ranking:
        """Return the best of the graph and of what is behind it, ties newest first, nothing beyond the bound."""
        question, rows, scores, scanned = self._question, nearest.rows, nearest.scores, nearest.visited
        if walk is not None and walk is not nearest:
            scanned += walk.visited
        if behind is not None:
            more = self._exact.search(behind, self._one(nth, None), self._check_cancelled)[0]
            rows = np.concatenate([rows, more.rows + self._graph.covered])
            scores = np.concatenate([scores, more.scores])
            scanned += behind.count
        rows, scores = _best(self._view, rows, scores, question)
        if walk is None:
            return Ranking(rows, scores, scanned, strategy, INDEX)
        return Ranking(rows, scores, scanned, strategy, INDEX, self._beam, self._expected, walk.matched)

    def _one(self, nth: int, allowed: Mask | None) -> Question:
        question = self._question
        return Question(
            distance=question.distance,
            queries=question.queries[nth : nth + 1],
            best=question.best,
            max_score=question.max_score,
            allowed=allowed,
        )


def _comparable(query: Query) -> bool:
    """Return whether float32 products with the query neither vanish nor overflow."""
    return SHORTEST <= query.length <= LONGEST or (query.length == 0 and query.distance is not Distance.COSINE)


def _best(view: View, rows: Rows, scores: Vector, question: Question) -> tuple[Rows, Vector]:
    if question.max_score is not None:
        near = scores <= np.float64(question.max_score)
        rows, scores = rows[near], scores[near]
    if (scores[1:] > scores[:-1]).all():
        return rows[: question.best], scores[: question.best]
    order = np.lexsort((-view.created[rows], scores))[: question.best]
    return rows[order], scores[order]
