"""The methods of vectrograph.v1.VectrographService: message bytes in, services asked, message bytes out."""

from collections.abc import Mapping

from vectrograph.control.records import FeedbackRecord
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Precondition
from vectrograph.domain.queries import Include, Order
from vectrograph.rpc import messages
from vectrograph.rpc._pb import vectrograph_pb as pb
from vectrograph.rpc._pb import vectron_pb
from vectrograph.rpc.accounts import Public
from vectrograph.rpc.fragments import encode_hits, repeated
from vectrograph.rpc.messages import parse
from vectrograph.rpc.profiles import seconds
from vectrograph.rpc.vectron import Unary, reached
from vectrograph.services import Services
from vectrograph.services.call import Call, Origin, Principal
from vectrograph.services.points.filter_text import filter_of
from vectrograph.services.points.query_bytes import query_matrix


class VectrographService:
    """Answers each method for an authenticated caller; raises domain errors only."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def unary_methods(self) -> Mapping[str, Unary]:
        """The methods, by name."""
        return {
            "SearchBatch": self.search_batch,
            "Scroll": self.scroll,
            "Count": self.count,
            "DeleteWhere": self.delete_where,
            "UpsertIf": self.upsert_if,
            "GetCollectionInfo": self.get_collection_info,
            "ListFeedback": self.list_feedback,
        }

    def public_methods(self) -> Mapping[str, Public]:
        """Return the methods that strangers may call, by name."""
        return {"GetLimits": self.get_limits}

    def search_batch(self, call: Call, body: bytes) -> bytes:
        """Many searches of one collection."""
        request = parse(pb.SearchBatchRequest, body)
        reached(call, "read", request.collection)
        results = self._services.search.search(
            call.within(request.timeout_ms),
            request.collection,
            query_matrix(request.vectors, request.queries),
            request.top_k,
            filter=filter_of(request.filter_json),
            include=_include(request),
            exact=request.exact,
            ef=request.ef or None,
        )
        bare = request.json_payload
        return b"".join([repeated(encode_hits(result.hits, json_payload=bare)) for result in results])

    def scroll(self, call: Call, body: bytes) -> bytes:
        """One page of points."""
        request = parse(pb.ScrollRequest, body)
        reached(call, "read", request.collection)
        page = self._services.bulk.scroll(
            call,
            request.collection,
            limit=request.limit,
            cursor=request.cursor or None,
            filter=filter_of(request.filter_json),
            order=Order(key=request.order_by or "id", descending=request.descending),
            include=_include(request),
        )
        # A GetResponse is a point in field 1, which is what a page repeats.
        bare = request.json_payload
        points = b"".join([messages.encode_point(point, json_payload=bare) for point in page.points])
        return points + pb.ScrollResponse(cursor=page.cursor or "").SerializeToString()

    def count(self, call: Call, body: bytes) -> bytes:
        """How many points there are, or match."""
        request = parse(pb.CountRequest, body)
        reached(call, "read", request.collection)
        found = self._services.bulk.count(call, request.collection, filter_of(request.filter_json))
        return pb.CountResponse(count=found).SerializeToString()

    def delete_where(self, call: Call, body: bytes) -> bytes:
        """Remove every point that matches."""
        request = parse(pb.DeleteWhereRequest, body)
        reached(call, "delete", request.collection)
        chosen = filter_of(request.filter_json)
        if chosen is None:
            raise InvalidArgument.of("filter_json", "must not be empty; say which points are to go", "missing")
        deleted = self._services.bulk.delete_where(
            call,
            request.collection,
            chosen,
            idempotency=call.idempotent("vectrograph.DeleteWhere", body),
        )
        return pb.DeleteWhereResponse(deleted=deleted).SerializeToString()

    def upsert_if(self, call: Call, body: bytes) -> bytes:
        """Store those points for which the condition holds."""
        request = parse(pb.UpsertIfRequest, body)
        reached(call, "write", request.collection)
        condition = Precondition(
            if_absent=request.if_absent,
            if_version=dict(request.if_version) or None,
            if_match=filter_of(request.if_match_json, "if_match_json"),
        )
        outcomes = self._services.bulk.upsert_if(
            call,
            request.collection,
            messages.puts_of(request.points, self._services.limits),
            condition,
            idempotency=call.idempotent("vectrograph.UpsertIf", body),
        )
        shown = [pb.PointOutcome(id=one.id, status=one.status.value, version=one.version) for one in outcomes]
        return pb.UpsertIfResponse(outcomes=shown).SerializeToString()

    def get_collection_info(self, call: Call, body: bytes) -> bytes:
        """A collection in numbers."""
        request = parse(pb.GetCollectionInfoRequest, body)
        info = self._services.catalog.describe(call, reached(call, "read", request.name, "name"))
        return pb.GetCollectionInfoResponse(
            name=info.spec.ref.name,
            dimension=info.spec.dimension,
            distance=info.spec.distance.value,
            count=info.count,
            indexed=info.indexed,
            bytes_on_disk=info.bytes_on_disk,
            state=info.state.value,
            created_at=seconds(info.created_at),
            owner=self._services.catalog.owner(call, request.name) or "",
            tenant=info.spec.ref.tenant,
            quantization=info.spec.quantisation.value,
        ).SerializeToString()

    def list_feedback(self, call: Call, body: bytes) -> bytes:
        """One page of the feedback on a collection."""
        request = parse(pb.ListFeedbackRequest, body)
        page = self._services.feedback.list(
            call,
            reached(call, "write", request.collection),
            query=request.query or None,
            limit=request.limit,
            cursor=request.cursor or None,
        )
        feedback = [_feedback(record) for record in page.records]
        return pb.ListFeedbackResponse(feedback=feedback, cursor=page.cursor or "").SerializeToString()

    def get_limits(self, _: Principal | None, __: Origin, body: bytes) -> bytes:
        """Return the largest things that this server takes: clients need them before their first call."""
        parse(pb.GetLimitsRequest, body)
        limits = self._services.limits
        return pb.GetLimitsResponse(
            max_message_bytes=limits.max_body_bytes,
            max_batch=limits.max_batch,
            max_top_k=limits.max_top_k,
            default_top_k=limits.default_top_k,
            max_hits=limits.max_hits,
            max_dimension=limits.max_dimension,
            max_text_bytes=limits.max_text_bytes,
            max_payload_bytes=limits.max_payload_bytes,
            max_name_bytes=limits.max_name_bytes,
            max_page=limits.max_page,
            max_id_bytes=limits.max_id_bytes,
            max_answer_bytes=limits.max_answer_bytes,
            max_search_work=limits.max_search_work,
            max_filter_conditions=limits.max_filter_conditions,
            max_filter_paths=limits.max_filter_paths,
            max_filter_work=limits.max_filter_work,
            max_collections=limits.max_collections,
            max_tenant_collections=limits.max_tenant_collections,
        ).SerializeToString()


def _feedback(record: FeedbackRecord) -> pb.Feedback:
    items = [
        vectron_pb.FeedbackItem(
            result_id=item.result_id,
            relevance_score=item.relevance_score,
            clicked=item.clicked,
            position=item.position,
            comment=item.comment,
        )
        for item in record.items
    ]
    return pb.Feedback(
        feedback_id=record.feedback_id,
        collection=record.collection,
        query=record.query,
        user_id=record.user_id,
        context=record.context,
        items=items,
        created_at=seconds(record.created_at),
    )


def _include(request: pb.SearchBatchRequest | pb.ScrollRequest) -> Include:
    return Include(vector=request.include_vectors, payload=not request.omit_payload, text=False)
