"""The nouns: collections, points, operations on them, and what a search asks and answers.

All are immutable plain values. Vectors are one-dimensional, C-contiguous `numpy.float32` arrays; times are integer
microseconds since 1970-01-01 UTC; a `seq` is a positive integer that rises with every change of a collection and is
never reused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.filters import Filter

Vector: TypeAlias = NDArray[np.float32]
Payload: TypeAlias = Mapping[str, Any]

DEFAULT_TENANT: Final = "default"
TOKENS_COLLECTION: Final = "tokens"
MAX_SERIAL_ID: Final = 2**53 - 1


class Keep(StrEnum):
    """The type of `KEEP`: leave the stored value as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


class Distance(StrEnum):
    """How far apart two vectors are; lower is closer under each.

    cosine: 1 − cos(q, v), in [0, 2]; 1 when either is zero. euclidean: squared L2. dot: −⟨q, v⟩.
    """

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    DOT = "dot"


class Quantisation(StrEnum):
    """How an index may store a component of a vector: in one, two or four bytes.

    The vectors themselves are always kept as they came, and decide every rank: a coarse index is smaller and quicker,
    not less exact.
    """

    INT8 = "int8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class IdKind(StrEnum):
    """Who names the points of a collection.

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
    """Which collection: every catalog key begins with the tenant."""

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
    """What a collection is, fixed at creation."""

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
        """A collection with one dense vector per point.

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
        """How an index over the first field stores components."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A stored point. `vector` and `payload` are None when they were not asked for.

    `version` is the seq of its last change, `created_seq` that of its creation: "newest first" means descending
    `created_seq`.
    """

    id: str
    vector: Vector | None
    payload: Payload | None
    text: str | None
    created_at: int
    updated_at: int
    version: int
    created_seq: int


# ---------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Store a point whole; an existing one of that id is replaced (creation time and seq stay).

    `id=None` lets a serial collection choose the next id. KEEP leaves payload or text of an existing point as they
    are (a new point gets `{}` or None).
    """

    id: str | None
    vector: Vector
    payload: Payload | Keep = field(default_factory=dict)
    text: str | Keep | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Replace payload or text, leaving vector and index alone."""

    id: str
    payload: Payload | Keep = KEEP
    text: str | Keep | None = KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a point; a missing id is no error (outcome `missing`)."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteWhere:
    """Remove every point that matches `filter` when the operation's turn comes."""

    filter: Filter


Op: TypeAlias = Put | Patch | Delete | DeleteWhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Precondition:
    """What must hold for an operation to apply; an operation that fails it is skipped, the others go on.

    if_absent: no point of that id. if_version: id → the version it must have (an absent point never matches).
    if_match: the stored point must match the filter (an absent point never matches). DeleteWhere is not subject to
    preconditions.
    """

    if_absent: bool = False
    if_version: Mapping[str, int] | None = None
    if_match: Filter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A write's own name, so that a repeat is recognised. Kept for 24 hours, in the same transaction as the write.

    Same principal, operation and key with the same body_hash replays the first result; with another one it is an
    IdempotencyConflict.
    """

    principal: str
    operation: str
    key: str
    body_hash: str


class OutcomeStatus(StrEnum):
    """What became of one operation."""

    CREATED = "created"
    UPDATED = "updated"
    PATCHED = "patched"
    DELETED = "deleted"
    SKIPPED = "skipped"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one operation, in the order of the operations. A DeleteWhere yields one per deleted point.

    version: the seq of the change; of a skipped operation that of the stored point; 0 where there is no point.
    """

    id: str
    status: OutcomeStatus
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """`seq` is the collection's seq after the write: a token for "at least this new"."""

    seq: int
    outcomes: tuple[Outcome, ...]
    replayed: bool = False


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """Which parts of a point to return."""

    vector: bool = False
    payload: bool = True
    text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLeg:
    """Nearest neighbours of each row of `vectors`, shape (queries, dimension), float32, C-contiguous."""

    vectors: Vector
    field: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One question per row of the leg's vectors; all share the other parameters.

    k: hits per query after `offset`. max_score: drop hits whose score (a distance) is greater. exact: scan everything
    instead of using an index. ef: breadth of the graph search, None lets the planner choose.
    """

    legs: tuple[DenseLeg, ...]
    k: int
    offset: int = 0
    filter: Filter | None = None
    max_score: float | None = None
    include: Include = Include()
    exact: bool = False
    ef: int | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A point and its score: a distance, lower is closer. `distance` is there where a rerank moved the score."""

    point: Point
    score: float
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a search was answered.

    Attributes:
        strategy: in plain words, such as "exact scan", "graph walk", "graph walk given up for a code scan".
        index: what was used beside the vectors themselves, None for nothing.
        rows_scanned: vectors or codes compared with the query, as far as is known.
        matches: points that may be found: all, or those that match the filter.
        milliseconds: from the question to the answer.
        beam: nodes that a walk along a graph was to keep, None where there was no walk.
        expected: of these, how many should match the filter; `met`: how many did.
    """

    strategy: str
    index: str | None
    rows_scanned: int
    matches: int | None
    milliseconds: float
    beam: int | None = None
    expected: int | None = None
    met: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Hits in ascending score; equal scores newest first. `complete`: min(offset + k, matches) rows were found."""

    hits: tuple[Hit, ...]
    complete: bool = True
    plan: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sort order of a scroll: by "id", "created" (created_seq) or "updated" (version).

    Ids sort by the bytes of their UTF-8 text, but in a serial collection by number.
    """

    key: str = "id"
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrollRequest:
    """One page. `cursor` is the opaque text of the page before; it holds for the same order and filter only."""

    limit: int
    order: Order = Order()
    cursor: str | None = None
    offset: int = 0
    filter: Filter | None = None
    include: Include = Include()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrollPage:
    """`cursor` is None when there is nothing more."""

    points: tuple[Point, ...]
    cursor: str | None


class ChangeKind(StrEnum):
    """put: created or replaced; patch: payload or text only; delete: gone."""

    PUT = "put"
    PATCH = "patch"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log of changes."""

    seq: int
    kind: ChangeKind
    id: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage:
    """Changes after a position, oldest first; `position` is where to go on."""

    changes: tuple[Change, ...]
    position: str


class MaintenanceTask(StrEnum):
    """What can be asked for.

    checkpoint: fold the log into the file. flush: publish buffered rows now. verify: check every checksum. repair:
    rebuild what is derived and salvage what is readable. measure_recall: compare searches with exact ones.
    """

    CHECKPOINT = "checkpoint"
    FLUSH = "flush"
    VERIFY = "verify"
    REPAIR = "repair"
    MEASURE_RECALL = "measure_recall"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceReport:
    """What a maintenance task did or found, per collection in `details` where there is something to tell."""

    task: MaintenanceTask
    healthy: bool
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """The largest things an engine takes."""

    max_dimension: int
    max_id_bytes: int
    max_payload_bytes: int
    max_text_bytes: int
    max_batch: int
    max_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What differs from engine to engine. The conformance suite asks nothing else."""

    name: str
    atomic_batches: bool
    conditional_writes: bool
    idempotency: bool
    changes: bool
    durable: bool
    consistency: str
    filter_nodes: frozenset[str]
    orderings: frozenset[str]
    distances: frozenset[Distance]
    maintenance: frozenset[MaintenanceTask]
    limits: EngineLimits
    versions: Mapping[str, str] = field(default_factory=dict)
