# Generated from packages/wirekit/clients/filters.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Filters: which tokens, by their metadata. Written as plain dictionaries, or with the builders of this module.

Both mean the same; a builder only spares the spelling:

>>> ((field("year") >= 1990) & field("tags").any(each() == "red")).to_dict()
{'and': [{'path': 'year', 'range': {'gte': 1990}}, {'path': 'tags', 'any': {'eq': 'red'}}]}

A dictionary has one operator: `eq` `ne` `lt` `lte` `gt` `gte` `in` `range` `date` `exists` `is_null` `prefix`
`substring` `any` `all` `none` beside a `path`, or `and` `or` `not`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from neurograph._protocol.filter_documents import document
from neurograph._wirekit import filters
from neurograph.exceptions import ValidationError

__all__ = ["Field", "Filter", "FilterLike", "document", "each", "everything", "field"]


class Filter(filters.Filter):
    """A condition on the metadata; join conditions with `&`, `|` and `~`.

    Raises:
        ValidationError: joined with something that is no filter.

    >>> (~(field("state") == "draft") | {"path": "draft", "exists": False}).to_dict()
    {'or': [{'not': {'path': 'state', 'eq': 'draft'}}, {'path': 'draft', 'exists': False}]}
    """

    __slots__ = ()

    @staticmethod
    def refusal(reason: str) -> ValidationError:
        """Return the error for something that is no filter.

        >>> Filter.refusal("is empty").message
        'filter is empty'
        """
        return ValidationError.of("filter", reason)


FilterLike: TypeAlias = Filter | Mapping[str, Any]
"""A filter, built or plain."""


class Field(filters.Field[Filter]):
    """A place in the metadata; comparing it makes a filter.

    >>> (field("year") != 1990).to_dict()
    {'path': 'year', 'ne': 1990}
    """

    __slots__ = ()

    kind = Filter


def field(*path: str | int) -> Field:
    """Return a place in the metadata: keys, and positions in lists, from the outside in.

    Raises:
        ValidationError: no path is given.

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
    """Return a filter that every token matches, whatever its metadata.

    `delete_many` refuses any other filter without a condition.

    >>> everything().to_dict()
    {'everything': True}
    """
    return Filter({"everything": True})
