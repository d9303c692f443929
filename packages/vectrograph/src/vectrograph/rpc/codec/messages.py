"""Reading and writing protobuf messages. Vectors go straight from the buffer to numpy and back.

A packed `repeated float` and a `bytes` field are the same bytes, so messages with vectors are read in a second view in
which vectors are `bytes` (`_pb/bytesview_pb`). Legal but unusual encodings lose something there: floats sent one by
one become unknown fields, and of a packed field sent in pieces only the last is kept. Both show: without unknown
fields, the view's own encoding is then shorter than the message was. Such a message is parsed in the ordinary view.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from msgspec import UNSET, Struct

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Point
from vectrograph.domain.queries import ScrollPage, SearchResult
from vectrograph.rpc._pb import bytesview_pb, vectrograph_pb, vectron_pb
from vectrograph.rpc.codec.fragments import encode_hits, point_fragment, repeated
from vectrograph.vectron.vectors import SentPoints, SentQuery

M = TypeVar("M", bound=Message)

_FLOAT: Final = np.dtype("<f4")


def parse(kind: type[M], body: bytes) -> M:
    """Return a message from its bytes.

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
    """Return the full name of a message, that of the contract for one of the view."""
    return kind.DESCRIPTOR.full_name.replace("vectrograph.bytesview.v1.", "vectron.v1.")


def decode_upsert(body: bytes) -> SentPoints[Any]:
    """Read an UpsertRequest; its vectors are views of its bytes.

    Raises:
        InvalidArgument: the message is malformed.
    """
    request = parse(bytesview_pb.UpsertRequest, body)
    points: Sequence[Any] = list(request.points)
    buffers = [point.vector for point in points]
    if _lossless(request, buffers, body):
        return SentPoints(request, points, [np.frombuffer(buffer, _FLOAT) for buffer in buffers])
    return _with_vectors(parse(vectron_pb.UpsertRequest, body))


def decode_upsert_if(body: bytes) -> SentPoints[Any]:
    """Read an UpsertIfRequest.

    Raises:
        InvalidArgument: the message is malformed.
    """
    return _with_vectors(parse(vectrograph_pb.UpsertIfRequest, body))


def _with_vectors(request: Any) -> SentPoints[Any]:
    points = list(request.points)
    return SentPoints(request, points, [np.array(point.vector, _FLOAT) for point in points])


def decode_search(body: bytes) -> SentQuery:
    """Read a SearchRequest.

    Raises:
        InvalidArgument: the message is malformed.
    """
    view = parse(bytesview_pb.SearchRequest, body)
    if _lossless(view, [view.vector], body):
        return _query(view, np.frombuffer(view.vector, _FLOAT))
    plain = parse(vectron_pb.SearchRequest, body)
    return _query(plain, np.array(plain.vector, _FLOAT))


def _query(request: Any, vector: Any) -> SentQuery:
    return SentQuery(request, vector.reshape(1, -1), request.rerank if request.HasField("rerank") else None)


def encode(kind: type[Message], answer: Struct) -> bytes:
    """Encode the struct of an answer as its message."""
    return kind(**_fields(answer)).SerializeToString()


def _fields(message: Struct) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int) else _plain(value)
        for name in message.__struct_fields__
        if (value := getattr(message, name)) is not UNSET
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return _fields(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value


def encode_search(result: SearchResult, query: SentQuery) -> bytes:
    """Encode a SearchResponse as it was asked for."""
    message = query.message
    if message.explain:
        return encode_explained(result, json_payload=message.json_payload)
    return encode_hits(result.hits, json_payload=message.json_payload)


def encode_snapshots(results: Iterable[SearchResult], query: SentQuery) -> Iterator[bytes]:
    """Encode each SearchResponse of a stream, in pieces where the query asks for them."""
    for result in results:
        if query.message.piece_bytes:
            yield from encode_pieces(result, query)
        else:
            yield encode_search(result, query)


def encode_batch(results: Sequence[SearchResult], request: Any) -> bytes:
    """Encode a SearchBatchResponse."""
    bare = request.json_payload
    return b"".join([repeated(encode_hits(result.hits, json_payload=bare)) for result in results])


def encode_page(page: ScrollPage, request: Any) -> bytes:
    """Encode a ScrollResponse."""
    # A GetResponse is a point in field 1, which is what a page repeats.
    bare = request.json_payload
    points = b"".join([encode_point(point, json_payload=bare) for point in page.points])
    return points + vectrograph_pb.ScrollResponse(cursor=page.cursor or "").SerializeToString()


def encode_explained(result: SearchResult, *, json_payload: bool = False) -> bytes:
    """Encode a SearchResponse with the plan behind it."""
    # Two encodings of one message, one after the other, are the encoding of both together.
    return encode_hits(result.hits, json_payload=json_payload) + _plan(result)


def encode_pieces(result: SearchResult, query: SentQuery) -> Iterator[bytes]:
    """Encode a SearchResponse in messages of about `piece_bytes`: at least one hit each, the plan with the last."""
    piece = vectron_pb.SearchResponse(piece=True).SerializeToString()
    asked = query.message
    hits, size = [piece], 0
    for hit in result.hits:
        encoded = encode_hits((hit,), json_payload=asked.json_payload)
        if size and size + len(encoded) > asked.piece_bytes:
            yield b"".join(hits)
            hits, size = [piece], 0
        hits.append(encoded)
        size += len(encoded)
    yield b"".join([*hits, _plan(result) if asked.explain else b""])


def _plan(result: SearchResult) -> bytes:
    plan = vectron_pb.SearchResponse(complete=result.complete)
    if result.plan is not None:
        plan.plan.strategy = result.plan.strategy
        plan.plan.index = result.plan.index or ""
        plan.plan.rows_scanned = result.plan.rows_scanned
        plan.plan.matches = result.plan.matches or 0
        plan.plan.milliseconds = result.plan.milliseconds
    return plan.SerializeToString()


def encode_get(point: Point, request: Any) -> bytes:
    """Encode a GetResponse as it was asked for."""
    return repeated(point_fragment(point, json_payload=request.json_payload))


def encode_point(point: Point, *, json_payload: bool = False) -> bytes:
    """Encode a GetResponse."""
    return repeated(point_fragment(point, json_payload=json_payload))


def _lossless(view: Message, buffers: Sequence[bytes], body: bytes) -> bool:
    """Tell whether the view holds all that was sent; drop its unknown fields."""
    if any(size % _FLOAT.itemsize for size in set(map(len, buffers))):
        return False
    view.DiscardUnknownFields()
    return view.ByteSize() == len(body)
