"""The published index of a collection: built from rows, extended by copying, searched by any number of threads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.code_space import SAMPLE, Aim, CodeSpace
from vectrograph.engines.embedded.index.hnsw import Hnsw, Mask
from vectrograph.engines.embedded.index.nodes import Members, NodeTable, Rows
from vectrograph.engines.embedded.index.refine import Originals, Query, contenders, nearest, score

LINKS: Final = 16
"""M. Twice as many links per node on level 0: 128 bytes."""
BREADTH: Final = 128
"""efConstruction."""
BEAM: Final = 144
"""ef for ten neighbours: recall@10 of .98 on text embeddings under cosine and dot and on image patches under L2."""

_BATCH: Final = 1024
"""Rows added between two calls of `check_cancelled`: a quarter of a second or less on one core."""
# Multiple of `_BATCH` that several threads get at most. 31,000 x 256 on two cores: 3.8 s, and 4.4 s without.
_MAX_BATCH_GROWTH: Final = 4
# Components of such a batch at most.
_MAX_BATCH_FLOATS: Final = 1 << 21
_SPREAD_SHARE: Final = 4
"""Several threads get up to so many times as many, or so many components: in small batches they wait for one another,
which made building take a tenth longer. Half a second or less on two cores. But never more than a quarter of the nodes
that are there: those of one batch hardly see one another, and a graph that began with a large one found fewer
neighbours (4,000 rows with hubs under L2: 96 % of the nodes could be reached, with small ones 99 %)."""
_BEAM_BATCH: Final = 32
"""Queries walked for at a time: about ten milliseconds."""
_AHEAD: Final = 6
"""Codes beyond the best k that are refined without being asked: on real data, one or two are in doubt."""
_TAIL_FACTOR: Final = 2
"""Multiple of the codes to refine that is read from the end of a walk on the first attempt."""
# Any number: the same rows give the same sample.
_SEED: Final = 7


class Nearest(NamedTuple):
    """Result of a graph walk for one query.

    Attributes:
        rows: the best k, and all that equal the last of them, best first; newest first among equals is the caller's.
        scores: of these rows, by the kernel.
        visited: nodes in the beam, nearest to the query whether they match or not.
        matched: how many of them have a row that is allowed.
    """

    rows: Rows
    scores: Vector
    visited: int
    matched: int


@dataclass(frozen=True, slots=True)
class Graph:
    """An immutable HNSW graph over the rows of a collection; rows are positions in its VectorFile.

    Attributes:
        space: where nodes lie.
        hnsw: codes and links.
        table: rows of nodes.
        unplaced: rows without a place in the space: zero under cosine, or too long or short for float32 products.
        covered: every row below was considered; those that were dead then are not in the graph.
        cut: components of these rows that were beyond the range of the space.
    """

    space: CodeSpace
    hnsw: Hnsw
    table: NodeTable
    unplaced: Rows
    covered: int
    cut: int

    @classmethod
    def build(
        cls,
        originals: Originals,
        distance: Distance,
        *,
        live: Mask | None = None,
        quantisation: Quantisation = Quantisation.INT8,
        links: int = LINKS,
        breadth: int = BREADTH,
        threads: Callable[[], int] = lambda: 1,
        check_cancelled: Cancellation = never_cancelled,
    ) -> "Graph":
        """Return a graph over all rows, or the live ones; see `extend` for `threads` and `check_cancelled`."""
        count, dimension = originals.vectors.shape
        rows = np.arange(count) if live is None else np.flatnonzero(live)
        if len(rows) > SAMPLE:
            rows = np.sort(np.random.default_rng(_SEED).choice(rows, SAMPLE, replace=False))
        lengths = originals.lengths[rows]
        anywhere = CodeSpace(distance, quantisation, np.zeros(dimension, np.float32), 1.0)
        rows = rows[anywhere.representable(lengths)]
        space = anywhere
        if len(rows):
            space = CodeSpace.train(distance, quantisation, originals.vectors[rows], originals.lengths[rows])
        hnsw = Hnsw.empty(space.width, quantisation.value, by_products=space.products, links=links, breadth=breadth)
        empty = cls(space, hnsw, NodeTable.empty(), np.empty(0, np.int64), 0, 0)
        return empty._extended(hnsw, originals, live, threads, check_cancelled)

    def extend(
        self,
        originals: Originals,
        *,
        live: Mask | None = None,
        threads: Callable[[], int] = lambda: 1,
        check_cancelled: Cancellation = never_cancelled,
    ) -> "Graph":
        """Return a graph that also has the rows from `covered` on; this one goes on serving, and is unchanged.

        Args:
            originals: all rows, those in this graph included.
            live: by row; rows that are dead are left out. None for all live.
            threads: how many of OpenMP's to use, asked before each batch.
            check_cancelled: called between batches; may raise to give up.
        """
        return self._extended(self.hnsw.copy(), originals, live, threads, check_cancelled)

    def _extended(
        self,
        hnsw: Hnsw,
        originals: Originals,
        live: Mask | None,
        threads: Callable[[], int],
        check_cancelled: Cancellation,
    ) -> "Graph":
        graph, end = replace(self, hnsw=hnsw), len(originals.vectors)
        start = self.covered
        while start < end:
            if start > self.covered:
                check_cancelled()
            cores = threads()
            stop = min(end, start + _batch(cores, len(hnsw), self.space.dimension))
            rows = np.arange(start, stop)
            graph = graph._add(rows if live is None else rows[live[rows]], originals, cores)
            start = stop
        return replace(graph, covered=end)

    def _add(self, rows: Rows, originals: Originals, threads: int) -> "Graph":
        """Add rows to the graph's own hnsw, which must not be published yet."""
        lengths = originals.lengths[rows]
        fits = self.space.representable(lengths)
        unplaced = np.concatenate([self.unplaced, rows[~fits]])
        rows = rows[fits]
        if not len(rows):
            return replace(self, unplaced=unplaced)
        points, cut = self.space.place(originals.vectors[rows], lengths[fits])
        table, fresh = self.table.extend(rows, self.hnsw.encode(points), self.hnsw, originals.vectors)
        if len(fresh):
            self.hnsw.add(points[fresh], threads)
        return replace(self, table=table, unplaced=unplaced, cut=self.cut + cut)

    def search(
        self,
        originals: Originals,
        queries: Sequence[Query],
        beam: int,
        *,
        allowed: Mask | None = None,
        check_cancelled: Cancellation = never_cancelled,
    ) -> list[Nearest]:
        """Return the nearest rows of each query, among those that were met on a walk along the links.

        A query that has no place in the space (zero under cosine, far outside what the graph was built from) gets
        nothing, `matched` being 0.

        Args:
            originals: the rows this graph was built from, and more.
            queries: what is looked for.
            beam: ef: how many nodes to keep on the walk.
            allowed: by row: live, and matching the filter. None when every row is.
            check_cancelled: called every few milliseconds; may raise to stop.
        """
        nearest: list[Nearest] = []
        beam = min(beam, len(self.hnsw))
        for start in range(0, len(queries), _BEAM_BATCH):
            if start:
                check_cancelled()
            part = queries[start : start + _BEAM_BATCH]
            aims = [self.space.aim(query.vector, query.length) for query in part]
            points = [aim.point for aim in aims if aim is not None]
            # A filter has to see how many of the whole beam match.
            best = beam if allowed is not None else min(beam, _TAIL_FACTOR * _ahead(part[0].k))
            found = iter(self._walk(points, beam, best))
            for query, aim in zip(part, aims, strict=True):
                if aim is None:
                    nearest.append(Nearest(_NO_ROWS, _NO_SCORES, 0, 0))
                    continue
                values, nodes = next(found)
                refined, settled = self.refine(
                    query, aim, originals, nodes, values, allowed=allowed, check_cancelled=check_cancelled
                )
                if best < beam:
                    if settled:
                        refined = Nearest(refined.rows, refined.scores, beam, beam)
                    else:
                        [(values, nodes)] = self._walk([aim.point], beam, beam)
                        refined, _ = self.refine(
                            query, aim, originals, nodes, values, allowed=allowed, check_cancelled=check_cancelled
                        )
                nearest.append(refined)
        return nearest

    def _walk(self, points: list[Vector], beam: int, best: int) -> Iterable[tuple[Vector, Rows]]:
        if not points:
            return ()
        if not len(self.hnsw):
            return ((_NO_SCORES, _NO_ROWS) for _ in points)
        values, nodes = self.hnsw.search(points[0] if len(points) == 1 else np.concatenate(points), beam, best)
        return zip(values, nodes, strict=True)

    def refine(
        self,
        query: Query,
        aim: Aim,
        originals: Originals,
        nodes: Rows,
        values: Vector,
        *,
        allowed: Mask | None = None,
        check_cancelled: Cancellation = never_cancelled,
    ) -> tuple[Nearest, bool]:
        """Return the best rows behind some nodes, and of the unplaced; and whether nodes that were left out can be
        better.

        Args:
            query: what is looked for.
            aim: of the query.
            originals: the vectors.
            nodes: best first, -1 behind the last.
            values: what the codes of these nodes seemed to be, as `Hnsw.search` gives them.
            allowed: by row; None for all.
            check_cancelled: called about every millisecond; may raise to stop.

        Returns:
            What was found; and True when nodes farther than the last of these are too far by their codes, but for
            chance.
        """
        if len(nodes) and nodes[-1] < 0:
            nodes = nodes[nodes >= 0]
        members = self.table.members(nodes, allowed)
        rows, exact, settled = self._refined(query, aim, originals, members, values, check_cancelled)
        if len(self.unplaced):
            extra, firsts = self.with_unplaced(_NO_ROWS, _NO_ROWS, originals, allowed)
            more, scored = score(query, originals, extra, firsts, check_cancelled)
            rows, exact = nearest(np.concatenate([rows, more]), np.concatenate([exact, scored]), query.k)
        return Nearest(rows, exact, len(nodes), members.matched), settled

    def _refined(
        self,
        query: Query,
        aim: Aim,
        originals: Originals,
        members: Members,
        values: Vector,
        check_cancelled: Cancellation,
    ) -> tuple[Rows, Vector, bool]:
        """Return the best k members, as `score` gives them; reads only as many vectors as the codes leave in doubt."""
        rows, firsts = members.rows, members.firsts
        distinct = firsts is rows
        ahead = _ahead(query.k)
        if len(rows) <= ahead:
            return *score(query, originals, rows, firsts, check_cancelled), False
        head = rows[:ahead]
        found, exact = score(query, originals, head, head if distinct else firsts[:ahead], check_cancelled)
        limit = float(exact[query.k - 1])
        reach = self.space.reach(aim, query.vector, limit)
        edge = float(values[members.places[ahead]])
        if edge < reach if self.space.products else edge > reach:
            return found, exact, True
        near = values[members.places]
        doubtful = int(np.count_nonzero(near >= reach if self.space.products else near <= reach))
        settled = doubtful < len(rows)
        kept, _ = contenders(query, originals, firsts[ahead:doubtful], limit, check_cancelled)
        tail = rows[ahead:][kept]
        more, scored = score(query, originals, tail, tail if distinct else firsts[ahead:][kept], check_cancelled)
        return *nearest(np.concatenate([found, more]), np.concatenate([exact, scored]), query.k), settled

    def with_unplaced(self, rows: Rows, firsts: Rows, originals: Originals, allowed: Mask | None) -> tuple[Rows, Rows]:
        """Rows, and rows that hold the same vectors, with the allowed unplaced ones added to both."""
        if not len(self.unplaced):
            return rows, firsts
        extra = self.unplaced if allowed is None else self.unplaced[allowed[self.unplaced]]
        if not len(extra):
            return rows, firsts
        # However many zero vectors there are, one is scored.
        same = extra.copy()
        zero = originals.lengths[extra] == 0
        same[zero] = extra[zero][:1]
        return np.concatenate([rows, extra]), np.concatenate([firsts, same])

    @property
    def nbytes(self) -> int:
        """Memory of this process that it takes."""
        return self.hnsw.nbytes + self.table.nbytes + self.unplaced.nbytes + self.space.centre.nbytes

    @staticmethod
    def bytes_for(rows: int, dimension: int, quantisation: Quantisation, links: int = LINKS) -> int:
        """Return about what a graph of so many rows will take.

        >>> Graph.bytes_for(1000, 128, Quantisation.INT8)
        290000
        """
        component = {Quantisation.INT8: 1, Quantisation.FLOAT16: 2, Quantisation.FLOAT32: 4}[quantisation]
        # Links of level 0, and of one node in M levels above; offsets, levels, the rows and keys of nodes.
        return rows * (component * dimension + 4 * (2 * links + 2) + 26)

    def dead_share(self, live: Mask) -> float:
        """Return share of nodes without a live row; `live` is by row."""
        if not len(self.hnsw):
            return 0.0
        return 1.0 - float(np.count_nonzero(self.table.allowed_nodes(live))) / len(self.hnsw)

    @property
    def cut_share(self) -> float:
        """Share of components of all rows that were beyond the range of the space."""
        components = (self.covered or 1) * self.space.dimension
        return self.cut / components


def _batch(threads: int, nodes: int, dimension: int) -> int:
    """Return how many rows to add at a time to a graph of so many nodes."""
    if threads == 1:
        return _BATCH
    return max(_BATCH, min(_MAX_BATCH_GROWTH * _BATCH, _MAX_BATCH_FLOATS // dimension, nodes // _SPREAD_SHARE))


def _ahead(k: int) -> int:
    """Return how many of the nearest codes are refined without being asked."""
    return k + max(_AHEAD, k // 2)


_NO_ROWS: Final = np.empty(0, np.int64)
_NO_SCORES: Final = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class ServedGraph:
    """Index of a View, and its beam width.

    Attributes:
        graph: over the rows below `graph.covered`; those behind are searched exactly.
        beam: for `effort.beam_for`: what was measured to hold the target recall for ten neighbours. None when no beam
            does, so that every search is exact.
    """

    graph: Graph
    beam: int | None
