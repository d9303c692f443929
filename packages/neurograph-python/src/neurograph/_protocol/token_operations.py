"""Calls that find, list, stream and delete tokens, as values. No I/O."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from neurograph._protocol import decoding
from neurograph._protocol.call import Call
from neurograph._protocol.encoding import checked, encode, json_object, plain_text, texts, vector_list, whole
from neurograph._protocol.filter_documents import document
from neurograph._protocol.frames import ACCEPT, VECTORS
from neurograph._protocol.operations import TOKENS, new_key, with_vector
from neurograph._protocol.vector_bodies import VectorBody
from neurograph._wirekit import values
from neurograph._wirekit.filters import matches_everything
from neurograph.exceptions import InvalidResponseError, NeuroGraphError, PayloadTooLargeError, ValidationError
from neurograph.filters import FilterLike
from neurograph.models import DeletedTokens, TokenPage, TokenQueryResult
from neurograph.wire import Request, Response

T = TypeVar("T")
LINES = "application/x-ndjson"
STREAM = f"{VECTORS}, {LINES};q=0.9"


def list_tokens(
    limit: int, offset: int, filter: FilterLike | None = None, include: Sequence[str] | None = None
) -> Call[TokenPage]:
    """Read a page of tokens, by rising id."""
    limit, offset = whole(limit, "limit"), whole(offset, "offset")
    query = urlencode({"limit": limit, "offset": offset, **_chosen(filter, include)})
    return Call(Request("GET", f"{TOKENS}?{query}", accept=ACCEPT), decoding.token_page(limit, offset))


def page_is_too_large(error: NeuroGraphError) -> bool:
    """Return whether a page was refused for its size, by the server or here, so that a shorter page may pass."""
    if isinstance(error, PayloadTooLargeError):
        return error.details.get("field") == "limit"
    return isinstance(error, InvalidResponseError) and error.error_code == decoding.RESPONSE_TOO_LARGE


def stream_tokens(filter: FilterLike | None, include: Sequence[str] | None, accept: str = STREAM) -> Call[Response]:
    """Read all tokens, a line each or many in a frame."""
    query = urlencode(_chosen(filter, include))
    target = f"{TOKENS}/export{'?' if query else ''}{query}"
    return Call(Request("GET", target, accept=accept, streamed=True), decoding.itself)


def query_tokens(
    query_vector: Any, text: str | None, token_id: int | None, **asked: Any
) -> Call[list[TokenQueryResult]]:
    """Find the tokens nearest to a vector, a text or a token."""
    call = Call(Request("POST", f"{TOKENS}/query", accept=ACCEPT), decoding.hits)
    return _query(call, query_vector, text, token_id, asked)


def stream_query(query_vector: Any, text: str | None, token_id: int | None, **asked: Any) -> Call[Response]:
    """Do as `query_tokens`, a hit a line or many in a frame."""
    call = Call(Request("POST", f"{TOKENS}/query", accept=STREAM, streamed=True), decoding.itself)
    return _query(call, query_vector, text, token_id, asked)


def query_many_tokens(
    query_vectors: Any, many: Sequence[str] | None, **asked: Any
) -> Call[list[list[TokenQueryResult]]]:
    """Find the tokens nearest to each of many vectors or texts."""
    if (query_vectors is None) == (many is None):
        raise ValidationError.of("query_vectors", "or texts: pass exactly one of the two")
    body = _asked(**asked)
    request = Request("POST", f"{TOKENS}/query/many", accept=ACCEPT)
    if many is not None:
        request = replace(request, body=encode({**body, "texts": texts(many, "texts")}))
        return Call(request, decoding.hit_lists)
    given = vector_list(query_vectors, "query_vectors")
    places = [f"query_vectors.{index}" for index in range(len(given))]
    vectors = VectorBody(given, places, lambda rows: {**body, "query_vectors": list(rows)})
    return Call(request, decoding.hit_lists, body=vectors)


def delete_tokens(wanted: Sequence[int | str]) -> Call[DeletedTokens]:
    """Delete tokens by their ids, once however often it is sent."""
    return _deleting({"ids": list(wanted)})


def delete_matching(filter: FilterLike) -> Call[DeletedTokens]:
    """Delete all tokens that match a filter, once however often it is sent.

    Raises:
        ValidationError: no filter, or one without any condition.
    """
    chosen = _filter(filter)
    if matches_everything(chosen):
        raise ValidationError.of(
            "filter", "has no condition and matches every token; pass neurograph.everything() to delete them all"
        )
    return _deleting({"filter": chosen})


def _deleting(body: dict[str, Any]) -> Call[DeletedTokens]:
    return Call(Request("POST", f"{TOKENS}/delete", encode(body), idempotency_key=new_key()), decoding.deleted)


def _query(call: Call[T], query_vector: Any, text: str | None, token_id: int | None, asked: dict[str, Any]) -> Call[T]:
    if sum(value is not None for value in (query_vector, text, token_id)) != 1:
        raise ValidationError.of("query_vector", "text or token_id: pass exactly one of the three")
    body = _asked(**asked)
    if text is not None:
        body["text"] = plain_text(text, "text")
    elif token_id is not None:
        body["token_id"] = whole(token_id, "token_id")
    return with_vector(call, body, "query_vector", query_vector)


def _asked(
    *, top_k: int, threshold: float | None, filter: FilterLike | None, offset: int, include: Sequence[str] | None
) -> dict[str, Any]:
    """Return the part of a query that is the same for all kinds; what is left at its default is not sent, so that
    servers that do not know it do not mind.
    """
    body: dict[str, Any] = {"top_k": checked(values.whole, top_k, "top_k", 0)}
    if threshold is not None:
        body["threshold"] = checked(values.real, threshold, "threshold")
    if filter is not None:
        body["filter"] = _filter(filter)
    skipped = whole(offset, "offset")
    if skipped:
        body["offset"] = skipped
    if include is not None:
        body["include"] = texts(include, "include")
    return body


def _chosen(filter: FilterLike | None, include: Sequence[str] | None) -> dict[str, str]:
    chosen = {}
    if filter is not None:
        chosen["filter"] = encode(_filter(filter)).decode()
    if include is not None:
        chosen["include"] = ",".join(texts(include, "include"))
    return chosen


def _filter(filter: FilterLike) -> dict[str, Any]:
    return json_object(document(filter), "filter") or {}
