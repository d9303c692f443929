"""The methods of vectrograph.v1.VectrographService: message bytes in, services asked, message bytes out."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.values import Include, Order, Precondition, Vector
from vectrograph.rpc import messages
from vectrograph.rpc._pb import vectrograph_pb as pb
from vectrograph.rpc.messages import parse
from vectrograph.rpc.profiles import seconds
from vectrograph.rpc.vectron import Unary, collection_of
from vectrograph.services import Services
from vectrograph.services.call import Call
from vectrograph.services.filter_text import filter_of

_FLOAT: Final = np.dtype("<f4")


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
            "GetLimits": self.get_limits,
        }

    def search_batch(self, call: Call, body: bytes) -> bytes:
        """Many searches of one collection."""
        request = parse(pb.SearchBatchRequest, body)
        results = self._services.search.search(
            call.within(request.timeout_ms),
            collection_of(request.collection),
            _matrix(request.vectors, request.queries),
            request.top_k,
            filter=filter_of(request.filter_json),
            include=_include(request),
            exact=request.exact,
            ef=request.ef or None,
        )
        return _repeated(1, [messages.encode_hits(result.hits) for result in results])

    def scroll(self, call: Call, body: bytes) -> bytes:
        """One page of points."""
        request = parse(pb.ScrollRequest, body)
        page = self._services.bulk.scroll(
            call,
            collection_of(request.collection),
            limit=request.limit,
            cursor=request.cursor or None,
            filter=filter_of(request.filter_json),
            order=Order(key=request.order_by or "id", descending=request.descending),
            include=_include(request),
        )
        # A GetResponse is a point in field 1, which is what a page repeats.
        points = b"".join(messages.encode_point(point) for point in page.points)
        return points + pb.ScrollResponse(cursor=page.cursor or "").SerializeToString()

    def count(self, call: Call, body: bytes) -> bytes:
        """How many points there are, or match."""
        request = parse(pb.CountRequest, body)
        found = self._services.bulk.count(call, collection_of(request.collection), filter_of(request.filter_json))
        return pb.CountResponse(count=found).SerializeToString()

    def delete_where(self, call: Call, body: bytes) -> bytes:
        """Remove every point that matches."""
        request = parse(pb.DeleteWhereRequest, body)
        chosen = filter_of(request.filter_json)
        if chosen is None:
            raise InvalidArgument.of("filter_json", "must not be empty; say which points are to go", "missing")
        deleted = self._services.bulk.delete_where(call, collection_of(request.collection), chosen)
        return pb.DeleteWhereResponse(deleted=deleted).SerializeToString()

    def upsert_if(self, call: Call, body: bytes) -> bytes:
        """Store those points for which the condition holds."""
        request = parse(pb.UpsertIfRequest, body)
        condition = Precondition(
            if_absent=request.if_absent,
            if_version=dict(request.if_version) or None,
            if_match=filter_of(request.if_match_json, "if_match_json"),
        )
        outcomes = self._services.bulk.upsert_if(
            call, collection_of(request.collection), messages.puts_of(request.points), condition
        )
        shown = [pb.PointOutcome(id=one.id, status=one.status.value, version=one.version) for one in outcomes]
        return pb.UpsertIfResponse(outcomes=shown).SerializeToString()

    def get_collection_info(self, call: Call, body: bytes) -> bytes:
        """A collection in numbers."""
        request = parse(pb.GetCollectionInfoRequest, body)
        info = self._services.catalog.describe(call, collection_of(request.name, "name"))
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
        ).SerializeToString()

    def get_limits(self, call: Call, body: bytes) -> bytes:
        """The largest things this server takes."""
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
        ).SerializeToString()


def _include(request: pb.SearchBatchRequest | pb.ScrollRequest) -> Include:
    return Include(vector=request.include_vectors, payload=not request.omit_payload, text=False)


def _matrix(buffer: bytes, queries: int) -> Vector:
    """The query vectors, shape (queries, dimension)."""
    if queries < 1 or not buffer or len(buffer) % (queries * _FLOAT.itemsize):
        raise InvalidArgument.of(
            "vectors",
            f"is {len(buffer)} bytes, which is no whole number of 32-bit floats for each of {queries} queries",
            "dimension_mismatch",
        )
    return np.frombuffer(buffer, _FLOAT).reshape(queries, -1)


def _repeated(field: int, encoded: Sequence[bytes]) -> bytes:
    """The encoding of a repeated field of messages, from the encodings of the messages."""
    parts: list[bytes] = []
    for one in encoded:
        parts += (bytes([field << 3 | 2]), _varint(len(one)), one)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """A number in base 128, least significant group first.

    >>> _varint(300)
    b'\\xac\\x02'
    """
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
