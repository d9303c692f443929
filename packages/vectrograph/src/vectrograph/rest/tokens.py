"""Handlers of tokens and embeddings."""

from typing import Any, Final

from msgspec import UNSET, UnsetType

from vectrograph.domain.grid import UNCHANGED, PlacementChange
from vectrograph.domain.points import KEEP, Keep, Vector
from vectrograph.http.context import Context
from vectrograph.http.decoding import decode_id
from vectrograph.rest import requests, responses
from vectrograph.rest.token_queries import filter_of_text, include_of_parts, include_of_text
from vectrograph.services.points.tokens import NewToken

# Tokens of a page when the request names no limit.
_DEFAULT_PAGE: Final = 100


def create(context: Context, body: requests.TokenCreate) -> responses.Token:
    """Answer POST /api/v1/tokens."""
    point = context.services.tokens.create(
        context.call,
        body.text,
        body.metadata,
        context.vector("embedding", body.embedding),
        placement=_placement(body),
        idempotency=context.idempotency,
    )
    return responses.Token.of(point)


def create_many(context: Context, body: requests.TokenBatch) -> responses.TokensCreated:
    """Answer POST /api/v1/tokens/batch."""
    items = [
        NewToken(
            item.text,
            item.metadata,
            context.vector(("tokens", position, "embedding"), item.embedding),
            _placement(item),
        )
        for position, item in enumerate(body.tokens)
    ]
    include = include_of_parts(body.include)
    points = context.services.tokens.create_many(context.call, items, idempotency=context.idempotency)
    return responses.TokensCreated(tokens=[responses.Token.of(point, include) for point in points])


def list_page(context: Context, query: requests.Page) -> responses.TokenPage:
    """Answer GET /api/v1/tokens."""
    largest = context.services.limits.max_page
    limit = min(_DEFAULT_PAGE, largest) if isinstance(query.limit, UnsetType) else query.limit
    include = include_of_text(query.include)
    page = context.services.tokens.list(
        context.call, limit, query.offset, filter=filter_of_text(query.filter), include=include
    )
    return responses.TokenPage(
        tokens=[responses.Token.of(point, include) for point in page.tokens],
        total=page.total,
        limit=page.limit,
        offset=page.offset,
    )


def get(context: Context, query: requests.TokenParts) -> responses.Token:
    """Answer GET /api/v1/tokens/{token_id}."""
    include = include_of_text(query.include)
    return responses.Token.of(context.services.tokens.get(context.call, _token_id(context), include=include), include)


def update(context: Context, body: requests.TokenUpdate) -> responses.Token:
    """Answer PUT /api/v1/tokens/{token_id}."""
    embedding: Vector | Keep | None = KEEP
    if not isinstance(body.embedding, UnsetType):
        embedding = context.vector("embedding", body.embedding)
    point = context.services.tokens.update(
        context.call,
        _token_id(context),
        text=_given_or_keep(body.text),
        embedding=embedding,
        metadata=_given_or_keep(body.metadata),
        placement=_change(body),
    )
    return responses.Token.of(point)


def delete(context: Context, _: None) -> None:
    """Answer DELETE /api/v1/tokens/{token_id}."""
    context.services.tokens.delete(context.call, _token_id(context))


def embed(context: Context, body: requests.EmbeddingRequest) -> responses.Embeddings:
    """Answer POST /api/v1/embeddings."""
    embeddings = context.services.embeddings
    rows = embeddings.embed(context.call, body.texts)
    return responses.Embeddings(embeddings=list(rows), model=embeddings.model, dimension=embeddings.dimension)


def _token_id(context: Context) -> int:
    return decode_id("token_id", context.path["token_id"])


def _placement(body: requests.TokenCreate) -> PlacementChange:
    if body.coordinates is None and body.weight is None and body.field_radius is None and body.field_strength is None:
        return UNCHANGED
    return PlacementChange(
        coordinates=body.coordinates,
        weight=body.weight,
        field_radius=body.field_radius,
        field_strength=body.field_strength,
    )


def _change(body: requests.TokenUpdate) -> PlacementChange:
    return PlacementChange(
        coordinates=_given_or_keep(body.coordinates),
        weight=_given_or_keep(body.weight),
        field_radius=_given_or_keep(body.field_radius),
        field_strength=_given_or_keep(body.field_strength),
    )


def _given_or_keep(value: Any) -> Any:
    return KEEP if value is UNSET else value
