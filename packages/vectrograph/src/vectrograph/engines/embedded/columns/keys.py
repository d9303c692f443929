"""Columns that a filter needs."""

from dataclasses import dataclass
from typing import TypeAlias

from vectrograph.domain.filters.evaluation import (
    AllElements,
    And,
    AnyElement,
    Filter,
    NoElement,
    Not,
    Or,
    Path,
)


@dataclass(frozen=True, slots=True)
class ScalarKey:
    """The values at a path, for statements about values."""

    path: Path


@dataclass(frozen=True, slots=True)
class ArrayKey:
    """The elements of the arrays at a path, with the columns that statements about elements need."""

    path: Path
    inner: frozenset["Key"]


Key: TypeAlias = ScalarKey | ArrayKey


def keys_of(filter: Filter) -> frozenset[Key]:
    """Return the columns that a filter is evaluated over.

    >>> from vectrograph.domain.filters.evaluation import Exists
    >>> keys_of(Not(Exists(("a",))))
    frozenset({ScalarKey(path=('a',))})
    """
    match filter:
        case And(filters) | Or(filters):
            return frozenset(key for inner in filters for key in keys_of(inner))
        case Not(inner):
            return keys_of(inner)
        case AnyElement(path, inner) | AllElements(path, inner) | NoElement(path, inner):
            return frozenset([ArrayKey(path, keys_of(inner))])
        case _:
            return frozenset([ScalarKey(filter.path)])
