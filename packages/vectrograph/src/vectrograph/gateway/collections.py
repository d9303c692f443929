"""Handlers of collections, points and feedback. What the path says wins over what the body says."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.collections import CollectionState
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.points import Put, Vector
from vectrograph.domain.queries import Include
from vectrograph.gateway import messages
from vectrograph.gateway.proto_json import read_bytes
from vectrograph.http.context import Context
from vectrograph.http.decoding import as_vector
from vectrograph.services.points.filter_text import filter_of

_POINT: Final = Include(vector=True, payload=True, text=False)


def create(context: Context, body: messages.CreateCollectionRequest) -> messages.CreateCollectionResponse:
    """POST /v1/collections."""
    info = context.services.catalog.create(context.call, body.name, body.dimension, body.distance, body.quantization)
    return messages.CreateCollectionResponse(quantization=info.spec.quantisation.value if body.quantization else UNSET)


def list_names(context: Context, _: None) -> messages.ListCollectionsResponse:
    """GET /v1/collections."""
    names = sorted(info.spec.ref.name for info in context.services.catalog.list(context.call))
    return messages.ListCollectionsResponse(collections=names)


def drop(context: Context, _: None) -> messages.SuccessResponse:
    """DELETE /v1/collections/{name}."""
    context.services.catalog.drop(context.call, context.path["name"])
    return messages.SuccessResponse()


def status(context: Context, _: None) -> messages.GetCollectionStatusResponse:
    """GET /v1/collections/{name}/status."""
    info = context.services.catalog.describe(context.call, context.path["name"])
    return messages.GetCollectionStatusResponse(
        name=info.spec.ref.name,
        dimension=info.spec.dimension,
        distance=info.spec.distance.value,
        shards=[messages.ShardStatus(replicas=["1"], ready=info.state is CollectionState.READY)],
    )


def upsert(context: Context, body: messages.UpsertRequest) -> messages.UpsertResponse:
    """POST /v1/collections/{collection}/points."""
    if not body.points:
        raise InvalidArgument.of("points", "at least one point is required for upsert", "too_short")
    puts = puts_of(context, body.points)
    count = context.services.points.upsert(
        context.call, context.path["collection"], puts, idempotency=context.idempotency
    )
    json_payload = any(point.payload_json for point in body.points)
    return messages.UpsertResponse(upserted=count, json_payload=json_payload or UNSET)


def search(context: Context, body: messages.SearchRequest) -> messages.SearchResponse:
    """POST /v1/collections/{collection}/points/search."""
    [result] = context.services.search.search(
        context.call.within(body.timeout_ms),
        context.path["collection"],
        vector_of(context, body.vector, "vector")[np.newaxis],
        body.top_k,
        include=Include(vector=body.include_vectors, payload=not body.omit_payload, text=False),
        filter=filter_of(body.filter_json),
        exact=body.exact,
        ef=body.ef or None,
        explain=body.explain,
        rerank=None if body.rerank is None else body.rerank.asked_with(body.query),
    )
    return messages.SearchResponse.of(result, explain=body.explain, bare=body.json_payload)


def get(context: Context, query: messages.GetQuery) -> messages.GetResponse:
    """GET /v1/collections/{collection}/points/{id}."""
    point = context.services.points.get(context.call, context.path["collection"], context.path["id"], _POINT)
    return messages.GetResponse(point=messages.StoredPointMessage.of(point, bare=query.json_payload))


def delete(context: Context, _: None) -> messages.DeleteResponse:
    """DELETE /v1/collections/{collection}/points/{id}."""
    context.services.points.delete(
        context.call, context.path["collection"], context.path["id"], idempotency=context.idempotency
    )
    return messages.DeleteResponse()


def submit_feedback(context: Context, body: messages.SubmitFeedbackRequest) -> messages.SubmitFeedbackResponse:
    """POST /v1/feedback."""
    items = [
        FeedbackItem(
            result_id=item.result_id,
            relevance_score=item.relevance_score,
            clicked=item.clicked,
            position=item.position,
            comment=item.comment,
        )
        for item in body.feedback_items
    ]
    feedback_id = context.services.feedback.submit(context.call, body.collection, body.query, items, body.context)
    return messages.SubmitFeedbackResponse(feedback_id=feedback_id)


def vector_of(context: Context, value: list[float] | int, field: str) -> Vector:
    """A vector of a body: the numbers themselves, or where the body is a frame the number of a row.

    Raises:
        InvalidArgument: there is no such row, or it was taken before.
    """
    return context.rows.take(value, field) if isinstance(value, int) else as_vector(value)


def puts_of(context: Context, points: Sequence[messages.Point]) -> list[Put]:
    """What to store.

    Raises:
        InvalidArgument: a `payload_json` is malformed, or a row is not there; names the point's position.
        TooLarge: the payloads together would take too much memory.
    """
    budget = JsonBudget.of(context.services.limits)
    return [
        Put(
            id=point.id,
            vector=vector_of(context, point.vector, f"points[{position}].vector"),
            payload=_payload(point, position, budget),
        )
        for position, point in enumerate(points)
    ]


def _payload(point: messages.Point, position: int, budget: JsonBudget) -> dict[str, Any]:
    """`payloadJson` when it is there, else the strings."""
    if not point.payload_json:
        return dict(point.payload)
    field = f"points[{position}].payload_json"
    text = read_bytes(point.payload_json, field)
    budget.require(text, field)
    try:
        payload = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument.of(field, "must be valid JSON") from error
    if not isinstance(payload, dict):
        raise InvalidArgument.of(field, "must be a JSON object")
    return payload
