"""Filters as clients send them: the text of a JSON object."""

from typing import Final

import msgspec

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.filters.json_form import parse
from vectrograph.domain.filters.nodes import MAX_SIZE
from vectrograph.domain.json_budget import JsonBudget

# Values of a filter as JSON: ten for each condition and constant that a filter may have.
_MAX_VALUES: Final = 10 * MAX_SIZE


def filter_of(text: str, field: str = "filter_json") -> Filter | None:
    """Return the filter that a JSON text describes; None for an empty text.

    Raises:
        TooLarge: it holds far more than a filter may.
        InvalidArgument: it is not JSON, or no filter; names the place in it.

    >>> filter_of('{"path": "year", "eq": 1994}')
    Compare(path=('year',), op=<Comparison.EQ: 'eq'>, value=1994)
    """
    if not text:
        return None
    JsonBudget(_MAX_VALUES, _MAX_VALUES).require(text, field)
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidArgument.of(field, f"is not valid JSON: {error}", "json_invalid") from error
    return parse(document, where=field)
