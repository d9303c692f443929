"""The eleven methods of vectron.v1.VectronService: message bytes in, services asked, message bytes out."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.collections import CollectionState
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.queries import SearchResult
from vectrograph.rpc import messages
from vectrograph.rpc._pb import vectron_pb
from vectrograph.rpc.fragments import encode_hits
from vectrograph.rpc.messages import SearchQuery, parse
from vectrograph.rpc.profiles import plan_name, profile_of
from vectrograph.services import Services
from vectrograph.services.call import Action, Call

Unary: TypeAlias = Callable[[Call, bytes], bytes]
Streaming: TypeAlias = Callable[[Call, bytes], Iterator[bytes]]


class VectronService:
    """Answers each method for an authenticated caller; raises domain errors only."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def unary_methods(self) -> Mapping[str, Unary]:
        """The methods with one answer, by name."""
        return {
            "CreateCollection": self.create_collection,
            "DeleteCollection": self.delete_collection,
            "Upsert": self.upsert,
            "Search": self.search,
            "Get": self.get,
            "Delete": self.delete,
            "ListCollections": self.list_collections,
            "GetCollectionStatus": self.get_collection_status,
            "UpdateUserProfile": self.update_user_profile,
            "SubmitFeedback": self.submit_feedback,
        }

    def streaming_methods(self) -> Mapping[str, Streaming]:
        """The methods with a stream of answers, by name."""
        return {"SearchStream": self.search_stream}

    def create_collection(self, call: Call, body: bytes) -> bytes:
        """Create an empty collection; an empty distance means euclidean."""
        request = parse(vectron_pb.CreateCollectionRequest, body)
        info = self._services.catalog.create(
            call, request.name, request.dimension, request.distance, request.quantization
        )
        told = info.spec.quantisation.value if request.quantization else ""
        return vectron_pb.CreateCollectionResponse(success=True, quantization=told).SerializeToString()

    def delete_collection(self, call: Call, body: bytes) -> bytes:
        """Remove a collection with its points."""
        request = parse(vectron_pb.DeleteCollectionRequest, body)
        # RefusalLog to drop are audited by the service, which therefore asks for the scope itself.
        self._services.catalog.drop(call, request.name or reached(call, "delete", "", "name"))
        return vectron_pb.DeleteCollectionResponse(success=True).SerializeToString()

    def list_collections(self, call: Call, body: bytes) -> bytes:
        """The names of all collections that the caller may read, sorted."""
        parse(vectron_pb.ListCollectionsRequest, body)
        names = sorted(info.spec.ref.name for info in self._services.catalog.list(call))
        return vectron_pb.ListCollectionsResponse(collections=names).SerializeToString()

    def get_collection_status(self, call: Call, body: bytes) -> bytes:
        """Dimension, distance, and the one shard a collection has here: ready when it can answer."""
        request = parse(vectron_pb.GetCollectionStatusRequest, body)
        info = self._services.catalog.describe(call, reached(call, "read", request.name, "name"))
        shard = vectron_pb.ShardStatus(shard_id=1, replicas=[1], leader_id=1, ready=info.state is CollectionState.READY)
        return vectron_pb.GetCollectionStatusResponse(
            name=info.spec.ref.name,
            dimension=info.spec.dimension,
            distance=info.spec.distance.value,
            shards=[shard],
        ).SerializeToString()

    def upsert(self, call: Call, body: bytes) -> bytes:
        """Store points, replacing those of the same id; answers how many were sent."""
        collection, points, json_payload = messages.decode_upsert(body, self._services.limits)
        reached(call, "write", collection)
        if not points:
            raise InvalidArgument.of("points", "at least one point is required for upsert", "too_short")
        count = self._services.points.upsert(
            call, collection, points, idempotency=call.idempotent("vectron.Upsert", body)
        )
        return vectron_pb.UpsertResponse(upserted=count, json_payload=json_payload).SerializeToString()

    def search(self, call: Call, body: bytes) -> bytes:
        """The nearest points, closest first."""
        query = messages.decode_search(body)
        return _encoded(self._search(call.within(query.timeout_ms), query), query)

    def search_stream(self, call: Call, body: bytes) -> Iterator[bytes]:
        """Snapshots of the result, each replacing the one before; the last one is exact.

        What an index finds comes first, where one is used; where everything was scanned, that is exact already. A
        client that asks for pieces gets the answer of `search` in several messages instead.
        """
        query = messages.decode_search(body)
        call = call.within(query.timeout_ms)
        if query.piece_bytes:
            yield from messages.encode_pieces(self._search(call, query), query)
            return
        quick = self._search(call, query, explain=True)
        if quick.plan is not None and quick.plan.index is not None:
            yield _encoded(quick, query)
            quick = self._search(call, query, exact=True)
        yield _encoded(quick, query)

    def _search(self, call: Call, query: SearchQuery, *, exact: bool = False, explain: bool = False) -> SearchResult:
        [result] = self._services.search.search(
            call,
            reached(call, "read", query.collection),
            query.vector,
            query.top_k,
            include=query.include,
            filter=query.filter,
            exact=exact or query.exact,
            ef=query.ef,
            explain=explain or query.explain,
            rerank=query.rerank,
        )
        return result

    def get(self, call: Call, body: bytes) -> bytes:
        """One point with vector and payload."""
        request = parse(vectron_pb.GetRequest, body)
        collection = reached(call, "read", request.collection)
        point = self._services.points.get(call, collection, request.id, messages.POINT)
        return messages.encode_point(point, json_payload=request.json_payload)

    def delete(self, call: Call, body: bytes) -> bytes:
        """Remove a point; a missing id is no error."""
        request = parse(vectron_pb.DeleteRequest, body)
        self._services.points.delete(
            call,
            reached(call, "delete", request.collection),
            request.id,
            idempotency=call.idempotent("vectron.Delete", body),
        )
        return vectron_pb.DeleteResponse().SerializeToString()

    def update_user_profile(self, call: Call, body: bytes) -> bytes:
        """Set the caller's own plan; no limit depends on it."""
        request = parse(vectron_pb.UpdateUserProfileRequest, body)
        user = self._services.users.set_plan(call, plan_name(request.plan))
        return vectron_pb.UpdateUserProfileResponse(user=profile_of(user)).SerializeToString()

    def submit_feedback(self, call: Call, body: bytes) -> bytes:
        """Store judgements on search results; answers their id."""
        request = parse(vectron_pb.SubmitFeedbackRequest, body)
        items = [
            FeedbackItem(
                result_id=item.result_id,
                relevance_score=item.relevance_score,
                clicked=item.clicked,
                position=item.position,
                comment=item.comment,
            )
            for item in request.feedback_items
        ]
        feedback_id = self._services.feedback.submit(
            call, request.collection, request.query, items, dict(request.context)
        )
        return vectron_pb.SubmitFeedbackResponse(success=True, feedback_id=feedback_id).SerializeToString()


def _encoded(result: SearchResult, query: SearchQuery) -> bytes:
    if query.explain:
        return messages.encode_explained(result, json_payload=query.json_payload)
    return encode_hits(result.hits, json_payload=query.json_payload)


def reached(call: Call, action: Action, name: str, field: str = "collection") -> str:
    """The name of a collection in which the caller may do `action`: nothing else of a message is looked at before.

    Raises:
        PermissionDenied: the scope is missing.
        InvalidArgument: the name is empty; a caller that forgot the field should not read that "" does not exist.
    """
    call.require_collection(name, action)
    if not name:
        raise InvalidArgument.of(field, "collection name cannot be empty", "string_too_short")
    return name
