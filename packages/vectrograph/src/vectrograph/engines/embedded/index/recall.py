"""Recall of a graph: measured, and tuned by beam width.

Recall is not a given. Where some vectors are near to everything (the short ones among text embeddings under L2), the
beam of a walk fills with them and never gets to what lies behind: a token table of 31,000 × 256 under L2 gives .48
whatever the parameters, at a beam of 64. So graphs are measured, and what does not reach the target is not walked: all
codes are compared instead.

A graph is measured with vectors that are *not* in it, the rows about to be added. Where there are none its own have
to do. Those are found too easily (with a beam of 64 a token table under cosine gives .94 for foreign vectors, .995 for
its own), though not where hubs are in the way (.62 and .62 under L2): they may widen the beam, but never narrow it
below what most data need.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.code_scan import scan_codes
from vectrograph.engines.embedded.index.effort import beam_for
from vectrograph.engines.embedded.index.graph import BEAM, Graph, ServedGraph
from vectrograph.engines.embedded.index.hnsw import Mask
from vectrograph.engines.embedded.index.nodes import Rows
from vectrograph.engines.embedded.index.refine import Originals, Query

TARGET: Final = 0.98
"""Recall at ten to hold."""
BEAMS: Final = (96, BEAM, 192, 256, 384, 512, 768)
"""Beams to measure, narrowest first."""

_AIMED: Final = 0.985
"""Recall that a sample must reach: its mean is off by some thousandths."""
# Neighbours of each query that are compared: recall at ten.
_K: Final = 10
# Queries of a measurement. Chosen: the mean is off by some thousandths, see `_AIMED`.
_MAX_QUERIES: Final = 100
# Rows behind the graph from which on they serve as queries: they are unknown to it, as real queries are.
_MIN_FRESH_QUERIES: Final = 32
_GROWTH: Final = 1.25
"""A graph that has grown by less than this since it was measured is served as before."""
# Any number: the same graph is measured with the same queries.
_SEED: Final = 11


@dataclass(frozen=True, slots=True)
class Measurement:
    """Result of one beam width.

    Attributes:
        beam: for ten neighbours.
        recall: mean over the queries.
        seconds: of one core per query.
        doubt: standard error of the mean.
    """

    beam: int
    recall: float
    seconds: float
    doubt: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Questions with their answers.

    Attributes:
        queries: what is looked for.
        exact: for each the scores of its best k among the rows that may be found, ascending.
        allowed: these rows; None for all.
        seconds: of one core that an answer by comparing all codes took.
    """

    queries: list[Query]
    exact: list[Vector]
    allowed: Mask | None
    seconds: float


def recall(found: Vector, exact: Vector) -> float:
    """Return share of the best rows that were found; a row that equals the last of them counts as well as another.

    Args:
        found: scores of the rows found, any order.
        exact: scores of the truly best rows, ascending; shape (k,).

    >>> recall(np.array([0.1, 0.3, 0.9], np.float32), np.array([0.1, 0.2, 0.3], np.float32))
    0.6666666666666666
    """
    if not len(exact):
        return 1.0
    return min(int(np.count_nonzero(found <= exact[-1])), len(exact)) / len(exact)


def sample(
    graph: Graph, originals: Originals, vectors: Vector, allowed: Mask | None, check_cancelled: Cancellation
) -> Sample:
    """Ask for the nearest ten of some vectors by comparing all codes.

    Args:
        graph: where to look.
        originals: of its rows.
        vectors: shape (m, dimension); those without a place in the space of the graph are left out.
        allowed: by row; None for all.
        check_cancelled: called every few milliseconds; may raise to stop.
    """
    queries = Query.of(graph.space.distance, vectors, _K)
    queries = [query for query in queries if graph.space.aim(query.vector, query.length) is not None]
    started = time.thread_time()
    exact = [
        scan_codes(graph, originals, query, allowed=allowed, check_cancelled=check_cancelled).scores[: query.k]
        for query in queries
    ]
    return Sample(queries, exact, allowed, (time.thread_time() - started) / max(1, len(queries)))


def measure(
    graph: Graph, originals: Originals, asked: Sample, beam: int, check_cancelled: Cancellation = never_cancelled
) -> Measurement:
    """Return the result of a beam on a sample of queries.

    Args:
        graph: to measure.
        originals: of its rows.
        asked: questions and answers.
        beam: for ten neighbours; it is widened for the k of the queries.
        check_cancelled: called after each query; may raise to stop.
    """
    hits, started = [], time.thread_time()
    for query, truth in zip(asked.queries, asked.exact, strict=True):
        check_cancelled()
        nearest = graph.search(originals, [query], beam_for(query.k, beam), allowed=asked.allowed)[0]
        hits.append(recall(nearest.scores, truth))
    spent = (time.thread_time() - started) / max(1, len(hits))
    doubt = float(np.std(hits or [1.0])) / max(1, len(hits)) ** 0.5
    return Measurement(beam, float(np.mean(hits or [1.0])), spent, doubt)


def narrowest(measurements: Sequence[Measurement], seconds: float, target: float = _AIMED) -> int | None:
    """Return the narrowest beam that reaches the target and is quicker than comparing all codes; None when there is
    none.

    >>> narrowest([Measurement(64, .95, 1e-4), Measurement(144, .987, 2e-4)], 1e-2)
    144
    >>> narrowest([Measurement(64, .40, 1e-4), Measurement(768, .60, 1e-3)], 1e-2) is None
    True
    """
    good = [each.beam for each in measurements if each.recall >= target and each.seconds < seconds]
    return min(good, default=None)


def tune(
    graph: Graph,
    originals: Originals,
    live: Mask,
    fresh: Rows,
    before: ServedGraph | None = None,
    check_cancelled: Cancellation = never_cancelled,
) -> ServedGraph:
    """Find the beam with which a graph holds the target recall, or that none does.

    Args:
        graph: to serve.
        originals: of its rows and of those behind.
        live: by row.
        fresh: live rows behind the graph.
        before: the graph that this one extends, if any.
        check_cancelled: called every few milliseconds; may raise to stop.
    """
    if before is not None and _measured_at(before.graph.covered) == _measured_at(graph.covered):
        return ServedGraph(graph, before.beam)
    generator = np.random.default_rng(_SEED)
    has_foreign = len(fresh) >= _MIN_FRESH_QUERIES
    if has_foreign:
        rows, allowed = generator.permutation(fresh)[:_MAX_QUERIES], live
    else:
        rows = generator.permutation(np.flatnonzero(live[: graph.covered]))[:_MAX_QUERIES]
        allowed = live.copy()
        # Nothing is to be found by looking for itself.
        allowed[rows] = False
    if not allowed[: graph.covered].any():
        return ServedGraph(graph, BEAM)
    asked = sample(graph, originals, originals.vectors[rows], allowed, check_cancelled)
    measurements: list[Measurement] = []
    for beam in BEAMS if has_foreign else BEAMS[BEAMS.index(BEAM) :]:
        measurements.append(measure(graph, originals, asked, beam, check_cancelled))
        if measurements[-1].recall >= _AIMED or measurements[-1].seconds >= asked.seconds:
            break
    return ServedGraph(graph, narrowest(measurements, asked.seconds))


def judge(
    served: ServedGraph,
    originals: Originals,
    live: Mask,
    vectors: Vector,
    check_cancelled: Cancellation = never_cancelled,
) -> ServedGraph:
    """Widen the beam of a graph that finds too little of what it is really asked for; never narrow it.

    Args:
        served: what serves now.
        originals: of its rows and of those behind.
        live: by row.
        vectors: queries that were asked, shape (m, dimension).
        check_cancelled: called every few milliseconds; may raise to stop.
    """
    graph = served.graph
    if served.beam is None or not live[: graph.covered].any():
        return served
    asked = sample(graph, originals, vectors, live, check_cancelled)
    now = measure(graph, originals, asked, served.beam, check_cancelled)
    # Below the target for certain, not by the chance of the sample.
    if now.recall + 2 * now.doubt >= TARGET:
        return served
    for beam in (beam for beam in BEAMS if beam > now.beam):
        wider = measure(graph, originals, asked, beam, check_cancelled)
        if wider.seconds >= asked.seconds:
            break
        if wider.recall >= _AIMED:
            return ServedGraph(graph, beam)
    return ServedGraph(graph, None)


def _measured_at(covered: int) -> int:
    """Return the number of times that a graph of so many rows was measured while it grew."""
    return math.floor(math.log(max(1, covered)) / math.log(_GROWTH))
