# Generated from packages/wirekit/src/wirekit/filters.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Conditions on JSON values, as plain dictionaries or made with builders that spare the spelling.

>>> ((field("year") >= 1990) & field("tags").any(each() == "red")).to_dict()
{'and': [{'path': 'year', 'range': {'gte': 1990}}, {'path': 'tags', 'any': {'eq': 'red'}}]}

A dictionary has one operator: `eq` `ne` `lt` `lte` `gt` `gte` `in` `range` `date` `exists` `is_null` `prefix`
`substring` `any` `all` `none` beside a `path`, or `and` `or` `not`. What they mean is for the server to say.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

# Levels that are looked at; servers of this family refuse deeper filters.
_MAX_DEPTH = 64

F = TypeVar("F", bound="Filter")


class FilterError(ValueError):
    """This is no filter; the message says why, without the name of the argument."""


class Filter:
    """A condition; join conditions with `&`, `|` and `~`.

    >>> (~(field("state") == "draft")).to_dict()
    {'not': {'path': 'state', 'eq': 'draft'}}
    """

    __slots__ = ("_document",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = dict(document)

    @staticmethod
    def refusal(reason: str) -> Exception:
        """Return the error for joining with what is no filter; libraries make their own in a subclass."""
        return FilterError(reason)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, as it goes to the server.

        >>> field("author", "name").exists().to_dict()
        {'path': ['author', 'name'], 'exists': True}
        """
        return dict(self._document)

    def __and__(self: F, other: "FilterLike") -> F:
        return type(self)({"and": [self._document, document(other, self.refusal)]})

    def __or__(self: F, other: "FilterLike") -> F:
        return type(self)({"or": [self._document, document(other, self.refusal)]})

    def __invert__(self: F) -> F:
        return type(self)({"not": self._document})

    def __bool__(self) -> bool:
        raise TypeError("a filter is neither true nor false; join filters with &, | and ~, not with and, or and not")

    def __repr__(self) -> str:
        return f"Filter({self._document!r})"


FilterLike: TypeAlias = Filter | Mapping[str, Any]
"""A filter, built or plain."""


class Field(Generic[F]):
    """A place in a JSON object; comparing it makes a filter. Libraries name the kind in a subclass.

    Attributes:
        kind: the class of the filters that are made.

    >>> (field("year") != 1990).to_dict()
    {'path': 'year', 'ne': 1990}
    """

    __slots__ = ("_path",)

    kind: type[F]
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so equality cannot be asked for

    def __init__(self, path: tuple[str | int, ...]) -> None:
        self._path = path

    def __eq__(self, value: Any) -> F:  # type: ignore[override]
        return self._filter("eq", value)

    def __ne__(self, value: Any) -> F:  # type: ignore[override]
        return self._filter("ne", value)

    def __lt__(self, value: Any) -> F:
        return self._filter("range", {"lt": value})

    def __le__(self, value: Any) -> F:
        return self._filter("range", {"lte": value})

    def __gt__(self, value: Any) -> F:
        return self._filter("range", {"gt": value})

    def __ge__(self, value: Any) -> F:
        return self._filter("range", {"gte": value})

    def between(self, low: float, high: float) -> F:
        """From `low` to `high`, both included.

        >>> field("year").between(1990, 2000).to_dict()
        {'path': 'year', 'range': {'gte': 1990, 'lte': 2000}}
        """
        return self._filter("range", {"gte": low, "lte": high})

    def is_in(self, values: Iterable[Any]) -> F:
        """Equal to one of these.

        >>> field("lang").is_in(["de", "fr"]).to_dict()
        {'path': 'lang', 'in': ['de', 'fr']}
        """
        return self._filter("in", list(values))

    def since(self, moment: datetime) -> F:
        """Return a date and time, as ISO 8601 text, at or after `moment`; the server refuses one without a time zone.

        >>> from datetime import timezone
        >>> field("written").since(datetime(2026, 1, 1, tzinfo=timezone.utc)).to_dict()
        {'path': 'written', 'date': {'gte': '2026-01-01T00:00:00+00:00'}}
        """
        return self._filter("date", {"gte": moment.isoformat()})

    def before(self, moment: datetime) -> F:
        """Return a date and time, as ISO 8601 text, before `moment`; the server refuses one without a time zone.

        >>> from datetime import timezone
        >>> field("written").before(datetime(2026, 1, 1, tzinfo=timezone.utc)).to_dict()
        {'path': 'written', 'date': {'lt': '2026-01-01T00:00:00+00:00'}}
        """
        return self._filter("date", {"lt": moment.isoformat()})

    def exists(self) -> F:
        """There is such a place, whatever its value.

        >>> (~field("draft").exists()).to_dict()
        {'not': {'path': 'draft', 'exists': True}}
        """
        return self._filter("exists", True)

    def is_null(self) -> F:
        """Return the value is null.

        >>> field("parent").is_null().to_dict()
        {'path': 'parent', 'is_null': True}
        """
        return self._filter("is_null", True)

    def starts_with(self, text: str, *, fold_case: bool = False) -> F:
        """Return a text that begins with `text`; `fold_case` lets upper and lower case count as the same.

        >>> field("title").starts_with("the ", fold_case=True).to_dict()
        {'path': 'title', 'prefix': 'the ', 'fold_case': True}
        """
        return self._filter("prefix", text, fold_case=fold_case)

    def contains_text(self, text: str, *, fold_case: bool = False) -> F:
        """Return a text that holds `text`; `fold_case` lets upper and lower case count as the same.

        >>> field("title").contains_text("whale", fold_case=True).to_dict()
        {'path': 'title', 'substring': 'whale', 'fold_case': True}
        """
        return self._filter("substring", text, fold_case=fold_case)

    def any(self, condition: FilterLike) -> F:
        """Return a list of which some element meets the condition; `each()` is the element.

        >>> field("tags").any(each() == "red").to_dict()
        {'path': 'tags', 'any': {'eq': 'red'}}

        Raises:
            Exception: the condition is no filter; the error is the library's own.
        """
        return self._filter("any", document(condition, self.kind.refusal))

    def all(self, condition: FilterLike) -> F:
        """Return a list of which every element meets the condition; `each()` is the element.

        >>> field("tags").all(each() == "red").to_dict()
        {'path': 'tags', 'all': {'eq': 'red'}}

        Raises:
            Exception: the condition is no filter; the error is the library's own.
        """
        return self._filter("all", document(condition, self.kind.refusal))

    def none(self, condition: FilterLike) -> F:
        """Return a list of which no element meets the condition; `each()` is the element.

        >>> field("tags").none(each() == "red").to_dict()
        {'path': 'tags', 'none': {'eq': 'red'}}

        Raises:
            Exception: the condition is no filter; the error is the library's own.
        """
        return self._filter("none", document(condition, self.kind.refusal))

    def _filter(self, operator: str, value: Any, **more: Any) -> F:
        path = self._path
        place = {} if not path else {"path": path[0] if len(path) == 1 and isinstance(path[0], str) else list(path)}
        return self.kind({**place, operator: value, **more})

    def __repr__(self) -> str:
        return f"field({', '.join(map(repr, self._path))})"


class PlainField(Field[Filter]):
    """A place whose filters are those of this module."""

    __slots__ = ()

    kind = Filter


def field(*path: str | int) -> PlainField:
    """Return a place: keys, and positions in lists, from the outside in.

    Raises:
        FilterError: no path is given.

    >>> (field("author", "age") < 30).to_dict()
    {'path': ['author', 'age'], 'range': {'lt': 30}}
    """
    if not path:
        raise FilterError("needs the name of a field; inside any, all and none use each()")
    return PlainField(path)


def each() -> PlainField:
    """Return the element itself, inside `any`, `all` and `none`.

    >>> field("scores").all(each() > 0.5).to_dict()
    {'path': 'scores', 'all': {'range': {'gt': 0.5}}}
    """
    return PlainField(())


def matches_everything(document: Any) -> bool:
    """Return whether a plain filter has no condition, so that everything matches, and does not say `everything` itself.

    >>> matches_everything({"and": []}), matches_everything({"everything": True}), matches_everything({"or": []})
    (True, False, False)
    """
    return _constant(document, 0) is True


def _constant(document: Any, depth: int) -> bool | None:
    """Return the value of a filter that is the same for everything; None when it depends, or is no filter."""
    if not isinstance(document, Mapping) or depth > _MAX_DEPTH:
        return None
    for operator, opposite in (("and", False), ("or", True)):
        parts = document.get(operator)
        if isinstance(parts, (list, tuple)):
            values = [_constant(part, depth + 1) for part in parts]
            return opposite if opposite in values else None if None in values else not opposite
    if "not" in document:
        inner = _constant(document["not"], depth + 1)
        return None if inner is None else not inner
    members = document.get("in")
    return False if isinstance(members, (list, tuple)) and not members else None


def document(filter: FilterLike, refusal: Callable[[str], Exception] = FilterError) -> dict[str, Any]:
    """Return a filter in its plain form, whichever way it was written.

    Args:
        filter: a dictionary or a Filter.
        refusal: makes the error, from a reason.

    Raises:
        Exception: it is neither; what `refusal` made.

    >>> document({"path": "lang", "eq": "fr"})
    {'path': 'lang', 'eq': 'fr'}
    """
    if isinstance(filter, Filter):
        return filter.to_dict()
    if not isinstance(filter, Mapping):
        raise refusal(f"is {type(filter).__name__}; pass a dictionary or a Filter")
    return dict(filter)
