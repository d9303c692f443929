"""Messages of the contract as JSON: one struct each, named as in the .proto files, fields in lowerCamelCase.

Every field of an answer is sent, default or not, but for extensions of ours, which are absent when they are empty.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.points import Payload
from vectrograph.domain.points import Point as StoredPoint
from vectrograph.domain.queries import Hit
from vectrograph.domain.queries import Plan as SearchAccount
from vectrograph.domain.queries import SearchResult as FoundHits
from vectrograph.gateway.proto_json import Base64, Int32, Int64, UInt32
from vectrograph.services.points.reranking import Rerank

Score = Annotated[float | str, Meta(description="A distance: lower is closer.")]
JsonPayload = Annotated[str, Meta(description="The payload as JSON, in base64; there when a value is not a string.")]


class GatewayMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """A message; its names in JSON are lowerCamelCase."""


class CreateCollectionRequest(GatewayMessage, frozen=True, kw_only=True):
    """A collection to be. `distance` is cosine, euclidean or dot; empty means euclidean.

    `quantization`, how its index stores a component, is int8, float16 or float32; empty leaves it to the server.
    """

    name: str = ""
    dimension: Int32 = 0
    distance: str = ""
    quantization: str = ""


class CreateCollectionResponse(GatewayMessage, frozen=True, kw_only=True):
    """It is done; `quantization` is there when the request had it."""

    success: bool = True
    quantization: str | UnsetType = UNSET


class SuccessResponse(GatewayMessage, frozen=True, kw_only=True):
    """It is done."""

    success: bool = True


class ListCollectionsResponse(GatewayMessage, frozen=True, kw_only=True):
    """Names of collections, sorted."""

    collections: list[str]


class ShardStatus(GatewayMessage, frozen=True, kw_only=True):
    """A partition of a collection; 64-bit numbers are strings."""

    shard_id: UInt32 = 1
    replicas: list[Int64]
    leader_id: Int64 = "1"
    ready: bool


class GetCollectionStatusResponse(GatewayMessage, frozen=True, kw_only=True):
    """Dimension, distance and shards of a collection."""

    name: str
    dimension: Int32
    distance: str
    shards: list[ShardStatus]


class Point(GatewayMessage, frozen=True, kw_only=True):
    """A point. `payloadJson` wins over `payload`."""

    id: str = ""
    vector: list[float] = []
    payload: dict[str, str] = {}
    payload_json: Base64 = ""


class UpsertRequest(GatewayMessage, frozen=True, kw_only=True):
    """Points to store; the collection of the path counts."""

    collection: str = ""
    points: list[Point] = []


class UpsertResponse(GatewayMessage, frozen=True, kw_only=True):
    """How many points were sent."""

    upserted: Int32
    json_payload: bool | UnsetType = UNSET


class RerankRequest(GatewayMessage, frozen=True, kw_only=True):
    """How hits are ordered anew by the words of `query` and by feedback; both weights 0 means 0.3 each."""

    keyword_weight: float = 0.0
    feedback_weight: float = 0.0
    field_boosts: dict[str, float] = {}
    candidates: UInt32 = 0

    def asked_with(self, query: str) -> Rerank:
        """As the services take it."""
        return Rerank(
            query=query,
            keyword_weight=self.keyword_weight,
            feedback_weight=self.feedback_weight,
            field_boosts=self.field_boosts,
            candidates=self.candidates,
        )


class SearchRequest(GatewayMessage, frozen=True, kw_only=True):
    """A search; the collection of the path counts. `topK` 0 means 10, `timeoutMs` 0 means none.

    `jsonPayload` sends payloads as `payloadJson` alone. `pieceBytes` means something to SearchStream of gRPC only.
    """

    collection: str = ""
    vector: list[float] = []
    top_k: UInt32 = 0
    query: str = ""
    timeout_ms: UInt32 = 0
    include_vectors: bool = False
    include_metadata: bool = False
    omit_payload: bool = False
    filter_json: str = ""
    exact: bool = False
    ef: UInt32 = 0
    explain: bool = False
    rerank: RerankRequest | None = None
    json_payload: bool = False
    piece_bytes: UInt32 = 0


class SearchResult(GatewayMessage, frozen=True, kw_only=True):
    """A hit; values of the payload that are not strings appear as their JSON text."""

    id: str
    score: Score
    payload: dict[str, str]
    vector: list[float]
    payload_json: JsonPayload | UnsetType = UNSET
    distance: Score | UnsetType = UNSET

    @classmethod
    def of(cls, hit: Hit, *, bare: bool = False) -> "SearchResult":
        """From a hit of a search; `bare` leaves out the strings."""
        payload, payload_json = split_payload(hit.point.payload or {}, bare=bare)
        return cls(
            id=hit.point.id,
            score=json_float(hit.score),
            payload=payload,
            vector=[] if hit.point.vector is None else hit.point.vector.tolist(),
            payload_json=payload_json,
            distance=UNSET if hit.distance is None else json_float(hit.distance),
        )


class SearchPlan(GatewayMessage, frozen=True, kw_only=True):
    """How a search was answered; 64-bit numbers are strings."""

    strategy: str
    index: str
    rows_scanned: Int64
    matches: Int64
    milliseconds: float

    @classmethod
    def of(cls, plan: SearchAccount) -> "SearchPlan":
        """From the engine's own account."""
        return cls(
            strategy=plan.strategy,
            index=plan.index or "",
            rows_scanned=str(plan.rows_scanned),
            matches=str(plan.matches or 0),
            milliseconds=plan.milliseconds,
        )


class SearchResponse(GatewayMessage, frozen=True, kw_only=True):
    """Hits, closest first; `complete` and `plan` are there when asked to explain."""

    results: list[SearchResult]
    complete: bool | UnsetType = UNSET
    plan: SearchPlan | UnsetType = UNSET

    @classmethod
    def of(cls, found: FoundHits, *, explain: bool, bare: bool = False) -> "SearchResponse":
        """From what a search found."""
        results = [SearchResult.of(hit, bare=bare) for hit in found.hits]
        if not explain or found.plan is None:
            return cls(results=results)
        return cls(results=results, complete=found.complete, plan=SearchPlan.of(found.plan))


class StoredPointMessage(GatewayMessage, frozen=True, kw_only=True):
    """A stored point with its exact vector."""

    id: str
    vector: list[float]
    payload: dict[str, str]
    payload_json: JsonPayload | UnsetType = UNSET

    @classmethod
    def of(cls, point: StoredPoint, *, bare: bool = False) -> "StoredPointMessage":
        """From a stored point, read with its vector."""
        payload, payload_json = split_payload(point.payload or {}, bare=bare)
        vector = [] if point.vector is None else point.vector.tolist()
        return cls(id=point.id, vector=vector, payload=payload, payload_json=payload_json)


class GetResponse(GatewayMessage, frozen=True, kw_only=True):
    """One point."""

    point: StoredPointMessage


class GetQuery(GatewayMessage, frozen=True, kw_only=True):
    """How to send the point; `jsonPayload` sends its payload as `payloadJson` alone."""

    json_payload: bool = False


class DeleteResponse(GatewayMessage, frozen=True, kw_only=True):
    """An empty object."""


class FeedbackItemMessage(GatewayMessage, frozen=True, kw_only=True):
    """A judgement of one hit: 1 (useless) to 5 (perfect); `position` counts from 0."""

    result_id: str = ""
    relevance_score: Int32 = 0
    clicked: bool = False
    position: Int32 = 0
    comment: str = ""

    @classmethod
    def of(cls, item: FeedbackItem) -> "FeedbackItemMessage":
        """From the record."""
        return cls(
            result_id=item.result_id,
            relevance_score=item.relevance_score,
            clicked=item.clicked,
            position=item.position,
            comment=item.comment,
        )


class SubmitFeedbackRequest(GatewayMessage, frozen=True, kw_only=True):
    """Judgements of the hits of one query."""

    collection: str = ""
    query: str = ""
    result_ids: list[str] = []
    feedback_items: list[FeedbackItemMessage] = []
    context: dict[str, str] = {}


class SubmitFeedbackResponse(GatewayMessage, frozen=True, kw_only=True):
    """Under which id the feedback is kept."""

    success: bool = True
    feedback_id: str


def json_float(value: float) -> float | str:
    """A 32-bit float as JSON has it: a number, or the name of what is none.

    >>> json_float(0.5), json_float(float("inf"))
    (0.5, 'Infinity')
    """
    with np.errstate(over="ignore"):
        single = float(np.float32(value))
    if np.isfinite(single):
        return single
    return "NaN" if np.isnan(single) else "Infinity" if single > 0 else "-Infinity"


def split_payload(payload: Payload, *, bare: bool = False) -> tuple[dict[str, str], str | UnsetType]:
    """A payload as strings, values of other types as their JSON text; and whole as JSON in base64 if there are any.

    >>> split_payload({"a": "x", "n": 1})
    ({'a': 'x', 'n': '1'}, 'eyJhIjoieCIsIm4iOjF9')
    >>> split_payload({"a": "x", "n": 1}, bare=True)
    ({}, 'eyJhIjoieCIsIm4iOjF9')
    """
    if bare and payload:
        return {}, base64.b64encode(msgspec.json.encode(payload)).decode()
    if all(isinstance(value, str) for value in payload.values()):
        return dict(payload), UNSET
    strings: Mapping[str, Any] = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in payload.items()
    }
    return dict(strings), base64.b64encode(msgspec.json.encode(payload)).decode()
