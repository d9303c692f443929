"""Columns of the same rows, and what a filter says of them; elements of arrays are a table of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from vectrograph.domain.filters import (
    MISSING,
    AllElements,
    And,
    AnyElement,
    Filter,
    NoElement,
    Not,
    Or,
    value_at,
)
from vectrograph.engines.embedded.columns.buffers import appended, held, replaced
from vectrograph.engines.embedded.columns.column import SLACK, Codes, Mask, Rows, ScalarColumn
from vectrograph.engines.embedded.columns.keys import ArrayKey, Key, ScalarKey, keys_of


@dataclass(frozen=True, slots=True)
class ArrayColumn:
    """The elements of the array at a path in each row, as a table of their own.

    Attributes:
        starts: number of the first element of each row, shape (size,).
        counts: of elements; -1 where there is no array.
        elements: columns over all elements, those of rows that have changed since included.
    """

    starts: Rows
    counts: Codes
    elements: "Table"

    @classmethod
    def empty(cls, key: ArrayKey) -> "ArrayColumn":
        """No rows."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int32), Table.empty(key.inner))

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.counts)

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return held(self.starts) + held(self.counts) + self.elements.nbytes

    @property
    def wasteful(self) -> bool:
        """Whether most of what it holds is of rows that have changed since."""
        living = int(np.maximum(self.counts, 0).sum(dtype=np.int64))
        return self.elements.size > 2 * living + SLACK or self.elements.wasteful

    def extended(self, values: Sequence[Any]) -> "ArrayColumn":
        """With rows of these values behind."""
        starts, counts, elements = self._with_elements(values)
        return ArrayColumn(appended(self.starts, starts), appended(self.counts, counts), elements)

    def patched(self, rows: Rows, values: Sequence[Any]) -> "ArrayColumn":
        """With other values in some rows; copies twelve bytes a row."""
        starts, counts, elements = self._with_elements(values)
        return ArrayColumn(replaced(self.starts, rows, starts), replaced(self.counts, rows, counts), elements)

    def taken(self, rows: Rows) -> "ArrayColumn":
        """With these rows only, in this order."""
        return ArrayColumn(self.starts[rows], self.counts[rows], self.elements)

    def _with_elements(self, values: Sequence[Any]) -> tuple[Rows, Codes, "Table"]:
        arrays = [value if isinstance(value, list) else None for value in values]
        counts = np.array([-1 if array is None else len(array) for array in arrays], np.int32)
        lengths = np.maximum(counts, 0).astype(np.int64)
        starts = self.elements.size + np.cumsum(lengths) - lengths
        return starts, counts, self.elements.extended([element for array in arrays for element in array or ()])

    def holds(self, node: AnyElement | AllElements | NoElement) -> Mask:
        """Of which rows a statement about the elements holds."""
        before = np.concatenate([[0], np.cumsum(evaluate(node.filter, self.elements), dtype=np.int64)])
        counts = np.maximum(self.counts, 0)
        hits = before[self.starts + counts] - before[self.starts]
        if isinstance(node, AnyElement):
            some: Mask = hits > 0
            return some
        right: Mask = (self.counts >= 0) & (hits == (counts if isinstance(node, AllElements) else 0))
        return right


Column: TypeAlias = ScalarColumn | ArrayColumn


def empty_column(key: Key) -> Column:
    """A column without rows."""
    return ScalarColumn.empty() if isinstance(key, ScalarKey) else ArrayColumn.empty(key)


def values_at(key: Key, payloads: Sequence[Any]) -> list[Any]:
    """What a column of this key holds of these payloads."""
    path = key.path
    if len(path) == 1 and isinstance(path[0], str):
        step = path[0]
        return [each.get(step, MISSING) if isinstance(each, dict) else MISSING for each in payloads]
    return [value_at(each, path) for each in payloads]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of the same rows."""

    size: int
    columns: dict[Key, Column]

    @classmethod
    def empty(cls, keys: frozenset[Key]) -> "Table":
        """No rows."""
        return cls(0, {key: empty_column(key) for key in keys})

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return sum(column.nbytes for column in self.columns.values())

    @property
    def wasteful(self) -> bool:
        """Whether one of the columns is."""
        return any(column.wasteful for column in self.columns.values())

    def extended(self, payloads: Sequence[Any]) -> "Table":
        """With rows behind that have these decoded JSON values."""
        columns = {key: column.extended(values_at(key, payloads)) for key, column in self.columns.items()}
        return Table(self.size + len(payloads), columns)


def evaluate(filter: Filter, table: Table) -> Mask:
    """Which rows of a table match; it has the columns of `keys_of(filter)`."""
    match filter:
        case And(filters):
            return _together(np.logical_and, True, filters, table)
        case Or(filters):
            return _together(np.logical_or, False, filters, table)
        case Not(inner):
            return ~evaluate(inner, table)
        case AnyElement() | AllElements() | NoElement():
            column = table.columns[ArrayKey(filter.path, keys_of(filter.filter))]
            assert isinstance(column, ArrayColumn)  # noqa: S101 - by its key
            return column.holds(filter)
        case _:
            column = table.columns[ScalarKey(filter.path)]
            assert isinstance(column, ScalarColumn)  # noqa: S101 - by its key
            return column.holds(filter)


def _together(combine: Callable[[Mask, Mask], Mask], neutral: bool, filters: Sequence[Filter], table: Table) -> Mask:
    if not filters:
        return np.full(table.size, neutral)
    mask = evaluate(filters[0], table)
    for each in filters[1:]:
        mask = combine(mask, evaluate(each, table))
    return mask
