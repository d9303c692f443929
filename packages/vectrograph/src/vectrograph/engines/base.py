"""The contract every engine keeps: twelve verbs, synchronous, thread-safe, plain values in and out.

Nothing else crosses it, no generator, callback or transaction, so an engine may live in another process. What differs
between engines is declared in `Capabilities`; the conformance suite in `contract` asks nothing else. All methods
raise errors of `domain.errors` only.

Deadlines are absolute `time.monotonic()` seconds, None for no limit; past one, an engine raises DeadlineExceeded and
has written nothing.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from vectrograph.domain.capabilities import Capabilities, MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionOutline, CollectionRef, CollectionSpec
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import (
    ChangePage,
    IdempotencyKey,
    LogEnd,
    Op,
    Point,
    Precondition,
    WriteLimits,
    WriteResult,
)
from vectrograph.domain.queries import Include, ScrollPage, ScrollRequest, SearchRequest, SearchResult

# Inside the protocol the name `list` is a verb, so the built-in type needs names of its own.
Infos: TypeAlias = list[CollectionInfo]
Outlines: TypeAlias = list[CollectionOutline]
Points: TypeAlias = list[Point | None]
Results: TypeAlias = list[SearchResult]


@runtime_checkable
class Engine(Protocol):
    """A place where collections of points live.

    An acknowledged change is visible to every later call, and durable if declared so.
    """

    @property
    def capabilities(self) -> Capabilities:
        """Capabilities of this engine, constant for its life."""
        ...

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """Create an empty collection.

        Raises:
            AlreadyExists: the tenant has a collection of that name.
            InvalidArgument: the dimension or distance is not among the capabilities.
            QuotaExceeded: there are as many collections as there may be.
        """
        ...

    def drop(self, ref: CollectionRef) -> None:
        """Remove a collection with everything in it.

        Raises:
            CollectionNotFound: there is none.
        """
        ...

    def list(self, tenant: str) -> Infos:
        """Return all collections of a tenant, sorted by name, quarantined ones included."""
        ...

    def outline(self, tenant: str) -> Outlines:
        """List all collections of a tenant by name, without what must be read first; cheap for thousands."""
        ...

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        """Return one collection as it stands.

        Raises:
            CollectionNotFound: there is none.
        """
        ...

    def write(
        self,
        ref: CollectionRef,
        ops: Sequence[Op],
        *,
        precondition: Precondition | None = None,
        idempotency: IdempotencyKey | None = None,
        deadline: float | None = None,
        limits: WriteLimits | None = None,
        returning: Include | None = None,
    ) -> WriteResult:
        """Apply operations in their order as one transaction; each point changed takes one `seq`.

        Args:
            ref: the collection.
            ops: what to do.
            precondition: what must hold for each operation.
            idempotency: the write's own name.
            deadline: see above.
            limits: those of the caller, which hold where they are lower than those among the capabilities.
            returning: parts of the points to hand back as the write left them; None for no points.

        Raises:
            CollectionNotFound: there is no such collection.
            InvalidArgument: an id, vector or payload is not acceptable; names the operation's position. Nothing is
            written.
            TooLarge: more operations, or a larger payload or text, than the limits.
            Conflict: the numbers of a serial collection are used up.
            IdempotencyConflict: the key was used with another body.
            OutOfSpace, StorageReadOnly, CollectionQuarantined: the storage refuses.
            DeadlineExceeded: the deadline passed before the commit.
        """
        ...

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """Return the points of these ids in this order, None where there is none.

        Raises:
            CollectionNotFound, CollectionQuarantined.
        """
        ...

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Return nearest points for each query vector, all answered from one state of the collection.

        Raises:
            CollectionNotFound, CollectionQuarantined.
            InvalidArgument: wrong dimension, NaN or infinity, k out of range.
            TooLarge: the hits hold more than `max_bytes`; not all of them were read.
            DeadlineExceeded: the deadline passed.
        """
        ...

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """Return one page of points in a stable order; points present throughout, with an unchanged sort key, appear
        once.

        Raises:
            CollectionNotFound, CollectionQuarantined.
            InvalidArgument: the cursor is not of this scroll, or the order is not among the capabilities.
        """
        ...

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """Return how many points there are, or match; exact.

        Raises:
            CollectionNotFound, CollectionQuarantined.
        """
        ...

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Return the log of changes after a position, oldest first.

        The log alone tells whether a point was new: the kind of every change is the status that its write reported.

        Args:
            ref: the collection.
            since: an opaque position that an earlier page gave; None for all changes that are held; NOW for an empty
                page whose position is the end of the log, without reading the log: every write that begins after
                the call is after that position, every write that was acknowledged before the call is not.
            limit: most changes of the page.

        Raises:
            CollectionNotFound, CollectionQuarantined.
            InvalidArgument: the position is not of this collection.
            PositionExpired: changes after the position were removed from the log, or an older copy of the data, which
            ends before it, was put in place.
        """
        ...

    def maintain(self, task: MaintenanceTask, ref: CollectionRef | None = None) -> MaintenanceReport:
        """Run one maintenance task now, on one collection or on all.

        Raises:
            CollectionNotFound: `ref` names none.
            InvalidArgument: the task is not among the capabilities.
        """
        ...

    def close(self) -> None:
        """Finish what is in flight, release everything; later calls raise Unavailable. Closing twice is fine."""
        ...
