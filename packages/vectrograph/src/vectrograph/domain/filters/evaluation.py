"""Meaning of filters. Every engine gives the answers of this module, whatever it uses to be faster.

A filter is an immutable, hashable tree over a JSON payload. A path is a tuple of object keys (str) and array
positions (int, from 0); the empty path is the value itself, as `AnyElement` and its like need it.

**A leaf is a statement about a value that is there**: where the path leads nowhere, every leaf is false, `ne`
too. `Not` is plain negation, so `Not(Compare(path, EQ, 5))` also holds where the key is missing. Types never
mix: `true` is not 1, `"10"` is not a number.

| leaf          | missing | null        | other type | else                                            |
|---------------|---------|-------------|------------|-------------------------------------------------|
| eq            | no      | value null? | no         | equal; 1 equals 1.0                             |
| ne            | no      | value not?  | yes        | not equal: exactly `exists and not eq`          |
| lt lte gt gte | no      | no          | no         | numbers by size, strings by code point; true    |
|               |         |             |            | and false have no order                         |
| in            | no      | null in it? | no         | equal to one of the values                      |
| range         | no      | no          | no         | a number within the bounds                      |
| date          | no      | no          | no         | a string with an ISO 8601 date or time within   |
|               |         |             |            | the bounds                                      |
| exists        | no      | yes         | yes        | yes                                             |
| is_null       | no      | yes         | no         | no                                              |
| any all none  | no      | no          | no         | an array of which any, all, no element matches; |
|               |         |             |            | for an empty one: no, yes, yes                  |
| prefix        | no      | no          | no         | a string that begins so                         |
| substring     | no      | no          | no         | a string that contains it                       |

An array equals no scalar: say `any`. Dates and times without an offset are UTC; a date alone is its first
instant. `fold_case` compares by Unicode case folding (`str.casefold`) on both sides.

    >>> drama = And((Compare(("genre",), Comparison.EQ, "drama"), Range(("year",), gte=1990)))
    >>> matches(drama, {"genre": "drama", "year": 1994}), matches(drama, {"genre": "drama"})
    (True, False)
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any, Final, TypeAlias, assert_never

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.nodes import (
    MAX_DEPTH,
    MAX_SIZE,
    NODES,
    AllElements,
    And,
    AnyElement,
    Compare,
    Comparison,
    DateRange,
    Elements,
    Everything,
    Exists,
    Filter,
    In,
    IsNull,
    NoElement,
    Not,
    Or,
    Path,
    Prefix,
    Range,
    Scalar,
    Substring,
    bounds_of,
    kind_of,
)
from vectrograph.domain.filters.size import FilterSize, is_small, measured

__all__ = [
    "MAX_DEPTH",
    "MAX_SIZE",
    "MISSING",
    "NODES",
    "AllElements",
    "And",
    "AnyElement",
    "Compare",
    "Comparison",
    "DateRange",
    "Everything",
    "Exists",
    "Filter",
    "FilterSize",
    "In",
    "IsNull",
    "NoElement",
    "Not",
    "Or",
    "Path",
    "Prefix",
    "Range",
    "Scalar",
    "Substring",
    "instant",
    "is_small",
    "matches",
    "measured",
    "predicate",
    "refuse_unconditional",
    "value_at",
]

Predicate: TypeAlias = Callable[[Any], bool]

MISSING: Final = object()
"""Result of `value_at` where there is no value."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def matches(filter: Filter, payload: Mapping[str, Any]) -> bool:
    """Return whether a payload satisfies a filter.

    >>> matches(Compare(("n",), Comparison.EQ, 1), {"n": True})
    False
    """
    return predicate(filter)(payload)


def refuse_unconditional(filter: Filter) -> None:
    """Refuse to delete by a filter that has no condition, unless it says `everything` itself.

    `{"and": []}` is what a program sends whose list of conditions was empty by mistake.

    Raises:
        InvalidArgument: everything matches.
    """
    if _constant(filter) is True:
        raise InvalidArgument.of(
            "filter", 'has no condition and matches everything; to delete everything, send {"everything": true}'
        )


def _constant(filter: Filter) -> bool | None:
    """Return the value of a filter that is the same for every point; None when it depends on the point, or was meant
    so.
    """
    match filter:
        case Everything():
            return None
        case And(filters):
            values = [_constant(f) for f in filters]
            return False if False in values else None if None in values else True
        case Or(filters):
            values = [_constant(f) for f in filters]
            return True if True in values else None if None in values else False
        case Not(inner):
            value = _constant(inner)
            return None if value is None else not value
        case In(values=()):
            return False
        case _:
            return None


def predicate(filter: Filter) -> Predicate:
    """Return the filter as a function of a decoded JSON value: what to call when many payloads are asked.

    >>> is_red = predicate(AnyElement(("tags",), Compare((), Comparison.EQ, "red")))
    >>> [is_red(p) for p in ({"tags": ["blue", "red"]}, {"tags": "red"}, {})]
    [True, False, False]
    """
    return _remembered_predicate(filter) if is_small(filter) else _predicate(filter)


@lru_cache(maxsize=256)
def _remembered_predicate(filter: Filter) -> Predicate:
    return _predicate(filter)


def _predicate(filter: Filter) -> Predicate:
    match filter:
        case And(filters):
            parts = [_predicate(f) for f in filters]
            return lambda value: all(part(value) for part in parts)
        case Or(filters):
            parts = [_predicate(f) for f in filters]
            return lambda value: any(part(value) for part in parts)
        case Not(inner):
            negated = _predicate(inner)
            return lambda value: not negated(value)
        case Compare() | In() | Range() | DateRange() | Exists() | IsNull() | Prefix() | Substring():
            return _at(filter.path, _test_of(filter))
        case AnyElement() | AllElements() | NoElement():
            return _at(filter.path, _test_of_elements(filter))
        case _:
            assert_never(filter)


def value_at(value: Any, path: Path) -> Any:
    """Return the value a path leads to from a decoded JSON value, MISSING where it leads nowhere.

    >>> value_at({"a": [1, {"b": None}]}, ("a", 1, "b")), value_at({"a": 1}, ("a", 0)) is MISSING
    (None, True)
    """
    for step in path:
        if isinstance(step, str):
            value = value.get(step, MISSING) if isinstance(value, Mapping) else MISSING
        elif isinstance(value, list | tuple) and step < len(value):
            value = value[step]
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def instant(text: str) -> int | None:
    """Return microseconds since 1970-01-01 UTC of an ISO 8601 date or time (without offset: UTC), else None.

    >>> instant("1970-01-01T00:00:01Z"), instant("1970-01-02"), instant("yesterday")
    (1000000, 86400000000, None)
    """
    try:
        return _microseconds(datetime.fromisoformat(text))
    except ValueError:
        return None


# ---------------------------------------------------------------- meaning


_ORDERS: Final[Mapping[Comparison, Callable[[Any, Any], bool]]] = {
    Comparison.LT: lt,
    Comparison.LTE: le,
    Comparison.GT: gt,
    Comparison.GTE: ge,
}


def _at(path: Path, test: Predicate) -> Predicate:
    """Apply a test to the value at a path, false where there is none."""

    def follow(value: Any) -> bool:
        found = value_at(value, path)
        return found is not MISSING and test(found)

    return follow


def _test_of(
    leaf: Compare | In | Range | DateRange | Exists | IsNull | Prefix | Substring,
) -> Predicate:
    """Return the statement a leaf makes about a value that is there."""
    match leaf:
        case Compare():
            return _comparison(leaf)
        case In(values=values, kinds=kinds):
            wanted = frozenset(zip(kinds, values, strict=True))
            return lambda v: isinstance(v, Scalar) and (kind_of(v), v) in wanted
        case Range():
            within = _within([(name, bound) for name, bound in bounds_of(leaf)])
            return lambda v: kind_of(v) == "number" and within(v)
        case DateRange():
            between = _within([(name, _microseconds(bound)) for name, bound in bounds_of(leaf)])
            return lambda v: isinstance(v, str) and (at := instant(v)) is not None and between(at)
        case Exists():
            return lambda _: True
        case IsNull():
            return lambda v: v is None
        case Prefix(text=text, fold_case=True):
            folded = text.casefold()
            return lambda v: isinstance(v, str) and v.casefold().startswith(folded)
        case Prefix(text=text):
            return lambda v: isinstance(v, str) and v.startswith(text)
        case Substring(text=text, fold_case=True):
            folded = text.casefold()
            return lambda v: isinstance(v, str) and folded in v.casefold()
        case Substring(text=text):
            return lambda v: isinstance(v, str) and text in v
        case _:
            assert_never(leaf)


def _comparison(leaf: Compare) -> Predicate:
    constant, kind = leaf.value, leaf.kind
    if leaf.op is Comparison.EQ:
        return lambda v: kind_of(v) == kind and bool(v == constant)
    if leaf.op is Comparison.NE:
        return lambda v: kind_of(v) != kind or bool(v != constant)
    order = _ORDERS[leaf.op]
    return lambda v: kind_of(v) == kind and order(v, constant)


def _test_of_elements(node: Elements) -> Predicate:
    inner = _predicate(node.filter)
    match node:
        case AnyElement():
            return lambda v: isinstance(v, list | tuple) and any(inner(e) for e in v)
        case AllElements():
            return lambda v: isinstance(v, list | tuple) and all(inner(e) for e in v)
        case NoElement():
            return lambda v: isinstance(v, list | tuple) and not any(inner(e) for e in v)
        case _:
            assert_never(node)


def _within(bounds: list[tuple[str, Any]]) -> Predicate:
    tests = [(_ORDERS[Comparison(name)], bound) for name, bound in bounds]
    return lambda v: all(order(v, bound) for order, bound in tests)


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND
