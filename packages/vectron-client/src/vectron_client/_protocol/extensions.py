"""The operations that this project's server adds to Vectron's API, but for searches; built as in `operations`. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from vectron_client._execution.call import Call
from vectron_client._options import ClientOptions
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb.methods import VECTROGRAPH_SERVICE_METHODS as METHODS
from vectron_client._protocol.arguments import encode_filter, flag, invalid, moment, text, whole
from vectron_client._protocol.operations import shares_of
from vectron_client._protocol.payloads import ServerForms
from vectron_client._protocol.points import read_points
from vectron_client._results import CollectionInfo, PointOutcome, ScrollPage, ServerLimits
from vectron_client._wirekit.filters import matches_everything
from vectron_client.filters import FilterLike
from vectron_client.models import Point

#: Makes the call for the page at a cursor, the first at an empty one, with at most so many points.
PageAt: TypeAlias = Callable[[str, int], Call[ScrollPage]]

#: What pages can be sorted by.
ORDERS = ("id", "created", "updated")


def scroll(
    collection: str,
    *,
    filter: FilterLike | None,
    order_by: str,
    descending: bool,
    include_vectors: bool,
    include_payload: bool,
    page_size: int,
) -> PageAt:
    """Return a function from a cursor to the call for its page; the first page has an empty cursor. Arguments
    are checked at once.
    """
    if order_by not in ORDERS:
        raise invalid("order_by", f"must be one of {', '.join(ORDERS)}, not {order_by!r}")
    request = extensions.ScrollRequest(
        collection=text("collection", collection),
        limit=whole("page_size", page_size, 1, 2**32 - 1),
        filter_json=encode_filter(filter),
        order_by=order_by,
        descending=flag("descending", descending),
        include_vectors=flag("include_vectors", include_vectors),
        omit_payload=not flag("include_payload", include_payload),
        json_payload=True,
    )
    head = request.SerializeToString()

    def read(answer: bytes) -> ScrollPage:
        points, next_cursor = read_points(answer, with_vectors=include_vectors)
        return ScrollPage(points, next_cursor)

    def at(cursor: str, limit: int) -> Call[ScrollPage]:
        # Of a field that comes twice the last one counts.
        place = extensions.ScrollRequest(cursor=text("cursor", cursor, empty=True), limit=limit).SerializeToString()
        return Call(METHODS["Scroll"], head + place, read)

    return at


def count(collection: str, filter: FilterLike | None) -> Call[int]:
    """Return how many points there are, or match."""
    request = extensions.CountRequest(collection=text("collection", collection), filter_json=encode_filter(filter))
    return Call(METHODS["Count"], request.SerializeToString(), lambda a: extensions.CountResponse.FromString(a).count)


def delete_where(collection: str, filter: FilterLike) -> Call[int]:
    """Return the end of every point that matches.

    Raises:
        InvalidArgumentError: there is no filter, or one without a condition; forgetting it is not to empty the
            collection.
    """
    filter_json = encode_filter(filter)
    if not filter_json:
        raise invalid("filter", "must not be empty; name the points to delete")
    if matches_everything(json.loads(filter_json)):
        raise invalid("filter", "has no condition and matches everything; to delete everything, pass everything()")
    request = extensions.DeleteWhereRequest(collection=text("collection", collection), filter_json=filter_json)

    def read(answer: bytes) -> int:
        return extensions.DeleteWhereResponse.FromString(answer).deleted

    return Call(METHODS["DeleteWhere"], request.SerializeToString(), read, writes=True, named=True)


def upsert_if(
    collection: str,
    points: Iterable[Point],
    options: ClientOptions,
    *,
    if_absent: bool,
    if_version: Mapping[str, int] | None,
    if_match: FilterLike | None,
) -> Call[list[PointOutcome]] | None:
    """Return points that are stored where a condition holds; None when there are no points.

    Raises:
        InvalidArgumentError: an argument is wrong, or there is no condition.
        MessageTooLargeError: the points do not fit into one message.
    """
    if if_version is not None and not isinstance(if_version, Mapping):
        raise invalid("if_version", f"must be a mapping from id to version, not {type(if_version).__name__}")
    if not (if_absent or if_version or if_match is not None):
        raise invalid("if_absent", "or if_version or if_match must be given; upsert stores without a condition")
    versions = {
        text("if_version", id): whole(f"if_version[{id!r}]", version, 0, 2**64 - 1)
        for id, version in (if_version or {}).items()
    }
    head = extensions.UpsertIfRequest(
        collection=text("collection", collection),
        if_absent=flag("if_absent", if_absent),
        if_version=versions,
        if_match_json=encode_filter(if_match, "if_match"),
    ).SerializeToString()

    def read(answer: bytes) -> list[PointOutcome]:
        outcomes = extensions.UpsertIfResponse.FromString(answer).outcomes
        return [PointOutcome(one.id, one.status, one.version) for one in outcomes]

    # Points have the same field number here as in an UpsertRequest.
    shares = shares_of(points, len(head), options, ServerForms(json_alone=True))  # every server with it reads JSON
    return Call(METHODS["UpsertIf"], b"".join([head, *shares]), read, writes=True, named=True) if shares else None


def get_collection_info(name: str) -> Call[CollectionInfo]:
    """Return a collection in numbers."""

    def read(answer: bytes) -> CollectionInfo:
        info = extensions.GetCollectionInfoResponse.FromString(answer)
        return CollectionInfo(
            name=info.name,
            dimension=info.dimension,
            distance=info.distance,
            count=info.count,
            indexed=info.indexed,
            bytes_on_disk=info.bytes_on_disk,
            state=info.state,
            created_at=moment(info.created_at),
            quantization=info.quantization,
        )

    request = extensions.GetCollectionInfoRequest(name=text("name", name))
    return Call(METHODS["GetCollectionInfo"], request.SerializeToString(), read)


def get_limits() -> Call[ServerLimits]:
    """Return the largest things the server takes."""

    def read(answer: bytes) -> ServerLimits:
        told = extensions.GetLimitsResponse.FromString(answer)
        return ServerLimits(**{name: getattr(told, name) for name in ServerLimits.__dataclass_fields__})

    return Call(METHODS["GetLimits"], b"", read)
