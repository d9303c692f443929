"""Filters: which points, by their payloads. Written as plain dictionaries, or with the builders of this module.

Both mean the same; a builder only spares the spelling:

>>> ((field("year") >= 1990) & field("tags").any(each() == "red")).to_dict()
{'and': [{'path': 'year', 'range': {'gte': 1990}}, {'path': 'tags', 'any': {'eq': 'red'}}]}

A dictionary has one operator: `eq` `ne` `lt` `lte` `gt` `gte` `in` `range` `date` `exists` `is_null` `prefix`
`substring` `any` `all` `none` beside a `path`, or `and` `or` `not`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from client import InvalidError, encoded, invalid

from wirekit import filters

__all__ = ["Field", "Filter", "FilterLike", "each", "encoded", "everything", "field"]


class Filter(filters.Filter):
    """A condition on the payload; join conditions with `&`, `|` and `~`.

    Raises:
        InvalidError: joined with something that is no filter.

    >>> (~(field("state") == "draft") | {"path": "draft", "exists": False}).to_dict()
    {'or': [{'not': {'path': 'state', 'eq': 'draft'}}, {'path': 'draft', 'exists': False}]}
    """

    __slots__ = ()

    @staticmethod
    def refusal(reason: str) -> InvalidError:
        """Return the error for something that is no filter.

        >>> Filter.refusal("is empty").message
        'filter is empty'
        """
        return invalid("filter", reason)


FilterLike: TypeAlias = Filter | Mapping[str, Any]
"""A filter, built or plain."""


class Field(filters.Field[Filter]):
    """A place in the payload; comparing it makes a filter.

    >>> (field("year") != 1990).to_dict()
    {'path': 'year', 'ne': 1990}
    """

    __slots__ = ()

    kind = Filter


def field(*path: str | int) -> Field:
    """Return a place in the payload: keys, and positions in lists, from the outside in.

    Raises:
        InvalidError: no path is given.

    >>> (field("author", "age") < 30).to_dict()
    {'path': ['author', 'age'], 'range': {'lt': 30}}
    """
    if not path:
        raise Filter.refusal("needs the name of a field; inside any, all and none use each()")
    return Field(path)


def each() -> Field:
    """Return the element itself, inside `any`, `all` and `none`.

    >>> field("scores").all(each() > 0.5).to_dict()
    {'path': 'scores', 'all': {'range': {'gt': 0.5}}}
    """
    return Field(())


def everything() -> Filter:
    """Return a filter that every point matches, whatever its payload.

    `delete_where` refuses any other filter without a condition.

    >>> everything().to_dict()
    {'everything': True}
    """
    return Filter({"everything": True})
