"""Errors of an engine in the words of the request: for `ops[3].vector` a caller says `points[3].vector`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vectrograph.domain.errors import InvalidArgument, Place, TooLarge


@contextmanager
def renaming_fields(renamed: Mapping[str, str] | None = None, *, sequence: str | None = None) -> Iterator[None]:
    """Move errors raised in the block to the place in the request.

    Args:
        renamed: parts of an operation or question, such as vector, to their names in the request.
        sequence: what the request calls the list that became the operations; None when the request was about one thing.

    Raises:
        InvalidArgument, TooLarge: those of the block, about the place in the request.
    """
    try:
        yield
    except (InvalidArgument, TooLarge) as error:
        if error.place is None:
            raise
        raise error.at(request_place(error.place, renamed or {}, sequence)) from error


def request_place(place: Place, renamed: Mapping[str, str], sequence: str | None) -> Place:
    """Return the request's place of an engine's.

    >>> request_place(("ops", 3, "vector", 5), {"vector": "embedding"}, "tokens")
    ('tokens', 3, 'embedding', 5)
    >>> request_place(("ops", 0, "payload"), {"payload": "metadata"}, None)
    ('metadata',)
    >>> request_place(("vector", 5), {"vector": "query_vector"}, None)
    ('query_vector', 5)
    """
    within: Place = ()
    if place[0] == "ops":
        within, place = place[:2], place[2:]
    if place:
        place = (renamed.get(str(place[0]), place[0]), *place[1:])
    if not within or sequence is None:
        return place or within
    return (sequence, *within[1:], *place)
