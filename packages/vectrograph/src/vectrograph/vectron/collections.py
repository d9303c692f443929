"""Operations on collections, and the limits of the server."""

from vectrograph.domain.collections import CollectionInfo, CollectionState
from vectrograph.domain.limits import Limits
from vectrograph.vectron._messages import vectrograph, vectron
from vectrograph.vectron.invocation import Invocation, Visit, empty_name, seconds


def create(given: Invocation, request: vectron.CreateCollectionRequest) -> vectron.CreateCollectionResponse:
    """Create an empty collection; an empty distance means euclidean."""
    info = given.services.catalog.create(
        given.call, request.name, request.dimension, request.distance, request.quantization
    )
    answer = vectron.CreateCollectionResponse(success=True)
    if not request.quantization:
        return answer
    return vectron.CreateCollectionResponse(success=True, quantization=info.spec.quantisation.value)


def drop(given: Invocation, request: vectron.DeleteCollectionRequest) -> vectron.DeleteCollectionResponse:
    """Remove a collection with its points."""
    # The service checks the scope of a drop, because it records refusals. An empty name names nothing to record.
    if not request.name:
        given.call.require_collection("", "delete")
        raise empty_name("name")
    given.services.catalog.drop(given.call, request.name)
    return vectron.DeleteCollectionResponse(success=True)


def list_names(given: Invocation, _: vectron.ListCollectionsRequest) -> vectron.ListCollectionsResponse:
    """Return the names of all collections that the caller may read, sorted."""
    names = sorted(info.spec.ref.name for info in given.services.catalog.list(given.call))
    return vectron.ListCollectionsResponse(collections=names)


def status(given: Invocation, request: vectron.GetCollectionStatusRequest) -> vectron.GetCollectionStatusResponse:
    """Return dimension, distance, and the one shard that a collection has here."""
    info = given.services.catalog.describe(given.call, request.name)
    ready = info.state is CollectionState.READY
    return vectron.GetCollectionStatusResponse(
        name=info.spec.ref.name,
        dimension=info.spec.dimension,
        distance=info.spec.distance.value,
        shards=[vectron.ShardStatus(shard_id=1, replicas=[1], leader_id=1, ready=ready)],
    )


def info(given: Invocation, request: vectrograph.GetCollectionInfoRequest) -> vectrograph.GetCollectionInfoResponse:
    """Return a collection in numbers."""
    catalog, call = given.services.catalog, given.call
    return info_of(catalog.describe(call, request.name), catalog.owner(call, request.name))


def info_of(info: CollectionInfo, owner: str | None) -> vectrograph.GetCollectionInfoResponse:
    """Return the message of a collection, and of the account that made it where that is known."""
    return vectrograph.GetCollectionInfoResponse(
        name=info.spec.ref.name,
        dimension=info.spec.dimension,
        distance=info.spec.distance.value,
        count=info.count,
        indexed=info.indexed,
        bytes_on_disk=info.bytes_on_disk,
        state=info.state.value,
        created_at=seconds(info.created_at),
        owner=owner or "",
        tenant=info.spec.ref.tenant,
        quantization=info.spec.quantisation.value,
    )


def limits(visit: Visit, _: vectrograph.GetLimitsRequest) -> vectrograph.GetLimitsResponse:
    """Return the largest things that this server takes: clients need them before their first call."""
    return limits_of(visit.services.limits)


def limits_of(limits: Limits) -> vectrograph.GetLimitsResponse:
    """Return the message of limits. All but one have the names that they have in the settings."""
    kind = vectrograph.GetLimitsResponse
    named = {name: getattr(limits, name) for name in kind.__struct_fields__ if name != "max_message_bytes"}
    return kind(max_message_bytes=limits.max_body_bytes, **named)
