"""Engines that are wrong in one way each, so that the suite can be shown to notice.

Each is a good engine behind a wrapper that makes one mistake of those that real engines make.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from vectrograph.domain.collections import CollectionRef, Distance
from vectrograph.domain.errors import DomainError, PositionExpired
from vectrograph.domain.filters.evaluation import Filter, matches
from vectrograph.domain.points import (
    KEEP,
    NOW,
    ChangeKind,
    ChangePage,
    Delete,
    IdempotencyKey,
    LogEnd,
    Op,
    Patch,
    Precondition,
    Put,
    WriteLimits,
    WriteResult,
)
from vectrograph.domain.queries import Hit, Include, ScrollPage, ScrollRequest, SearchRequest, SearchResult
from vectrograph.engines.base import Engine, Points, Results
from vectrograph.engines.wrapper import Wrapper


class _OtherOps(Wrapper):
    """Writes other operations than it was given."""

    def changed(self, ops: Sequence[Op]) -> Sequence[Op]:
        """Return what it writes instead."""
        return ops

    def write(self, ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        """Do as `Engine.write`, of other operations."""
        return self.inner.write(ref, self.changed(ops), **options)


class LosesTheHundredAndFirst(_OtherOps):
    """Of a batch, it writes no more than a hundred operations."""

    def changed(self, ops: Sequence[Op]) -> Sequence[Op]:
        """Return the first hundred."""
        return ops[:100]


class FirstOfADuplicateWins(_OtherOps):
    """Of a repeated id it keeps the first."""

    def changed(self, ops: Sequence[Op]) -> Sequence[Op]:
        """Leave out later Puts of an id."""
        seen: set[str | None] = set()
        kept: list[Op] = []
        for op in ops:
            if isinstance(op, Put) and op.id is not None and op.id in seen:
                continue
            kept.append(op)
            seen.add(op.id if isinstance(op, Put) else None)
        return kept


class RoundsVectors(_OtherOps):
    """Stores vectors in half precision."""

    def changed(self, ops: Sequence[Op]) -> Sequence[Op]:
        """Return a copy with rounded vectors; what overflows is left alone."""
        return [op._replace(vector=_rounded(op.vector)) if isinstance(op, Put) else op for op in ops]


class PatchForgetsTheText(_OtherOps):
    """A patch of the payload removes the text."""

    def changed(self, ops: Sequence[Op]) -> Sequence[Op]:
        """Return a copy with None where a patch says KEEP."""
        return [replace(op, text=None) if isinstance(op, Patch) and op.text is KEEP else op for op in ops]


class WritesHalfABatch(Wrapper):
    """Of a batch that is refused, what came before the bad operation is written."""

    def write(self, ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        """Do as `Engine.write`, one by one after a refusal."""
        try:
            return self.inner.write(ref, ops, **options)
        except DomainError:
            for op in ops:
                self.inner.write(ref, [op])
            raise


class IgnoresVersions(Wrapper):
    """Preconditions on versions are not looked at."""

    def write(
        self, ref: CollectionRef, ops: Sequence[Op], *, precondition: Precondition | None = None, **options: Any
    ) -> WriteResult:
        """Do as `Engine.write`, without `if_version`."""
        looser = replace(precondition, if_version=None) if precondition else None
        return self.inner.write(ref, ops, precondition=looser, **options)


class IgnoresTheCallersLimits(Wrapper):
    """Only its own limits hold."""

    def write(
        self, ref: CollectionRef, ops: Sequence[Op], *, limits: WriteLimits | None = None, **options: Any
    ) -> WriteResult:
        """Do as `Engine.write`, without the limits."""
        return self.inner.write(ref, ops, **options)


class HandsBackWhatWasThere(Wrapper):
    """The points of a write are those before it."""

    def write(
        self, ref: CollectionRef, ops: Sequence[Op], *, returning: Include | None = None, **options: Any
    ) -> WriteResult:
        """Do as `Engine.write`; what is handed back was read before."""
        named = [getattr(op, "id", None) or "" for op in ops]
        before = self.inner.get(ref, named, include=returning or Include())
        result = self.inner.write(ref, ops, **options)
        return result if returning is None else replace(result, points=tuple(before))


class ReplaysTellAnotherTime(Wrapper):
    """A replay says that it was written just now."""

    def write(self, ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        """Do as `Engine.write`, of now."""
        result = self.inner.write(ref, ops, **options)
        return replace(result, at=result.at + 1) if result.replayed else result


class ForgetsKeys(Wrapper):
    """A write that is sent twice happens twice."""

    def write(
        self, ref: CollectionRef, ops: Sequence[Op], *, idempotency: IdempotencyKey | None = None, **options: Any
    ) -> WriteResult:
        """Do as `Engine.write`, without the key."""
        return self.inner.write(ref, ops, **options)


class ReplaysForAnotherBody(Wrapper):
    """A used key with another body replays the first answer."""

    def write(
        self, ref: CollectionRef, ops: Sequence[Op], *, idempotency: IdempotencyKey | None = None, **options: Any
    ) -> WriteResult:
        """Do as `Engine.write`, with one body hash for all."""
        key = replace(idempotency, body_hash="") if idempotency else None
        return self.inner.write(ref, ops, idempotency=key, **options)


class ReadsAreStale(Wrapper):
    """Engine that answers repeated reads from memory."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self._seen: dict[tuple[CollectionRef, str, Include], Any] = {}

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """Do as `Engine.get`, of a while ago."""
        points = self.inner.get(ref, ids, include=include)
        return [self._seen.setdefault((ref, name, include), point) for name, point in zip(ids, points, strict=True)]


class _OtherHits(Wrapper):
    """Answers searches with other hits than were found."""

    def asked(self, request: SearchRequest) -> SearchRequest:
        """Return what it asks instead."""
        return request

    def chosen(self, ref: CollectionRef, request: SearchRequest, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return what it answers instead; `request` is the one that was given."""
        return hits

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Do as `Engine.search`, with other hits."""
        results = self.inner.search(ref, self.asked(request), deadline=deadline)
        return [result._replace(hits=tuple(self.chosen(ref, request, result.hits))) for result in results]


class OneHitTooFew(_OtherHits):
    """Returns k - 1 hits."""

    def chosen(self, ref: CollectionRef, request: SearchRequest, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Leave out the k-th."""
        return hits[: max(1, request.k - 1)]


class OldestFirst(_OtherHits):
    """Equal scores come oldest first."""

    def asked(self, request: SearchRequest) -> SearchRequest:
        """Everything, to sort it anew."""
        return request._replace(k=self.capabilities.limits.max_k, offset=0) if 0 < request.k <= 10_000 else request

    def chosen(self, ref: CollectionRef, request: SearchRequest, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return sorted by age."""
        ranked = sorted(hits, key=lambda hit: (hit.score, hit.point.created_seq))
        return ranked[request.offset : request.offset + request.k]


class ForgetsTheOffset(_OtherHits):
    """With a filter, nothing is skipped."""

    def asked(self, request: SearchRequest) -> SearchRequest:
        """From the start."""
        return request._replace(offset=0) if request.filter is not None else request


class FiltersTooLate(_OtherHits):
    """Takes the nearest k first and filters those."""

    def asked(self, request: SearchRequest) -> SearchRequest:
        """Leave out the filter."""
        return request._replace(filter=None, include=request.include._replace(payload=True))

    def chosen(self, ref: CollectionRef, request: SearchRequest, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return those that match."""
        condition = request.filter
        return [hit for hit in hits if condition is None or matches(condition, hit.point.payload or {})]


class WrongSign(_OtherHits):
    """Inner products are returned as they are, not as distances."""

    def chosen(self, ref: CollectionRef, request: SearchRequest, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return a copy with the other sign under dot."""
        if self.describe(ref).spec.distance is not Distance.DOT:
            return hits
        return [Hit(hit.point, -hit.score) for hit in hits]


class ExcludesTheBound(_OtherHits):
    """Hits at exactly `max_score` are left out."""

    def chosen(self, ref: CollectionRef, request: SearchRequest, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return those below."""
        return [hit for hit in hits if request.max_score is None or hit.score < request.max_score]


class FindsTheDeleted(Wrapper):
    """Searches still find points that were deleted."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self._gone: dict[CollectionRef, list[Hit]] = {}

    def write(self, ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        """Do as `Engine.write`; what it deletes is remembered."""
        named = [op.id for op in ops if isinstance(op, Delete)]
        stored = [point for point in self.inner.get(ref, named) if point is not None]
        result = self.inner.write(ref, ops, **options)
        self._gone.setdefault(ref, []).extend(Hit(point, 0.0) for point in stored)
        return result

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Do as `Engine.search`, and what is gone."""
        gone = tuple(self._gone.get(ref, ()))
        return [self._with(result, gone, request.k) for result in self.inner.search(ref, request, deadline=deadline)]

    def _with(self, result: SearchResult, gone: tuple[Hit, ...], k: int) -> SearchResult:
        return result._replace(hits=(gone + result.hits)[:k])


class CountsRoughly(Wrapper):
    """Counts above fifty are estimates."""

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """Do as `Engine.count`, two percent off."""
        exact = self.inner.count(ref, filter, deadline=deadline)
        return exact - exact // 50


class ScrollSkipsOne(Wrapper):
    """Every page after the first begins one point too late."""

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """Do as `Engine.scroll`, with an offset."""
        late = replace(request, offset=request.offset + 1) if request.cursor is not None else request
        return self.inner.scroll(ref, late, deadline=deadline)


class PagesWithoutBounds(Wrapper):
    """Reads a page whole, however large its points are."""

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """Do as `Engine.scroll`, without the limit of bytes."""
        return self.inner.scroll(ref, replace(request, max_bytes=None), deadline=deadline)


class AnswersWithoutBounds(_OtherHits):
    """Reads all hits, however large they are."""

    def asked(self, request: SearchRequest) -> SearchRequest:
        """Leave out the limit of bytes."""
        return request._replace(max_bytes=None)


class LogHasGaps(Wrapper):
    """The log of changes does not tell deletes."""

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`, without deletes."""
        page = self.inner.changes(ref, since, limit=limit)
        return replace(page, changes=tuple(each for each in page.changes if each.kind is not ChangeKind.DELETED))


class NowIsTheBeginning(Wrapper):
    """The position of NOW is where the log begins."""

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`; what NOW leads to was before it."""
        page = self.inner.changes(ref, since, limit=limit)
        if since is not NOW:
            return page
        start = self.inner.changes(ref, limit=1)
        return start if not start.changes else replace(page, position=start.position)


class NowHasChanges(Wrapper):
    """The page of NOW is the last one of the log, with its changes."""

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`; to find the end it reads all."""
        if since is not NOW:
            return self.inner.changes(ref, since, limit=limit)
        page = self.inner.changes(ref, limit=limit)
        while len(page.changes) == limit:
            page = self.inner.changes(ref, page.position, limit=limit)
        return page


class ForgetsSilently(Wrapper):
    """A reader that comes too late goes on at the oldest change, without a word about the gap."""

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`, from the oldest position where the one that was given is too old."""
        try:
            return self.inner.changes(ref, since, limit=limit)
        except PositionExpired as expired:
            return self.inner.changes(ref, expired.details["oldest"], limit=limit)


class OldestIsTheEnd(Wrapper):
    """The oldest position that is named has nothing behind it."""

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`; who comes too late is sent to the end."""
        try:
            return self.inner.changes(ref, since, limit=limit)
        except PositionExpired as expired:
            raise PositionExpired.of(self.inner.changes(ref, NOW).position) from expired


class PositionsOutliveTheirCollection(Wrapper):
    """A position of a collection that was dropped is one of the collection that has its name now."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self._dropped: set[tuple[CollectionRef, str]] = set()
        self._known: set[tuple[CollectionRef, str]] = set()

    def drop(self, ref: CollectionRef) -> None:
        """Do as `Engine.drop`; its positions are remembered."""
        self.inner.drop(ref)
        self._dropped |= {each for each in self._known if each[0] == ref}

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`, from the beginning for a position of before."""
        old = since is not None and (ref, str(since)) in self._dropped
        page = self.inner.changes(ref, None if old else since, limit=limit)
        self._known.add((ref, page.position))
        return page


class _OtherKinds(Wrapper):
    """Its log of changes tells one kind for another."""

    told: ClassVar[Mapping[ChangeKind, ChangeKind]] = {}

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Do as `Engine.changes`, with other kinds."""
        page = self.inner.changes(ref, since, limit=limit)
        return replace(page, changes=tuple(c._replace(kind=self.told.get(c.kind, c.kind)) for c in page.changes))


class EveryPutCreates(_OtherKinds):
    """The log of changes tells every put as created."""

    told = MappingProxyType({ChangeKind.UPDATED: ChangeKind.CREATED})


class EveryPutUpdates(_OtherKinds):
    """The log of changes tells every put as updated."""

    told = MappingProxyType({ChangeKind.CREATED: ChangeKind.UPDATED})


class IgnoresDeadlines(Wrapper):
    """A deadline that has passed stops nothing."""

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Do as `Engine.search`, without a deadline."""
        return self.inner.search(ref, request)

    def write(
        self, ref: CollectionRef, ops: Sequence[Op], *, deadline: float | None = None, **options: Any
    ) -> WriteResult:
        """Do as `Engine.write`, without a deadline."""
        return self.inner.write(ref, ops, **options)


class TenantsShareNames(Wrapper):
    """All tenants are one."""

    def list(self, tenant: str) -> Any:
        """Do as `Engine.list`, of all tenants known."""
        others = {"default", "someone", "first", "second", tenant}
        return sorted((info for each in others for info in self.inner.list(each)), key=lambda info: info.spec.ref.name)


def _rounded(vector: Any) -> Any:
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16).astype(np.float32) if isinstance(vector, np.ndarray) else vector
    return half if np.all(np.isfinite(half)) else vector


_BY_PART: Final[Mapping[str, Sequence[Callable[[Engine], Engine]]]] = {
    "bad_input": (IgnoresDeadlines, IgnoresTheCallersLimits, WritesHalfABatch),
    "collections": (TenantsShareNames,),
    "log": (
        EveryPutCreates,
        EveryPutUpdates,
        ForgetsKeys,
        LogHasGaps,
        NowHasChanges,
        NowIsTheBeginning,
        PositionsOutliveTheirCollection,
        ReplaysForAnotherBody,
        ReplaysTellAnotherTime,
    ),
    "preconditions": (IgnoresVersions,),
    "retention": (ForgetsSilently, OldestIsTheEnd),
    "scrolling": (PagesWithoutBounds, ScrollSkipsOne),
    "searching": (
        ExcludesTheBound,
        FindsTheDeleted,
        OldestFirst,
        OneHitTooFew,
        WrongSign,
    ),
    # Many tests of searching come before these; the suite would take nine seconds to get there.
    "test_a_filtered_search_is_complete": (FiltersTooLate,),
    "test_a_filtered_search_returns_all_that_it_can": (ForgetsTheOffset,),
    "test_an_answer_that_holds_too_much_is_refused": (AnswersWithoutBounds,),
    "writing": (
        CountsRoughly,
        FirstOfADuplicateWins,
        HandsBackWhatWasThere,
        LosesTheHundredAndFirst,
        PatchForgetsTheText,
        ReadsAreStale,
        RoundsVectors,
    ),
}

BROKEN: Final[Mapping[str, Callable[[Engine], Engine]]] = {
    getattr(each, "__name__", ""): each for classes in _BY_PART.values() for each in classes
}
"""By name: what makes a broken engine of a good one."""

LIKELY: Final[Mapping[str, str]] = {
    getattr(each, "__name__", ""): part for part, classes in _BY_PART.items() for each in classes
}
"""The module or test of the suite that should notice first, by the name of the broken engine: to ask it first."""


def unbroken(engine: Engine) -> Engine:
    """Return an engine in a wrapper that changes nothing: it must pass."""
    return Wrapper(engine)
