"""A change of one token, applied on condition that the token is still what was read."""

from dataclasses import dataclass
from typing import Final

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import Conflict, InvalidArgument, PointNotFound
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import KEEP, Keep, Patch, Payload, Point, Precondition, Put, Vector
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine

_TEXT_ONLY: Final = Include(vector=False, payload=False, text=True)
_WHOLE: Final = Include(vector=True, payload=True, text=True)
# Times a change is tried anew when another came between. Chosen: eight lost races in a row mean a hot token.
_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChange:
    """Change of a token; KEEP leaves a part alone, `embedding=None` embeds the new or stored text again."""

    text: str | Keep | None = KEEP
    embedding: Vector | Keep | None = KEEP
    payload: Payload | Keep = KEEP

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is to change."""
        return self.text is KEEP and self.embedding is KEEP and self.payload is KEEP

    @property
    def leaves_vector(self) -> bool:
        """Return whether the vector stays: neither an embedding nor a new text is given."""
        return self.embedding is KEEP and (self.text is KEEP or self.text is None)


class TokenChanges:
    """Applies changes to tokens."""

    def __init__(self, engine: Engine, embedder: Embedder, limits: Limits) -> None:
        self._engine = engine
        self._embedder = embedder
        self._limits = limits

    def apply(self, ref: CollectionRef, point_id: str, change: TokenChange, deadline: float | None) -> Point:
        """Make one change, and return the token as it left it.

        Raises:
            PointNotFound: there is no such token.
            InvalidArgument: the embedding is not acceptable, or `embedding=None` meets a token without text.
            Conflict: others kept changing the token while this change was tried.
        """
        if not change.leaves_vector:
            return self._replace(ref, point_id, change, deadline)
        patched = self._write(ref, Patch(id=point_id, payload=change.payload, text=change.text), None, deadline)
        if patched is None:
            raise missing_token(point_id)
        return patched

    def _write(
        self, ref: CollectionRef, op: Put | Patch, condition: Precondition | None, deadline: float | None
    ) -> Point | None:
        """Return the token as an operation left it, None when it did nothing."""
        written = self._engine.write(
            ref, [op], precondition=condition, deadline=deadline, limits=self._limits.write, returning=_WHOLE
        )
        return None if written.points is None else written.points[0]

    def _replace(self, ref: CollectionRef, point_id: str, change: TokenChange, deadline: float | None) -> Point:
        """Put a vector on condition of the version that was read, so that a deleted token stays deleted."""
        for _ in range(_ATTEMPTS):
            current = self._engine.get(ref, [point_id], include=_TEXT_ONLY)[0]
            if current is None:
                raise missing_token(point_id)
            put = Put(
                id=point_id,
                vector=self._vector(change, current.text),
                payload=change.payload,
                text=change.text,
            )
            condition = Precondition(if_version={point_id: current.version})
            replaced = self._write(ref, put, condition, deadline)
            if replaced is not None:
                return replaced
        raise Conflict(
            f"Token {point_id} was changed by others during all {_ATTEMPTS} attempts of this update; try again.",
            details={"token_id": point_id},
        )

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
