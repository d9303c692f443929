"""Filters: which points, by their payloads. Written as plain dictionaries, or with the builders of this module.

Both mean the same; a builder only spares the spelling:

>>> ((field("year") >= 1990) & field("tags").any(each() == "red")).to_dict()
{'and': [{'path': 'year', 'range': {'gte': 1990}}, {'path': 'tags', 'any': {'eq': 'red'}}]}

A dictionary has one operator: `eq` `ne` `lt` `lte` `gt` `gte` `in` `range` `date` `exists` `is_null` `prefix`
`substring` `any` `all` `none` beside a `path`, or `and` `or` `not`.
"""

from vectron_client import payloads
from vectron_client.arguments import invalid, text
from wirekit import filters
from wirekit.filters import Field, Filter, FilterError, FilterLike, each

__all__ = ["Field", "Filter", "FilterLike", "each", "encode_filter", "field"]


def field(*path: str | int) -> Field:
    """A place in the payload: keys, and positions in lists, from the outside in.

    Raises:
        InvalidArgumentError: no path is given.

    >>> (field("author", "age") < 30).to_dict()
    {'path': ['author', 'age'], 'range': {'lt': 30}}
    """
    try:
        return filters.field(*path)
    except FilterError as error:
        raise invalid("field", str(error)) from error


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
        encoded = payloads.json_text(filters.document(filter))
    except FilterError as error:
        raise invalid(name, str(error)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(name, f"is not JSON: {error}") from error
    return text(name, encoded)
