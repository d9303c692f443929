"""One collection of the reference engine: a dictionary of points and a list of changes."""

import copy
import itertools
import sys
import time
from dataclasses import replace

from vectrograph.domain.answer_bytes import AnswerBytes
from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import CollectionInfo, CollectionSpec, CollectionState, IdKind
from vectrograph.domain.distances import scores
from vectrograph.domain.errors import IdempotencyConflict, PositionExpired
from vectrograph.domain.filters.evaluation import Filter, matches
from vectrograph.domain.log_retention import LogRetention
from vectrograph.domain.payloads import encode_payload
from vectrograph.domain.points import (
    NOW,
    Change,
    ChangePage,
    IdempotencyKey,
    LogEnd,
    Point,
    Precondition,
    Vector,
    WriteResult,
)
from vectrograph.domain.queries import (
    Hit,
    Include,
    Order,
    Plan,
    ScrollPage,
    ScrollRequest,
    SearchRequest,
    SearchResult,
)
from vectrograph.domain.write_validation import ValidatedWrites
from vectrograph.engines.cursors import (
    scroll_scope,
    seal,
    seal_position,
    unseal,
    unseal_position,
)
from vectrograph.engines.reference.draft import Draft

REPLAY_MICROSECONDS = 24 * 3600 * 1_000_000
"""Microseconds that an idempotency record is kept."""


class Collection:
    """Points, log and idempotency records of one collection. Its engine's lock guards every call.

    Args:
        uid: distinguishes this collection from every other that ever had its name.
        spec: what it is.
        now: microseconds since 1970, the time of its creation.
        retention: of its log.
    """

    def __init__(self, uid: str, spec: CollectionSpec, now: int, retention: LogRetention) -> None:
        self.spec = spec
        self._retention = retention
        self._uid = uid
        self._created_at = now
        self._points: dict[str, Point] = {}
        self._seq = 0
        self._next_serial = 1
        self._log: list[Change] = []
        self._replies: dict[tuple[str, str, str], tuple[str, WriteResult, int]] = {}

    def info(self) -> CollectionInfo:
        """Return the collection as it stands."""
        return CollectionInfo(
            spec=self.spec,
            state=CollectionState.READY,
            count=len(self._points),
            seq=self._seq,
            created_at=self._created_at,
        )

    def write(
        self, writes: ValidatedWrites, precondition: Precondition, key: IdempotencyKey | None, now: int
    ) -> WriteResult:
        """Apply accepted operations, or replay the result of a key seen before.

        Raises:
            IdempotencyConflict: the key was used with another body.
            Conflict: the numbers of a serial collection are used up; nothing is written.
        """
        if key is not None and (reply := self._replay(key, now)) is not None:
            return reply
        draft = Draft(self._points, self._seq, self._next_serial, self.spec.ids, now)
        draft.apply(writes, precondition)
        self._points, self._seq, self._next_serial = draft.points, draft.seq, draft.next_serial
        self._log += draft.changes
        self._trim_log(now)
        result = WriteResult(seq=self._seq, outcomes=tuple(draft.outcomes), at=now)
        if key is not None:
            self._replies[key.principal, key.operation, key.key] = (key.body_hash, result, now)
        return result

    def _replay(self, key: IdempotencyKey, now: int) -> WriteResult | None:
        record = self._replies.get((key.principal, key.operation, key.key))
        if record is None or now - record[2] >= REPLAY_MICROSECONDS:
            return None
        body_hash, result, _ = record
        if body_hash != key.body_hash:
            raise IdempotencyConflict(
                f"The idempotency key {key.key!r} was used with another body; use a new key for a new request."
            )
        return replace(result, replayed=True)

    def get(self, id: str, include: Include) -> Point | None:
        """Return one point, or None."""
        point = self._points.get(id)
        return None if point is None else _part(point, include)

    def search(self, request: SearchRequest, queries: Vector, check_cancelled: Cancellation) -> list[SearchResult]:
        """Return the nearest points of each query: score everything that matches, sort."""
        held = AnswerBytes(request.max_bytes)
        return [self._search_one(request, query, check_cancelled, held) for query in queries]

    def _search_one(
        self, request: SearchRequest, query: Vector, check_cancelled: Cancellation, held: AnswerBytes
    ) -> SearchResult:
        started = time.perf_counter()
        ranked: list[tuple[float, int, Point]] = []
        for point in self._matching(request.filter):
            check_cancelled()
            assert point.vector is not None  # noqa: S101 - stored points are whole
            score = float(scores(self.spec.distance, query, point.vector[None, :])[0])
            if request.max_score is None or score <= request.max_score:
                ranked.append((score, -point.created_seq, point))
        ranked.sort(key=lambda entry: entry[:2])
        best = ranked[request.offset : request.offset + request.k]
        for _, _, point in best:
            held.require(_size(point, request.include))
        elapsed = (time.perf_counter() - started) * 1e3
        plan = Plan(
            strategy="exact", index=None, rows_scanned=len(self._points), matches=len(ranked), milliseconds=elapsed
        )
        chosen = tuple(Hit(_part(p, request.include), score) for score, _, p in best)
        return SearchResult(hits=chosen, plan=plan if request.explain else None)

    def scroll(self, request: ScrollRequest) -> ScrollPage:
        """Return one page: sort everything, skip up to the cursor."""
        scope = scroll_scope(self._uid, request)
        points = sorted(
            self._matching(request.filter), key=lambda p: self._rank(p, request.order), reverse=request.order.descending
        )
        if request.cursor is not None:
            last = unseal(scope, request.cursor, "cursor")
            rank = self._rank_of(last, request.order)
            down = request.order.descending
            points = [
                p
                for p in points
                if (self._rank(p, request.order) < rank) == down and self._key(p, request.order) != last
            ]
        page: list[Point] = []
        held = AnswerBytes(request.max_bytes)
        for point in points[request.offset : request.offset + request.limit]:
            if not held.fits(_size(point, request.include)) and page:
                break
            page.append(point)
        more = len(points) > request.offset + len(page)
        cursor = seal(scope, self._key(page[-1], request.order)) if more else None
        return ScrollPage(points=tuple(_part(p, request.include) for p in page), cursor=cursor)

    def _key(self, point: Point, order: Order) -> str | int:
        if order.key == "id":
            return point.id
        return point.created_seq if order.key == "created" else point.version

    def _rank(self, point: Point, order: Order) -> tuple[int, bytes]:
        return self._rank_of(self._key(point, order), order)

    def _rank_of(self, key: str | int, order: Order) -> tuple[int, bytes]:
        """Return the sort key: numbers by size, ids by their bytes, but in a serial collection as the numbers
        they are.
        """
        if order.key == "id" and self.spec.ids is IdKind.STRING:
            return 0, str(key).encode()
        return int(key), b""

    def count(self, condition: Filter | None) -> int:
        """Return how many points match."""
        return len(self._matching(condition))

    def changes(self, since: str | LogEnd | None, limit: int, now: int) -> ChangePage:
        """Return the log after a position; seqs have no gaps."""
        if since is NOW:
            return ChangePage(changes=(), position=seal_position(self._uid, self._seq))
        self._trim_log(now)
        oldest = self._log[0].seq - 1 if self._log else 0
        start = oldest if since is None else unseal_position(self._uid, since)
        if not oldest <= start <= self._seq:
            raise PositionExpired.of(seal_position(self._uid, oldest))
        page = tuple(self._log[start - oldest : start - oldest + limit])
        return ChangePage(changes=page, position=seal_position(self._uid, page[-1].seq if page else start))

    def _trim_log(self, now: int) -> None:
        """Remove what the retention lets go; the newest change stays."""
        first, expired = self._retention.first_kept(self._seq), self._retention.last_expired(now)
        goes = itertools.takewhile(lambda change: change.seq < first or change.at <= expired, self._log[:-1])
        del self._log[: sum(1 for _ in goes)]

    def _matching(self, condition: Filter | None) -> list[Point]:
        return [p for p in self._points.values() if condition is None or matches(condition, p.payload or {})]


def _part(point: Point, include: Include) -> Point:
    """Return a copy with what was asked for, so that nothing a caller does reaches the stored point."""
    return point._replace(
        vector=point.vector.copy() if include.vector and point.vector is not None else None,
        payload=copy.deepcopy(point.payload) if include.payload else None,
        text=point.text if include.text else None,
    )


def _size(point: Point, include: Include) -> int:
    """Return bytes of the parts of a point that were asked for, as an engine would store them."""
    vector = point.vector.nbytes if include.vector and point.vector is not None else 0
    payload = len(encode_payload(point.payload or {}, "payload", sys.maxsize)) if include.payload else 0
    return vector + payload + (len(point.text.encode()) if include.text and point.text else 0)
