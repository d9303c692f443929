"""Tokens: points of the reserved collection `tokens`, whose texts the server embeds."""

import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.domain.answer_bytes import answer_too_large
from vectrograph.domain.collections import DEFAULT_TENANT, TOKENS_COLLECTION, CollectionInfo, CollectionRef
from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter, refuse_unconditional
from vectrograph.domain.grid import UNCHANGED, PlacementChange
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import (
    KEEP,
    MAX_SERIAL_ID,
    Delete,
    DeleteWhere,
    IdempotencyKey,
    Keep,
    OutcomeStatus,
    Payload,
    Put,
    Vector,
)
from vectrograph.domain.queries import Order, ScrollRequest
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call
from vectrograph.services.limits.cost import check_filter_cost
from vectrograph.services.limits.filter_turns import FilterTurns
from vectrograph.services.limits.validation import validate_batch, validate_text
from vectrograph.services.points.field_names import renaming_fields
from vectrograph.services.points.placed_writes import new_placement, payloads_to_write
from vectrograph.services.points.stored_tokens import WHOLE, Parts, Token, tokens_of
from vectrograph.services.points.token_changes import TokenChange, TokenChanges, missing_token
from vectrograph.services.points.token_queries import TokenHit, TokenQueries, TokenQuestion, Told
from vectrograph.services.points.tokens_collection import ensure_tokens
from vectrograph.services.traffic import Traffic

_RENAMED: Final = {"vector": "embedding", "payload": "metadata"}


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be made: a text, or an embedding, or both (then the embedding is taken as it is).

    Attributes:
        placement: its place in the levels of Grid, as far as it is given.
    """

    text: str | None
    metadata: Payload | None = None
    embedding: Vector | None = None
    placement: PlacementChange = UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPage:
    """One page of all tokens, ascending by id."""

    tokens: list[Token]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeletedTokens:
    """Outcome of a request to delete many: how many there were, and the numbers that no token had."""

    deleted: int
    missing: tuple[int, ...]


class Tokens:
    """The tokens of the caller's tenant. `Point.id` is the token's number in decimal.

    Attributes:
        queries: finds tokens.
    """

    def __init__(
        self,
        engine: Engine,
        embedder: Embedder,
        limits: Limits,
        audit: Audit,
        turns: FilterTurns | None = None,
        traffic: Traffic | None = None,
        told: Told | None = None,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._embedder = embedder
        self._limits = limits
        self._turns = turns or FilterTurns()
        self._traffic = traffic or Traffic()
        self._changes = TokenChanges(engine, embedder, limits)
        self.queries = TokenQueries(engine, embedder, limits, self._turns, told)

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
        *,
        placement: PlacementChange = UNCHANGED,
        idempotency: IdempotencyKey | None = None,
    ) -> Token:
        """Store one token under the next number, embedding its text unless an embedding is given.

        Args:
            call: who asks.
            text: what the token says.
            metadata: any JSON object.
            embedding: float32, shape (dimension,).
            placement: its place in the levels of Grid, as far as it is given.
            idempotency: the request's own name; a repeat under it gives the first answer again and stores nothing.

        Raises:
            PermissionDenied: tokens:write is missing.
            InvalidArgument: the text is empty or too long, or the embedding or placement is not acceptable.
            TooLarge: the metadata is over its limit.
            IdempotencyConflict: the name was used for another request.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "write")
        with renaming_fields(_RENAMED):
            return self._create(call, ref, [NewToken(text, metadata, embedding, placement)], idempotency)[0]

    def create_many(
        self, call: Call, items: Sequence[NewToken], *, idempotency: IdempotencyKey | None = None
    ) -> list[Token]:
        """Store all of the tokens or none, in one write, under rising numbers in the order given.

        Raises:
            PermissionDenied: tokens:write is missing.
            InvalidArgument: there is none, or one is not acceptable; names its position.
            TooLarge: there are more than `max_batch`, or one's metadata is over its limit.
            IdempotencyConflict: the name was used for another request.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "write")
        validate_batch(items, "tokens", self._limits)
        if not items:
            raise InvalidArgument.of("tokens", "must contain at least one token", "too_short")
        with renaming_fields(_RENAMED, sequence="tokens"):
            return self._create(call, ref, items, idempotency)

    def get(self, call: Call, token_id: int, *, include: Parts = WHOLE) -> Token:
        """Return one token, with these parts.

        Raises:
            PermissionDenied: tokens:read is missing.
            PointNotFound: there is none of that number.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        return self._read(ref, _point_id(token_id), include)

    def list(
        self, call: Call, limit: int, offset: int, *, filter: Filter | None = None, include: Parts = WHOLE
    ) -> TokenPage:
        """Return one page of the tokens, ascending by id; past the end it is empty.

        Args:
            call: who asks.
            limit: most tokens to return.
            offset: tokens to skip.
            filter: only tokens whose metadata match; `total` counts those.
            include: parts of the tokens to return.

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: `limit` is not from 1 to `max_page`, or `offset` is negative.
            TooLarge: the tokens of the page hold more than `max_answer_bytes`.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        largest = self._limits.max_page
        if not 1 <= limit <= largest:
            raise InvalidArgument.of("limit", f"is {limit} and must be from 1 to {largest}", "out_of_range")
        if not 0 <= offset <= MAX_SERIAL_ID:
            raise InvalidArgument.of("offset", f"is {offset} and must be from 0 to {MAX_SERIAL_ID}", "out_of_range")
        most = self._limits.max_answer_bytes
        request = ScrollRequest(
            limit=limit, offset=offset, order=Order(key="id"), filter=filter, include=include.include, max_bytes=most
        )
        with self._turns.turn(call, check_filter_cost(filter, self._engine, ref, self._limits)):
            page = self._engine.scroll(ref, request, deadline=call.deadline)
            if page.cursor is not None and len(page.points) < limit:
                # Who steps by offsets would lose what a shorter page leaves out.
                raise answer_too_large("limit", most, most)
            total = self._engine.count(ref, filter, deadline=call.deadline)
        return TokenPage(tokens=tokens_of(page.points), total=total, limit=limit, offset=offset)

    def update(
        self,
        call: Call,
        token_id: int,
        *,
        text: str | Keep | None = KEEP,
        embedding: Vector | Keep | None = KEEP,
        metadata: Payload | Keep | None = KEEP,
        placement: PlacementChange = UNCHANGED,
    ) -> Token:
        """Change parts of a token; KEEP leaves a part alone, and a change of nothing only reads.

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
        change = TokenChange(
            text=text, embedding=embedding, metadata={} if metadata is None else metadata, placement=placement
        )
        if change.text is not KEEP and change.text is not None:
            validate_text(change.text, "text", self._limits)
        point_id = _point_id(token_id)
        if change.is_empty:
            return self._read(ref, point_id, WHOLE)
        with renaming_fields(_RENAMED):
            return self._changes.apply(ref, point_id, change, call.deadline)

    def delete(self, call: Call, token_id: int) -> None:
        """Remove a token; its number is never given again.

        Raises:
            PermissionDenied: tokens:delete is missing.
            PointNotFound: there is none of that number.
        """
        with self._audit.deleting(call, f"{TOKENS_COLLECTION}/{token_id}"):
            ref = call.require_collection(TOKENS_COLLECTION, "delete")
            point_id = _point_id(token_id)
            written = self._engine.write(ref, [Delete(id=point_id)], deadline=call.deadline)
            self._traffic.count_write(ref, written)
            if written.outcomes[0].status is not OutcomeStatus.DELETED:
                raise missing_token(point_id)

    def delete_many(
        self, call: Call, token_ids: Sequence[int], *, idempotency: IdempotencyKey | None = None
    ) -> DeletedTokens:
        """Remove many tokens in one write; numbers that no token has are told, not refused.

        Raises:
            PermissionDenied: tokens:delete is missing.
            TooLarge: there are more than `max_batch`.
            IdempotencyConflict: the name was used for another request.
        """
        wanted = builtins.list(dict.fromkeys(token_ids))
        possible = [number for number in wanted if 1 <= number <= MAX_SERIAL_ID]
        deletes = [Delete(id=str(number)) for number in possible]
        found: set[int] = set()
        with self._audit.deleting(call, f"{TOKENS_COLLECTION} ({len(wanted)} by number)"):
            ref = call.require_collection(TOKENS_COLLECTION, "delete")
            validate_batch(token_ids, "ids", self._limits)
            if deletes:
                written = self._engine.write(ref, deletes, idempotency=idempotency, deadline=call.deadline)
                self._traffic.count_write(ref, written)
                found = {int(outcome.id) for outcome in written.outcomes if outcome.status is OutcomeStatus.DELETED}
        return DeletedTokens(len(found), tuple(number for number in wanted if number not in found))

    def delete_where(self, call: Call, filter: Filter, *, idempotency: IdempotencyKey | None = None) -> DeletedTokens:
        """Remove every token whose metadata match, in one write.

        Raises:
            PermissionDenied: tokens:delete is missing.
            IdempotencyConflict: the name was used for another request.
            InvalidArgument: the filter has no condition, and does not say `everything`.
        """
        with self._audit.deleting(call, f"{TOKENS_COLLECTION} (by filter)"):
            ref = call.require_collection(TOKENS_COLLECTION, "delete")
            refuse_unconditional(filter)
            cost = check_filter_cost(filter, self._engine, ref, self._limits)
            deletes = [DeleteWhere(filter=filter)]
            with self._turns.turn(call, cost):
                written = self._engine.write(ref, deletes, idempotency=idempotency, deadline=call.deadline)
        self._traffic.count_write(ref, written)
        deleted = sum(outcome.status is OutcomeStatus.DELETED for outcome in written.outcomes)
        return DeletedTokens(deleted, ())

    def walk(
        self, call: Call, *, filter: Filter | None = None, include: Parts = WHOLE, page_size: int = 500
    ) -> Iterator[builtins.list[Token]]:
        """Yield all tokens in ascending id, a page at a time; one present throughout comes exactly once.

        Raises:
            PermissionDenied: tokens:read is missing; raised before the first page is asked for.
            RateLimited: as many costly filters are being evaluated as may be; also between pages.
        """
        ref = call.require_collection(TOKENS_COLLECTION, "read")
        cost = check_filter_cost(filter, self._engine, ref, self._limits)
        with self._turns.turn(call, cost):
            # Each page takes a turn of its own. Where there is none now, the refusal has a status.
            return self._pages(call, ref, filter, include, page_size, cost)

    def _pages(
        self, call: Call, ref: CollectionRef, filter: Filter | None, include: Parts, page_size: int, cost: int
    ) -> Iterator[builtins.list[Token]]:
        cursor: str | None = None
        while True:
            request = ScrollRequest(
                limit=page_size,
                order=Order(key="id"),
                cursor=cursor,
                filter=filter,
                include=include.include,
                max_bytes=self._limits.max_answer_bytes,
            )
            with self._turns.turn(call, cost):
                page = self._engine.scroll(ref, request, deadline=call.deadline)
            if page.points:
                yield tokens_of(page.points)
            cursor = page.cursor
            if cursor is None:
                return

    def query(
        self, call: Call, vector: Vector, top_k: int = 0, threshold: float | None = None
    ) -> builtins.list[TokenHit]:
        """Return the tokens nearest to a vector, most similar first, equals newest first.

        Args:
            call: who asks.
            vector: float32, shape (dimension,).
            top_k: how many; 0 means the default.
            threshold: only tokens at least this similar (inclusive).

        Raises:
            PermissionDenied: tokens:read is missing.
            InvalidArgument: the vector, `top_k` or `threshold` is not acceptable.
        """
        question = TokenQuestion(top_k=top_k, threshold=threshold)
        return self.queries.by_vectors(call, np.asarray(vector)[np.newaxis], question)[0]

    def _create(
        self,
        call: Call,
        ref: CollectionRef,
        items: Sequence[NewToken],
        idempotency: IdempotencyKey | None,
    ) -> builtins.list[Token]:
        # Before the texts are embedded; the engine looks at the rest.
        for position, item in enumerate(items):
            if item.text is not None:
                validate_text(item.text, ("ops", position, "text"), self._limits)
            elif item.embedding is None:
                raise InvalidArgument.of(
                    ("ops", position, "text"), "is missing; send a text, or an embedding, or both", "missing"
                )
        placements = [new_placement(item.metadata, item.placement, ("ops", n)) for n, item in enumerate(items)]
        payloads, limits = payloads_to_write([item.metadata or {} for item in items], placements, self._limits)
        puts = [
            Put(id=None, vector=vector, payload=payload, text=item.text)
            for item, payload, vector in zip(items, payloads, self._vectors(items), strict=True)
        ]
        written = self._engine.write(ref, puts, idempotency=idempotency, deadline=call.deadline, limits=limits)
        self._traffic.count_write(ref, written)
        return [
            Token(
                id=outcome.id,
                vector=put.vector,
                payload=item.metadata or {},
                text=item.text,
                created_at=written.at,
                updated_at=written.at,
                version=outcome.version,
                created_seq=outcome.version,
                placement=placement,
            )
            for item, put, placement, outcome in zip(items, puts, placements, written.outcomes, strict=True)
        ]

    def _vectors(self, items: Sequence[NewToken]) -> builtins.list[Vector]:
        texts = [item.text for item in items if item.embedding is None and item.text is not None]
        embedded = iter(self._embedder.embed(texts) if texts else ())
        return [next(embedded) if item.embedding is None else item.embedding for item in items]

    def _read(self, ref: CollectionRef, point_id: str, include: Parts) -> Token:
        point = self._engine.get(ref, [point_id], include=include.include)[0]
        if point is None:
            raise missing_token(point_id)
        return Token.of(point)


def _point_id(token_id: int) -> str:
    """Return the point's id of a token's number.

    Raises:
        PointNotFound: no token can have that number.
    """
    if not 1 <= token_id <= MAX_SERIAL_ID:
        raise missing_token(str(token_id))
    return str(token_id)
