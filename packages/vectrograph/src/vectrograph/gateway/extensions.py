"""Handlers of vectrograph.v1, what Vectron's API lacks. The collection of the path counts."""

from typing import Final

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Precondition
from vectrograph.domain.queries import Include, Order
from vectrograph.gateway import extension_messages as messages
from vectrograph.gateway.collections import puts_of
from vectrograph.gateway.messages import SearchResponse, StoredPointMessage
from vectrograph.gateway.proto_json import read_bytes
from vectrograph.http.context import Context
from vectrograph.services.points.filter_text import filter_of
from vectrograph.services.points.query_bytes import query_matrix

_NAME: Final = "collection"


def search_batch(context: Context, body: messages.SearchBatchRequest) -> messages.SearchBatchResponse:
    """POST /v1/collections/{collection}/points/search/batch."""
    results = context.services.search.search(
        context.call.within(body.timeout_ms),
        context.path[_NAME],
        query_matrix(read_bytes(body.vectors, "vectors"), body.queries),
        body.top_k,
        filter=filter_of(body.filter_json),
        include=Include(vector=body.include_vectors, payload=not body.omit_payload, text=False),
        exact=body.exact,
        ef=body.ef or None,
    )
    responses = [SearchResponse.of(result, explain=False, bare=body.json_payload) for result in results]
    return messages.SearchBatchResponse(responses=responses)


def scroll(context: Context, body: messages.ScrollRequest) -> messages.ScrollResponse:
    """POST /v1/collections/{collection}/points/scroll."""
    page = context.services.bulk.scroll(
        context.call,
        context.path[_NAME],
        limit=body.limit,
        cursor=body.cursor or None,
        filter=filter_of(body.filter_json),
        order=Order(key=body.order_by or "id", descending=body.descending),
        include=Include(vector=body.include_vectors, payload=not body.omit_payload, text=False),
    )
    points = [StoredPointMessage.of(point, bare=body.json_payload) for point in page.points]
    return messages.ScrollResponse(points=points, cursor=page.cursor or "")


def count(context: Context, body: messages.CountRequest) -> messages.CountResponse:
    """POST /v1/collections/{collection}/points/count."""
    found = context.services.bulk.count(context.call, context.path[_NAME], filter_of(body.filter_json))
    return messages.CountResponse(count=str(found))


def delete_where(context: Context, body: messages.DeleteWhereRequest) -> messages.DeleteWhereResponse:
    """POST /v1/collections/{collection}/points/delete."""
    chosen = filter_of(body.filter_json)
    if chosen is None:
        raise InvalidArgument.of("filter_json", "must not be empty; say which points are to go", "missing")
    deleted = context.services.bulk.delete_where(
        context.call, context.path[_NAME], chosen, idempotency=context.idempotency
    )
    return messages.DeleteWhereResponse(deleted=str(deleted))


def upsert_if(context: Context, body: messages.UpsertIfRequest) -> messages.UpsertIfResponse:
    """POST /v1/collections/{collection}/points/upsert-if."""
    condition = Precondition(
        if_absent=body.if_absent,
        if_version=body.if_version or None,
        if_match=filter_of(body.if_match_json, "if_match_json"),
    )
    outcomes = context.services.bulk.upsert_if(
        context.call,
        context.path[_NAME],
        puts_of(context, body.points),
        condition,
        idempotency=context.idempotency,
    )
    return messages.UpsertIfResponse(outcomes=[messages.PointOutcome.of(outcome) for outcome in outcomes])


def info(context: Context, _: None) -> messages.GetCollectionInfoResponse:
    """GET /v1/collections/{name}/info."""
    catalog, call, name = context.services.catalog, context.call, context.path["name"]
    return messages.GetCollectionInfoResponse.of(catalog.describe(call, name), catalog.owner(call, name))


def limits(context: Context, _: None) -> messages.GetLimitsResponse:
    """GET /v1/limits."""
    return messages.GetLimitsResponse.of(context.services.limits)


def list_feedback(context: Context, query: messages.ListFeedbackQuery) -> messages.ListFeedbackResponse:
    """GET /v1/collections/{collection}/feedback."""
    page = context.services.feedback.list(
        context.call,
        context.path[_NAME],
        query=query.query or None,
        limit=query.limit,
        cursor=query.cursor or None,
    )
    feedback = [messages.FeedbackMessage.of(record) for record in page.records]
    return messages.ListFeedbackResponse(feedback=feedback, cursor=page.cursor or "")
