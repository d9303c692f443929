"""Errors of an engine in the words of the request: for `ops[3].vector` a caller says `points[3].vector`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from vectrograph.domain.errors import InvalidArgument, TooLarge

_OPERATION: Final = re.compile(r"ops\[(?P<position>\d+)\](?:\.(?P<part>.*))?", re.DOTALL)
_WORD: Final = re.compile(r"\w+")


@contextmanager
def renaming_fields(renamed: Mapping[str, str] | None = None, *, sequence: str | None = None) -> Iterator[None]:
    """Rename the fields of errors raised in the block.

    Args:
        renamed: parts of an operation or question, such as vector, to their names in the request.
        sequence: what the request calls the list that became the operations; None when the request was about one thing.

    Raises:
        InvalidArgument, TooLarge: those of the block, renamed.
    """
    names = renamed or {}
    try:
        yield
    except InvalidArgument as error:
        errors = [_renamed_entry(entry, names, sequence) for entry in error.details["errors"]]
        message = error.message
        for old, new in zip(error.details["errors"], errors, strict=True):
            message = _replaced(message, old["field"], new["field"])
        raise InvalidArgument(message, errors=errors) from error
    except TooLarge as error:
        field = str(error.details.get("field", ""))
        new_field = field_name(field, names, sequence)
        raise TooLarge(
            _replaced(error.message, field, new_field), details={**error.details, "field": new_field}
        ) from error


def field_name(field: str, renamed: Mapping[str, str], sequence: str | None) -> str:
    """The request's name of an engine's field.

    >>> field_name("ops[3].vector[5]", {"vector": "embedding"}, "tokens")
    'tokens[3].embedding[5]'
    >>> field_name("ops[0].payload", {"payload": "metadata"}, None)
    'metadata'
    >>> field_name("vector[5]", {"vector": "query_vector"}, None)
    'query_vector[5]'
    """
    operation = _OPERATION.fullmatch(field)
    if operation is None:
        return _part(field, renamed)
    part = _part(operation["part"] or "", renamed)
    if sequence is None:
        return part
    return f"{sequence}[{operation['position']}].{part}" if part else f"{sequence}[{operation['position']}]"


def _part(text: str, renamed: Mapping[str, str]) -> str:
    return _WORD.sub(lambda word: renamed.get(word[0], word[0]), text, count=1)


def _renamed_entry(entry: Mapping[str, Any], renamed: Mapping[str, str], sequence: str | None) -> dict[str, str]:
    return {**entry, "field": field_name(str(entry["field"]), renamed, sequence)}


def _replaced(message: str, old: str, new: str) -> str:
    return new + message.removeprefix(old) if old and message.startswith(old) else message
