"""Exact search over a View: fast arithmetic chooses the candidates, the one kernel scores and ranks them.

A matrix product in float32 is many times faster than the kernel but rounds as it likes. Its error has a bound, though
(see `float32_arithmetic`), so every row whose score could be among the best k is kept, and no other path decides a
rank. Vectors too long or too short for float32 products are always kept.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import Distance
from vectrograph.domain.distances import norms, scores
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.float32_arithmetic import LONGEST, SHORTEST, relative_error
from vectrograph.engines.embedded.rows.view import Mask, Rows, View

# Queries from which on a matrix product is faster than one product for each; see `_products`.
_MIN_BLAS_QUERIES: Final = 8
_CHUNK_FLOATS: Final = 1 << 22
"""Vector components per product with one query: about a millisecond."""
_BLOCK_PRODUCTS: Final = 1 << 28
"""Multiplications per product with many queries: about five milliseconds."""
_BLOCK_SCORES: Final = 1 << 23
"""Approximate scores kept at a time: 32 MB."""
# Rows are copied together when at most one of so many is allowed. Chosen, not measured: copying scattered rows costs
# more than reading all in a row.
_GATHER_SHARE: Final = 8


EXACT: Final = "exact scan"
"""Every row that may be found was compared."""


class Ranking(NamedTuple):
    """Rows of a View with their scores, best first, equals newest first, and how they were found.

    Attributes:
        rows: shape (n,).
        scores: by the kernel, shape (n,).
        scanned: rows or codes that were compared with the query, as far as is known.
        strategy: in plain words; see `planner`.
        graph: what its index is called that was used, None when none was.
        beam: nodes that a walk was to keep, None where there was none.
        expected: of these, how many should match.
        met: how many did.
    """

    rows: Rows
    scores: Vector
    scanned: int
    strategy: str = EXACT
    graph: str | None = None
    beam: int | None = None
    expected: int | None = None
    met: int | None = None


class Searcher(Protocol):
    """A way to find the nearest rows of a View."""

    def search(self, view: View, question: "Question", check_cancelled: Cancellation) -> list[Ranking]:
        """Return the best rows for each query; `check_cancelled` is called now and then and may raise to stop."""
        ...


class Question(NamedTuple):
    """Question for a Searcher.

    Attributes:
        distance: which one.
        queries: shape (m, dimension), float32, finite.
        best: how many rows to rank.
        max_score: leave out what is farther.
        allowed: rows that may be found, all of them live; None for all live ones.
        exact: use no index.
        beam: matching nodes to keep on a walk, None for what was measured to be enough.
    """

    distance: Distance
    queries: Vector
    best: int
    max_score: float | None = None
    allowed: Mask | None = None
    exact: bool = False
    beam: int | None = None


class ExactScan:
    """Looks at every allowed row."""

    def search(self, view: View, question: Question, check_cancelled: Cancellation) -> list[Ranking]:
        """Return the best rows for each query; see `Searcher.search`."""
        mask = question.allowed
        if mask is None and view.count < len(view.labels):
            mask = view.live
        if mask is None:
            return self._scan(view, None, question, check_cancelled)
        rows = np.flatnonzero(mask)
        if len(rows) * _GATHER_SHARE > len(mask):
            return self._scan(view, mask, question, check_cancelled)
        few = View(
            view.seq,
            len(rows),
            view.vectors[rows],
            view.lengths[rows],
            view.labels[rows],
            view.created[rows],
            mask[rows],
        )
        found = self._scan(few, None, question, check_cancelled)
        return [Ranking(rows[ranking.rows], ranking.scores, ranking.scanned) for ranking in found]

    def _scan(self, view: View, mask: Mask | None, question: Question, check_cancelled: Cancellation) -> list[Ranking]:
        block = max(1, _BLOCK_SCORES // max(1, len(view.labels)))
        rankings = []
        for start in range(0, len(question.queries), block):
            queries = question.queries[start : start + block]
            products = _products(queries, view.vectors, check_cancelled)
            for query, length, row in zip(queries, norms(queries), products, strict=True):
                check_cancelled()
                candidates = _candidates(row, float(length), view, mask, question)
                rankings.append(_rank(query, candidates, view, question, check_cancelled))
        return rankings


def _products(queries: Vector, vectors: Vector, check_cancelled: Cancellation) -> Vector:
    """Return inner products of each query with each vector, shape (m, n), float32, summed in whatever order is fast."""
    count, dimension = vectors.shape
    result = np.empty((len(queries), count), np.float32)
    # BLAS pays for many queries. For few it packs the matrix in vain and waits for threads, of which requests have
    # their own; einsum runs on one.
    together = len(queries) >= _MIN_BLAS_QUERIES
    step = max(1, (_BLOCK_PRODUCTS // len(queries) if together else _CHUNK_FLOATS) // dimension)
    with np.errstate(all="ignore"):
        for start in range(0, count, step):
            check_cancelled()
            part = slice(start, start + step)
            if together:
                np.matmul(queries, vectors[part].T, out=result[:, part])
            else:
                for query, row in zip(queries, result, strict=True):
                    np.einsum("ij,j->i", vectors[part], query, out=row[part])
    return result


def _candidates(products: Vector, length: float, view: View, mask: Mask | None, question: Question) -> Rows:
    """Return every row that may be among the best: its smallest possible score is not above the k-th largest possible
    one.
    """
    if length != 0.0 and not SHORTEST <= length <= LONGEST:
        return np.flatnonzero(mask) if mask is not None else np.arange(len(view.labels))
    with np.errstate(all="ignore"):
        estimate, margin = _estimate(question.distance, products, length, view)
        low, high = estimate - margin, estimate + margin
    strange = ~np.isfinite(low) | ((view.lengths != 0) & ((view.lengths < SHORTEST) | (view.lengths > LONGEST)))
    if strange.any():
        low[strange], high[strange] = -np.inf, np.inf
    if mask is not None:
        low[~mask], high[~mask] = np.inf, np.inf
    cut = float(np.partition(high, question.best - 1)[question.best - 1]) if question.best < len(high) else np.inf
    if question.max_score is not None:
        cut = min(cut, question.max_score)
    return np.flatnonzero((low <= np.float64(cut)) & (low < np.inf))


def _estimate(distance: Distance, products: Vector, length: float, view: View) -> tuple[Vector, Vector]:
    """Return approximate scores, float32, shape (n,), and how far each may be off, of that shape or one for all."""
    # Twice the bound: room for underflow, for the rounding of the lengths, and of the kernel's own result.
    relative = np.float32(2 * relative_error(view.vectors.shape[1]))
    own = np.float32(length)
    if distance is Distance.DOT:
        return -products, relative * own * view.lengths
    if distance is Distance.EUCLIDEAN:
        return own * own + view.lengths * view.lengths - 2 * products, relative * np.square(own + view.lengths)
    scale = own * view.lengths
    cosines = np.divide(products, scale, out=np.zeros_like(products), where=scale != 0)
    return 1 - cosines, np.asarray(relative)


def _rank(query: Vector, rows: Rows, view: View, question: Question, check_cancelled: Cancellation) -> Ranking:
    exact = scores(question.distance, query, view.vectors[rows], check_cancelled=check_cancelled)
    if question.max_score is not None:
        near = exact <= np.float64(question.max_score)
        rows, exact = rows[near], exact[near]
    order = np.lexsort((-view.created[rows], exact))[: question.best]
    return Ranking(rows[order], exact[order], len(view.labels))
