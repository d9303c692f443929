"""Filters: which points, by their payloads. Written as plain dictionaries, or with the builders of this module.

Both mean the same; a builder only spares the spelling:

>>> ((field("year") >= 1990) & field("tags").any(each() == "red")).to_dict()
{'and': [{'path': 'year', 'range': {'gte': 1990}}, {'path': 'tags', 'any': {'eq': 'red'}}]}

A dictionary has one operator: `eq` `ne` `lt` `lte` `gt` `gte` `in` `range` `date` `exists` `is_null` `prefix`
`substring` `any` `all` `none` beside a `path`, or `and` `or` `not`.
"""

from typing import TypeAlias

from vectron_client._protocol import payloads
from vectron_client._protocol.arguments import invalid
from vectron_client._wirekit import filters
from vectron_client._wirekit.values import WrongValueError, json_object
from vectron_client.exceptions import InvalidArgumentError


class Filter(filters.Filter):
    """A condition on a payload; join conditions with `&`, `|` and `~`.

    Raises:
        InvalidArgumentError: joined with something that is no filter.

    >>> (~(field("state") == "draft") | {"path": "draft", "exists": False}).to_dict()
    {'or': [{'not': {'path': 'state', 'eq': 'draft'}}, {'path': 'draft', 'exists': False}]}
    """

    __slots__ = ()

    @staticmethod
    def refusal(reason: str) -> InvalidArgumentError:
        """The error for joining with what is no filter."""
        return invalid("filter", reason)


FilterLike: TypeAlias = filters.FilterLike
"""A filter, built or plain."""


class Field(filters.Field[Filter]):
    """A place in a payload; comparing it makes a filter."""

    __slots__ = ()

    kind = Filter


def field(*path: str | int) -> Field:
    """A place in the payload: keys, and positions in lists, from the outside in.

    Raises:
        InvalidArgumentError: no path is given.

    >>> (field("author", "age") < 30).to_dict()
    {'path': ['author', 'age'], 'range': {'lt': 30}}
    """
    if not path:
        raise Filter.refusal("needs the name of a field; inside any, all and none use each()")
    return Field(path)


def each() -> Field:
    """The element itself, inside `any`, `all` and `none`.

    >>> field("scores").all(each() > 0.5).to_dict()
    {'path': 'scores', 'all': {'range': {'gt': 0.5}}}
    """
    return Field(())


def everything() -> Filter:
    """Every point, whatever its payload; for `delete_where`, which refuses any other filter without a condition.

    >>> everything().to_dict()
    {'everything': True}
    """
    return Filter({"everything": True})


def encode_filter(filter: FilterLike | None, name: str = "filter") -> str:
    """A filter as it travels: the text of a JSON object, empty for None.

    Raises:
        InvalidArgumentError: it is no filter, or has a value that JSON does not know.

    >>> encode_filter(field("year") == 1994)
    '{"path":"year","eq":1994}'
    """
    if filter is None:
        return ""
    try:
        plain = json_object(filters.document(filter, lambda reason: invalid(name, reason)), name)
    except WrongValueError as error:
        raise invalid(error.place, error.reason) from None
    return payloads.json_text(plain)
