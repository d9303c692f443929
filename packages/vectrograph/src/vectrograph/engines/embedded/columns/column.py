"""The values at one path in every row.

A column is immutable for its readers; `extended` and `patched` make the next one, which shares what it can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.filters.evaluation import MISSING, Compare, Comparison, Exists, In, Range
from vectrograph.domain.filters.nodes import bounds_of
from vectrograph.engines.embedded.columns.buffers import appended, held, replaced
from vectrograph.engines.embedded.columns.dictionary import NUMBER, Dictionary

Mask: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int32]

# Constants of an `in` that are compared one by one; more are looked up in a sorted array.
_MAX_COMPARED: Final = 8
SLACK: Final = 1024
"""Values that a column may hold in vain, besides as many as it has rows."""
OBJECT_BYTES: Final = 2_048
"""Memory of a column without rows: its Python objects and its key, about."""


@dataclass(frozen=True, slots=True)
class ScalarColumn:
    """The value at a path in each row: its code, and where it is a number, the number.

    Attributes:
        size: rows.
        dictionary: of the codes; shared with the columns before and after this one.
        codes: shape (size,); None while every value is a number or missing.
        numbers: shape (size,), NaN for what is no number; None while no value is one.

    A path that leads nowhere in every row costs no memory a row.
    """

    size: int
    dictionary: Dictionary
    codes: Codes | None
    numbers: Numbers | None

    @classmethod
    def empty(cls) -> "ScalarColumn":
        """Return no rows."""
        return cls(0, Dictionary(), None, None)

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return OBJECT_BYTES + held(self.codes) + held(self.numbers) + self.dictionary.nbytes

    @property
    def wasteful(self) -> bool:
        """Return whether most of what it holds is of rows that have changed since."""
        return len(self.dictionary) > 2 * self.size + SLACK

    def extended(self, values: Sequence[Any]) -> "ScalarColumn":
        """Return a copy with rows of these values behind; MISSING where there is none."""
        if self.codes is None and self.numbers is None and values.count(MISSING) == len(values):
            return ScalarColumn(self.size + len(values), self.dictionary, None, None)
        codes, numbers = self._encode(values)
        wide = self._widened(codes, numbers)
        return ScalarColumn(
            self.size + len(values),
            self.dictionary,
            None if wide.codes is None else appended(wide.codes, codes),
            None if wide.numbers is None else appended(wide.numbers, numbers),
        )

    def patched(self, rows: Rows, values: Sequence[Any]) -> "ScalarColumn":
        """Return a copy with other values in some rows; copies eight or twelve bytes a row."""
        codes, numbers = self._encode(values)
        wide = self._widened(codes, numbers)
        return ScalarColumn(
            self.size,
            self.dictionary,
            None if wide.codes is None else replaced(wide.codes, rows, codes),
            None if wide.numbers is None else replaced(wide.numbers, rows, numbers),
        )

    def taken(self, rows: Rows) -> "ScalarColumn":
        """Return a copy with these rows only, in this order."""
        codes = None if self.codes is None else self.codes[rows]
        return ScalarColumn(len(rows), self.dictionary, codes, None if self.numbers is None else self.numbers[rows])

    def _encode(self, values: Sequence[Any]) -> tuple[Codes, Numbers]:
        codes, numbers = self.dictionary.encode(values)
        return np.array(codes, np.int32), np.array(numbers, np.float64)

    def _widened(self, codes: Codes, numbers: Numbers) -> "ScalarColumn":
        """Return a copy with the arrays that these values make necessary."""
        kept, counted = self.codes, self.numbers
        if kept is None and bool((codes > NUMBER).any()):
            kept = np.zeros(self.size, np.int32)
            if counted is not None:
                kept[~np.isnan(counted)] = NUMBER
        if counted is None and bool((codes == NUMBER).any()):
            counted = np.full(self.size, np.nan)
        return ScalarColumn(self.size, self.dictionary, kept, counted)

    def holds(self, leaf: Any, check_cancelled: Cancellation) -> Mask:
        """Return the rows of which a leaf about this path holds; `check_cancelled` may raise to stop."""
        mask = None if self.numbers is None else holds(leaf, self.numbers)
        if self.codes is None:
            return np.zeros(self.size, np.bool_) if mask is None else mask
        others = self._of_codes(leaf, self.codes, check_cancelled)
        return others if mask is None else np.logical_or(mask, others, out=others)

    def _of_codes(self, leaf: Any, codes: Codes, check_cancelled: Cancellation) -> Mask:
        if isinstance(leaf, Compare) and leaf.op is Comparison.EQ and isinstance(leaf.value, str):
            code = self.dictionary.code_of(leaf.value)
            return np.zeros(self.size, np.bool_) if code is None else codes == code
        truth = self.dictionary.truth(leaf, check_cancelled)
        true = np.flatnonzero(truth)
        if len(true) <= 1:
            return codes == true[0] if len(true) else np.zeros(self.size, np.bool_)
        mask: Mask = truth.take(codes)
        return mask


def holds(leaf: Any, numbers: Numbers) -> Mask | None:
    """Return where a leaf holds; NaN stands for what is no number. None when it holds of no number.

    >>> holds(Range((), gt=1), np.array([1.0, 2.0, np.nan])).tolist()
    [False, True, False]
    """
    match leaf:
        case Compare(op=Comparison.EQ):
            return _equal(leaf.value, numbers) if leaf.kind == "number" else None
        case Compare(op=Comparison.NE):
            equal = _equal(leaf.value, numbers) if leaf.kind == "number" else None
            present = ~np.isnan(numbers)
            return present if equal is None else present & ~equal
        case Compare(op=op, value=value):
            return _ordered(op.value, value, numbers) if leaf.kind == "number" else None
        case Range():
            masks = [_ordered(name, bound, numbers) for name, bound in bounds_of(leaf)]
            return masks[0] if len(masks) == 1 else np.logical_and.reduce(masks)
        case In(values=values, kinds=kinds):
            return _one_of([v for v, kind in zip(values, kinds, strict=True) if kind == "number"], numbers)
        case Exists():
            return ~np.isnan(numbers)
        case _:
            return None


def _nearest(value: Any) -> float:
    """Return the float64 nearest to a number, infinite beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _equal(value: Any, numbers: Numbers) -> Mask | None:
    near = _nearest(value)
    # A number that float64 does not hold equals none that it holds.
    equal: Mask | None = numbers == near if near == value else None
    return equal


def _one_of(values: list[Any], numbers: Numbers) -> Mask | None:
    wanted = [near for value in values if (near := _nearest(value)) == value]
    if not wanted:
        return None
    if len(wanted) > _MAX_COMPARED:
        among: Mask = np.isin(numbers, wanted)
        return among
    mask: Mask = numbers == wanted[0]
    for each in wanted[1:]:
        mask |= numbers == each
    return mask


def _ordered(name: str, bound: Any, numbers: Numbers) -> Mask:
    near = _nearest(bound)
    # Between a bound and the float64 nearest to it there is no other: only whether that one is within is in question.
    if name in ("lt", "lte"):
        within = near < bound or (name == "lte" and near == bound)
        return numbers <= near if within else numbers < near
    within = near > bound or (name == "gte" and near == bound)
    return numbers >= near if within else numbers > near
