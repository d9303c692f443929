"""The nodes of a filter: immutable, hashable, refused when senseless. `filters` tells what they mean.

All raise InvalidArgument, naming the attribute, when built from something else than their annotations say.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

from vectrograph.domain.errors import InvalidArgument, Place

Path: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = bool | int | float | str | None
Extent: TypeAlias = tuple[int, int]
"""Depth and size of a tree: levels, and nodes with their constants."""

# Levels of a filter. Generous: hand-written ones have five. Keeps recursion far from Python's limit.
MAX_DEPTH: Final = 32
# Nodes and constants of a filter: a list of ten thousand ids, as many as the default of `max_batch`.
MAX_SIZE: Final = 10_000


class Comparison(StrEnum):
    """Comparison of a value with a constant."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"


@dataclass(frozen=True, slots=True)
class Compare:
    """The value compares so with a constant; see the table of the module."""

    path: Path
    op: Comparison
    value: Scalar
    kind: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _require_path(self.path)
        # True == 1 in Python: without the kind, filters of different meaning would share a cache entry.
        object.__setattr__(self, "kind", _kind_of_constant(self.value, "value"))
        if self.op not in (Comparison.EQ, Comparison.NE) and self.kind not in ("number", "string"):
            raise InvalidArgument.of("value", f"{self.op.value} needs a number or a string")


@dataclass(frozen=True, slots=True)
class In:
    """The value equals one of the constants; an empty tuple matches nothing."""

    path: Path
    values: tuple[Scalar, ...]
    kinds: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _require_path(self.path)
        kinds = tuple(_kind_of_constant(v, ("values", i)) for i, v in enumerate(self.values))
        object.__setattr__(self, "kinds", kinds)
        _require_bounded(*_extent(self))


@dataclass(frozen=True, slots=True)
class Range:
    """The value is a number within all the bounds given; at least one must be."""

    path: Path
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None

    def __post_init__(self) -> None:
        _require_path(self.path)
        if self.gt is None and self.gte is None and self.lt is None and self.lte is None:
            raise InvalidArgument.of("range", "give at least one of gt, gte, lt, lte")
        for name, bound in bounds_of(self):
            if _kind_of_constant(bound, name) != "number":
                raise InvalidArgument.of(name, "must be a number")


@dataclass(frozen=True, slots=True)
class DateRange:
    """The value is an ISO 8601 string whose instant lies within all the bounds given.

    Bounds without an offset are UTC; at least one must be given.
    """

    path: Path
    gt: datetime | None = None
    gte: datetime | None = None
    lt: datetime | None = None
    lte: datetime | None = None

    def __post_init__(self) -> None:
        _require_path(self.path)
        if self.gt is None and self.gte is None and self.lt is None and self.lte is None:
            raise InvalidArgument.of("date", "give at least one of gt, gte, lt, lte")
        for name, bound in bounds_of(self):
            if not isinstance(bound, datetime):
                raise InvalidArgument.of(name, "must be a datetime")
            if bound.tzinfo is None:
                object.__setattr__(self, name, bound.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Exists:
    """The path leads to a value, null included."""

    path: Path

    def __post_init__(self) -> None:
        _require_path(self.path)


@dataclass(frozen=True, slots=True)
class IsNull:
    """The path leads to null."""

    path: Path

    def __post_init__(self) -> None:
        _require_path(self.path)


@dataclass(frozen=True, slots=True)
class AnyElement:
    """The value is an array with an element that matches `filter`, whose paths start at the element."""

    path: Path
    filter: "Filter"
    extent: Extent = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_path(self.path)
        _bound(self)


@dataclass(frozen=True, slots=True)
class AllElements:
    """The value is an array whose elements all match `filter`; an empty one does."""

    path: Path
    filter: "Filter"
    extent: Extent = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_path(self.path)
        _bound(self)


@dataclass(frozen=True, slots=True)
class NoElement:
    """The value is an array of which no element matches `filter`; an empty one does."""

    path: Path
    filter: "Filter"
    extent: Extent = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_path(self.path)
        _bound(self)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The value is a string that begins with `text`."""

    path: Path
    text: str
    fold_case: bool = False

    def __post_init__(self) -> None:
        _require_path(self.path)
        _require_text(self.text)


@dataclass(frozen=True, slots=True)
class Substring:
    """The value is a string that contains `text`."""

    path: Path
    text: str
    fold_case: bool = False

    def __post_init__(self) -> None:
        _require_path(self.path)
        _require_text(self.text)


@dataclass(frozen=True, slots=True)
class And:
    """All of `filters` match; with none, everything does."""

    filters: tuple["Filter", ...]
    extent: Extent = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _bound(self)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of `filters` matches; with none, nothing does."""

    filters: tuple["Filter", ...]
    extent: Extent = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _bound(self)


@dataclass(frozen=True, slots=True)
class Not:
    """`filter` does not match."""

    filter: "Filter"
    extent: Extent = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _bound(self)


@dataclass(frozen=True, slots=True)
class Everything(And):
    """Every point: a conjunction of nothing whose author has said that this is meant; see `filters.constant`."""

    filters: tuple["Filter", ...] = field(default=(), init=False)


Elements: TypeAlias = AnyElement | AllElements | NoElement
Filter: TypeAlias = Compare | In | Range | DateRange | Exists | IsNull | Elements | Prefix | Substring | And | Or | Not

NODES: Final = frozenset(
    [c.value for c in Comparison]
    + ["in", "range", "date", "exists", "is_null", "any", "all", "none", "prefix", "substring"]
    + ["and", "or", "not"]
)
"""Names of all operators, as `filter_json` writes them and `Capabilities.filter_nodes` declares them."""


def kind_of(value: object) -> str:
    """Return the JSON type of a value: null, boolean, number, string, array or object.

    >>> kind_of(True), kind_of(1), kind_of([])
    ('boolean', 'number', 'array')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list | tuple) else "object"


def bounds_of(node: Range | DateRange) -> list[tuple[str, Any]]:
    """Return the bounds given, by name.

    >>> bounds_of(Range(("n",), gte=1, lt=5))
    [('gte', 1), ('lt', 5)]
    """
    pairs = (("gt", node.gt), ("gte", node.gte), ("lt", node.lt), ("lte", node.lte))
    return [(name, bound) for name, bound in pairs if bound is not None]


# ---------------------------------------------------------------- what may be built


def looks_within(leaf: "Filter") -> bool:
    """Return whether a condition must be evaluated for each distinct text, because it looks within texts.

    >>> looks_within(Prefix(("a",), "x")), looks_within(Compare(("a",), Comparison.EQ, "x"))
    (True, False)
    """
    if isinstance(leaf, Compare):
        return leaf.kind == "string" and leaf.op not in (Comparison.EQ, Comparison.NE)
    return isinstance(leaf, Prefix | Substring | DateRange)


def constants_of(leaf: "Filter") -> tuple[Scalar, ...]:
    """Return the constants that a condition compares whole values with.

    >>> constants_of(In(("a",), (1, "x")))
    (1, 'x')
    """
    if isinstance(leaf, In):
        return leaf.values
    return (leaf.value,) if isinstance(leaf, Compare) else ()


def _require_path(path: Path) -> None:
    for step in path:
        if kind_of(step) != "string" and (not isinstance(step, int) or isinstance(step, bool) or step < 0):
            raise InvalidArgument.of("path", f"{step!r} is neither a key nor an array position from 0")


def _require_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidArgument.of("text", "must be a string")


def _kind_of_constant(value: object, name: str | Place) -> str:
    kind = kind_of(value)
    if kind in ("array", "object"):
        raise InvalidArgument.of(name, "must be null, a boolean, a number or a string")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument.of(name, "must be a finite number")
    return kind


def _bound(node: "And | Or | Not | Elements") -> None:
    """Remember how far a tree extends, and refuse one that is too large.

    The trees below it know their own extent: to ask all of their nodes at each level took 0.2 s for a legal filter.
    """
    below = node.filters if isinstance(node, And | Or) else (node.filter,)
    depth, size = 0, 0
    for each in below:
        inner_depth, inner_size = _extent(each)
        depth, size = max(depth, inner_depth), size + inner_size
    _require_bounded(depth + 1, size + 1)
    object.__setattr__(node, "extent", (depth + 1, size + 1))


def _require_bounded(depth: int, size: int) -> None:
    """Refuse trees nested deeper than MAX_DEPTH or with more than MAX_SIZE nodes and constants."""
    if depth > MAX_DEPTH:
        raise InvalidArgument.of("filter", f"is nested deeper than {MAX_DEPTH} levels")
    if size > MAX_SIZE:
        raise InvalidArgument.of("filter", f"has more than {MAX_SIZE} conditions and values")


def _extent(node: "Filter") -> Extent:
    match node:
        case And() | Or() | Not() | AnyElement() | AllElements() | NoElement():
            return node.extent
        case In(values=values):
            return 1, 1 + len(values)
        case _:
            return 1, 1
