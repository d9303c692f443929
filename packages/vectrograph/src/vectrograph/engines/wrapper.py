"""An engine that hands everything on to another: what those are made from that announce, count, log or are broken."""

from collections.abc import Sequence

from vectrograph.domain.capabilities import Capabilities, MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionRef, CollectionSpec
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import ChangePage, IdempotencyKey, LogEnd, Op, Precondition, WriteLimits, WriteResult
from vectrograph.domain.queries import Include, ScrollPage, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine, Infos, Outlines, Points, Results


class Wrapper:
    """An `Engine` that does what another does.

    Args:
        inner: that one.
    """

    def __init__(self, inner: Engine) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`."""
        return self.inner.capabilities

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """See `Engine.create`."""
        return self.inner.create(spec)

    def drop(self, ref: CollectionRef) -> None:
        """See `Engine.drop`."""
        self.inner.drop(ref)

    def list(self, tenant: str) -> Infos:
        """See `Engine.list`."""
        return self.inner.list(tenant)

    def outline(self, tenant: str) -> Outlines:
        """See `Engine.outline`."""
        return self.inner.outline(tenant)

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        """See `Engine.describe`."""
        return self.inner.describe(ref)

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
        """See `Engine.write`."""
        return self.inner.write(
            ref,
            ops,
            precondition=precondition,
            idempotency=idempotency,
            deadline=deadline,
            limits=limits,
            returning=returning,
        )

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """See `Engine.get`."""
        return self.inner.get(ref, ids, include=include)

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """See `Engine.search`."""
        return self.inner.search(ref, request, deadline=deadline)

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """See `Engine.scroll`."""
        return self.inner.scroll(ref, request, deadline=deadline)

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """See `Engine.count`."""
        return self.inner.count(ref, filter, deadline=deadline)

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """See `Engine.changes`."""
        return self.inner.changes(ref, since, limit=limit)

    def maintain(self, task: MaintenanceTask, ref: CollectionRef | None = None) -> MaintenanceReport:
        """See `Engine.maintain`."""
        return self.inner.maintain(task, ref)

    def close(self) -> None:
        """See `Engine.close`."""
        self.inner.close()
