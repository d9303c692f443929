"""A change of one token, applied on condition that the token is still what was read."""

from dataclasses import dataclass
from typing import Final

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import Conflict, InvalidArgument, PointNotFound
from vectrograph.domain.filters.nodes import Exists, Not
from vectrograph.domain.grid import GRID_KEY, UNCHANGED, UNPLACED, PlacementChange, refuse_reserved_key, split_payload
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import KEEP, Keep, Patch, Payload, Point, Precondition, Put, Vector, WriteLimits
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.services.points.placed_writes import payloads_to_write
from vectrograph.services.points.stored_tokens import Token

_WHOLE: Final = Include(vector=True, payload=True, text=True)
# Times a change is tried anew when another came between. Chosen: eight lost races in a row mean a hot token.
_ATTEMPTS: Final = 8
_WITHOUT_PLACEMENT: Final = Precondition(if_match=Not(Exists((GRID_KEY,))))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChange:
    """Change of a token; KEEP leaves a part alone, `embedding=None` embeds the new or stored text again."""

    text: str | Keep | None = KEEP
    embedding: Vector | Keep | None = KEEP
    metadata: Payload | Keep = KEEP
    placement: PlacementChange = UNCHANGED

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is to change."""
        return self.text is KEEP and self.embedding is KEEP and self.leaves_payload

    @property
    def leaves_vector(self) -> bool:
        """Return whether the vector stays: neither an embedding nor a new text is given."""
        return self.embedding is KEEP and (self.text is KEEP or self.text is None)

    @property
    def leaves_payload(self) -> bool:
        """Return whether metadata and placement stay."""
        return self.metadata is KEEP and self.placement.is_empty


class TokenChanges:
    """Applies changes to tokens."""

    def __init__(self, engine: Engine, embedder: Embedder, limits: Limits) -> None:
        self._engine = engine
        self._embedder = embedder
        self._limits = limits

    def apply(self, ref: CollectionRef, point_id: str, change: TokenChange, deadline: float | None) -> Token:
        """Make one change, and return the token as it left it.

        Raises:
            PointNotFound: there is no such token.
            InvalidArgument: embedding, placement or metadata are not acceptable, or `embedding=None` meets a token
                without text.
            TooLarge: the metadata are over their limit.
            Conflict: others kept changing the token while this change was tried.
        """
        if not isinstance(change.metadata, Keep):
            refuse_reserved_key(change.metadata, ("payload",))
        change.placement.applied(UNPLACED)  # a fault of the request is told also where there is no token
        if change.leaves_vector and change.placement.is_empty:
            # What is usual takes one write: metadata may replace the payload where no placement stands beside them.
            condition = None if change.leaves_payload else _WITHOUT_PLACEMENT
            patch = Patch(id=point_id, payload=change.metadata, text=change.text)
            patched = self._write(ref, patch, condition, deadline, self._limits.write)
            if patched is not None:
                return patched
            if condition is None:
                raise missing_token(point_id)
        return self._replace(ref, point_id, change, deadline)

    def _write(
        self,
        ref: CollectionRef,
        op: Put | Patch,
        condition: Precondition | None,
        deadline: float | None,
        limits: WriteLimits,
    ) -> Token | None:
        """Return the token as an operation left it, None when it did nothing."""
        written = self._engine.write(
            ref, [op], precondition=condition, deadline=deadline, limits=limits, returning=_WHOLE
        )
        point = None if written.points is None else written.points[0]
        return None if point is None else Token.of(point)

    def _replace(self, ref: CollectionRef, point_id: str, change: TokenChange, deadline: float | None) -> Token:
        """Write on condition of the version that was read, so that a deleted token stays deleted."""
        read = Include(vector=False, payload=not change.leaves_payload, text=not change.leaves_vector)
        for _ in range(_ATTEMPTS):
            current = self._engine.get(ref, [point_id], include=read)[0]
            if current is None:
                raise missing_token(point_id)
            payload, limits = self._payload(change, current)
            op: Put | Patch
            if change.leaves_vector:
                op = Patch(id=point_id, payload=payload, text=change.text)
            else:
                op = Put(id=point_id, vector=self._vector(change, current.text), payload=payload, text=change.text)
            condition = Precondition(if_version={point_id: current.version})
            replaced = self._write(ref, op, condition, deadline, limits)
            if replaced is not None:
                return replaced
        raise Conflict(
            f"Token {point_id} was changed by others during all {_ATTEMPTS} attempts of this update; try again.",
            details={"token_id": point_id},
        )

    def _payload(self, change: TokenChange, current: Point) -> tuple[Payload | Keep, WriteLimits]:
        """Return the payload after the change, and the limits to write it with."""
        if change.leaves_payload:
            return KEEP, self._limits.write
        metadata, placement = split_payload(current.payload or {})
        if not isinstance(change.metadata, Keep):
            metadata = change.metadata
        payloads, limits = payloads_to_write([metadata], [change.placement.applied(placement)], self._limits)
        return payloads[0], limits

    def _vector(self, change: TokenChange, stored_text: str | None) -> Vector:
        if change.embedding is not KEEP and change.embedding is not None:
            return change.embedding
        text = stored_text if change.text is KEEP else change.text
        if text is None:
            raise InvalidArgument.of(
                "embedding", "cannot be null on a token without text; send a text or an embedding", "missing"
            )
        row: Vector = self._embedder.embed([text])[0]
        return row


def missing_token(point_id: str) -> PointNotFound:
    """Return the error for a token that is not there."""
    return PointNotFound(
        f"Token {point_id} does not exist; it was deleted or never created.", details={"token_id": point_id}
    )
