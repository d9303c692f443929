"""Creating many tokens: items to batches, and failures back to items. No I/O."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurograph.calls import MAX_BATCH_BYTES, NewToken, encoded_token
from neurograph.exceptions import NeuroGraphError, ValidationError
from neurograph.models import ServerLimits, Token

_PLACE = re.compile(r"tokens\.(\d+)(?:\..*)?", re.DOTALL)
# What a batch below both of these holds, every server takes, so nobody needs to be asked.
SMALL_COUNT = 100
SMALL_BYTES = 512 * 1024
_SHARE_OF_LIMIT = 0.9


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that was not created.

    Attributes:
        index: its place among the items, from 0.
        item: as it was passed.
        error: why.
    """

    index: int
    item: NewToken
    error: NeuroGraphError


class BulkResult(list[Token]):
    """The tokens created, a plain list in the order of the items, which also knows what was not.

    Attributes:
        failed: items that were not created, by rising index; empty unless failures were to be collected.
        created_ids: ids of all tokens created, also when the tokens themselves were not kept.
    """

    def __init__(
        self, tokens: Iterable[Token] = (), *, failed: Iterable[FailedItem] = (), ids: Iterable[int] = ()
    ) -> None:
        super().__init__(tokens)
        self.failed = list(failed)
        self.created_ids = list(ids)

    @property
    def failed_items(self) -> list[NewToken]:
        """The items that were not created, ready to be passed again."""
        return [failure.item for failure in self.failed]

    def __reduce__(self) -> tuple[Any, ...]:
        return _result, (list(self), self.failed, self.created_ids)


def _result(tokens: list[Token], failed: list[FailedItem], ids: list[int]) -> BulkResult:
    return BulkResult(tokens, failed=failed, ids=ids)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An item ready to be sent."""

    index: int
    item: NewToken
    body: bytes = field(repr=False)


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    created: list[tuple[int, Token]] = field(default_factory=list)
    failed: list[FailedItem] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Items that are settled, one way or the other."""
        return len(self.created) + len(self.failed)


def encode_items(items: Iterable[NewToken], refused: list[FailedItem] | None) -> Iterator[Encoded]:
    """Encodes items one by one.

    Args:
        items: anything that gives texts, dictionaries or TokenCreate models.
        refused: takes the items that are no tokens; None raises on the first.

    Raises:
        ValidationError: names the item at fault.
    """
    if isinstance(items, (str, bytes, Mapping)):
        raise ValidationError.of(
            "items", f"is one {type(items).__name__}; pass an iterable of texts, dictionaries or TokenCreate"
        )
    return _encoded(items, refused)


def _encoded(items: Iterable[NewToken], refused: list[FailedItem] | None) -> Iterator[Encoded]:
    for index, item in enumerate(items):
        try:
            yield Encoded(index, item, encoded_token(item, index))
        except ValidationError as error:  # noqa: PERF203 - each item may fail on its own
            if refused is None:
                raise
            refused.append(FailedItem(index, item, error))


def is_small(batch: Sequence[Encoded]) -> bool:
    """Whether any server takes this batch, so that its limits need not be asked for."""
    return len(batch) <= SMALL_COUNT and sum(len(each.body) for each in batch) <= SMALL_BYTES


def recut(batch: list[Encoded], limits: ServerLimits | None) -> list[list[Encoded]]:
    """The batch, cut so that each part is within what the server takes."""
    if limits is None:
        return [batch]
    most = min(len(batch), limits.max_batch or len(batch))
    room = int((limits.max_body_bytes or MAX_BATCH_BYTES / _SHARE_OF_LIMIT) * _SHARE_OF_LIMIT)
    parts: list[list[Encoded]] = [[]]
    size = 0
    for each in batch:
        if parts[-1] and (len(parts[-1]) >= most or size + len(each.body) > room):
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += len(each.body)
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
