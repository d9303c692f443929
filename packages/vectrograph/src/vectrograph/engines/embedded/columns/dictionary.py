"""The distinct values of a column, each with a code; what a filter says about a value is asked once and remembered.

Fixed codes stand for what has no value of its own: nothing there, a number (kept elsewhere), null, true, false, any
array, any object; no leaf tells two arrays, or two objects, apart.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.filters.evaluation import MISSING, DateRange, Filter, Predicate, instant, is_small, predicate
from vectrograph.domain.filters.nodes import bounds_of, constants_of, looks_within

Truth: TypeAlias = NDArray[np.bool_]

# Code of a missing value. Codes number the values of `_FIXED`, then all texts and others in the order they came.
NOTHING: Final = 0
# Code of every number: the numbers themselves are in an array beside the codes.
NUMBER: Final = 1
_FIXED: Final[tuple[Any, ...]] = (MISSING, 0, None, True, False, [], {})
_CODES: Final = {type(None): 2, list: 5, dict: 6}
# Code of True in `_FIXED`.
_TRUE: Final = 3
# Code of False in `_FIXED`.
_FALSE: Final = 4

# Small filters whose answers are remembered for each column. Chosen: a program asks with a few again and again.
_MAX_TRUTHS: Final = 32
_VALUE_BYTES: Final = 160
"""A string or large number with its places in a list and a dictionary, besides its characters."""
_VALUES_BETWEEN: Final = 8_192
"""Values asked about between two checks: a millisecond or two."""
# Characters of texts asked about between two checks: whichever of the two is reached first.
_CHARACTERS_BETWEEN: Final = 1 << 20
_NO_DATE: Final = np.iinfo(np.int64).min


class Dictionary:
    """Only grows; one thread adds, any number ask about codes they have seen."""

    def __init__(self) -> None:
        self._values: list[Any] = list(_FIXED)
        self._codes: dict[str | int, int] = {}
        self._characters = 0
        self._large_numbers: list[int] = []
        self._truths: dict[Filter, Truth] = {}
        self._instants: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        distinct = len(self._codes)
        return self._characters + distinct * (_VALUE_BYTES + len(self._truths)) + self._instants.nbytes

    def encode(self, values: Iterable[Any]) -> tuple[list[int], list[float]]:
        """Return the code of each value, and its number where it is one that float64 holds, else NaN."""
        codes: list[int] = []
        numbers: list[float] = []
        for value in values:
            kind = type(value)
            code = NOTHING
            number = np.nan
            if kind is float or kind is int:
                exact = _exact(value)
                if exact is None:
                    code = self._code(value)
                else:
                    code, number = NUMBER, exact
            elif kind is str:
                code = self._code(value)
            elif kind is bool:
                code = _TRUE if value else _FALSE
            elif value is not MISSING:
                code = _CODES[kind]
            codes.append(code)
            numbers.append(number)
        return codes, numbers

    def _code(self, value: str | int) -> int:
        code = self._codes.get(value)
        if code is None:
            code = len(self._values)
            self._values.append(value)
            self._codes[value] = code
            if isinstance(value, str):
                self._characters += len(value)
            else:
                self._large_numbers.append(code)
                self._characters += value.bit_length() // 8
        return code

    def code_of(self, value: str) -> int | None:
        """Return the code of a string, None when it never occurred."""
        return self._codes.get(value)

    def truth(self, leaf: Any, check_cancelled: Cancellation) -> Truth:
        """Return whether a leaf holds of each value, by code; numbers under `NUMBER` excepted, of which it says False.

        Args:
            leaf: about the value itself.
            check_cancelled: called now and then; may raise to stop.
        """
        known = self._truths.get(leaf)
        size = len(self._values)
        if known is not None and len(known) >= size:
            return known
        start = 0 if known is None else len(known)
        more = self._evaluate(leaf, start, size, check_cancelled)
        truth = more if known is None else np.concatenate([known, more])
        truth[: NUMBER + 1] = False
        if is_small(leaf):
            while len(self._truths) >= _MAX_TRUTHS:
                self._truths.pop(next(iter(self._truths)), None)
            self._truths[leaf] = truth
        return truth

    def _evaluate(self, leaf: Any, start: int, end: int, check_cancelled: Cancellation) -> Truth:
        if isinstance(leaf, DateRange):
            return _within(leaf, self._dates(end, check_cancelled)[start:end])
        test = predicate(replace(leaf, path=()))
        if not looks_within(leaf):
            return self._evaluate_named(leaf, test, start, end)
        truth = np.empty(end - start, np.bool_)
        values, asked = self._values, 0
        while asked < end - start:
            check_cancelled()
            # Values are short or long: a needle is looked for in so many characters between two checks.
            characters, first = 0, asked
            while asked < end - start and asked - first < _VALUES_BETWEEN and characters < _CHARACTERS_BETWEEN:
                value = values[start + asked]
                truth[asked] = test(value)
                characters += len(value) if isinstance(value, str) else 1
                asked += 1
        return truth

    def _evaluate_named(self, leaf: Any, test: Predicate, start: int, end: int) -> Truth:
        """Evaluate a leaf that treats all texts alike except those that it names: test one of the others for all."""
        named = [text for text in constants_of(leaf) if isinstance(text, str)]
        unnamed = "x" * (1 + max(map(len, named), default=0))
        truth = np.full(end - start, test(unnamed))
        known = (code for text in named if (code := self._codes.get(text)) is not None)
        for code in (*range(len(_FIXED)), *self._large_numbers, *known):
            if start <= code < end:
                truth[code - start] = test(self._values[code])
        return truth

    def _dates(self, end: int, check_cancelled: Cancellation) -> NDArray[np.int64]:
        """Return microseconds since 1970 of each value that is a date, the least integer for others."""
        known = self._instants
        while len(known) < end:
            check_cancelled()
            upto = min(end, len(known) + _VALUES_BETWEEN)
            values = self._values[len(known) : upto]
            more = (_NO_DATE if not isinstance(v, str) or (at := instant(v)) is None else at for v in values)
            known = np.concatenate([known, np.fromiter(more, np.int64, len(values))])
            if len(known) > len(self._instants):
                self._instants = known
        return known


def _exact(value: float | int) -> float | None:
    """Return the float64 that equals a number, None when there is none."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number == value else None


def _within(leaf: DateRange, dates: NDArray[np.int64]) -> Truth:
    mask: Truth = dates != _NO_DATE
    for name, bound in bounds_of(leaf):
        at = instant(bound.isoformat())
        assert at is not None  # noqa: S101 - a datetime written as ISO 8601
        mask &= _ORDERS[name](dates, at)
    return mask


_ORDERS: Final = {"lt": np.less, "lte": np.less_equal, "gt": np.greater, "gte": np.greater_equal}
