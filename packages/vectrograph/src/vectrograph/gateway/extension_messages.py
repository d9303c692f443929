"""Messages of vectrograph.v1 as JSON: one struct each, fields in lowerCamelCase, every field of an answer sent."""

from typing import Annotated

from msgspec import Meta, field

from vectrograph.control.records import FeedbackRecord
from vectrograph.domain.collections import CollectionInfo
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Outcome
from vectrograph.gateway.messages import (
    FeedbackItemMessage,
    GatewayMessage,
    Point,
    SearchResponse,
    StoredPointMessage,
)
from vectrograph.gateway.proto_json import Base64, Int64, UInt32, UInt64

_MICROSECONDS = 1_000_000

Vectors = Annotated[Base64, Meta(description="Vectors one after the other, little-endian 32-bit floats, in base64.")]


class SearchBatchRequest(GatewayMessage, frozen=True, kw_only=True):
    """Many searches of one collection; the collection of the path counts."""

    collection: str = ""
    vectors: Base64 = ""
    queries: UInt32 = 0
    top_k: UInt32 = 0
    include_vectors: bool = False
    omit_payload: bool = False
    filter_json: str = ""
    exact: bool = False
    ef: UInt32 = 0
    timeout_ms: UInt32 = 0
    json_payload: bool = False


class SearchBatchResponse(GatewayMessage, frozen=True, kw_only=True):
    """One answer for each query, in their order."""

    responses: list[SearchResponse]


class ScrollRequest(GatewayMessage, frozen=True, kw_only=True):
    """A page; `limit` 0 means 100, `orderBy` is id, created or updated, empty means id."""

    collection: str = ""
    limit: UInt32 = 0
    cursor: str = ""
    filter_json: str = ""
    order_by: str = ""
    descending: bool = False
    include_vectors: bool = False
    omit_payload: bool = False
    json_payload: bool = False


class ScrollResponse(GatewayMessage, frozen=True, kw_only=True):
    """Points; `cursor` is empty when there is nothing more."""

    points: list[StoredPointMessage]
    cursor: str


class CountRequest(GatewayMessage, frozen=True, kw_only=True):
    """What to count; an empty filter counts everything."""

    collection: str = ""
    filter_json: str = ""


class CountResponse(GatewayMessage, frozen=True, kw_only=True):
    """How many there are."""

    count: Int64


class DeleteWhereRequest(GatewayMessage, frozen=True, kw_only=True):
    """What to delete; the filter is required, so that forgetting it does not empty the collection."""

    collection: str = ""
    filter_json: str = ""


class DeleteWhereResponse(GatewayMessage, frozen=True, kw_only=True):
    """How many there were."""

    deleted: Int64


class UpsertIfRequest(GatewayMessage, frozen=True, kw_only=True):
    """Points to store where the condition holds; `ifVersion` has the version that a stored point must have, by id."""

    collection: str = ""
    points: list[Point] = field(default_factory=list)
    if_absent: bool = False
    if_version: dict[str, UInt64] = field(default_factory=dict)
    if_match_json: str = ""


class PointOutcome(GatewayMessage, frozen=True, kw_only=True):
    """What became of a point: created, updated or skipped, and its version now."""

    id: str
    status: str
    version: Int64

    @classmethod
    def of(cls, outcome: Outcome) -> "PointOutcome":
        """From the engine's."""
        return cls(id=outcome.id, status=outcome.status.value, version=str(outcome.version))


class UpsertIfResponse(GatewayMessage, frozen=True, kw_only=True):
    """One outcome for each point, in their order."""

    outcomes: list[PointOutcome]


class GetCollectionInfoResponse(GatewayMessage, frozen=True, kw_only=True):
    """A collection in numbers; `createdAt` is Unix seconds."""

    name: str
    dimension: UInt32
    distance: str
    count: Int64
    indexed: Int64
    bytes_on_disk: Int64
    state: str
    created_at: Int64
    owner: str
    tenant: str
    quantization: str

    @classmethod
    def of(cls, info: CollectionInfo, owner: str | None) -> "GetCollectionInfoResponse":
        """From the collection as it stands, and the id of who created it where that is known."""
        return cls(
            name=info.spec.ref.name,
            dimension=info.spec.dimension,
            distance=info.spec.distance.value,
            count=str(info.count),
            indexed=str(info.indexed),
            bytes_on_disk=str(info.bytes_on_disk),
            state=info.state.value,
            created_at=str(info.created_at // _MICROSECONDS),
            owner=owner or "",
            tenant=info.spec.ref.tenant,
            quantization=info.spec.quantisation.value,
        )


class GetLimitsResponse(GatewayMessage, frozen=True, kw_only=True):
    """The largest things this server takes."""

    max_message_bytes: Int64
    max_batch: UInt32
    max_top_k: UInt32
    default_top_k: UInt32
    max_hits: UInt32
    max_dimension: UInt32
    max_text_bytes: UInt32
    max_payload_bytes: UInt32
    max_name_bytes: UInt32
    max_page: UInt32
    max_id_bytes: UInt32
    max_answer_bytes: Int64
    max_search_work: Int64
    max_filter_conditions: UInt32
    max_filter_paths: UInt32
    max_filter_work: Int64
    max_collections: UInt32
    max_tenant_collections: UInt32

    @classmethod
    def of(cls, limits: Limits) -> "GetLimitsResponse":
        """From the limits in force."""
        large = ("max_message_bytes", "max_answer_bytes", "max_search_work", "max_filter_work")
        return cls(
            max_message_bytes=str(limits.max_body_bytes),
            max_answer_bytes=str(limits.max_answer_bytes),
            max_search_work=str(limits.max_search_work),
            max_filter_work=str(limits.max_filter_work),
            **{name: getattr(limits, name) for name in cls.__struct_fields__ if name not in large},
        )


class ListFeedbackQuery(GatewayMessage, frozen=True, kw_only=True):
    """Which feedback: on exactly this query text, or on any when it is empty; `limit` 0 means 100."""

    query: str = ""
    limit: UInt32 = 0
    cursor: str = ""


class FeedbackMessage(GatewayMessage, frozen=True, kw_only=True):
    """One submission; `createdAt` is Unix seconds."""

    feedback_id: str
    collection: str
    query: str
    user_id: str
    context: dict[str, str]
    items: list[FeedbackItemMessage]
    created_at: Int64

    @classmethod
    def of(cls, record: FeedbackRecord) -> "FeedbackMessage":
        """From the record."""
        return cls(
            feedback_id=record.feedback_id,
            collection=record.collection,
            query=record.query,
            user_id=record.user_id,
            context=record.context,
            items=[FeedbackItemMessage.of(item) for item in record.items],
            created_at=str(record.created_at // _MICROSECONDS),
        )


class ListFeedbackResponse(GatewayMessage, frozen=True, kw_only=True):
    """Submissions, newest first; `cursor` is empty when there is nothing more."""

    feedback: list[FeedbackMessage]
    cursor: str
