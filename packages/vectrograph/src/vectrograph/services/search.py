"""Nearest points of any collection."""

import numpy as np

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters import Filter
from vectrograph.domain.limits import Limits
from vectrograph.domain.values import DenseLeg, Include, SearchRequest, SearchResult, Vector
from vectrograph.engines.base import Engine
from vectrograph.services.admission import admit_batch, admit_top_k
from vectrograph.services.call import Call
from vectrograph.services.cost import admit_answer, admit_work


class Search:
    """Nearest neighbours; `score` is a distance, lower is closer."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

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
    ) -> list[SearchResult]:
        """The nearest points of each row of `vectors`, ascending by score, equal scores newest first.

        Args:
            call: who asks.
            collection: where to look.
            vectors: float32, shape (queries, dimension).
            top_k: hits per query; 0 means the default.
            filter: only points that match.
            include: parts of the points to return.
            max_score: drop hits farther away than this.
            exact: scan everything instead of using an index.
            ef: breadth of the graph search; None leaves it to the engine.
            explain: tell how it was answered.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound: there is no such collection.
            InvalidArgument: `top_k` or `ef` is out of range, or a vector has the wrong dimension, NaN or infinities.
            TooLarge: there are more than `max_batch` query vectors, or the search or its answer would cost too much.
        """
        ref = call.require_collection(collection, "read")
        if vectors.ndim != 2 or len(vectors) == 0:
            raise InvalidArgument.of(
                "vector", "must be at least one vector, in shape (queries, dimension)", "too_short"
            )
        admit_batch(vectors, "vector", self._limits)
        k = admit_top_k(top_k, self._limits, queries=len(vectors))
        admit_answer(k * len(vectors), vectors.shape[1] if include.vector else 0, self._limits)
        whole = exact or filter is not None
        admit_work(len(vectors), k, lambda: self._engine.describe(ref), self._limits, whole=whole, ef=ef)
        request = SearchRequest(
            legs=(DenseLeg(vectors=np.ascontiguousarray(vectors, dtype=np.float32)),),
            k=k,
            filter=filter,
            max_score=max_score,
            include=include,
            exact=exact,
            ef=ef,
            explain=explain,
        )
        return self._engine.search(ref, request, deadline=call.deadline)
