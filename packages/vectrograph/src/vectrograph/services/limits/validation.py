"""Validation of texts, names and sizes against the advertised limits.

Ids, vectors and payloads to be written are not looked at here: the engine does it where it encodes them, and is given
the limits.
"""

from collections.abc import Sequence, Sized

from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.limits import Limits
from vectrograph.domain.payloads import encode_payload
from vectrograph.domain.points import Payload
from vectrograph.domain.write_validation import batch_too_large


def validate_text(text: str, field: str | Place, limits: Limits) -> None:
    """Accept a text that says something and fits.

    Raises:
        InvalidArgument: it is empty, only white space, not valid Unicode, or over `max_text_bytes`.

    >>> validate_text("hello", "text", Limits())
    """
    if not text or text.isspace():
        raise InvalidArgument.of(field, "must contain more than white space; send a text", "string_too_short")
    size = utf8_bytes(text, field)
    if size > limits.max_text_bytes:
        raise InvalidArgument.of(
            field,
            f"is {size} bytes of UTF-8 and the limit max_text_bytes is {limits.max_text_bytes}; split it",
            "string_too_long",
        )


def validate_texts(texts: Sequence[str], field: str, limits: Limits) -> None:
    """Accept every one of at least one and at most `max_batch` texts.

    Raises:
        InvalidArgument: there is none, or one is not acceptable; names its position.
        TooLarge: there are more than `max_batch`.
    """
    if isinstance(texts, str):
        raise InvalidArgument.of(field, "must be a list of texts, not one text", "list_type")
    validate_batch(texts, field, limits)
    if not texts:
        raise InvalidArgument.of(field, "must contain at least one text", "too_short")
    for position, text in enumerate(texts):
        validate_text(text, (field, position), limits)


def validate_payload(payload: Payload, field: str, limits: Limits) -> None:
    """Accept a JSON object, of something that no engine stores, whose compact text fits.

    Raises:
        InvalidArgument: it cannot be written as JSON.
        TooLarge: its JSON is over `max_payload_bytes`.
    """
    encode_payload(payload, field, limits.max_payload_bytes)


def validate_batch(items: Sized, field: str, limits: Limits) -> None:
    """Accept at most `max_batch` things in one request.

    Raises:
        TooLarge: there are more.
    """
    if len(items) > limits.max_batch:
        raise batch_too_large(field, len(items), limits.max_batch)


def validate_top_k(top_k: int, limits: Limits, *, queries: int = 1, field: str = "top_k") -> int:
    """Return hits per query: what was asked for, or the default for 0.

    Raises:
        InvalidArgument: it is negative or over `max_top_k`, or all queries together ask for more than `max_hits`.

    >>> validate_top_k(0, Limits())
    10
    """
    if top_k < 0:
        raise InvalidArgument.of(field, f"is {top_k} and must be from 1 to {limits.max_top_k}", "greater_than_equal")
    if top_k > limits.max_top_k:
        raise InvalidArgument.of(
            field, f"is {top_k} and the limit max_top_k is {limits.max_top_k}; ask for fewer", "less_than_equal"
        )
    k = top_k or min(limits.default_top_k, limits.max_top_k)
    if k * queries > limits.max_hits:
        raise InvalidArgument.of(
            field,
            f"{queries} queries with {k} hits each exceed the limit max_hits of {limits.max_hits}; send fewer queries",
            "less_than_equal",
        )
    return k


def validate_name(name: str, field: str | Place, limits: Limits) -> None:
    """Accept the name of a collection to be made: 1 to `max_name_bytes` bytes of UTF-8, no control characters.

    Raises:
        InvalidArgument: it is none of that.
    """
    if not name:
        raise InvalidArgument.of(field, "must not be empty; name the collection", "string_too_short")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise InvalidArgument.of(field, "must not contain control characters", "string_pattern_mismatch")
    size = utf8_bytes(name, field)
    if size > limits.max_name_bytes:
        raise InvalidArgument.of(
            field,
            f"is {size} bytes of UTF-8 and the limit max_name_bytes is {limits.max_name_bytes}; shorten it",
            "string_too_long",
        )


def utf8_bytes(text: str, field: str | Place) -> int:
    """Return length of a text as UTF-8.

    Raises:
        InvalidArgument: it holds half a surrogate pair and cannot be written as UTF-8.

    >>> utf8_bytes("né", "text")
    3
    """
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument.of(
            field, "is not valid Unicode: it has an unpaired surrogate", "string_unicode"
        ) from error
