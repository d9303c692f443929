"""The nearest rows of a graph by looking at every one that is allowed, for when a walk would be slower or get lost."""

from typing import Final

import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.collections import Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.code_space import Aim
from vectrograph.engines.embedded.index.graph import Graph, Nearest
from vectrograph.engines.embedded.index.hnsw import Mask, Nodes
from vectrograph.engines.embedded.index.refine import Originals, Query, contenders, score

# Codes whose originals are compared on the first try, however few neighbours are wanted.
_MIN_DEPTH: Final = 64
# The same for each wanted neighbour. Chosen: on real data one or two codes beyond k are in doubt.
_DEPTH_PER_ROW: Final = 3
# Factor of the depth from one try to the next. Chosen: hard queries need few tries.
_DEPTH_GROWTH: Final = 4


def scan_codes(
    graph: Graph,
    originals: Originals,
    query: Query,
    *,
    allowed: Mask | None = None,
    check_cancelled: Cancellation = never_cancelled,
) -> Nearest:
    """Return the nearest rows by the codes of all nodes, refined until what was cut off can hardly be nearer.

    Args:
        graph: where to look; its rows only.
        originals: of its rows.
        query: what is looked for.
        allowed: by row; None for all.
        check_cancelled: called every few milliseconds; may raise to stop.
    """
    aim = graph.space.aim(query.vector, query.length)
    if aim is None or graph.space.quantisation is Quantisation.FLOAT32:
        return scan_rows(graph, originals, query, allowed=allowed, check_cancelled=check_cancelled)
    nodes = len(graph.hnsw)
    bits = None if allowed is None else graph.table.allowed_nodes(allowed)
    matches = nodes if bits is None else int(np.count_nonzero(bits))
    depth = max(_MIN_DEPTH, _DEPTH_PER_ROW * query.k)
    while depth * _DEPTH_GROWTH < matches:
        values, candidates = graph.hnsw.scan(aim.point, depth, bits, check_cancelled)
        nearest, _ = graph.refine(
            query, aim, originals, candidates, values, allowed=allowed, check_cancelled=check_cancelled
        )
        if _deep_enough(graph, query, aim, values, nearest):
            return Nearest(nearest.rows, nearest.scores, nodes, matches)
        depth *= _DEPTH_GROWTH
    # So many codes look alike that the originals might as well be read at once.
    return scan_rows(graph, originals, query, allowed=allowed, check_cancelled=check_cancelled)


def _deep_enough(graph: Graph, query: Query, aim: Aim, values: Vector, nearest: Nearest) -> bool:
    if len(nearest.scores) < query.k:
        return False
    reach = graph.space.reach(aim, query.vector, float(nearest.scores[query.k - 1]))
    return bool(values[-1] < reach if graph.space.products else values[-1] > reach)


def scan_rows(
    graph: Graph,
    originals: Originals,
    query: Query,
    *,
    allowed: Mask | None = None,
    check_cancelled: Cancellation = never_cancelled,
) -> Nearest:
    """Return the nearest rows by their original vectors: exact, and quicker than codes when few are allowed.

    Args:
        graph: where to look; its rows only.
        originals: of its rows.
        query: such that `graph.answers`.
        allowed: by row; None for all.
        check_cancelled: called every few milliseconds; may raise to stop.
    """
    nodes: Nodes = np.arange(len(graph.hnsw))
    if allowed is not None:
        nodes = np.flatnonzero(graph.table.allowed_nodes(allowed))
    members = graph.table.members(nodes, allowed)
    kept, _ = contenders(query, originals, members.firsts, check_cancelled=check_cancelled)
    rows = members.rows[kept]
    firsts = rows if members.firsts is members.rows else members.firsts[kept]
    rows, firsts = graph.with_unplaced(rows, firsts, originals, allowed)
    best, exact = score(query, originals, rows, firsts, check_cancelled)
    return Nearest(best, exact, len(graph.hnsw), members.matched)
