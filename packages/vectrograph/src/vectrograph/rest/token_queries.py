"""Handlers that find, stream and delete tokens by what they are like."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.filters.json_form import parse
from vectrograph.domain.points import Vector
from vectrograph.http.context import Context, Lines
from vectrograph.rest import requests, responses
from vectrograph.services.points.filter_text import filter_of
from vectrograph.services.points.stored_tokens import WHOLE, Parts, Token
from vectrograph.services.points.token_queries import TokenHit, TokenQuestion

_PARTS: Final = Parts._fields


def query(context: Context, body: requests.TokenQuery) -> responses.QueryResults | Lines:
    """Answer POST /api/v1/tokens/query."""
    queries, question = context.services.tokens.queries, _question(body)
    given = [name for name in ("query_vector", "text", "token_id") if getattr(body, name) is not None]
    if len(given) != 1:
        raise _one_of("query_vector", "query_vector, text or token_id", given)
    if body.token_id is not None:
        hits = queries.by_token(context.call, body.token_id, question)
    elif body.text is not None:
        hits = queries.by_texts(context.call, [body.text], question)[0]
    else:
        vector = context.vector("query_vector", [] if body.query_vector is None else body.query_vector)
        hits = queries.by_vectors(context.call, vector[np.newaxis], question)[0]
    shown = [_shown(hit, question.include) for hit in hits]
    return Lines(iter([shown])) if context.wants_lines else responses.QueryResults(results=shown)


def query_many(context: Context, body: requests.TokenQueryMany) -> responses.QueryManyResults:
    """Answer POST /api/v1/tokens/query/many."""
    queries, question = context.services.tokens.queries, _question(body)
    given = [name for name in ("query_vectors", "texts") if getattr(body, name) is not None]
    if len(given) != 1:
        raise _one_of("query_vectors", "query_vectors or texts", given)
    if body.texts is not None:
        found = queries.by_texts(context.call, body.texts, question)
    else:
        matrix = _matrix(context, body.query_vectors or [])
        found = queries.by_vectors(context.call, matrix, question, field="query_vectors")
    return responses.QueryManyResults(results=[[_shown(hit, question.include) for hit in hits] for hits in found])


def export(context: Context, query: requests.Export) -> Lines:
    """Answer GET /api/v1/tokens/export."""
    include = include_of_text(query.include)
    pages = context.services.tokens.walk(context.call, filter=filter_of_text(query.filter), include=include)
    return Lines(_tokens(page, include) for page in pages)


def delete_many(context: Context, body: requests.TokenDelete) -> responses.TokensDeleted:
    """Answer POST /api/v1/tokens/delete."""
    given = [name for name in ("ids", "filter") if getattr(body, name) is not None]
    if len(given) != 1:
        raise _one_of("ids", "ids or filter", given)
    tokens = context.services.tokens
    if body.filter is not None:
        done = tokens.delete_where(context.call, parse(body.filter), idempotency=context.idempotency)
    else:
        done = tokens.delete_many(context.call, body.ids or [], idempotency=context.idempotency)
    return responses.TokensDeleted(deleted=done.deleted, missing=list(done.missing))


def filter_of_text(text: str | None) -> Filter | None:
    """Return a filter from a query string.

    Raises:
        InvalidArgument: the text is no JSON, or no filter.
    """
    if text is None:
        return None
    found = filter_of(text, "filter")
    if found is None:
        raise InvalidArgument.of("filter", "is not JSON: it is empty", "json_invalid")
    return found


def include_of_text(text: str | None) -> Parts:
    """Return the parts of a token that a query string names, separated by commas; all but the coordinates when it
    says nothing.

    Raises:
        InvalidArgument: there is no such part.

    >>> include_of_text("text").embedding
    False
    """
    return WHOLE if text is None else include_of_parts([part.strip() for part in text.split(",") if part.strip()])


def include_of_parts(parts: Sequence[str] | None) -> Parts:
    """Return the parts of a token that a body names; all but the coordinates when it says nothing.

    Raises:
        InvalidArgument: there is no such part.

    >>> include_of_parts(["metadata"]).metadata
    True
    """
    if parts is None:
        return WHOLE
    for part in parts:
        if part not in _PARTS:
            raise InvalidArgument.of("include", f"names {part!r}; the parts are {', '.join(_PARTS)}", "enum")
    return Parts(*(name in parts for name in _PARTS))


def _question(body: requests.TokenQuery | requests.TokenQueryMany) -> TokenQuestion:
    return TokenQuestion(
        top_k=body.top_k or 0,
        offset=body.offset,
        threshold=body.threshold,
        filter=None if body.filter is None else parse(body.filter),
        include=include_of_parts(body.include),
    )


def _one_of(field: str, names: str, given: Sequence[str]) -> InvalidArgument:
    if not given:
        return InvalidArgument.of(field, f"this field is required: send exactly one of {names}", "missing")
    return InvalidArgument.of(given[-1], f"send exactly one of {names}, not {' and '.join(given)}", "value_error")


def _matrix(context: Context, given: list[requests.Embedding]) -> Vector:
    numbers = [number for number in given if isinstance(number, int)]
    if numbers:
        return context.rows.take_many(numbers, "query_vectors")
    rows = [row for row in given if not isinstance(row, int)]
    if len({len(row) for row in rows}) > 1 or not rows:
        problem = "must hold at least one vector" if not rows else "must be vectors of one length"
        raise InvalidArgument.of("query_vectors", problem, "value_error")
    with np.errstate(over="ignore"):
        return np.array(rows, dtype=np.float32)


def _shown(hit: TokenHit, include: Parts) -> responses.QueryHit:
    return responses.QueryHit(
        token=responses.Token.of(hit.token, include), similarity=hit.similarity, distance=hit.distance
    )


def _tokens(page: Sequence[Token], include: Parts) -> Iterator[responses.Token]:
    return (responses.Token.of(token, include) for token in page)
