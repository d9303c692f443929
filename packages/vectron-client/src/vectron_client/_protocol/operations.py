"""The operations of `vectron.v1.VectronService`, but for searches: each checks arguments and makes a call. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vectron_client._execution.call import Call, confirm
from vectron_client._options import ClientOptions
from vectron_client._pb import bytesview_pb as view
from vectron_client._pb import vectron_pb as wire
from vectron_client._pb.methods import VECTRON_SERVICE_METHODS as METHODS
from vectron_client._protocol.accounts import plan_number, read_profile
from vectron_client._protocol.arguments import flag, invalid, listed, text, whole
from vectron_client._protocol.payloads import ServerForms
from vectron_client._protocol.points import decode_point, encode_points
from vectron_client._wirekit.batching import batches
from vectron_client.exceptions import MessageTooLargeError, NotFoundError, VectronError
from vectron_client.models import CollectionStatus, FeedbackItem, Point, ShardStatus, UserProfile


def create_collection(name: str, dimension: int, distance: str, quantization: str) -> Call[None]:
    """Return an empty collection."""
    size = whole("dimension", dimension, 1, 2**31 - 1)
    request = wire.CreateCollectionRequest(
        name=text("name", name),
        dimension=size,
        distance=text("distance", distance, empty=True),
        quantization=text("quantization", quantization, empty=True),
    )

    def read(answer: bytes) -> None:
        response = wire.CreateCollectionResponse.FromString(answer)
        confirm("CreateCollection", response.success)
        # A server that does not know the field passes over it without a word; one that does says what it took.
        if quantization and response.quantization != quantization:
            raise VectronError(
                f"collection {name!r} was created, but the server ignores quantization, which this project's server "
                "adds to Vectron's API; create it without",
                code="UNIMPLEMENTED",
            )

    return Call(METHODS["CreateCollection"], request.SerializeToString(), read, writes=True)


def delete_collection(name: str) -> Call[None]:
    """Return the end of a collection and its points."""
    request = wire.DeleteCollectionRequest(name=text("name", name))

    def read(answer: bytes) -> None:
        confirm("DeleteCollection", wire.DeleteCollectionResponse.FromString(answer).success)

    return Call(METHODS["DeleteCollection"], request.SerializeToString(), read, writes=True)


def list_collections() -> Call[list[str]]:
    """Return the names of all collections."""

    def read(answer: bytes) -> list[str]:
        return list(wire.ListCollectionsResponse.FromString(answer).collections)

    return Call(METHODS["ListCollections"], b"", read)


def get_collection_status(name: str) -> Call[CollectionStatus]:
    """Return the description of a collection."""

    def read(answer: bytes) -> CollectionStatus:
        status = wire.GetCollectionStatusResponse.FromString(answer)
        shards = [ShardStatus(s.shard_id, list(s.replicas), s.leader_id, s.ready) for s in status.shards]
        return CollectionStatus(status.name, status.dimension, status.distance, shards)

    request = wire.GetCollectionStatusRequest(name=text("name", name))
    return Call(METHODS["GetCollectionStatus"], request.SerializeToString(), read)


def upsert(
    collection: str, points: Iterable[Point], options: ClientOptions, forms: ServerForms | None = None
) -> Call[int] | None:
    """Return all points in one message; None when there are none.

    Raises:
        InvalidArgumentError: the name or a point is wrong.
        MessageTooLargeError: the message would be over `max_send_message_length`.
    """
    head = view.UpsertRequest(collection=text("collection", collection)).SerializeToString()
    shares = shares_of(points, len(head), options, forms)
    return _upsert(head, shares, forms) if shares else None


def shares_of(
    points: Iterable[Point], taken: int, options: ClientOptions, forms: ServerForms | None = None
) -> list[bytes]:
    """Return all points as shares of one message, of which `taken` bytes are used already.

    Raises:
        InvalidArgumentError: a point is wrong.
        MessageTooLargeError: the message would be over `max_send_message_length`.
    """
    limit = message_limit(options)
    room = limit - taken
    shares: list[bytes] = []
    for share in encode_points(points, dimension=options.expected_vector_dim, max_bytes=room, forms=forms):
        shares.append(share)
        room -= len(share)
        if room < 0:
            raise MessageTooLargeError(
                f"the first {len(shares)} points take {limit - room} bytes where {limit} fit into a message; use "
                "upsert_batch, which splits them, or raise ClientOptions.max_send_message_length",
                details={"size": limit - room, "limit": limit, "points": len(shares)},
            )
    return shares


def upsert_batches(
    collection: str,
    points: Iterable[Point],
    batch_size: int,
    options: ClientOptions,
    forms: ServerForms | None = None,
) -> Iterator[Call[int]]:
    """Yield the points in messages of at most `batch_size` points and as many bytes as the options allow, built lazily.

    Raises:
        InvalidArgumentError: an argument is wrong; at once, or as soon as a wrong point is reached.
        MessageTooLargeError: a point does not fit into a message even alone.
    """
    head = view.UpsertRequest(collection=text("collection", collection)).SerializeToString()
    count = whole("batch_size", batch_size, 1)
    room = message_limit(options) - len(head)
    shares = encode_points(points, dimension=options.expected_vector_dim, max_bytes=room, forms=forms)
    max_bytes = min(room, options.max_batch_bytes - len(head)) if options.max_batch_bytes else room
    cut = batches(shares, max_count=count, max_bytes=max(1, max_bytes), size=len)
    return (_upsert(head, batch, forms) for batch in cut)


def _upsert(head: bytes, shares: list[bytes], forms: ServerForms | None) -> Call[int]:
    def read(answer: bytes) -> int:
        response = wire.UpsertResponse.FromString(answer)
        if response.json_payload and forms is not None:
            forms.json_alone = True
        return response.upserted

    return Call(METHODS["Upsert"], b"".join([head, *shares]), read, writes=True, named=True)


def get(collection: str, point_id: str) -> Call[Point]:
    """Return one point."""

    def read(answer: bytes) -> Point:
        point = decode_point(answer)
        if point is None:
            raise NotFoundError(f"collection {collection!r} has no point {point_id!r}")
        return point

    request = wire.GetRequest(collection=text("collection", collection), id=text("point_id", point_id))
    request.json_payload = True
    return Call(METHODS["Get"], request.SerializeToString(), read)


def delete(collection: str, point_id: str) -> Call[None]:
    """Return the end of a point."""
    request = wire.DeleteRequest(collection=text("collection", collection), id=text("point_id", point_id))
    return Call(METHODS["Delete"], request.SerializeToString(), lambda _: None, writes=True, named=True)


def message_limit(options: ClientOptions) -> int:
    """Most bytes that one message may take."""
    # Protobuf itself cannot go beyond 2 GiB.
    return 2**31 - 1 if options.max_send_message_length == -1 else options.max_send_message_length


def update_user_profile(plan: str) -> Call[UserProfile]:
    """Return another plan for the caller.

    Raises:
        InvalidArgumentError: there is no such plan.
    """
    chosen = plan_number(plan)

    def read(answer: bytes) -> UserProfile:
        return read_profile(wire.UpdateUserProfileResponse.FromString(answer).user)

    request = wire.UpdateUserProfileRequest(plan=chosen)
    return Call(METHODS["UpdateUserProfile"], request.SerializeToString(), read, writes=True)


def submit_feedback(
    collection: str,
    items: Iterable[FeedbackItem],
    *,
    query: str,
    result_ids: Iterable[str],
    context: Mapping[str, str] | None,
) -> Call[str]:
    """Judgements of the results of one search.

    Raises:
        InvalidArgumentError: an argument is wrong or there are no items; names the field.
    """
    encoded = [_item(f"items[{position}]", item) for position, item in enumerate(listed("items", items))]
    if not encoded:
        raise invalid("items", "must not be empty")
    facts: Mapping[str, str] = {} if context is None else context
    if not isinstance(facts, Mapping):
        raise invalid("context", f"must be a mapping from text to text, not {type(facts).__name__}")
    request = wire.SubmitFeedbackRequest(
        collection=text("collection", collection),
        query=text("query", query, empty=True),
        result_ids=[text("result_ids", id, empty=True) for id in listed("result_ids", result_ids)],
        feedback_items=encoded,
        context={
            text("context", key, empty=True): text(f"context[{key!r}]", value, empty=True)
            for key, value in facts.items()
        },
    )

    def read(answer: bytes) -> str:
        response = wire.SubmitFeedbackResponse.FromString(answer)
        confirm("SubmitFeedback", response.success)
        return response.feedback_id

    return Call(METHODS["SubmitFeedback"], request.SerializeToString(), read, writes=True)


def _item(place: str, item: Any) -> wire.FeedbackItem:
    if not isinstance(item, FeedbackItem):
        raise invalid(place, f"must be a vectron_client.FeedbackItem, not {type(item).__name__}")
    return wire.FeedbackItem(
        result_id=text(f"{place}.result_id", item.result_id, empty=True),
        relevance_score=whole(f"{place}.relevance_score", item.relevance_score, 1, 5),
        clicked=flag(f"{place}.clicked", item.clicked),
        position=whole(f"{place}.position", item.position, 0, 2**31 - 1),
        comment=text(f"{place}.comment", item.comment, empty=True),
    )
