"""Points by id: upsert, get, delete."""

from collections.abc import Sequence

from vectrograph.domain.collections import TOKENS_COLLECTION
from vectrograph.domain.errors import InvalidArgument, PointNotFound
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import KEEP, Delete, IdempotencyKey, Point, Put
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call
from vectrograph.services.limits.validation import validate_text
from vectrograph.services.points.field_names import renaming_fields
from vectrograph.services.points.placed_writes import with_placements
from vectrograph.services.traffic import Traffic


class Points:
    """Points of any collection, the tokens included (under `tokens:*` instead of `collections:*`)."""

    def __init__(self, engine: Engine, limits: Limits, audit: Audit, traffic: Traffic | None = None) -> None:
        self._engine = engine
        self._audit = audit
        self._limits = limits
        self._traffic = traffic or Traffic()

    def upsert(
        self, call: Call, collection: str, points: Sequence[Put], *, idempotency: IdempotencyKey | None = None
    ) -> int:
        """Store points whole, all or nothing; of a repeated id the last wins.

        Args:
            call: who asks.
            collection: where to.
            points: what to store.
            idempotency: the request's own name; a repeat under it changes nothing and answers the same.

        Returns:
            How many were sent, repeated ones counted.

        Raises:
            PermissionDenied: the write scope of that collection is missing.
            CollectionNotFound: there is no such collection, even when no points are sent.
            InvalidArgument: an id, vector, text or payload is not acceptable; names its position.
            TooLarge: there are more than `max_batch` points, or a payload is over its limit.
            IdempotencyConflict: the name was used with another body.
        """
        ref = call.require_collection(collection, "write")
        for position, point in enumerate(points):
            if point.text is not None and point.text is not KEEP:
                validate_text(point.text, ("points", position, "text"), self._limits)
        if collection == TOKENS_COLLECTION:
            points = with_placements(points)
        if points:
            with renaming_fields(sequence="points"):
                written = self._engine.write(
                    ref, points, idempotency=idempotency, deadline=call.deadline, limits=self._limits.write
                )
            self._traffic.count_write(ref, written)
        else:
            self._engine.describe(ref)
        return len(points)

    def get(self, call: Call, collection: str, id: str, include: Include) -> Point:
        """Return one point.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound, PointNotFound: there is none.
        """
        ref = call.require_collection(collection, "read")
        _refuse_empty(id)
        point = self._engine.get(ref, [id], include=include)[0]
        if point is None:
            raise PointNotFound(
                f"Point {id!r} is not in collection {collection!r}.", details={"collection": collection, "id": id}
            )
        return point

    def delete(self, call: Call, collection: str, id: str, *, idempotency: IdempotencyKey | None = None) -> None:
        """Remove a point; one that is not there is no error. A repeat under the same `idempotency` changes nothing.

        Raises:
            PermissionDenied: the delete scope of that collection is missing.
            CollectionNotFound: there is no such collection.
            IdempotencyConflict: the name was used with another body.
        """
        with self._audit.deleting(call, f"{collection}/{id}"), renaming_fields():
            ref = call.require_collection(collection, "delete")
            _refuse_empty(id)
            written = self._engine.write(ref, [Delete(id=id)], idempotency=idempotency, deadline=call.deadline)
            self._traffic.count_write(ref, written)


def _refuse_empty(id: str) -> None:
    if not id:
        raise InvalidArgument.of("id", "must not be empty; name the point", "string_too_short")
