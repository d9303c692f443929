"""Collections: name, tenant, vectors, state."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT_TENANT: Final = "default"


TOKENS_COLLECTION: Final = "tokens"


class Distance(StrEnum):
    """Distance of two vectors; lower is closer under each.

    cosine: 1 − cos(q, v), in [0, 2]; 1 when either is zero. euclidean: squared L2. dot: −⟨q, v⟩.
    """

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    DOT = "dot"


class Quantisation(StrEnum):
    """Storage of a vector component in an index: one, two or four bytes.

    The vectors themselves are always kept as they came, and decide every rank: a coarse index is smaller and quicker,
    not less exact.
    """

    INT8 = "int8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class IdKind(StrEnum):
    """Origin of the ids of a collection.

    string: the caller, any string of 1 to 512 bytes. serial: the engine counts 1, 2, 3 …, never reusing one; a caller
    may also name a canonical decimal from 1 to 2⁵³−1, and the counter moves past it in the same transaction.
    """

    STRING = "string"
    SERIAL = "serial"


class CollectionState(StrEnum):
    """Seen only after a crash: creating, dropping. quarantined: the file is damaged and `problem` says how."""

    CREATING = "creating"
    READY = "ready"
    DROPPING = "dropping"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class CollectionRef:
    """Reference to a collection: tenant and name."""

    tenant: str
    name: str

    def __str__(self) -> str:
        return self.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorField:
    """One vector column of a schema. Today a schema has exactly one, named ""."""

    dimension: int
    distance: Distance
    model: str | None = None
    name: str = ""
    quantisation: Quantisation = Quantisation.INT8


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSpec:
    """Properties of a collection, fixed at creation."""

    ref: CollectionRef
    fields: tuple[VectorField, ...]
    ids: IdKind = IdKind.STRING

    @classmethod
    def dense(
        cls,
        ref: CollectionRef,
        dimension: int,
        distance: Distance,
        *,
        model: str | None = None,
        ids: IdKind = IdKind.STRING,
        quantisation: Quantisation = Quantisation.INT8,
    ) -> "CollectionSpec":
        """Return a collection with one dense vector per point.

        >>> CollectionSpec.dense(CollectionRef("default", "docs"), 4, Distance.COSINE).dimension
        4
        """
        field = VectorField(dimension=dimension, distance=distance, model=model, quantisation=quantisation)
        return cls(ref=ref, fields=(field,), ids=ids)

    @property
    def dimension(self) -> int:
        """Components per vector of the first field."""
        return self.fields[0].dimension

    @property
    def distance(self) -> Distance:
        """Distance of the first field."""
        return self.fields[0].distance

    @property
    def quantisation(self) -> Quantisation:
        """Storage of components in an index over the first field."""
        return self.fields[0].quantisation

    @property
    def model(self) -> str | None:
        """Name of the model that embeds this collection's texts, if any."""
        return self.fields[0].model


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """A collection as it stands: its spec, state and sizes.

    Attributes:
        indexed: points that no search needs to scan for want of an index; `count` when the index is complete, or when
            the collection is so small that a scan is quicker.
        problem: what is damaged, in a collection that is set aside.
        index_problem: why rows are scanned that should be in the index; answers are right but come later.
    """

    spec: CollectionSpec
    state: CollectionState
    count: int
    seq: int
    created_at: int
    bytes_on_disk: int = 0
    indexed: int = 0
    problem: str | None = None
    index_problem: str | None = None


@dataclass(frozen=True, slots=True)
class CollectionOutline:
    """A collection by name, without its sizes: cheap for thousands.

    Attributes:
        problem: what is damaged, in a collection that is set aside.
        checked: whether its files were looked at since the start; damage of others shows at their first use, or when
            the background check comes to them.
    """

    spec: CollectionSpec
    problem: str | None = None
    checked: bool = True
