"""Creating many tokens: what became of the items, and failures back to items. No I/O."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurograph._bulk.items import Encoded
from neurograph._protocol.operations import NewToken
from neurograph.exceptions import NeuroGraphError, ValidationError
from neurograph.models import Token

_PLACE = re.compile(r"tokens\.(\d+)(?:\..*)?", re.DOTALL)


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

    __module__ = "neurograph"  # where users find it

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

    __module__ = "neurograph"  # where users find it

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


@dataclass(slots=True)
class Outcome:
    """Outcome of a batch.

    Attributes:
        created: place and token of each that was created and is to be kept.
        failed: items that were not created.
        resumed: items that an earlier run has created.
        bare: items that were created and whose tokens nobody wants.
    """

    created: list[tuple[int, Token]] = field(default_factory=list)
    failed: list[FailedItem] = field(default_factory=list)
    resumed: int = 0
    bare: int = 0

    @property
    def done(self) -> int:
        """Items that are settled, one way or the other."""
        return len(self.created) + len(self.failed) + self.resumed + self.bare


def refuse_one(items: object) -> None:
    """Refuse what can be iterated over but is one thing.

    Raises:
        ValidationError: a text, bytes or a dictionary.
    """
    if isinstance(items, (str, bytes, Mapping)):
        raise ValidationError.of(
            "items", f"is one {type(items).__name__}; pass an iterable of texts, dictionaries or TokenCreate"
        )
    if not (hasattr(items, "__iter__") or hasattr(items, "__aiter__") or hasattr(items, "__getitem__")):
        raise ValidationError.of(
            "items", f"is {type(items).__name__}; pass an iterable of texts, dictionaries or TokenCreate"
        )


def culprits(error: ValidationError, batch: Sequence[Encoded]) -> set[int]:
    """Return positions in the batch that the server names as the reason of its refusal."""
    named = set()
    for problem in error.details.get("errors", []):
        match = _PLACE.fullmatch(str(problem.get("field", ""))) if isinstance(problem, Mapping) else None
        if match is not None and int(match[1]) < len(batch):
            named.add(int(match[1]))
    return named
