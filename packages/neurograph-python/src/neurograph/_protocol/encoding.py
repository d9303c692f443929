"""From arguments to JSON text, and the errors about what JSON cannot carry.

Everything else about an argument is for the server to judge, so that its rules are written once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic_core import PydanticSerializationError, to_json

from neurograph._wirekit import values
from neurograph._wirekit.vectors import VectorError, floats, pack, settled
from neurograph.exceptions import ValidationError

T = TypeVar("T")


def encode(body: Any) -> bytes:
    """Return a request body as JSON text in UTF-8.

    Raises:
        ValidationError: a value that JSON cannot carry, such as a lone surrogate.
    """
    try:
        return to_json(body)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise ValidationError.of("body", f"cannot be written as JSON: {error}") from error


def json_object(value: Mapping[str, Any] | None, field: str) -> dict[str, Any] | None:
    """Return metadata, checked: an object of JSON values with finite numbers.

    Args:
        value: None passes as it is.
        field: how errors call it.

    Raises:
        ValidationError: names the first value that is at fault.

    >>> json_object({"score": float("nan")}, "metadata")
    Traceback (most recent call last):
    neurograph.exceptions.ValidationError: [VALIDATION_ERROR] metadata.score is nan; JSON has finite numbers only
    """
    return None if value is None else checked(values.json_object, value, field)


def checked(check: Callable[..., T], value: Any, field: str, *limits: Any) -> T:
    """Check an argument with a function of `wirekit.values`.

    Raises:
        ValidationError: names the argument, and the place inside of it.

    >>> checked(values.whole, 10, "top_k", 0)
    10
    """
    try:
        return check(value, field, *limits)
    except values.WrongValueError as error:
        raise ValidationError.of(error.place, error.reason) from error


def whole(value: Any, field: str) -> int:
    """Check a whole number; its range is for the server to judge.

    Raises:
        ValidationError: something else.
    """
    return value if type(value) is int else checked(values.whole, value, field)


def plain_text(value: Any, field: str) -> str:
    """Check a text; whether it may be empty is for the server to judge.

    Raises:
        ValidationError: no text, or half of a surrogate pair in it.

    >>> plain_text("hello", "text")
    'hello'
    """
    if type(value) is str and value.isascii():
        return value
    try:
        return values.text(value, field, empty=True)
    except values.WrongValueError as error:
        raise ValidationError.of(error.place, error.reason) from error


def secret_text(value: Any, field: str) -> str:
    """Check a text that no message may show.

    Raises:
        ValidationError: no text, or half of a surrogate pair in it.
    """
    problem = None if isinstance(value, str) else f"must be a string, not {type(value).__name__}"
    if problem is None and any("\ud800" <= character <= "\udfff" for character in value):
        problem = "contains half of a surrogate pair"
    if problem is not None:
        raise ValidationError.of(field, problem)
    return str(value)


def request_key(value: Any, field: str) -> str | None:
    """Check an idempotency key, which travels in a header; None passes.

    Raises:
        ValidationError: no text, empty, or with characters that no header carries as they are.

    >>> request_key("order-7", "idempotency_key")
    'order-7'
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValidationError.of(field, f"must be a string, not {type(value).__name__}")
    if not value or value != value.strip() or not (value.isascii() and value.isprintable()):
        raise ValidationError.of(
            field, "must be printable ASCII text, not empty, without line breaks and without blanks at its ends"
        )
    return value


def vector(value: Any, field: str) -> list[float]:
    """Return a vector of any kind as JSON carries it: a list of finite floats.

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
    """Return a vector of any kind as a frame carries it: finite float32 in little-endian.

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


def vector_list(given: Any, field: str) -> list[Any]:
    """Return vectors as a list; a matrix will do.

    Raises:
        ValidationError: this is no list of anything.

    >>> vector_list(((1, 2), (3, 4)), "query_vectors")
    [(1, 2), (3, 4)]
    """
    if isinstance(given, (str, bytes, Mapping)) or not hasattr(given, "__iter__"):
        raise ValidationError.of(field, f"is {type(given).__name__}; pass a list of vectors")
    if values.is_masked(given):
        raise ValidationError.of(field, "is a masked array, whose mask would be lost; pass its filled()")
    return [settled(value) for value in given]


def segment(value: object, field: str) -> str:
    """Return an id as one segment of a path: a text, or a whole number.

    Raises:
        ValidationError: of another type, empty, or a path of its own.

    >>> segment("a/b c", "key_id"), segment(7, "token_id")
    ('a%2Fb%20c', '7')
    """
    text = plain_text(value, field) if isinstance(value, str) else str(whole(value, field))
    if text in ("", ".", ".."):
        raise ValidationError.of(field, f"is {text!r}, which names nothing")
    return quote(text, safe="")


def ids(given: Any, field: str) -> list[int | str]:
    """Return ids as a list, each once, in their order.

    Raises:
        ValidationError: no list, or one of another type.

    >>> ids(iter([3, 1, 3]), "token_ids")
    [3, 1]
    """
    if isinstance(given, (str, bytes, bytearray, Mapping)) or not isinstance(given, Iterable):
        raise ValidationError.of(field, f"is {type(given).__name__}; pass a list of ids")
    if values.is_masked(given):
        raise ValidationError.of(field, "is a masked array, whose mask would be lost; pass its compressed()")
    checked_ids = (
        plain_text(value, f"{field}.{place}") if isinstance(value, str) else whole(value, f"{field}.{place}")
        for place, value in enumerate(given)
    )
    return list(dict.fromkeys(checked_ids))


def texts(given: Any, field: str) -> list[str]:
    """Check a list of texts; one bare string, which is a sequence too, is refused.

    Raises:
        ValidationError: no list, or one of them is no text; names which.
    """
    if isinstance(given, (str, bytes)):
        raise ValidationError.of(field, "is one string; pass a list of strings")
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise ValidationError.of(field, f"is {type(given).__name__}; pass a list of strings")
    return [plain_text(value, f"{field}.{place}") for place, value in enumerate(given)]
