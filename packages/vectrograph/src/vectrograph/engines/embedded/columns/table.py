"""Columns of the same rows, and what a filter says of them; elements of arrays are a table of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.filters.evaluation import (
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
from vectrograph.engines.embedded.columns.column import OBJECT_BYTES, SLACK, Codes, Mask, Rows, ScalarColumn
from vectrograph.engines.embedded.columns.keys import ArrayKey, Key, ScalarKey, keys_of


@dataclass(frozen=True, slots=True)
class ArrayColumn:
    """The elements of the array at a path in each row, as a table of their own.

    Attributes:
        size: rows.
        starts: number of the first element of each row, shape (size,); None while no row has an array.
        counts: of elements; -1 where there is no array; None with `starts`.
        elements: columns over all elements, those of rows that have changed since included.
    """

    size: int
    starts: Rows | None
    counts: Codes | None
    elements: "Table"

    @classmethod
    def empty(cls, key: ArrayKey) -> "ArrayColumn":
        """Return no rows."""
        return cls(0, None, None, Table.empty(key.inner))

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return OBJECT_BYTES + held(self.starts) + held(self.counts) + self.elements.nbytes

    @property
    def wasteful(self) -> bool:
        """Return whether most of what it holds is of rows that have changed since."""
        living = 0 if self.counts is None else int(np.maximum(self.counts, 0).sum(dtype=np.int64))
        return self.elements.size > 2 * living + SLACK or self.elements.wasteful

    def extended(self, values: Sequence[Any]) -> "ArrayColumn":
        """Return a copy with rows of these values behind."""
        starts, counts, elements = self._with_elements(values)
        size = self.size + len(values)
        own = self._arrays(counts)
        if own is None:
            return ArrayColumn(size, None, None, elements)
        return ArrayColumn(size, appended(own[0], starts), appended(own[1], counts), elements)

    def patched(self, rows: Rows, values: Sequence[Any]) -> "ArrayColumn":
        """Return a copy with other values in some rows; copies twelve bytes a row."""
        starts, counts, elements = self._with_elements(values)
        own = self._arrays(counts)
        if own is None:
            return ArrayColumn(self.size, None, None, elements)
        return ArrayColumn(self.size, replaced(own[0], rows, starts), replaced(own[1], rows, counts), elements)

    def taken(self, rows: Rows) -> "ArrayColumn":
        """Return a copy with these rows only, in this order."""
        if self.starts is None or self.counts is None:
            return ArrayColumn(len(rows), None, None, self.elements)
        return ArrayColumn(len(rows), self.starts[rows], self.counts[rows], self.elements)

    def _arrays(self, counts: Codes) -> tuple[Rows, Codes] | None:
        """Return its arrays, made when the first row with an array comes; None before."""
        if self.starts is not None and self.counts is not None:
            return self.starts, self.counts
        if not bool((counts >= 0).any()):
            return None
        return np.zeros(self.size, np.int64), np.full(self.size, -1, np.int32)

    def _with_elements(self, values: Sequence[Any]) -> tuple[Rows, Codes, "Table"]:
        arrays = [value if isinstance(value, list) else None for value in values]
        counts = np.array([-1 if array is None else len(array) for array in arrays], np.int32)
        lengths = np.maximum(counts, 0).astype(np.int64)
        starts = self.elements.size + np.cumsum(lengths) - lengths
        return starts, counts, self.elements.extended([element for array in arrays for element in array or ()])

    def holds(self, node: AnyElement | AllElements | NoElement, check_cancelled: Cancellation) -> Mask:
        """Return the rows of which a statement about the elements holds; `check_cancelled` as of `evaluate`."""
        if self.starts is None or self.counts is None:
            return np.zeros(self.size, np.bool_)
        before = np.concatenate([[0], np.cumsum(evaluate(node.filter, self.elements, check_cancelled), dtype=np.int64)])
        counts = np.maximum(self.counts, 0)
        hits = before[self.starts + counts] - before[self.starts]
        if isinstance(node, AnyElement):
            some: Mask = hits > 0
            return some
        right: Mask = (self.counts >= 0) & (hits == (counts if isinstance(node, AllElements) else 0))
        return right


Column: TypeAlias = ScalarColumn | ArrayColumn


def empty_column(key: Key) -> Column:
    """Return a column without rows."""
    return ScalarColumn.empty() if isinstance(key, ScalarKey) else ArrayColumn.empty(key)


def values_at(key: Key, payloads: Sequence[Any]) -> list[Any]:
    """Return the values of a column of this key from these payloads."""
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
        """Return no rows."""
        return cls(0, {key: empty_column(key) for key in keys})

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return sum(column.nbytes for column in self.columns.values())

    @property
    def wasteful(self) -> bool:
        """Return whether one of the columns is."""
        return any(column.wasteful for column in self.columns.values())

    def extended(self, payloads: Sequence[Any]) -> "Table":
        """Return a copy with rows behind that have these decoded JSON values."""
        columns = {key: column.extended(values_at(key, payloads)) for key, column in self.columns.items()}
        return Table(self.size + len(payloads), columns)


def evaluate(filter: Filter, table: Table, check_cancelled: Cancellation) -> Mask:
    """Return which rows of a table match.

    Args:
        filter: what is asked.
        table: has the columns of `keys_of(filter)`.
        check_cancelled: called between conditions, and within those that take long; may raise to stop.
    """
    check_cancelled()
    match filter:
        case And(filters):
            return _together(np.logical_and, True, filters, table, check_cancelled)
        case Or(filters):
            return _together(np.logical_or, False, filters, table, check_cancelled)
        case Not(inner):
            return ~evaluate(inner, table, check_cancelled)
        case AnyElement() | AllElements() | NoElement():
            column = table.columns[ArrayKey(filter.path, keys_of(filter.filter))]
            assert isinstance(column, ArrayColumn)  # noqa: S101 - by its key
            return column.holds(filter, check_cancelled)
        case _:
            column = table.columns[ScalarKey(filter.path)]
            assert isinstance(column, ScalarColumn)  # noqa: S101 - by its key
            return column.holds(filter, check_cancelled)


def _together(
    combine: Callable[[Mask, Mask], Mask],
    neutral: bool,
    filters: Sequence[Filter],
    table: Table,
    check_cancelled: Cancellation,
) -> Mask:
    if not filters:
        return np.full(table.size, neutral)
    mask = evaluate(filters[0], table, check_cancelled)
    for each in filters[1:]:
        mask = combine(mask, evaluate(each, table, check_cancelled))
    return mask
