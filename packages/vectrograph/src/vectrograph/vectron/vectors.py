"""Messages that carry vectors: each codec hands the vectors over beside the message."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Payload, Put, Vector
from vectrograph.services.points.reranking import Rerank
from vectrograph.vectron._messages import vectrograph, vectron

_json_of: Final = attrgetter("payload_json")
_decode: Final = msgspec.json.Decoder().decode

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
        texts = list(map(_json_of, self.points))
        JsonBudget.of(limits).require_all(texts, lambda position: ("points", position, "payload_json"))
        return [
            Put(point.id, vector, _decoded(text, position) if text else _strings(point))
            for position, (point, vector, text) in enumerate(zip(self.points, self.vectors, texts, strict=True))
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


def _strings(point: vectron.Point) -> Payload:
    # Asking whether the map holds anything takes a tenth of copying an empty one.
    return dict(point.payload) if point.payload else {}


def _decoded(text: bytes, position: int) -> Payload:
    """Return the payload of a `payload_json`, which wins over the map of strings."""
    try:
        payload = _decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument.of(("points", position, "payload_json"), "must be valid JSON") from error
    if not isinstance(payload, dict):
        raise InvalidArgument.of(("points", position, "payload_json"), "must be a JSON object")
    return payload
