"""From arguments to JSON text, and the errors about what JSON cannot carry.

Everything else about an argument is for the server to judge, so that its rules are written once.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydantic_core import PydanticSerializationError, to_json

from neurograph._wirekit.vectors import VectorError, floats, pack
from neurograph.exceptions import ValidationError


def encode(body: Any) -> bytes:
    """A request body as JSON text in UTF-8.

    Raises:
        ValidationError: a value that JSON cannot carry, such as a lone surrogate.
    """
    try:
        return to_json(body)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise ValidationError.of("body", f"cannot be written as JSON: {error}") from error


def json_object(value: Mapping[str, Any] | None, field: str) -> dict[str, Any] | None:
    """Metadata, checked: an object of JSON values with finite numbers.

    Args:
        value: None passes as it is.
        field: how errors call it.

    Raises:
        ValidationError: names the first value that is at fault.

    >>> json_object({"score": float("nan")}, "metadata")
    Traceback (most recent call last):
    neurograph.exceptions.ValidationError: [VALIDATION_ERROR] metadata.score is nan; JSON has finite numbers only
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValidationError.of(field, f"is {type(value).__name__}; pass a dictionary")
    try:
        _check(value, field)
    except RecursionError as error:
        raise ValidationError.of(field, "contains itself, or is nested too deeply") from error
    return dict(value)


def _check(value: Any, field: str) -> None:
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValidationError.of(field, f"is {value}; JSON has finite numbers only")
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str):
                raise ValidationError.of(field, f"has the key {key!r}; keys must be strings")
            _check(member, f"{field}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            _check(member, f"{field}.{index}")
    else:
        raise ValidationError.of(
            field, f"is {type(value).__name__}; convert it to text, a number, a list or a dictionary"
        )


def vector(value: Any, field: str) -> list[float]:
    """A vector of any kind as JSON carries it: a list of finite floats.

    Raises:
        ValidationError: names the first component that is at fault.

    >>> vector((1, 2), "query_vector")
    [1.0, 2.0]
    """
    try:
        return floats(value, label=field)
    except VectorError as error:
        place = field if error.position is None else f"{field}.{error.position}"
        raise ValidationError.of(place, error.reason) from error


def packed(value: Any, field: str) -> bytes:
    """A vector of any kind as a frame carries it: finite float32 in little-endian.

    Raises:
        ValidationError: names the first component that is at fault.

    >>> packed([1.0], "query_vector")
    b'\\x00\\x00\\x80?'
    """
    try:
        return pack(value, label=field)
    except VectorError as error:
        place = field if error.position is None else f"{field}.{error.position}"
        raise ValidationError.of(place, error.reason) from error


def vector_list(values: Any, field: str) -> list[Any]:
    """Vectors as a list; a matrix will do.

    Raises:
        ValidationError: this is no list of anything.

    >>> vector_list(((1, 2), (3, 4)), "query_vectors")
    [(1, 2), (3, 4)]
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise ValidationError.of(field, f"is {type(values).__name__}; pass a list of vectors")
    return list(values)


def segment(value: object, field: str) -> str:
    """An id as one segment of a path.

    Raises:
        ValidationError: empty, or a path of its own.

    >>> segment("a/b c", "key_id")
    'a%2Fb%20c'
    """
    text = str(value)
    if text in ("", ".", ".."):
        raise ValidationError.of(field, f"is {text!r}, which names nothing")
    return quote(text, safe="")


def texts(values: Sequence[str], field: str) -> list[str]:
    """A list of texts; one bare string, which is a sequence too, is refused.

    Raises:
        ValidationError: a bare string.
    """
    if isinstance(values, (str, bytes)):
        raise ValidationError.of(field, "is one string; pass a list of strings")
    return list(values)
