"""Filters as clients send them: the text of a JSON object."""

import msgspec

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filter_json import parse
from vectrograph.domain.filters import Filter


def filter_of(text: str, field: str = "filter_json") -> Filter | None:
    """The filter that a JSON text describes; None for an empty text.

    Raises:
        InvalidArgument: it is not JSON, or no filter; names the place in it.

    >>> filter_of('{"path": "year", "eq": 1994}')
    Compare(path=('year',), op=<Comparison.EQ: 'eq'>, value=1994)
    """
    if not text:
        return None
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidArgument.of(field, f"is not valid JSON: {error}", "json_invalid") from error
    return parse(document, where=field)
