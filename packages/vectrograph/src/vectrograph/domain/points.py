"""Points, operations on them, outcomes, and the log of changes.

All are immutable plain values. Vectors are one-dimensional, C-contiguous `numpy.float32` arrays; times are integer
microseconds since 1970-01-01 UTC; a `seq` is a positive integer that rises with every change of a collection and is
never reused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.filters.evaluation import Filter

Vector: TypeAlias = NDArray[np.float32]


Payload: TypeAlias = Mapping[str, Any]

_NOTHING: Final[Payload] = MappingProxyType({})


# Largest id that every JSON reader keeps exactly: RFC 8259, section 6.
MAX_SERIAL_ID: Final = 2**53 - 1


class Keep(StrEnum):
    """The type of `KEEP`: leave the stored value as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


class LogEnd(StrEnum):
    """The type of `NOW`: the end of the log of changes at the time of the call."""

    NOW = "now"


NOW: Final = LogEnd.NOW


class Point(NamedTuple):
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


class Put(NamedTuple):
    """Store a point whole; an existing one of that id is replaced (creation time and seq stay).

    `id=None` lets a serial collection choose the next id. KEEP leaves payload or text of an existing point as they
    are (a new point gets `{}` or None).
    """

    id: str | None
    vector: Vector
    payload: Payload | Keep = _NOTHING
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
    """Condition for an operation to apply; an operation that fails it is skipped, the others go on.

    if_absent: no point of that id. if_version: id → the version it must have (an absent point never matches).
    if_match: the stored point must match the filter (an absent point never matches). DeleteWhere is not subject to
    preconditions.
    """

    if_absent: bool = False
    if_version: Mapping[str, int] | None = None
    if_match: Filter | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether it holds of everything."""
        return not self.if_absent and not self.if_version and self.if_match is None


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
    """Outcome of one operation."""

    CREATED = "created"
    UPDATED = "updated"
    PATCHED = "patched"
    DELETED = "deleted"
    SKIPPED = "skipped"
    MISSING = "missing"


STORED: Final = frozenset([OutcomeStatus.CREATED, OutcomeStatus.UPDATED, OutcomeStatus.PATCHED])
"""The outcomes of operations that left a point behind, unless a later one of the same write removed it."""


class Outcome(NamedTuple):
    """Result of one operation, in the order of the operations. A DeleteWhere yields one per deleted point.

    version: the seq of the change; of a skipped operation that of the stored point; 0 where there is no point.
    """

    id: str
    status: OutcomeStatus
    version: int


class WriteLimits(NamedTuple):
    """The largest write that a service takes; where an engine takes less, its own limits hold."""

    max_batch: int
    max_payload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """Result of a write.

    Attributes:
        seq: of the collection after the write: a token for "at least this new".
        outcomes: of the operations.
        at: microseconds since 1970, the time of the write: `created_at` of every point that it created. Of a replay,
            the time of the first write.
        points: where they were asked for, the points as the write left them, in the order of the outcomes; None for an
            operation that stored nothing, and altogether for a replay.
        replayed: whether this is the answer of an earlier write under the same idempotency key.
    """

    seq: int
    outcomes: tuple[Outcome, ...]
    at: int
    points: tuple[Point | None, ...] | None = None
    replayed: bool = False


class ChangeKind(StrEnum):
    """Kind of a change: the status that the write reported for it, see OutcomeStatus.

    CREATED: there was no point of this id before.
    UPDATED: stored whole over an existing point. Also every put of a log written before CREATED was recorded, because
        such a log does not say whether the point was new: store the point also when its id is unknown.
    PATCHED: payload or text changed; the vector stayed.
    DELETED: the point is gone.
    """

    CREATED = "created"
    UPDATED = "updated"
    PATCHED = "patched"
    DELETED = "deleted"


class Change(NamedTuple):
    """One entry of the log of changes.

    seq: the number of the change, and the version of the point that it left behind; at: microseconds since 1970.
    """

    seq: int
    kind: ChangeKind
    id: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage:
    """Changes after a position, oldest first; `position` is where to go on."""

    changes: tuple[Change, ...]
    position: str
