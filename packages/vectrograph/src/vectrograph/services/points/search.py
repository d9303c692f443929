"""Nearest points of any collection."""

import numpy as np

from vectrograph.control.feedback import FeedbackLog
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Vector
from vectrograph.domain.queries import DenseLeg, Hit, Include, SearchRequest, SearchResult
from vectrograph.engines.base import Engine
from vectrograph.services.call import Call
from vectrograph.services.limits.cost import (
    answer_limit,
    check_answer_size,
    check_ef,
    check_filter_cost,
    check_search_cost,
)
from vectrograph.services.limits.filter_turns import FilterTurns
from vectrograph.services.limits.validation import validate_batch, validate_top_k
from vectrograph.services.points.reranking import CANDIDATES_PER_HIT, Rerank, reranked, validate_rerank


class Search:
    """Nearest neighbours; `score` is a distance, lower is closer."""

    def __init__(self, engine: Engine, limits: Limits, feedback: FeedbackLog, turns: FilterTurns | None = None) -> None:
        self._engine = engine
        self._limits = limits
        self._feedback = feedback
        self._turns = turns or FilterTurns()

    def search(
        self,
        call: Call,
        collection: str,
        vectors: Vector,
        top_k: int,
        *,
        filter: Filter | None = None,
        include: Include = Include(),
        max_score: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        explain: bool = False,
        rerank: Rerank | None = None,
    ) -> list[SearchResult]:
        """Return the nearest points of each row of `vectors`, ascending by score, equal scores newest first.

        Args:
            call: who asks.
            collection: where to look.
            vectors: float32, shape (queries, dimension).
            top_k: hits per query; 0 means the default.
            filter: only points that match.
            include: parts of the points to return.
            max_score: drop hits farther away than this.
            exact: scan everything instead of using an index.
            ef: beam width of the graph search, at most `MAX_EF`; None leaves it to the engine.
            explain: tell how it was answered.
            rerank: order the hits anew by words and feedback, among more candidates than are returned.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound: there is no such collection.
            InvalidArgument: `top_k`, `ef` or a weight is out of range, there is no text to rerank by, or a vector has
                the wrong dimension, NaN or infinities.
            TooLarge: there are more than `max_batch` query vectors, or the search, its filter or its answer would
                cost too much.
            DeadlineExceeded: the deadline passed; no stage begins after it.
        """
        ref = call.require_collection(collection, "read")
        if vectors.ndim != 2 or len(vectors) == 0:
            raise InvalidArgument.of(
                "vector", "must be at least one vector, in shape (queries, dimension)", "too_short"
            )
        validate_batch(vectors, "vector", self._limits)
        k = validate_top_k(top_k, self._limits, queries=len(vectors))
        if rerank is not None:
            validate_rerank(rerank)
            validate_top_k(rerank.candidates, self._limits, queries=len(vectors), field="rerank.candidates")
        check_ef(ef)
        call.refuse_late()
        hits, dimension = k * len(vectors), vectors.shape[1] if include.vector else 0
        check_answer_size(hits, dimension, self._limits)
        whole = exact or filter is not None
        filter_cost = check_filter_cost(filter, self._engine, ref, self._limits)
        check_search_cost(len(vectors), k, lambda: self._engine.describe(ref), self._limits, whole=whole, ef=ef)
        request = SearchRequest(
            legs=(DenseLeg(vectors=np.ascontiguousarray(vectors, dtype=np.float32)),),
            k=k,
            filter=filter,
            max_score=max_score,
            include=include,
            exact=exact,
            ef=ef,
            explain=explain,
            max_bytes=answer_limit(hits, dimension, self._limits),
        )
        with self._turns.turn(call, filter_cost):
            if rerank is None:
                return self._engine.search(ref, request, deadline=call.deadline)
            return self._reranked(call, ref, request, rerank)

    def _reranked(self, call: Call, ref: CollectionRef, request: SearchRequest, rerank: Rerank) -> list[SearchResult]:
        """Search for more candidates than are asked for, with all their words, and keep the best of the new order."""
        room = self._limits.max_hits // len(request.legs[0].vectors)
        wanted = rerank.candidates or CANDIDATES_PER_HIT * request.k
        k = max(request.k, min(wanted, self._limits.max_top_k, room))
        whole = request.include._replace(payload=True, text=True)
        results = self._engine.search(
            ref, request._replace(k=k, include=whole, max_bytes=self._limits.max_answer_bytes), deadline=call.deadline
        )
        call.refuse_late()
        judgements: list[tuple[str, int]] = []
        if rerank.weights[1] and any(result.hits for result in results):
            found = sorted({hit.point.id for result in results for hit in result.hits})
            judgements = self._feedback.relevance(ref.tenant, ref.name, rerank.query, found)
        call.refuse_late()
        answers = []
        for result in results:
            best = reranked(result.hits, rerank, judgements, call.refuse_late)[: request.k]
            answers.append(result._replace(hits=tuple(_with_parts(hit, request.include) for hit in best)))
        return answers


def _with_parts(hit: Hit, include: Include) -> Hit:
    """Return a hit without the parts that were read for the ranking only."""
    payload = hit.point.payload if include.payload else None
    text = hit.point.text if include.text else None
    return hit._replace(point=hit.point._replace(payload=payload, text=text))
