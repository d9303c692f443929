"""Creating many tokens: items to batches, and failures back to items. No I/O."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurograph.calls import MAX_BATCH_BYTES, NewToken, new_token, token_fields
from neurograph.encoding import encode, packed, vector
from neurograph.exceptions import NeuroGraphError, ValidationError
from neurograph.frames import write_frame
from neurograph.models import ServerLimits, Token
from wirekit.vectors import to_list

_PLACE = re.compile(r"tokens\.(\d+)(?:\..*)?", re.DOTALL)
# What a batch below both of these holds, every server takes, so nobody needs to be asked.
SMALL_COUNT = 100
SMALL_BYTES = 512 * 1024
_SHARE_OF_LIMIT = 0.9
_JSON_PER_BYTE = 5  # a float32 takes 4 bytes in a frame and some 20 in JSON


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that was not created.

    Attributes:
        index: its place among the items, from 0.
        item: as it was passed.
        error: why.

    >>> FailedItem(1, "", ValidationError.of("tokens.1.text", "is empty")).error.details["errors"][0]["field"]
    'tokens.1.text'
    """

    index: int
    item: NewToken
    error: NeuroGraphError


class BulkResult(list[Token]):
    """The tokens created, a plain list in the order of the items, which also knows what was not.

    Attributes:
        failed: items that were not created, by rising index; empty unless failures were to be collected.
        created_ids: ids of all tokens created, also when the tokens themselves were not kept, and of those that an
            earlier run with the same journal has created.
        resumed: items that an earlier run with the same journal has created; their tokens are not in the list.

    >>> result = BulkResult([Token(id=7, text="one", embedding=[])], ids=[7])
    >>> result[0].text, result.created_ids, result.failed
    ('one', [7], [])
    """

    def __init__(
        self,
        tokens: Iterable[Token] = (),
        *,
        failed: Iterable[FailedItem] = (),
        ids: Iterable[int] = (),
        resumed: int = 0,
    ) -> None:
        super().__init__(tokens)
        self.failed = list(failed)
        self.created_ids = list(ids)
        self.resumed = resumed

    @property
    def failed_items(self) -> list[NewToken]:
        """The items that were not created, ready to be passed again.

        >>> failure = FailedItem(1, "", ValidationError.of("tokens.1.text", "is empty"))
        >>> BulkResult(failed=[failure]).failed_items
        ['']
        """
        return [failure.item for failure in self.failed]

    def __reduce__(self) -> tuple[Any, ...]:
        return _result, (list(self), self.failed, self.created_ids, self.resumed)


def _result(tokens: list[Token], failed: list[FailedItem], ids: list[int], resumed: int) -> BulkResult:
    return BulkResult(tokens, failed=failed, ids=ids, resumed=resumed)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An item ready to be sent, as it was when it was read: whoever gives the items may use its arrays again.

    Attributes:
        body: JSON object.
        packed: the embedding as float32, where it is not in the body.
        listed: whether there is an embedding in the body.
    """

    index: int
    item: NewToken
    body: bytes = field(repr=False)
    packed: bytes | None = field(default=None, repr=False)
    listed: bool = False

    def size(self, frames: bool | None) -> int:
        """Bytes on the wire, in a frame unless the server is known to read none."""
        vector = len(self.packed or b"")
        return len(self.body) + (vector * _JSON_PER_BYTE if frames is False else vector)

    def with_embedding(self, embedding: bytes) -> bytes:
        """The body with this JSON as its embedding."""
        return b'%b,"embedding":%b}' % (self.body[:-1], embedding)

    def canonical(self) -> bytes:
        """The same for the same item, however it is sent."""
        return self.body + b"\0" + (self.packed or b"")


@dataclass(frozen=True, slots=True)
class Batch:
    """The body of a request that creates many."""

    items: Sequence[Encoded]

    def wants_frame(self, known: bool | None) -> bool:
        """Whether to try a frame: with a server that has not been heard yet when an embedding has been packed."""
        return any(each.packed is not None for each in self.items) if known is None else known

    def framed(self) -> bytes | None:
        """The batch as a vector frame; None when some embeddings are lists, or they are of different lengths."""
        rows = [each.packed for each in self.items if each.packed is not None]
        if len(set(map(len, rows))) != 1 or not rows[0] or any(each.listed for each in self.items):
            return None
        numbers = iter(range(len(rows)))
        return write_frame(
            _document(
                each.body if each.packed is None else each.with_embedding(b"%d" % next(numbers)) for each in self.items
            ),
            rows,
        )

    def in_json(self) -> bytes:
        """The batch as JSON text."""
        return _document(
            each.body if each.packed is None else each.with_embedding(encode(to_list(each.packed)))
            for each in self.items
        )


def _document(bodies: Iterable[bytes]) -> bytes:
    return b'{"tokens":[' + b",".join(bodies) + b"]}"


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    created: list[tuple[int, Token]] = field(default_factory=list)
    failed: list[FailedItem] = field(default_factory=list)
    resumed: int = 0

    @property
    def done(self) -> int:
        """Items that are settled, one way or the other."""
        return len(self.created) + len(self.failed) + self.resumed


def refuse_one(items: object) -> None:
    """Refuses what can be iterated over but is one thing.

    Raises:
        ValidationError: a text, bytes or a dictionary.
    """
    if isinstance(items, (str, bytes, Mapping)):
        raise ValidationError.of(
            "items", f"is one {type(items).__name__}; pass an iterable of texts, dictionaries or TokenCreate"
        )


def encoded(item: NewToken, index: int, *, pack_lists: bool) -> Encoded:
    """Encodes an item.

    Args:
        item: a text, a dictionary or a TokenCreate.
        index: its place among the items.
        pack_lists: whether an embedding that is a list becomes float32 too; else it goes into the JSON as it is.

    Raises:
        ValidationError: it is no token.
    """
    fields = token_fields(item, index)
    prefix = f"tokens.{index}."
    document = new_token(fields["text"], fields.get("metadata"), prefix)
    embedding = fields.get("embedding")
    if embedding is None:
        return Encoded(index, item, encode(document))
    if isinstance(embedding, (list, tuple)) and not pack_lists:
        document["embedding"] = vector(embedding, f"{prefix}embedding")
        return Encoded(index, item, encode(document), listed=True)
    return Encoded(index, item, encode(document), packed(embedding, f"{prefix}embedding"))


def is_small(batch: Sequence[Encoded]) -> bool:
    """Whether any server takes this batch, so that its limits need not be asked for."""
    return len(batch) <= SMALL_COUNT and sum(each.size(None) for each in batch) <= SMALL_BYTES


def recut(batch: list[Encoded], limits: ServerLimits | None, frames: bool | None) -> list[list[Encoded]]:
    """The batch, cut so that each part is within what the server takes."""
    if limits is None:
        return [batch]
    most = min(len(batch), limits.max_batch or len(batch))
    room = int((limits.max_body_bytes or MAX_BATCH_BYTES / _SHARE_OF_LIMIT) * _SHARE_OF_LIMIT)
    parts: list[list[Encoded]] = [[]]
    size = 0
    for each in batch:
        own = each.size(frames)
        if parts[-1] and (len(parts[-1]) >= most or size + own > room):
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += own
    return parts


def halves(batch: list[Encoded]) -> list[list[Encoded]]:
    """The batch in two parts; one of a single item cannot be cut."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]]


def culprits(error: ValidationError, batch: Sequence[Encoded]) -> set[int]:
    """Positions in the batch that the server names as the reason of its refusal."""
    named = set()
    for problem in error.details.get("errors", []):
        match = _PLACE.fullmatch(str(problem.get("field", ""))) if isinstance(problem, Mapping) else None
        if match is not None and int(match[1]) < len(batch):
            named.add(int(match[1]))
    return named
