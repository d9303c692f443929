"""Size of a filter, with which the work of evaluating it grows."""

from dataclasses import dataclass
from typing import Final

from vectrograph.domain.filters.nodes import (
    AllElements,
    And,
    AnyElement,
    Compare,
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
    looks_within,
)

# Conditions, paths and values of a filter that may be remembered.
_MAX_SMALL_TERMS: Final = 64
# Bytes of all its constants.
_MAX_SMALL_TEXT_BYTES: Final = 4_096
# Conditions, and steps of a path, up to which a filter is small without being measured.
_MAX_PLAIN_PARTS: Final = 4
_SHORT_TEXT: Final = 64
"""Bytes. What is remembered by filter is remembered of small ones only, so that it takes some megabytes at most."""


@dataclass(slots=True)
class FilterSize:
    """Sizes of a filter.

    Attributes:
        conditions: statements about values, such as `eq` or `exists`; at least 1, so that an empty filter costs too.
        nodes: conditions, and what joins and negates them.
        values: constants in lists.
        paths: distinct paths.
        text_bytes: of all constants and path steps, as UTF-8, about.
        needle_bytes: of the longest text that is looked for within strings, about.
        text_conditions: of the conditions, those that are asked about each distinct text, such as `substring`.
    """

    conditions: int = 0
    nodes: int = 0
    values: int = 0
    paths: int = 0
    text_bytes: int = 0
    needle_bytes: int = 0
    text_conditions: int = 0

    @property
    def terms(self) -> int:
        """Conditions and values."""
        return max(1, self.conditions + self.values)


def measured(filter: Filter) -> FilterSize:
    """Return the size of a filter.

    >>> from vectrograph.domain.filters.nodes import Exists
    >>> size = measured(And((In(("a",), (1, 2, 3)), Not(Exists(("a",))), Substring(("b", 0), "xyz"))))
    >>> size.conditions, size.values, size.paths, size.needle_bytes
    (3, 3, 2, 3)
    """
    size, paths = FilterSize(), set[Path]()
    waiting: list[tuple[Filter, Path]] = [(filter, ())]
    while waiting:
        node, outer = waiting.pop()
        size.nodes += 1
        match node:
            case And(filters) | Or(filters):
                waiting.extend((each, outer) for each in filters)
                continue
            case Not(inner):
                waiting.append((inner, outer))
                continue
            case AnyElement(path, inner) | AllElements(path, inner) | NoElement(path, inner):
                # -1 is no array position: it stands for any.
                waiting.append((inner, (*outer, *path, -1)))
            case In(values=values):
                size.values += len(values)
                size.text_bytes += sum(map(_bytes, values))
            case Compare(value=value):
                size.text_bytes += _bytes(value)
            case Prefix(text=text) | Substring(text=text):
                size.text_bytes += _bytes(text)
                size.needle_bytes = max(size.needle_bytes, _bytes(text))
            case _:
                pass
        size.conditions += 1
        size.text_conditions += looks_within(node)
        paths.add((*outer, *node.path))
        size.text_bytes += sum(map(_bytes, node.path))
    size.paths = len(paths)
    return size


def is_small(filter: Filter) -> bool:
    """Return whether something may be remembered under this filter."""
    if isinstance(filter, And | Or):
        if len(filter.filters) <= _MAX_PLAIN_PARTS and all(map(_is_plain, filter.filters)):
            return True
    elif _is_plain(filter):
        return True
    size = measured(filter)
    return size.terms <= _MAX_SMALL_TERMS and size.text_bytes <= _MAX_SMALL_TEXT_BYTES


def _is_plain(filter: Filter) -> bool:
    """Return whether a filter is one condition with a short constant: most are, and that is seen at once."""
    if not isinstance(filter, Compare | Range | Exists | IsNull):
        return False
    if isinstance(filter, Compare) and isinstance(filter.value, str) and len(filter.value) > _SHORT_TEXT:
        return False
    path = filter.path
    return len(path) <= _MAX_PLAIN_PARTS and all(not isinstance(step, str) or len(step) <= _SHORT_TEXT for step in path)


def _bytes(value: Scalar) -> int:
    # Four bytes a character at most; numbers of JSON can be long too.
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    return value.bit_length() // 8 if isinstance(value, int) else 8
