"""Messages that carry vectors: each codec hands the vectors over beside the message."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Payload, Put, Vector
from vectrograph.services.points.reranking import Rerank
from vectrograph.vectron._messages import vectrograph, vectron

M = TypeVar("M", bound=vectron.UpsertRequest | vectrograph.UpsertIfRequest)


class SentPoints(NamedTuple, Generic[M]):
    """An UpsertRequest or an UpsertIfRequest, its points, and the vector of each."""

    message: M
    points: Sequence[vectron.Point]
    vectors: Sequence[Vector]

    @property
    def collection(self) -> str:
        """The collection that the message names."""
        return self.message.collection

    def puts(self, limits: Limits) -> list[Put]:
        """Return the points to store.

        Raises:
            InvalidArgument: a `payload_json` is malformed; names the point's position.
            TooLarge: the payloads together would take too much memory.
        """
        budget = JsonBudget.of(limits)
        return [
            Put(id=point.id, vector=vector, payload=_payload(point, position, budget))
            for position, (point, vector) in enumerate(zip(self.points, self.vectors, strict=True))
        ]


class SentQuery(NamedTuple):
    """A SearchRequest with its vector, shape (1, dimension), and its Rerank where it has one."""

    message: vectron.SearchRequest
    vector: Vector
    rerank: vectron.Rerank | None

    @property
    def collection(self) -> str:
        """The collection that the message names."""
        return self.message.collection

    def reranking(self) -> Rerank | None:
        """Return the wish to order the hits anew as the services take it."""
        wish = self.rerank
        if wish is None:
            return None
        return Rerank(
            query=self.message.query,
            keyword_weight=wish.keyword_weight,
            feedback_weight=wish.feedback_weight,
            field_boosts=dict(wish.field_boosts),
            candidates=wish.candidates,
        )


def _payload(point: vectron.Point, position: int, budget: JsonBudget) -> Payload:
    """Return `payload_json` when it is there, else the map of strings."""
    text = point.payload_json
    if not text:
        # Asking whether the map holds anything takes a tenth of copying an empty one.
        return dict(point.payload) if point.payload else {}
    budget.require(text, f"points[{position}].payload_json")
    try:
        payload = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument.of(f"points[{position}].payload_json", "must be valid JSON") from error
    if not isinstance(payload, dict):
        raise InvalidArgument.of(f"points[{position}].payload_json", "must be a JSON object")
    return payload
