"""Filters as plain JSON: one object per node, one operator per object.

    {"path": "genre", "eq": "drama"}                        eq ne lt lte gt gte
    {"path": ["author", "age"], "in": [30, 31]}             a nested path is a list; numbers: array positions
    {"path": "year", "range": {"gte": 1990, "lt": 2000}}    "date" likewise, with ISO 8601 strings
    {"path": "tags", "any": {"eq": "red"}}                  any all none; inside, no path: the element itself
    {"path": "note", "exists": true}                        false negates; is_null likewise
    {"path": "title", "prefix": "the ", "fold_case": true}  substring likewise
    {"and": [...]}  {"or": [...]}  {"not": {...}}
    {"everything": true}                                    every point; what a delete of everything must say

`filters` tells what they mean.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, assert_never

from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.filters.nodes import (
    MAX_DEPTH,
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
    Substring,
    bounds_of,
)

_BOUNDS: Final = ("gt", "gte", "lt", "lte")


def parse(document: Any, *, where: str = "filter") -> Filter:
    """Build a filter from decoded JSON; `where` names it in errors.

    >>> parse({"path": "year", "range": {"gte": 1990}})
    Range(path=('year',), gt=None, gte=1990, lt=None, lte=None)

    Raises:
        InvalidArgument: unknown operator, wrong type, too deep or too large; `field` is the place.
    """
    return _parse(document, (where,), 1)


def to_dict(filter: Filter) -> dict[str, Any]:
    """Return the plain-JSON form; `parse(to_dict(f)) == f`.

    >>> to_dict(Not(Exists(("a", 0))))
    {'not': {'path': ['a', 0], 'exists': True}}
    """
    match filter:
        case Everything():
            return {"everything": True}
        case And(filters):
            return {"and": [to_dict(f) for f in filters]}
        case Or(filters):
            return {"or": [to_dict(f) for f in filters]}
        case Not(inner):
            return {"not": to_dict(inner)}
        case _:
            return {**_path_to_json(filter.path), **_leaf_to_json(filter)}


def _leaf_to_json(
    node: Compare | In | Range | DateRange | Exists | IsNull | Prefix | Substring | Elements,
) -> dict[str, Any]:
    match node:
        case Compare():
            return {node.op.value: node.value}
        case In():
            return {"in": list(node.values)}
        case Range():
            return {"range": dict(bounds_of(node))}
        case DateRange():
            bounds = ((name, moment.astimezone(UTC)) for name, moment in bounds_of(node))
            return {"date": {name: moment.isoformat() for name, moment in bounds}}
        case Exists():
            return {"exists": True}
        case IsNull():
            return {"is_null": True}
        case Prefix():
            return {"prefix": node.text, "fold_case": node.fold_case}
        case Substring():
            return {"substring": node.text, "fold_case": node.fold_case}
        case AnyElement():
            return {"any": to_dict(node.filter)}
        case AllElements():
            return {"all": to_dict(node.filter)}
        case NoElement():
            return {"none": to_dict(node.filter)}
        case _:
            assert_never(node)


def _path_to_json(path: Path) -> dict[str, Any]:
    if not path:
        return {}
    return {"path": path[0] if len(path) == 1 and isinstance(path[0], str) else list(path)}


# ---------------------------------------------------------------- parsing


def _parse(document: Any, where: Place, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise InvalidArgument.of("filter", f"is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(document, Mapping):
        raise InvalidArgument.of(where, "must be an object with one operator", "type_error")
    operators = [key for key in document if key in _PARSERS]
    if len(operators) != 1:
        known = ", ".join(sorted(_PARSERS))
        raise InvalidArgument.of(where, f"must have exactly one operator of: {known}")
    name = operators[0]
    allowed = _COMPANIONS.get(name, {"path"}) | {name}
    for key in document:
        if key not in allowed:
            raise InvalidArgument.of((*where, str(key)), f"is not known beside {name!r}")
    return _PARSERS[name](document, name, where, depth)


def _parse_list(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    items = document[name]
    if not isinstance(items, list | tuple):
        raise InvalidArgument.of((*where, name), "must be a list of filters", "type_error")
    filters = tuple(_parse(item, (*where, name, i), depth + 1) for i, item in enumerate(items))
    return _build(where, And if name == "and" else Or, {"filters": filters})


def _parse_everything(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    if document[name] is not True:
        raise InvalidArgument.of((*where, name), "must be true")
    return Everything()


def _parse_not(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    return _build(where, Not, {"filter": _parse(document[name], (*where, name), depth + 1)})


def _parse_elements(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    nodes: dict[str, Callable[..., Filter]] = {"any": AnyElement, "all": AllElements, "none": NoElement}
    inner = _parse(document[name], (*where, name), depth + 1)
    return _build(where, nodes[name], {"path": _path(document, where), "filter": inner})


def _parse_comparison(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    attributes = {"path": _path(document, where), "op": Comparison(name), "value": document[name]}
    return _build(where, Compare, attributes, value=(name,))


def _parse_in(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    values = document[name]
    if not isinstance(values, list | tuple):
        raise InvalidArgument.of((*where, name), "must be a list of values", "type_error")
    return _build(where, In, {"path": _path(document, where), "values": tuple(values)}, values=(name,))


def _parse_bounds(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    bounds = document[name]
    if not isinstance(bounds, Mapping) or not bounds or any(key not in _BOUNDS for key in bounds):
        raise InvalidArgument.of((*where, name), "must be an object with any of gt, gte, lt, lte")
    path = _path(document, where)
    if name == "range":
        return _build(where, Range, {"path": path, **bounds}, **{key: (name, key) for key in bounds})
    moments = {key: _moment(bounds[key], (*where, name, key)) for key in bounds}
    return _build(where, DateRange, {"path": path, **moments})


def _parse_presence(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    path, wanted = _path(document, where), document[name]
    if not isinstance(wanted, bool):
        raise InvalidArgument.of((*where, name), "must be true or false", "type_error")
    node = _build(where, Exists if name == "exists" else IsNull, {"path": path})
    return node if wanted else Not(node)


def _parse_text(document: Mapping[str, Any], name: str, where: Place, depth: int) -> Filter:
    text, fold = document[name], document.get("fold_case", False)
    if not isinstance(text, str):
        raise InvalidArgument.of((*where, name), "must be a string", "type_error")
    if not isinstance(fold, bool):
        raise InvalidArgument.of((*where, "fold_case"), "must be true or false", "type_error")
    node = Prefix if name == "prefix" else Substring
    return _build(where, node, {"path": _path(document, where), "text": text, "fold_case": fold})


def _path(document: Mapping[str, Any], where: Place) -> Path:
    path = document.get("path", ())
    if isinstance(path, str):
        return (path,)
    if not isinstance(path, Sequence):
        raise InvalidArgument.of((*where, "path"), "must be a key or a list of keys", "type_error")
    return tuple(path)


def _moment(text: Any, where: Place) -> datetime:
    if not isinstance(text, str):
        raise InvalidArgument.of(where, "must be an ISO 8601 date or time", "type_error")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument.of(where, f"{text!r} is not an ISO 8601 date or time") from error


def _build(where: Place, node: Callable[..., Filter], attributes: Mapping[str, Any], **places: Place) -> Filter:
    """Construct a node; the place of an error is in the document: `places` maps attributes to operators."""
    try:
        return node(**attributes)
    except InvalidArgument as error:
        attribute, *rest = error.place or ("filter",)
        raise error.at((*where, *places.get(str(attribute), (attribute,)), *rest)) from error


_COMPANIONS: Final[Mapping[str, set[str]]] = {
    "and": set(),
    "or": set(),
    "not": set(),
    "everything": set(),
    "prefix": {"path", "fold_case"},
    "substring": {"path", "fold_case"},
}

_PARSERS: Final[Mapping[str, Callable[[Mapping[str, Any], str, Place, int], Filter]]] = {
    "and": _parse_list,
    "or": _parse_list,
    "not": _parse_not,
    "everything": _parse_everything,
    "any": _parse_elements,
    "all": _parse_elements,
    "none": _parse_elements,
    **{comparison.value: _parse_comparison for comparison in Comparison},
    "in": _parse_in,
    "range": _parse_bounds,
    "date": _parse_bounds,
    "exists": _parse_presence,
    "is_null": _parse_presence,
    "prefix": _parse_text,
    "substring": _parse_text,
}
