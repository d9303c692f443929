"""Making graphs within the memory budget, and deciding how they are served."""

from typing import Final

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.engines.embedded.index.graph import LINKS, Graph, ServedGraph
from vectrograph.engines.embedded.rows.memory_budget import Reservation
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.upkeep.background import Background

_COPYING: Final = 1.5
"""A copy that is added to moves once to a larger place: the codes, then the links."""


class GraphMaker:
    """Makes the graphs of one collection; the bytes of each are taken from the budget for as long as it is in use.

    Args:
        distance: of the collection.
        quantisation: of its graphs.
        background: what the collections share.
    """

    def __init__(self, distance: Distance, quantisation: Quantisation, background: Background) -> None:
        self._distance = distance
        self._quantisation = quantisation
        self._background = background
        self._budget = background.budget

    def extended(self, view: View, served: ServedGraph, check_cancelled: Cancellation) -> Graph:
        """Return a copy of the graph of a View, with all of its rows.

        Raises:
            OverBudget: there is no room for the copy.
        """
        self._background.reached("extend")
        old = served.graph
        more = Graph.bytes_for(view.buffered, view.vectors.shape[1], old.space.quantisation, old.hnsw.links)
        with self._reserve(int(_COPYING * (old.nbytes + more))) as room:
            threads = self._background.foreground.threads
            return _charged(old.extend(view, live=view.live, threads=threads, check_cancelled=check_cancelled), room)

    def built(self, view: View, check_cancelled: Cancellation, links: int = LINKS) -> Graph:
        """Return a graph over the live rows of a View.

        Raises:
            OverBudget: there is no room for it.
        """
        self._background.reached("build")
        with self._reserve(self.bytes_for(view, links)) as room:
            graph = Graph.build(
                view,
                self._distance,
                live=view.live,
                quantisation=self._quantisation,
                links=links,
                threads=self._background.foreground.threads,
                check_cancelled=check_cancelled,
            )
            return _charged(graph, room)

    def bytes_for(self, view: View, links: int = LINKS) -> int:
        """Estimate the memory for building a graph over the live rows of a View."""
        return int(_COPYING * Graph.bytes_for(view.count, view.vectors.shape[1], self._quantisation, links))

    def keep(self, graph: Graph) -> None:
        """Take the bytes of a graph that was loaded.

        Raises:
            OverBudget: there are not so many left.
        """
        self._budget.reserve(graph.nbytes).leave_to(graph.hnsw)

    def served(
        self, graph: Graph, view: View, before: ServedGraph | None, check_cancelled: Cancellation
    ) -> ServedGraph:
        """Return how a graph is served that extends the one from before, if any; the View may have rows behind it."""
        fresh = graph.covered + np.flatnonzero(view.live[graph.covered :])
        return self._background.tune(graph, view, view.live, fresh, before, check_cancelled)

    def _reserve(self, amount: int) -> Reservation:
        return self._budget.reserve(amount, leaving=self._budget.margin)


def _charged(graph: Graph, room: Reservation) -> Graph:
    room.resize(graph.nbytes, anyway=True)
    room.leave_to(graph.hnsw)
    graph.hnsw.settle()
    return graph
