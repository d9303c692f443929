"""Tokens: points of the reserved collection `tokens`, whose texts the server embeds."""

import builtins
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.limits import Limits
from vectrograph.domain.values import (
    DEFAULT_TENANT,
    KEEP,
    MAX_SERIAL_ID,
    TOKENS_COLLECTION,
    CollectionInfo,
    CollectionRef,
    Delete,
    DenseLeg,
    Include,
    Keep,
    Order,
    OutcomeStatus,
    Payload,
    Point,
    Put,
    ScrollRequest,
    SearchRequest,
    Vector,
)
from vectrograph.engines.base import Engine
from vectrograph.services.admission import admit_batch, admit_payload, admit_text, admit_top_k
from vectrograph.services.call import Call
from vectrograph.services.naming import naming_fields
from vectrograph.services.reservation import ensure_tokens
from vectrograph.services.token_changes import TokenChange, TokenChanges, missing_token

_WHOLE: Final = Include(vector=True, payload=True, text=True)
_BARE: Final = Include(vector=False, payload=False, text=False)
_RENAMED: Final = {"vector": "embedding", "payload": "metadata"}
# Room for the rounding of 1 − (1 − score); the exact comparison with the threshold follows.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be made: a text, or an embedding, or both (then the embedding is taken as it is)."""

    text: str | None
    metadata: Payload | None = None
    embedding: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPage:
    """One page of all tokens, ascending by id."""

    tokens: list[Point]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class TokenHit:
    """A token near a query: `distance` is 1 − cosine, `similarity` is 1 − distance."""

    token: Point
    similarity: float
    distance: float


class Tokens:
    """The tokens of the caller's tenant. `Point.id` is the token's number in decimal."""

    def __init__(self, engine: Engine, embedder: Embedder, limits: Limits) -> None:
        self._engine = engine
        self._embedder = embedder
        self._limits = limits
        self._changes = TokenChanges(engine, embedder)

    def ensure(self, tenant: str = DEFAULT_TENANT) -> CollectionInfo:
        """Make the tenant's collection of tokens when it is missing; called at start and for every new account.

        Raises:
            StartupError: it was made with another model; the message names both.
        """
        return ensure_tokens(self._engine, self._embedder, tenant)

    def create(
        self,
        call: Call,
        text: str | None,
        metadata: Payload | None = None,
        embedding: Vector | None = None,
    ) -> Point:
        """Store one token under the next number, embedding its text unless an embedding is given.

        Raises:
            PermissionDenied: tokens:write is missing.
            InvalidArgument: the text is empty or too long, or the embedding is not acceptable.
            TooLarge: the metadata is over its limit.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "write")
        with naming_fields(_RENAMED):
            return self._create(call, ref, [NewToken(text, metadata, embedding)], "")[0]

    def create_many(self, call: Call, items: Sequence[NewToken]) -> list[Point]:
        """Store all of the tokens or none, in one write, under rising numbers in the order given.

        Raises:
            PermissionDenied: tokens:write is missing.
            InvalidArgument: there is none, or one is not acceptable; names its position.
            TooLarge: there are more than `max_batch`, or one's metadata is over its limit.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "write")
        admit_batch(items, "tokens", self._limits)
        if not items:
            raise InvalidArgument.of("tokens", "must hold at least one token", "too_short")
        with naming_fields(_RENAMED, sequence="tokens"):
            return self._create(call, ref, items, "tokens[{}].")

    def get(self, call: Call, token_id: int) -> Point:
        """One token, whole.

        Raises:
            PermissionDenied: tokens:read is missing.
            PointNotFound: there is none of that number.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        return self._read(ref, _point_id(token_id))

    def list(self, call: Call, limit: int, offset: int) -> TokenPage:
        """One page of the tokens, ascending by id; past the end it is empty.

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: `limit` is not from 1 to `max_page`, or `offset` is negative.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        largest = self._limits.max_page
        if not 1 <= limit <= largest:
            raise InvalidArgument.of("limit", f"is {limit} and must be from 1 to {largest}", "out_of_range")
        if not 0 <= offset <= MAX_SERIAL_ID:
            raise InvalidArgument.of("offset", f"is {offset} and must be from 0 to {MAX_SERIAL_ID}", "out_of_range")
        page = self._engine.scroll(
            ref,
            ScrollRequest(limit=limit, offset=offset, order=Order(key="id"), include=_WHOLE),
            deadline=call.deadline,
        )
        total = self._engine.count(ref, deadline=call.deadline)
        return TokenPage(tokens=[*page.points], total=total, limit=limit, offset=offset)

    def update(
        self,
        call: Call,
        token_id: int,
        *,
        text: str | Keep | None = KEEP,
        embedding: Vector | Keep | None = KEEP,
        metadata: Payload | Keep | None = KEEP,
    ) -> Point:
        """Change parts of a token; KEEP leaves a part alone, and all three KEEP changes nothing.

        New text is embedded again unless an embedding is given. `text=None` clears the text and keeps the embedding,
        `metadata` replaces the metadata whole and None clears it. `embedding=None` gives up an embedding that was set
        by hand: the text (the new one or the stored one) is embedded again.

        Raises:
            PermissionDenied: tokens:write is missing.
            PointNotFound: there is none of that number.
            InvalidArgument: a part is not acceptable, or `embedding=None` meets a token without text.
            TooLarge: the metadata is over its limit.
            Conflict: others kept changing the token while this change was tried.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "write")
        change = TokenChange(text=text, embedding=embedding, payload={} if metadata is None else metadata)
        if change.text is not KEEP and change.text is not None:
            admit_text(change.text, "text", self._limits)
        if change.payload is not KEEP:
            admit_payload(change.payload, "metadata", self._limits)
        point_id = _point_id(token_id)
        if not change.is_empty:
            with naming_fields(_RENAMED):
                self._changes.apply(ref, point_id, change, call.deadline)
        return self._read(ref, point_id)

    def delete(self, call: Call, token_id: int) -> None:
        """Remove a token; its number is never given again.

        Raises:
            PermissionDenied: tokens:delete is missing.
            PointNotFound: there is none of that number.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "delete")
        point_id = _point_id(token_id)
        outcomes = self._engine.write(ref, [Delete(id=point_id)], deadline=call.deadline).outcomes
        if outcomes[0].status is not OutcomeStatus.DELETED:
            raise missing_token(point_id)

    def query(
        self, call: Call, vector: Vector, top_k: int = 0, threshold: float | None = None
    ) -> builtins.list[TokenHit]:
        """The tokens nearest to a vector, most similar first, equals newest first.

        Args:
            call: who asks.
            vector: float32, shape (dimension,).
            top_k: how many; 0 means the default.
            threshold: only tokens at least this similar (inclusive).

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: the vector, `top_k` or `threshold` is not acceptable.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        if threshold is not None and not math.isfinite(threshold):
            raise InvalidArgument.of("threshold", "must be a finite number", "finite_number")
        request = SearchRequest(
            legs=(DenseLeg(vectors=np.asarray(vector)[np.newaxis]),),
            k=admit_top_k(top_k, self._limits),
            max_score=None if threshold is None else 1.0 - threshold + _ROUNDING,
            include=_WHOLE,
        )
        with naming_fields({"vector": "query_vector"}):
            result = self._engine.search(ref, request, deadline=call.deadline)[0]
        hits = [TokenHit(hit.point, 1.0 - hit.score, hit.score) for hit in result.hits]
        return hits if threshold is None else [hit for hit in hits if hit.similarity >= threshold]

    def _create(self, call: Call, ref: CollectionRef, items: Sequence[NewToken], place: str) -> builtins.list[Point]:
        for position, item in enumerate(items):
            self._admit(item, place.format(position))
        puts = [
            Put(id=None, vector=vector, payload=item.metadata or {}, text=item.text)
            for item, vector in zip(items, self._vectors(items), strict=True)
        ]
        outcomes = self._engine.write(ref, puts, deadline=call.deadline).outcomes
        stored = self._engine.get(ref, [outcome.id for outcome in outcomes], include=_BARE)
        now = time.time_ns() // 1000
        points = []
        for item, put, outcome, seen in zip(items, puts, outcomes, stored, strict=True):
            # Someone may delete a token before its creator has the answer: it was created all the same.
            created_at = seen.created_at if seen is not None else now
            points.append(
                Point(
                    id=outcome.id,
                    vector=put.vector,
                    payload=item.metadata or {},
                    text=item.text,
                    created_at=created_at,
                    updated_at=created_at,
                    version=outcome.version,
                    created_seq=outcome.version,
                )
            )
        return points

    def _admit(self, item: NewToken, place: str) -> None:
        if item.text is not None:
            admit_text(item.text, f"{place}text", self._limits)
        elif item.embedding is None:
            raise InvalidArgument.of(f"{place}text", "is missing; send a text, or an embedding, or both", "missing")
        admit_payload(item.metadata or {}, f"{place}metadata", self._limits)

    def _vectors(self, items: Sequence[NewToken]) -> builtins.list[Vector]:
        texts = [item.text for item in items if item.embedding is None and item.text is not None]
        embedded = iter(self._embedder.embed(texts) if texts else ())
        return [next(embedded) if item.embedding is None else item.embedding for item in items]

    def _read(self, ref: CollectionRef, point_id: str) -> Point:
        point = self._engine.get(ref, [point_id], include=_WHOLE)[0]
        if point is None:
            raise missing_token(point_id)
        return point


def _point_id(token_id: int) -> str:
    """The point's id of a token's number.

    Raises:
        PointNotFound: no token can have that number.
    """
    if not 1 <= token_id <= MAX_SERIAL_ID:
        raise missing_token(str(token_id))
    return str(token_id)
