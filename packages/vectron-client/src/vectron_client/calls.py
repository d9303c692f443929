"""One function per operation: checks the arguments, builds the request, knows how to read the answer. Pure.

Whoever has a connection sends `Request`s; `flow` says when, how often, and what the result is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError

from vectron_client._pb import bytesview_pb as view
from vectron_client._pb import vectron_pb as wire
from vectron_client.arguments import text, whole
from vectron_client.exceptions import (
    InternalServerError,
    MessageTooLargeError,
    NotFoundError,
)
from vectron_client.hedging import Hedged
from vectron_client.models import CollectionStatus, Point, SearchResult, ShardStatus
from vectron_client.options import ClientOptions
from vectron_client.points import decode_point, decode_results, encode_points, encode_vector
from vectron_client.retries import RetryPlan
from wirekit.batching import batches
from wirekit.call import attempts
from wirekit.deadline import Deadline
from wirekit.flow import Flow, Send

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One message for one method.

    Attributes:
        method: short name, such as `Search`.
        body: the serialised message.
        timeout: seconds the whole call has, for error messages; None without a limit.
    """

    method: str
    body: bytes
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """An operation that is ready to be sent.

    Attributes:
        method: short name, such as `Search`.
        body: the serialised request.
        read: turns the serialised answer into the result.
        writes: whether it changes anything.
        repeatable: whether a second run does no harm.
    """

    method: str
    body: bytes
    read: Callable[[bytes], T]
    writes: bool
    repeatable: bool

    def result(self, answer: bytes) -> T:
        """Reads an answer.

        Raises:
            InternalServerError: it makes no sense.
        """
        try:
            return self.read(answer)
        except (DecodeError, ValueError, RecursionError) as error:
            raise InternalServerError(f"the answer to {self.method} cannot be read: {error}") from error


def flow(call: Call[T], plan: RetryPlan, timeout: float | None) -> Flow[T]:
    """Runs a call to its result, with repeats as the plan says; all of it within `timeout` seconds.

    Yields:
        Send effects whose request is a `Request` and whose answer is the serialised response; reads Hedged ones instead
        when the plan has it so; and Sleep effects.
    """
    hedge_after = None if call.writes else plan.hedge_after
    return call.result((yield from answered(call, plan, timeout, hedge_after)))


def answered(call: Call[Any], plan: RetryPlan, timeout: float | None, hedge_after: float | None = None) -> Flow[Any]:
    """Runs a call to its serialised answer, or to the stream of them that the channel makes; otherwise as `flow`."""
    deadline = Deadline.after(timeout)
    send = Send(Request(call.method, call.body, timeout), deadline)
    effect = send if hedge_after is None else Hedged(send, hedge_after)

    def attempt() -> Flow[Any]:
        answer = yield effect
        return answer

    policy = plan.policy(writes=call.writes, repeatable=call.repeatable)
    return (yield from attempts(attempt, policy, deadline, plan.spread))


def create_collection(name: str, dimension: int, distance: str) -> Call[None]:
    """An empty collection."""
    size = whole("dimension", dimension, 1, 2**31 - 1)
    request = wire.CreateCollectionRequest(
        name=text("name", name), dimension=size, distance=text("distance", distance, empty=True)
    )

    def read(answer: bytes) -> None:
        _confirm("CreateCollection", wire.CreateCollectionResponse.FromString(answer).success)

    return Call("CreateCollection", request.SerializeToString(), read, writes=True, repeatable=False)


def delete_collection(name: str) -> Call[None]:
    """The end of a collection and its points."""
    request = wire.DeleteCollectionRequest(name=text("name", name))

    def read(answer: bytes) -> None:
        _confirm("DeleteCollection", wire.DeleteCollectionResponse.FromString(answer).success)

    return Call("DeleteCollection", request.SerializeToString(), read, writes=True, repeatable=False)


def list_collections() -> Call[list[str]]:
    """The names of all collections."""

    def read(answer: bytes) -> list[str]:
        return list(wire.ListCollectionsResponse.FromString(answer).collections)

    return Call("ListCollections", b"", read, writes=False, repeatable=True)


def get_collection_status(name: str) -> Call[CollectionStatus]:
    """What the server says about a collection."""

    def read(answer: bytes) -> CollectionStatus:
        status = wire.GetCollectionStatusResponse.FromString(answer)
        shards = [ShardStatus(s.shard_id, list(s.replicas), s.leader_id, s.ready) for s in status.shards]
        return CollectionStatus(status.name, status.dimension, status.distance, shards)

    request = wire.GetCollectionStatusRequest(name=text("name", name))
    return Call("GetCollectionStatus", request.SerializeToString(), read, writes=False, repeatable=True)


def upsert(collection: str, points: Iterable[Point], options: ClientOptions) -> Call[int] | None:
    """All points in one message; None when there are none.

    Raises:
        InvalidArgumentError: the name or a point is wrong.
        MessageTooLargeError: the message would be over `max_send_message_length`.
    """
    head = view.UpsertRequest(collection=text("collection", collection)).SerializeToString()
    limit = _message_limit(options)
    room = limit - len(head)
    shares = []
    for share in encode_points(points, dimension=options.expected_vector_dim, max_bytes=room):
        shares.append(share)
        room -= len(share)
        if room < 0:
            raise MessageTooLargeError(
                f"the first {len(shares)} points take {limit - room} bytes where {limit} fit into a message; use "
                "upsert_batch, which splits them, or raise ClientOptions.max_send_message_length",
                details={"size": limit - room, "limit": limit, "points": len(shares)},
            )
    return _upsert(head, shares) if shares else None


def upsert_batches(
    collection: str, points: Iterable[Point], batch_size: int, options: ClientOptions
) -> Iterator[Call[int]]:
    """The points in messages of at most `batch_size` points and as many bytes as the options allow, built lazily.

    Raises:
        InvalidArgumentError: an argument is wrong; at once, or as soon as a wrong point is reached.
        MessageTooLargeError: a point does not fit into a message even alone.
    """
    head = view.UpsertRequest(collection=text("collection", collection)).SerializeToString()
    count = whole("batch_size", batch_size, 1)
    room = _message_limit(options) - len(head)
    shares = encode_points(points, dimension=options.expected_vector_dim, max_bytes=room)
    max_bytes = min(room, options.max_batch_bytes - len(head)) if options.max_batch_bytes else room
    cut = batches(shares, max_count=count, max_bytes=max(1, max_bytes), size=len)
    return (_upsert(head, batch) for batch in cut)


def _upsert(head: bytes, shares: list[bytes]) -> Call[int]:
    def read(answer: bytes) -> int:
        return wire.UpsertResponse.FromString(answer).upserted

    return Call("Upsert", b"".join([head, *shares]), read, writes=True, repeatable=True)


def search(
    collection: str,
    vector: Any,
    top_k: int,
    options: ClientOptions,
    *,
    include_vectors: bool,
    include_payload: bool,
    query: str,
) -> Call[list[SearchResult]]:
    """The nearest points to a vector."""
    packed = encode_vector(vector, options.expected_vector_dim)
    request = view.SearchRequest(
        collection=text("collection", collection),
        vector=packed,
        top_k=whole("top_k", top_k, 0, 2**32 - 1),
        query=text("query", query, empty=True),
        include_vectors=bool(include_vectors),
        # The official server leaves payloads out unless asked for them, this project's unless told to omit them.
        include_metadata=bool(include_payload),
        omit_payload=not include_payload,
    )

    def read(answer: bytes) -> list[SearchResult]:
        return decode_results(answer, len(packed) // 4 if include_vectors else 0)

    return Call("Search", request.SerializeToString(), read, writes=False, repeatable=True)


def search_stream(collection: str, vector: Any, top_k: int, options: ClientOptions, **choices: Any) -> Call[Any]:
    """The same as snapshots that are better and better; arguments as for `search`."""
    return replace(search(collection, vector, top_k, options, **choices), method="SearchStream")


def get(collection: str, point_id: str) -> Call[Point]:
    """One point."""

    def read(answer: bytes) -> Point:
        point = decode_point(answer)
        if point is None:
            raise NotFoundError(f"collection {collection!r} has no point {point_id!r}")
        return point

    request = wire.GetRequest(collection=text("collection", collection), id=text("point_id", point_id))
    return Call("Get", request.SerializeToString(), read, writes=False, repeatable=True)


def delete(collection: str, point_id: str) -> Call[None]:
    """The end of a point."""
    request = wire.DeleteRequest(collection=text("collection", collection), id=text("point_id", point_id))
    return Call("Delete", request.SerializeToString(), lambda _: None, writes=True, repeatable=True)


def _confirm(method: str, success: bool) -> None:
    if not success:
        raise InternalServerError(f"the server answered {method} without an error but without success")


def _message_limit(options: ClientOptions) -> int:
    # Protobuf itself cannot go beyond 2 GiB.
    return 2**31 - 1 if options.max_send_message_length == -1 else options.max_send_message_length
