"""Filters: which tokens, by their metadata. Written as plain dictionaries, or with the builders of this module.

Both mean the same; a builder only spares the spelling:

>>> ((field("year") >= 1990) & field("tags").any(each() == "red")).to_dict()
{'and': [{'path': 'year', 'range': {'gte': 1990}}, {'path': 'tags', 'any': {'eq': 'red'}}]}

A dictionary has one operator: `eq` `ne` `lt` `lte` `gt` `gte` `in` `range` `date` `exists` `is_null` `prefix`
`substring` `any` `all` `none` beside a `path`, or `and` `or` `not`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from neurograph.exceptions import ValidationError


class Filter:
    """A condition on metadata; join conditions with `&`, `|` and `~`.

    >>> (~(field("state") == "draft")).to_dict()
    {'not': {'path': 'state', 'eq': 'draft'}}
    """

    __slots__ = ("_document",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = dict(document)

    def to_dict(self) -> dict[str, Any]:
        """The plain form, as it goes to the server.

        >>> field("author", "name").exists().to_dict()
        {'path': ['author', 'name'], 'exists': True}
        """
        return dict(self._document)

    def __and__(self, other: "FilterLike") -> "Filter":
        return Filter({"and": [self._document, document(other)]})

    def __or__(self, other: "FilterLike") -> "Filter":
        return Filter({"or": [self._document, document(other)]})

    def __invert__(self) -> "Filter":
        return Filter({"not": self._document})

    def __bool__(self) -> bool:
        raise TypeError("a filter is neither true nor false; join filters with &, | and ~, not with and, or and not")

    def __repr__(self) -> str:
        return f"Filter({self._document!r})"


FilterLike: TypeAlias = Filter | Mapping[str, Any]
"""A filter, built or plain."""


class Field:
    """A place in the metadata; comparing it makes a filter.

    >>> (field("year") != 1990).to_dict()
    {'path': 'year', 'ne': 1990}
    """

    __slots__ = ("_path",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so equality cannot be asked for

    def __init__(self, path: tuple[str | int, ...]) -> None:
        self._path = path

    def __eq__(self, value: Any) -> Filter:  # type: ignore[override]
        return self._filter("eq", value)

    def __ne__(self, value: Any) -> Filter:  # type: ignore[override]
        return self._filter("ne", value)

    def __lt__(self, value: Any) -> Filter:
        return self._filter("range", {"lt": value})

    def __le__(self, value: Any) -> Filter:
        return self._filter("range", {"lte": value})

    def __gt__(self, value: Any) -> Filter:
        return self._filter("range", {"gt": value})

    def __ge__(self, value: Any) -> Filter:
        return self._filter("range", {"gte": value})

    def between(self, low: float, high: float) -> Filter:
        """From `low` to `high`, both included.

        >>> field("year").between(1990, 2000).to_dict()
        {'path': 'year', 'range': {'gte': 1990, 'lte': 2000}}
        """
        return self._filter("range", {"gte": low, "lte": high})

    def is_in(self, values: Iterable[Any]) -> Filter:
        """Equal to one of these.

        >>> field("lang").is_in(["de", "fr"]).to_dict()
        {'path': 'lang', 'in': ['de', 'fr']}
        """
        return self._filter("in", list(values))

    def since(self, moment: datetime) -> Filter:
        """A date and time, as ISO 8601 text, at or after `moment`; the server refuses one without a time zone.

        >>> from datetime import timezone
        >>> field("written").since(datetime(2026, 1, 1, tzinfo=timezone.utc)).to_dict()
        {'path': 'written', 'date': {'gte': '2026-01-01T00:00:00+00:00'}}
        """
        return self._filter("date", {"gte": moment.isoformat()})

    def before(self, moment: datetime) -> Filter:
        """A date and time, as ISO 8601 text, before `moment`; the server refuses one without a time zone.

        >>> from datetime import timezone
        >>> field("written").before(datetime(2026, 1, 1, tzinfo=timezone.utc)).to_dict()
        {'path': 'written', 'date': {'lt': '2026-01-01T00:00:00+00:00'}}
        """
        return self._filter("date", {"lt": moment.isoformat()})

    def exists(self) -> Filter:
        """There is such a place, whatever its value.

        >>> (~field("draft").exists()).to_dict()
        {'not': {'path': 'draft', 'exists': True}}
        """
        return self._filter("exists", True)

    def is_null(self) -> Filter:
        """The value is null.

        >>> field("parent").is_null().to_dict()
        {'path': 'parent', 'is_null': True}
        """
        return self._filter("is_null", True)

    def starts_with(self, text: str, *, fold_case: bool = False) -> Filter:
        """A text that begins with `text`; `fold_case` lets upper and lower case count as the same.

        >>> field("title").starts_with("the ", fold_case=True).to_dict()
        {'path': 'title', 'prefix': 'the ', 'fold_case': True}
        """
        return self._filter("prefix", text, fold_case=fold_case)

    def contains_text(self, text: str, *, fold_case: bool = False) -> Filter:
        """A text that holds `text`; `fold_case` lets upper and lower case count as the same.

        >>> field("title").contains_text("whale", fold_case=True).to_dict()
        {'path': 'title', 'substring': 'whale', 'fold_case': True}
        """
        return self._filter("substring", text, fold_case=fold_case)

    def any(self, condition: FilterLike) -> Filter:
        """A list of which some element meets the condition; `each()` is the element.

        >>> field("tags").any(each() == "red").to_dict()
        {'path': 'tags', 'any': {'eq': 'red'}}

        Raises:
            ValidationError: the condition is no filter.
        """
        return self._filter("any", document(condition))

    def all(self, condition: FilterLike) -> Filter:
        """A list of which every element meets the condition; `each()` is the element.

        >>> field("tags").all(each() == "red").to_dict()
        {'path': 'tags', 'all': {'eq': 'red'}}

        Raises:
            ValidationError: the condition is no filter.
        """
        return self._filter("all", document(condition))

    def none(self, condition: FilterLike) -> Filter:
        """A list of which no element meets the condition; `each()` is the element.

        >>> field("tags").none(each() == "red").to_dict()
        {'path': 'tags', 'none': {'eq': 'red'}}

        Raises:
            ValidationError: the condition is no filter.
        """
        return self._filter("none", document(condition))

    def _filter(self, operator: str, value: Any, **more: Any) -> Filter:
        path = self._path
        place = {} if not path else {"path": path[0] if len(path) == 1 and isinstance(path[0], str) else list(path)}
        return Filter({**place, operator: value, **more})

    def __repr__(self) -> str:
        return f"field({', '.join(map(repr, self._path))})"


def field(*path: str | int) -> Field:
    """A place in the metadata: keys, and positions in lists, from the outside in.

    Raises:
        ValidationError: no path is given.

    >>> (field("author", "age") < 30).to_dict()
    {'path': ['author', 'age'], 'range': {'lt': 30}}
    """
    if not path:
        raise ValidationError.of("filter", "needs the name of a field; inside any, all and none use each()")
    return Field(path)


def each() -> Field:
    """The element itself, inside `any`, `all` and `none`.

    >>> field("scores").all(each() > 0.5).to_dict()
    {'path': 'scores', 'all': {'range': {'gt': 0.5}}}
    """
    return Field(())


def document(filter: FilterLike) -> dict[str, Any]:
    """A filter in its plain form, whichever way it was written.

    Raises:
        ValidationError: it is neither a dictionary nor a Filter.

    >>> document({"path": "lang", "eq": "fr"})
    {'path': 'lang', 'eq': 'fr'}
    """
    if isinstance(filter, Filter):
        return filter.to_dict()
    if not isinstance(filter, Mapping):
        raise ValidationError.of("filter", f"is {type(filter).__name__}; pass a dictionary or a Filter")
    return dict(filter)
