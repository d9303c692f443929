"""Many points at a time, by filter or by condition: scroll, count, delete where, upsert if."""

from collections.abc import Sequence

from vectrograph.domain.collections import TOKENS_COLLECTION
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter, refuse_unconditional
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import DeleteWhere, IdempotencyKey, Outcome, Precondition, Put
from vectrograph.domain.queries import Include, Order, ScrollPage, ScrollRequest
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call
from vectrograph.services.limits.cost import check_filter_cost
from vectrograph.services.limits.filter_turns import FilterTurns
from vectrograph.services.points.field_names import renaming_fields
from vectrograph.services.points.placed_writes import with_placements
from vectrograph.services.traffic import Traffic

# Points of a page when the request names no limit.
DEFAULT_PAGE = 100


class Bulk:
    """Points of any collection, many at a time."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        audit: Audit,
        turns: FilterTurns | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._limits = limits
        self._turns = turns or FilterTurns()
        self._traffic = traffic or Traffic()

    def scroll(
        self,
        call: Call,
        collection: str,
        *,
        limit: int = 0,
        cursor: str | None = None,
        filter: Filter | None = None,
        order: Order = Order(),
        include: Include = Include(),
    ) -> ScrollPage:
        """Return one page of points; `limit` 0 means 100, or `max_page` if that is less.

        A page of large points is shorter, so that it holds `max_answer_bytes` or one point; its cursor leads on.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound: there is no such collection.
            InvalidArgument: `limit` is over `max_page`, or cursor or order is not acceptable.
            TooLarge: the filter would cost too much.
        """
        ref = call.require_collection(collection, "read")
        largest = self._limits.max_page
        if limit > largest:
            raise InvalidArgument.of("limit", f"is {limit} and must be at most max_page = {largest}", "out_of_range")
        request = ScrollRequest(
            limit=limit or min(DEFAULT_PAGE, largest),
            cursor=cursor,
            filter=filter,
            order=order,
            include=include,
            max_bytes=self._limits.max_answer_bytes,
        )
        with self._turns.turn(call, check_filter_cost(filter, self._engine, ref, self._limits)):
            return self._engine.scroll(ref, request, deadline=call.deadline)

    def count(self, call: Call, collection: str, filter: Filter | None = None) -> int:
        """Return how many points there are, or match; exact.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound: there is no such collection.
        """
        ref = call.require_collection(collection, "read")
        with self._turns.turn(call, check_filter_cost(filter, self._engine, ref, self._limits)):
            return self._engine.count(ref, filter, deadline=call.deadline)

    def delete_where(
        self, call: Call, collection: str, filter: Filter, *, idempotency: IdempotencyKey | None = None
    ) -> int:
        """Remove every point that matches, in one transaction; answers how many.

        A repeat under the same `idempotency` changes nothing and answers the same.

        Raises:
            PermissionDenied: the delete scope of that collection is missing.
            CollectionNotFound: there is no such collection.
            IdempotencyConflict: the name was used with another body.
            TooLarge: the filter would cost too much.
            InvalidArgument: the filter has no condition, and does not say `everything`.
        """
        with self._audit.deleting(call, f"{collection} (by filter)"):
            ref = call.require_collection(collection, "delete")
            refuse_unconditional(filter)
            cost = check_filter_cost(filter, self._engine, ref, self._limits)
            ops = [DeleteWhere(filter=filter)]
            with self._turns.turn(call, cost):
                written = self._engine.write(ref, ops, idempotency=idempotency, deadline=call.deadline)
            self._traffic.count_write(ref, written)
            return len(written.outcomes)

    def upsert_if(
        self,
        call: Call,
        collection: str,
        points: Sequence[Put],
        condition: Precondition,
        *,
        idempotency: IdempotencyKey | None = None,
    ) -> tuple[Outcome, ...]:
        """Store those points for which the condition holds, in one transaction; one outcome each, in their order.

        A repeat under the same `idempotency` changes nothing and answers the same.

        Raises:
            PermissionDenied: the write scope of that collection is missing.
            CollectionNotFound: there is no such collection.
            InvalidArgument: there are no points, or one is not acceptable; names its position.
            TooLarge: there are more than `max_batch` points, or a payload is over its limit.
            IdempotencyConflict: the name was used with another body.
        """
        ref = call.require_collection(collection, "write")
        if not points:
            raise InvalidArgument.of("points", "at least one point is required", "too_short")
        if collection == TOKENS_COLLECTION:
            points = with_placements(points)
        cost = check_filter_cost(condition.if_match, self._engine, ref, self._limits, points=len(points))
        with self._turns.turn(call, cost), renaming_fields(sequence="points"):
            written = self._engine.write(
                ref,
                points,
                precondition=condition,
                idempotency=idempotency,
                deadline=call.deadline,
                limits=self._limits.write,
            )
        self._traffic.count_write(ref, written)
        return written.outcomes
