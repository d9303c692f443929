"""Finding tokens: the nearest to a vector, to a text, or to another token."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from vectrograph.domain.collections import TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import MAX_SERIAL_ID, Vector
from vectrograph.domain.queries import DenseLeg, Include, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.services.call import Call
from vectrograph.services.limits.cost import answer_limit, check_answer_size, check_filter_cost, check_search_cost
from vectrograph.services.limits.filter_turns import FilterTurns
from vectrograph.services.limits.validation import validate_batch, validate_texts, validate_top_k
from vectrograph.services.points.field_names import renaming_fields
from vectrograph.services.points.stored_tokens import WHOLE, Parts, Token
from vectrograph.services.points.token_changes import missing_token

_VECTOR_ONLY: Final = Include(vector=True, payload=False, text=False)
# Room for the rounding of 1 − (1 − score); the exact comparison with the threshold follows.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class TokenHit:
    """A token near a query: `distance` is 1 − cosine, `similarity` is 1 − distance."""

    token: Token
    similarity: float
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenQuestion:
    """Options of a query besides its vector.

    Attributes:
        top_k: hits wanted; 0 means the default.
        offset: hits to skip, nearest first.
        threshold: only tokens at least this similar (inclusive).
        filter: only tokens whose metadata match.
        include: parts of the tokens to return.
    """

    top_k: int = 0
    offset: int = 0
    threshold: float | None = None
    filter: Filter | None = None
    include: Parts = WHOLE


class Told(Protocol):
    """A listener that is told of queries that were answered. Waits for nothing."""

    @property
    def are_heard(self) -> bool:
        """Return whether it wants to know."""
        ...

    def answered(self, call: Call, answers: Sequence[Sequence[float]]) -> None:
        """Note a call, and the similarities of the hits of each of its queries."""
        ...


class TokenQueries:
    """Queries over the tokens of the caller's tenant: most similar first, equals newest first."""

    def __init__(
        self,
        engine: Engine,
        embedder: Embedder,
        limits: Limits,
        turns: FilterTurns | None = None,
        told: Told | None = None,
    ) -> None:
        self._engine = engine
        self._embedder = embedder
        self._limits = limits
        self._turns = turns or FilterTurns()
        self._told = told

    def by_vectors(
        self, call: Call, vectors: Vector, question: TokenQuestion, *, field: str = "query_vector"
    ) -> list[list[TokenHit]]:
        """Return the hits for each row of `vectors`, shape (queries, dimension).

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: a vector, or a part of the question, is not acceptable.
            TooLarge: there are more than `max_batch` vectors.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        validate_batch(vectors, field, self._limits)
        with renaming_fields({"vector": field}):
            return self._search(call, ref, vectors, question, spare=0)

    def by_texts(self, call: Call, texts: Sequence[str], question: TokenQuestion) -> list[list[TokenHit]]:
        """Return the hits for each text, embedded as tokens are.

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: a text, or a part of the question, is not acceptable.
            TooLarge: there are more than `max_batch` texts.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        validate_texts(texts, "texts", self._limits)
        return self._search(call, ref, self._embedder.embed(texts), question, spare=0)

    def by_token(self, call: Call, token_id: int, question: TokenQuestion) -> list[TokenHit]:
        """Return the tokens nearest to a stored one, which is itself not among them.

        Raises:
            PermissionDenied: tokens:read is missing.
            PointNotFound: there is no token of that number.
            InvalidArgument: a part of the question is not acceptable.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        point = self._engine.get(ref, [str(token_id)], include=_VECTOR_ONLY)[0] if _possible(token_id) else None
        if point is None or point.vector is None:
            raise missing_token(str(token_id))
        return self._search(call, ref, point.vector[np.newaxis], question, spare=1, without=point.id)[0]

    def _search(
        self,
        call: Call,
        ref: CollectionRef,
        vectors: Vector,
        question: TokenQuestion,
        *,
        spare: int,
        without: str | None = None,
    ) -> list[list[TokenHit]]:
        threshold = question.threshold
        if threshold is not None and not math.isfinite(threshold):
            raise InvalidArgument.of("threshold", "must be a finite number", "finite_number")
        top_k = validate_top_k(question.top_k, self._limits, queries=len(vectors))
        asked = question.include.include
        dimension = vectors.shape[-1] if asked.vector else 0
        check_answer_size(top_k * len(vectors), dimension, self._limits)
        whole = question.filter is not None
        filter_cost = check_filter_cost(question.filter, self._engine, ref, self._limits)
        check_search_cost(len(vectors), top_k, lambda: self._engine.describe(ref), self._limits, whole=whole)
        largest = self._engine.capabilities.limits.max_k - spare
        if not 0 <= question.offset <= largest - top_k:
            raise InvalidArgument.of(
                "offset",
                f"is {question.offset} and must be from 0 to {largest - top_k}, so that no more than {largest} hits "
                "are ranked; use a threshold or a filter to go deeper",
                "out_of_range",
            )
        # A token that is left out may be among those to skip, so then skipping waits until it is gone.
        k = top_k + question.offset + spare if spare else top_k
        request = SearchRequest(
            legs=(DenseLeg(vectors=np.asarray(vectors)),),
            k=k,
            offset=0 if spare else question.offset,
            filter=question.filter,
            max_score=None if threshold is None else 1.0 - threshold + _ROUNDING,
            include=asked,
            max_bytes=answer_limit(k * len(vectors), dimension, self._limits),
        )
        with self._turns.turn(call, filter_cost):
            results = self._engine.search(ref, request, deadline=call.deadline)
        answers = []
        for result in results:
            hits = [
                TokenHit(Token.of(hit.point), 1.0 - hit.score, hit.score)
                for hit in result.hits
                if hit.point.id != without
            ]
            if spare:
                hits = hits[question.offset : question.offset + top_k]
            answers.append(hits if threshold is None else [hit for hit in hits if hit.similarity >= threshold])
        if self._told is not None and self._told.are_heard:
            self._told.answered(call, [[hit.similarity for hit in hits] for hits in answers])
        return answers


def _possible(token_id: int) -> bool:
    return 1 <= token_id <= MAX_SERIAL_ID
