"""Operations on points: by id, by vector, by filter and by condition."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from msgspec import UNSET

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Point, Precondition
from vectrograph.domain.queries import Include, Order, ScrollPage, SearchResult
from vectrograph.services.call import Call
from vectrograph.services.points.filter_text import filter_of
from vectrograph.services.points.query_bytes import query_matrix
from vectrograph.vectron._messages import vectrograph, vectron
from vectrograph.vectron.invocation import Invocation
from vectrograph.vectron.vectors import SentPoints, SentQuery

# The parts that a message of a point can carry: it has no field for the text.
_POINT: Final = Include(vector=True, payload=True, text=False)
_json_of: Final = attrgetter("payload_json")


def upsert(given: Invocation, sent: SentPoints[vectron.UpsertRequest]) -> vectron.UpsertResponse:
    """Store points, replacing those of the same id; answer how many were sent."""
    if not sent.points:
        raise InvalidArgument.of("points", "at least one point is required for upsert", "too_short")
    puts = sent.puts(given.services.limits)
    count = given.services.points.upsert(given.call, sent.collection, puts, idempotency=given.repeat)
    as_json = any(map(_json_of, sent.points))
    return vectron.UpsertResponse(upserted=count, json_payload=as_json or UNSET)


def search(given: Invocation, sent: SentQuery) -> SearchResult:
    """Return the nearest points, closest first."""
    return _search(given, given.call.within(sent.message.timeout_ms), sent)


def search_stream(given: Invocation, sent: SentQuery) -> Iterator[SearchResult]:
    """Return results of which each replaces the one before; the last one is exact.

    The hits of an index come first, where one is used; where everything was scanned, they are exact already. A client
    that asks for pieces gets the one answer of `search`, which the codec divides.
    """
    call = given.call.within(sent.message.timeout_ms)
    if sent.message.piece_bytes:
        yield _search(given, call, sent)
        return
    quick = _search(given, call, sent, explain=True)
    yield quick
    if quick.plan is not None and quick.plan.index is not None:
        yield _search(given, call, sent, exact=True)


def _search(
    given: Invocation, call: Call, sent: SentQuery, *, exact: bool = False, explain: bool = False
) -> SearchResult:
    message = sent.message
    [result] = given.services.search.search(
        call,
        message.collection,
        sent.vector,
        message.top_k,
        include=include_of(message),
        filter=filter_of(message.filter_json),
        exact=exact or message.exact,
        ef=message.ef or None,
        explain=explain or message.explain,
        rerank=sent.reranking(),
    )
    return result


def search_batch(given: Invocation, request: vectrograph.SearchBatchRequest) -> list[SearchResult]:
    """Return the results of many searches of one collection, in their order."""
    return given.services.search.search(
        given.call.within(request.timeout_ms),
        request.collection,
        query_matrix(request.vectors, request.queries),
        request.top_k,
        filter=filter_of(request.filter_json),
        include=include_of(request),
        exact=request.exact,
        ef=request.ef or None,
    )


def get(given: Invocation, request: vectron.GetRequest) -> Point:
    """Return one point with vector and payload."""
    return given.services.points.get(given.call, request.collection, request.id, _POINT)


def delete(given: Invocation, request: vectron.DeleteRequest) -> vectron.DeleteResponse:
    """Remove a point; a missing id is no error."""
    given.services.points.delete(given.call, request.collection, request.id, idempotency=given.repeat)
    return vectron.DeleteResponse()


def scroll(given: Invocation, request: vectrograph.ScrollRequest) -> ScrollPage:
    """Return one page of points; an empty order means by id."""
    return given.services.bulk.scroll(
        given.call,
        request.collection,
        limit=request.limit,
        cursor=request.cursor or None,
        filter=filter_of(request.filter_json),
        order=Order(key=request.order_by or "id", descending=request.descending),
        include=include_of(request),
    )


def count(given: Invocation, request: vectrograph.CountRequest) -> vectrograph.CountResponse:
    """Count the points, or those that match."""
    found = given.services.bulk.count(given.call, request.collection, filter_of(request.filter_json))
    return vectrograph.CountResponse(count=found)


def delete_where(given: Invocation, request: vectrograph.DeleteWhereRequest) -> vectrograph.DeleteWhereResponse:
    """Remove every point that matches."""
    chosen = filter_of(request.filter_json)
    if chosen is None:
        raise InvalidArgument.of("filter_json", "must not be empty; name the points to delete", "missing")
    deleted = given.services.bulk.delete_where(given.call, request.collection, chosen, idempotency=given.repeat)
    return vectrograph.DeleteWhereResponse(deleted=deleted)


def upsert_if(given: Invocation, sent: SentPoints[vectrograph.UpsertIfRequest]) -> vectrograph.UpsertIfResponse:
    """Store those points for which the condition holds."""
    request = sent.message
    condition = Precondition(
        if_absent=request.if_absent,
        if_version=dict(request.if_version) or None,
        if_match=filter_of(request.if_match_json, "if_match_json"),
    )
    outcomes = given.services.bulk.upsert_if(
        given.call, sent.collection, sent.puts(given.services.limits), condition, idempotency=given.repeat
    )
    return vectrograph.UpsertIfResponse(
        outcomes=[vectrograph.PointOutcome(id=one.id, status=one.status.value, version=one.version) for one in outcomes]
    )


def include_of(request: vectron.SearchRequest | vectrograph.SearchBatchRequest | vectrograph.ScrollRequest) -> Include:
    """Return the parts of a point that a request asks for."""
    return Include(vector=request.include_vectors, payload=not request.omit_payload, text=False)
