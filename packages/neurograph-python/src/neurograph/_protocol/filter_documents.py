"""Filters in their plain form. Apart from `encoding`, so that `neurograph.filters` imports next to nothing."""

from typing import TYPE_CHECKING, Any

from neurograph._wirekit import filters
from neurograph.exceptions import ValidationError

if TYPE_CHECKING:
    from neurograph.filters import FilterLike


def document(filter: "FilterLike") -> dict[str, Any]:
    """Return a filter in its plain form, whichever way it was written.

    Raises:
        ValidationError: it is neither a dictionary nor a Filter.

    >>> document({"path": "lang", "eq": "fr"})
    {'path': 'lang', 'eq': 'fr'}
    """
    return filters.document(filter, lambda reason: ValidationError.of("filter", reason))
