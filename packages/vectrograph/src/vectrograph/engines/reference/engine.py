"""The twelve verbs over dictionaries, under one lock."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import RLock
from typing import Final
from uuid import uuid4

from vectrograph.domain.capabilities import Capabilities, EngineLimits, MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionOutline, CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import AlreadyExists, CollectionNotFound, DeadlineExceeded, InvalidArgument, Unavailable
from vectrograph.domain.filters.evaluation import NODES, Filter
from vectrograph.domain.grid import PLACEMENT_BYTES
from vectrograph.domain.log_retention import UNLIMITED_LOG, LogRetention
from vectrograph.domain.points import (
    STORED,
    ChangePage,
    IdempotencyKey,
    LogEnd,
    Op,
    Precondition,
    WriteLimits,
    WriteResult,
)
from vectrograph.domain.queries import Include, ScrollPage, ScrollRequest, SearchRequest
from vectrograph.domain.query_validation import query_vectors, require_scroll, require_spec
from vectrograph.domain.write_validation import validate_writes
from vectrograph.engines.base import Infos, Outlines, Points, Results
from vectrograph.engines.reference.collection import Collection

CAPABILITIES: Final = Capabilities(
    name="reference",
    conditional_writes=True,
    idempotency=True,
    changes=True,
    durable=False,
    filter_nodes=NODES,
    orderings=frozenset(["id", "created", "updated"]),
    distances=frozenset(Distance),
    maintenance=frozenset(),
    limits=EngineLimits(
        max_dimension=8192,
        max_id_bytes=512,
        max_payload_bytes=(1 << 20) + PLACEMENT_BYTES,
        max_text_bytes=1 << 20,
        max_batch=10_000,
        max_k=10_000,
    ),
)


def _now() -> int:
    return time.time_ns() // 1000


class ReferenceEngine:
    """An `Engine` in memory; everything is gone when it is closed.

    Args:
        clock: microseconds since 1970.
        retention: of the log of changes of each collection.

    >>> from vectrograph.engines.base import Engine
    >>> isinstance(ReferenceEngine(), Engine)
    True
    """

    def __init__(self, clock: Callable[[], int] = _now, retention: LogRetention = UNLIMITED_LOG) -> None:
        self._clock = clock
        self._retention = retention
        self._lock = RLock()
        self._collections: dict[CollectionRef, Collection] = {}
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """Capabilities of this engine."""
        return CAPABILITIES

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """Create an empty collection; see `Engine.create`."""
        require_spec(spec, CAPABILITIES)
        with self._lock:
            self._require_open()
            if spec.ref in self._collections:
                raise AlreadyExists(
                    f"A collection {str(spec.ref)!r} exists already; choose another name or drop it first.",
                    details={"collection": str(spec.ref)},
                )
            collection = Collection(uuid4().hex, spec, self._clock(), self._retention)
            self._collections[spec.ref] = collection
            return collection.info()

    def drop(self, ref: CollectionRef) -> None:
        """Remove a collection; see `Engine.drop`."""
        with self._lock:
            self._find(ref)
            del self._collections[ref]

    def list(self, tenant: str) -> Infos:
        """Return all collections of a tenant by name; see `Engine.list`."""
        with self._lock:
            self._require_open()
            own = [c for ref, c in self._collections.items() if ref.tenant == tenant]
            return sorted((c.info() for c in own), key=lambda info: info.spec.ref.name)

    def outline(self, tenant: str) -> Outlines:
        """Return all collections of a tenant, without their sizes; see `Engine.outline`."""
        return [CollectionOutline(info.spec) for info in self.list(tenant)]

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        """Return one collection as it stands; see `Engine.describe`."""
        with self._lock:
            return self._find(ref).info()

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
        """Apply operations as one transaction; see `Engine.write`."""
        with self._lock:
            collection = self._find(ref)
            writes = validate_writes(ops, collection.spec, CAPABILITIES.limits, limits)
            _check(deadline)
            result = collection.write(writes, precondition or Precondition(), idempotency, self._clock())
            if returning is None or result.replayed:
                return result
            stored = [
                collection.get(outcome.id, returning) if outcome.status in STORED else None
                for outcome in result.outcomes
            ]
            return replace(result, points=tuple(stored))

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """Return the points of these ids; see `Engine.get`."""
        with self._lock:
            collection = self._find(ref)
            return [collection.get(each, include) for each in ids]

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Return nearest points for each query; see `Engine.search`."""
        with self._lock:
            collection = self._find(ref)
            queries = query_vectors(request, collection.spec, CAPABILITIES.limits)
            _check(deadline)
            return collection.search(request, queries, lambda: _check(deadline))

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """Return one page of points; see `Engine.scroll`."""
        with self._lock:
            collection = self._find(ref)
            require_scroll(request, CAPABILITIES)
            _check(deadline)
            return collection.scroll(request)

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """Return how many points match; see `Engine.count`."""
        with self._lock:
            collection = self._find(ref)
            _check(deadline)
            return collection.count(filter)

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Return the log after a position; see `Engine.changes`."""
        with self._lock:
            collection = self._find(ref)
            if limit < 1:
                raise InvalidArgument.of("limit", f"is {limit} and must be positive", "out_of_range")
            return collection.changes(since, limit, self._clock())

    def maintain(self, task: MaintenanceTask, ref: CollectionRef | None = None) -> MaintenanceReport:
        """Refuse: nothing can be maintained in memory.

        Raises:
            InvalidArgument: always.
        """
        raise InvalidArgument.of("task", f"{task.value} is not among the tasks of this engine, which has none", "enum")

    def close(self) -> None:
        """Forget everything; see `Engine.close`."""
        with self._lock:
            self._closed = True
            self._collections.clear()

    def _find(self, ref: CollectionRef) -> Collection:
        self._require_open()
        collection = self._collections.get(ref)
        if collection is None:
            raise CollectionNotFound(
                f"There is no collection {str(ref)!r}; create it first.", details={"collection": str(ref)}
            )
        return collection

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("The engine is closed.")


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded(
            "The deadline passed before the operation was complete; nothing was written. Allow more time."
        )
