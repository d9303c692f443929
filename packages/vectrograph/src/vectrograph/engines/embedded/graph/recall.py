"""How much of the truth a graph finds, and what to do about it.

Recall is not a given. Where some vectors are near to everything (the short ones among text embeddings under L2), the
beam of a walk fills with them and never gets to what lies behind: a token table of 31,000 × 256 under L2 gives .48
whatever the parameters, at a beam of 64. So graphs are measured, with vectors that are *not* in them (the rows about
to be added, or recent queries: a vector of the graph finds itself and its neighbours far too easily), and what does not
reach the target is not used.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.domain.values import Vector
from vectrograph.engines.embedded.graph.effort import beam_for
from vectrograph.engines.embedded.graph.graph import BEAM, Graph
from vectrograph.engines.embedded.graph.hnsw import Mask
from vectrograph.engines.embedded.graph.refine import Originals, Query

LADDER: Final = (64, 96, BEAM, 192, 256, 384, 512, 768)
"""Beams to measure."""
MOST_LINKS: Final = 32
"""M of the densest graph worth its memory: 256 bytes of links per node."""
_NEARLY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one beam achieved: mean recall at k, and seconds per query."""

    beam: int
    recall: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    """How to serve: by the graph with this beam for ten neighbours, or exactly when it is None; and whether to rebuild.

    Attributes:
        beam: for `beam_for`, or None.
        links: M of a denser graph to build in the background, or None.
    """

    beam: int | None
    links: int | None = None


def recall(found: Vector, exact: Vector) -> float:
    """Share of the best rows that were found; a row that equals the last of them counts as well as another.

    Args:
        found: scores of the rows found, any order.
        exact: scores of the truly best rows, ascending; shape (k,).

    >>> recall(np.array([0.1, 0.3, 0.9], np.float32), np.array([0.1, 0.2, 0.3], np.float32))
    0.6666666666666666
    """
    if not len(exact):
        return 1.0
    return min(int(np.count_nonzero(found <= exact[-1])), len(exact)) / len(exact)


def measure_recall(
    graph: Graph,
    originals: Originals,
    queries: Sequence[Query],
    exact: Sequence[Vector],
    *,
    beams: Sequence[int] = LADDER,
    allowed: Mask | None = None,
    between: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Compare the graph with exact answers.

    Args:
        graph: to measure.
        originals: of its rows.
        queries: such that `graph.answers`; not vectors that are in the graph.
        exact: for each query the scores of its best k among the graph's allowed rows, ascending.
        beams: for ten neighbours; each is widened for the k of the queries.
        allowed: by row; None for all.
        between: called after each query; may raise to stop.
    """
    measurements = []
    for beam in beams:
        hits, spent = [], 0.0
        for query, truth in zip(queries, exact, strict=True):
            between()
            started = time.perf_counter()
            nearest = graph.search(originals, [query], beam_for(query.k, beam), allowed=allowed)[0]
            spent += time.perf_counter() - started
            hits.append(recall(nearest.scores, truth))
        measurements.append(Measurement(beam, float(np.mean(hits or [1.0])), spent / max(1, len(hits))))
    return measurements


def decide(
    measurements: Sequence[Measurement],
    *,
    target: float,
    exact_seconds: float,
    links: int,
    most_links: int = MOST_LINKS,
) -> Decision:
    """The narrowest beam that reaches the target, if it is quicker than an exact scan.

    When none does, searches are exact; a graph that came near is worth building anew with twice the links.

    Args:
        measurements: of one graph.
        target: recall to hold.
        exact_seconds: what an exact answer to one query takes.
        links: M of this graph.
        most_links: not to be exceeded by a rebuild.

    >>> decide([Measurement(64, .95, 1e-4), Measurement(144, .985, 2e-4)], target=.98, exact_seconds=1e-2, links=16)
    Decision(beam=144, links=None)
    >>> decide([Measurement(64, .40, 1e-4), Measurement(768, .60, 1e-3)], target=.98, exact_seconds=1e-2, links=16)
    Decision(beam=None, links=None)
    """
    reached = [each for each in measurements if each.recall >= target]
    if reached:
        narrowest = min(reached, key=lambda each: each.beam)
        return Decision(narrowest.beam if narrowest.seconds < exact_seconds else None)
    quick = [each.recall for each in measurements if each.seconds < exact_seconds]
    denser = 2 * links if quick and max(quick) >= target - _NEARLY and 2 * links <= most_links else None
    return Decision(None, denser)
