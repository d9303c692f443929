"""What a leaf says about float64 numbers, many at a time: exactly what `domain.filters` says about each."""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.filters.evaluation import Compare, Comparison, Exists, In, Range
from vectrograph.domain.filters.nodes import bounds_of

Numbers: TypeAlias = NDArray[np.float64]
Truth: TypeAlias = NDArray[np.bool_]

_FEW: Final = 8


def holds(leaf: Any, numbers: Numbers) -> Truth | None:
    """Where a leaf holds; NaN stands for what is no number. None when it holds of no number.

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
    """The float64 nearest to a number, infinite beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _equal(value: Any, numbers: Numbers) -> Truth | None:
    near = _nearest(value)
    # A number that float64 does not hold equals none that it holds.
    equal: Truth | None = numbers == near if near == value else None
    return equal


def _one_of(values: list[Any], numbers: Numbers) -> Truth | None:
    wanted = [near for value in values if (near := _nearest(value)) == value]
    if not wanted:
        return None
    if len(wanted) > _FEW:
        among: Truth = np.isin(numbers, wanted)
        return among
    mask: Truth = numbers == wanted[0]
    for each in wanted[1:]:
        mask |= numbers == each
    return mask


def _ordered(name: str, bound: Any, numbers: Numbers) -> Truth:
    near = _nearest(bound)
    # Between a bound and the float64 nearest to it there is no other: only whether that one is within is in question.
    if name in ("lt", "lte"):
        within = near < bound or (name == "lte" and near == bound)
        return numbers <= near if within else numbers < near
    within = near > bound or (name == "gte" and near == bound)
    return numbers >= near if within else numbers > near
