"""Between protobuf bytes and domain values. Vectors go straight from the buffer to numpy and back.

A packed `repeated float` and a `bytes` field are the same bytes, so messages with vectors are read in a second view in
which vectors are `bytes` (`_pb/bytesview_pb`). Legal but unusual encodings lose something there: floats sent one by
one become unknown fields, and of a packed field sent in pieces only the last is kept. Both show: without unknown
fields, the view's own encoding is then shorter than the message was. Such a message is parsed in the ordinary view.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
from google.protobuf.message import DecodeError, Message

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Payload, Point, Put, Vector
from vectrograph.domain.queries import Include, SearchResult
from vectrograph.rpc._pb import bytesview_pb, vectron_pb
from vectrograph.rpc.fragments import encode_hits, point_fragment, repeated
from vectrograph.services.points.filter_text import filter_of
from vectrograph.services.points.reranking import Rerank

M = TypeVar("M", bound=Message)
AnyPoint: TypeAlias = bytesview_pb.Point | vectron_pb.Point

_FLOAT: Final = np.dtype("<f4")
# What a Vectron message of a point can carry: it has no field for the text.
POINT: Final = Include(vector=True, payload=True, text=False)


class SearchQuery(NamedTuple):
    """A SearchRequest as it was asked: `vector` has shape (1, dimension), `timeout_ms` 0 means none."""

    collection: str
    vector: Vector
    top_k: int
    timeout_ms: int
    include: Include
    filter: Filter | None
    exact: bool
    ef: int | None
    explain: bool
    rerank: Rerank | None
    json_payload: bool
    piece_bytes: int


def parse(kind: type[M], body: bytes) -> M:
    """A message from its bytes.

    Raises:
        InvalidArgument: they are not an encoding of that message.
    """
    message = kind()
    try:
        message.ParseFromString(body)
    except (DecodeError, ValueError) as error:
        raise InvalidArgument.of("body", f"is not a valid {_public_name(kind)}; see the folder proto/") from error
    return message


def _public_name(kind: type[Message]) -> str:
    """Full name of a message, that of the contract for one of the view."""
    return kind.DESCRIPTOR.full_name.replace("vectrograph.bytesview.v1.", "vectron.v1.")


def decode_upsert(body: bytes, limits: Limits) -> tuple[str, list[Put], bool]:
    """Collection and points of an UpsertRequest, and whether one came as JSON; vectors are views of its bytes.

    Raises:
        InvalidArgument: the message or a `payload_json` is malformed; names the point's position.
    """
    request = parse(bytesview_pb.UpsertRequest, body)
    points = list(request.points)
    buffers = [point.vector for point in points]
    if _lossless(request, buffers, body):
        vectors = [np.frombuffer(buffer, _FLOAT) for buffer in buffers]
        return request.collection, _puts(points, vectors, limits), any(point.payload_json for point in points)
    plain = parse(vectron_pb.UpsertRequest, body)
    puts = _puts(plain.points, [np.array(point.vector, _FLOAT) for point in plain.points], limits)
    return plain.collection, puts, any(point.payload_json for point in plain.points)


def decode_search(body: bytes) -> SearchQuery:
    """What a SearchRequest asks.

    Raises:
        InvalidArgument: the message is malformed.
    """
    view = parse(bytesview_pb.SearchRequest, body)
    if _lossless(view, [view.vector], body):
        return _query(view, np.frombuffer(view.vector, _FLOAT))
    plain = parse(vectron_pb.SearchRequest, body)
    return _query(plain, np.array(plain.vector, _FLOAT))


def encode_explained(result: SearchResult, *, json_payload: bool = False) -> bytes:
    """A SearchResponse with the plan behind it."""
    # Two encodings of one message, one after the other, are the encoding of both together.
    return encode_hits(result.hits, json_payload=json_payload) + _plan(result)


def encode_pieces(result: SearchResult, query: SearchQuery) -> Iterator[bytes]:
    """Encode a SearchResponse in messages of about `piece_bytes`: at least one hit each, the plan with the last."""
    piece = vectron_pb.SearchResponse(piece=True).SerializeToString()
    hits, size = [piece], 0
    for hit in result.hits:
        encoded = encode_hits((hit,), json_payload=query.json_payload)
        if size and size + len(encoded) > query.piece_bytes:
            yield b"".join(hits)
            hits, size = [piece], 0
        hits.append(encoded)
        size += len(encoded)
    yield b"".join([*hits, _plan(result) if query.explain else b""])


def _plan(result: SearchResult) -> bytes:
    plan = vectron_pb.SearchResponse(complete=result.complete)
    if result.plan is not None:
        plan.plan.strategy = result.plan.strategy
        plan.plan.index = result.plan.index or ""
        plan.plan.rows_scanned = result.plan.rows_scanned
        plan.plan.matches = result.plan.matches or 0
        plan.plan.milliseconds = result.plan.milliseconds
    return plan.SerializeToString()


def encode_point(point: Point, *, json_payload: bool = False) -> bytes:
    """A GetResponse."""
    return repeated(point_fragment(point, json_payload=json_payload))


def _lossless(view: Message, buffers: Sequence[bytes], body: bytes) -> bool:
    """Whether the view holds all that was sent; drops its unknown fields."""
    if any(len(buffer) % _FLOAT.itemsize for buffer in buffers):
        return False
    view.DiscardUnknownFields()
    return view.ByteSize() == len(body)


def _puts(points: Sequence[AnyPoint], vectors: Sequence[Vector], limits: Limits) -> list[Put]:
    budget = JsonBudget.of(limits)
    return [
        Put(id=point.id, vector=vector, payload=_payload(point, position, budget))
        for position, (point, vector) in enumerate(zip(points, vectors, strict=True))
    ]


def puts_of(points: Sequence[vectron_pb.Point], limits: Limits) -> list[Put]:
    """What to store, from points of the ordinary view.

    Raises:
        InvalidArgument: a `payload_json` is malformed; names the point's position.
    """
    return _puts(points, [np.array(point.vector, _FLOAT) for point in points], limits)


def _payload(point: AnyPoint, position: int, budget: JsonBudget) -> Payload:
    """`payload_json` when it is there, else the map of strings."""
    if not point.payload_json:
        # Asking whether the map holds anything takes a tenth of copying an empty one.
        return dict(point.payload) if point.payload else {}
    budget.require(point.payload_json, f"points[{position}].payload_json")
    try:
        payload = msgspec.json.decode(point.payload_json)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument.of(f"points[{position}].payload_json", "must be valid JSON") from error
    if not isinstance(payload, dict):
        raise InvalidArgument.of(f"points[{position}].payload_json", "must be a JSON object")
    return payload


def _query(request: bytesview_pb.SearchRequest | vectron_pb.SearchRequest, vector: Vector) -> SearchQuery:
    return SearchQuery(
        collection=request.collection,
        vector=vector.reshape(1, -1),
        top_k=request.top_k,
        timeout_ms=request.timeout_ms,
        include=Include(vector=request.include_vectors, payload=not request.omit_payload, text=False),
        filter=filter_of(request.filter_json),
        exact=request.exact,
        ef=request.ef or None,
        explain=request.explain,
        rerank=_rerank(request) if request.HasField("rerank") else None,
        json_payload=request.json_payload,
        piece_bytes=request.piece_bytes,
    )


def _rerank(request: bytesview_pb.SearchRequest | vectron_pb.SearchRequest) -> Rerank:
    wish = request.rerank
    return Rerank(
        query=request.query,
        keyword_weight=wish.keyword_weight,
        feedback_weight=wish.feedback_weight,
        field_boosts=dict(wish.field_boosts),
        candidates=wish.candidates,
    )
