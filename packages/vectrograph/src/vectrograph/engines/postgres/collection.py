"""A collection as a server knows it: its spec and global id, which never change, and its row as a statement read it."""

from dataclasses import dataclass
from typing import Any, Final

from vectrograph.domain.collections import (
    CollectionInfo,
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Distance,
    IdKind,
    Quantisation,
)
from vectrograph.domain.errors import CollectionNotFound
from vectrograph.engines.postgres.connections import Connection, Dropped
from vectrograph.engines.postgres.schema import log_table, points_table, vector_index

SPEC_COLUMNS: Final = "uid, tenant, name, dimension, distance, model, ids, quantisation"
INFO_COLUMNS: Final = "created_at, seq, count, indexed, index_problem"


@dataclass(frozen=True, slots=True)
class Collection:
    """The unchanging part of a collection: `uid` is different for every collection that ever was, in every cluster."""

    uid: str
    spec: CollectionSpec

    @property
    def points(self) -> str:
        """Name of the table of points."""
        return points_table(self.uid)

    @property
    def log(self) -> str:
        """Name of the table of the log of changes."""
        return log_table(self.uid)

    @property
    def index(self) -> str:
        """Name of the HNSW index."""
        return vector_index(self.uid)


@dataclass(frozen=True, slots=True)
class State:
    """The part of a collection's row that searches need.

    Attributes:
        count: points.
        indexed: there is an HNSW index.
        has_special: there was a vector that is in no index, see `codec.SHORTEST`.
        has_opaque: there was a payload that jsonb cannot hold.
        longest: length of the longest vector there ever was, special ones left out.
    """

    count: int
    indexed: bool
    has_special: bool
    has_opaque: bool
    longest: float


def not_found(ref: CollectionRef) -> CollectionNotFound:
    """Return the error of a collection that is not there."""
    return CollectionNotFound(
        f"There is no collection {str(ref)!r}; create it first.", details={"collection": str(ref)}
    )


def state_of(connection: Connection, collection: Collection) -> State:
    """Return the row of a collection.

    Raises:
        Dropped: it is gone.
    """
    rows = connection.rows(
        "SELECT count, indexed, has_special, has_opaque, longest FROM collections WHERE uid = $1", (collection.uid,)
    )
    if not rows:
        raise Dropped
    return State(*rows[0])


def decode_collection(row: tuple[Any, ...]) -> Collection:
    """Return the collection of a row of `SPEC_COLUMNS`."""
    uid, tenant, name, dimension, distance, model, ids, quantisation = row
    spec = CollectionSpec.dense(
        CollectionRef(decode_name(tenant), decode_name(name)),
        dimension,
        Distance(distance),
        model=None if model is None else decode_name(model),
        ids=IdKind(ids),
        quantisation=Quantisation(quantisation),
    )
    return Collection(uid, spec)


def decode_info(spec: CollectionSpec, row: tuple[Any, ...], size: int, complete_below: int) -> CollectionInfo:
    """Return a collection as it stands from a row of `INFO_COLUMNS` and the bytes of its tables."""
    created_at, seq, count, indexed, problem = row
    return CollectionInfo(
        spec=spec,
        state=CollectionState.READY,
        count=count,
        seq=seq,
        created_at=created_at,
        bytes_on_disk=size,
        indexed=count if indexed or count < complete_below else 0,
        index_problem=problem,
    )


def encode_name(name: str) -> bytes:
    """Return a name as bytes; names are compared and sorted byte for byte."""
    return name.encode("utf-8", "surrogatepass")


def decode_name(stored: bytes) -> str:
    """Return the name of `encode_name`."""
    return stored.decode("utf-8", "surrogatepass")
