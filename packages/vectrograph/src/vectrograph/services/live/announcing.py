"""The engine of services that write: it tells the readers of live events what was written."""

from collections.abc import Sequence
from typing import Protocol

from vectrograph.domain.collections import CollectionInfo, CollectionRef, CollectionSpec
from vectrograph.domain.errors import Unavailable
from vectrograph.domain.points import IdempotencyKey, Op, Precondition, WriteLimits, WriteResult
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.engines.wrapper import Wrapper


class Announcements(Protocol):
    """The receiver of the news. Nothing here waits or raises."""

    def wrote(self, ref: CollectionRef) -> None:
        """Note that something may have been written to a collection."""
        ...

    def created(self, info: CollectionInfo) -> None:
        """Note that there is a new collection."""
        ...

    def dropped(self, ref: CollectionRef) -> None:
        """Note that a collection is no more."""
        ...


class AnnouncingEngine(Wrapper):
    """An engine that tells of each write, new collection and dropped collection once that is acknowledged.

    Args:
        inner: does everything.
        announcements: is told.
    """

    def __init__(self, inner: Engine, announcements: Announcements) -> None:
        super().__init__(inner)
        self._announcements = announcements

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """Create a collection; see `Engine.create`."""
        info = super().create(spec)
        self._announcements.created(info)
        return info

    def drop(self, ref: CollectionRef) -> None:
        """Remove a collection; see `Engine.drop`."""
        super().drop(ref)
        self._announcements.dropped(ref)

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
        """Apply operations; see `Engine.write`."""
        try:
            result = super().write(
                ref,
                ops,
                precondition=precondition,
                idempotency=idempotency,
                deadline=deadline,
                limits=limits,
                returning=returning,
            )
        except Unavailable:
            # A disk that fails may have taken the write.
            self._announcements.wrote(ref)
            raise
        self._announcements.wrote(ref)
        return result
