"""Checks of single arguments, which name the argument when they fail, and times as answers have them. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from vectron_client._protocol import payloads
from vectron_client._wirekit import filters, values
from vectron_client.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from vectron_client.filters import FilterLike


def text(field: str, value: Any, *, empty: bool = False) -> str:
    """Return text that fits a message.

    Args:
        field: name of the argument.
        value: what was given.
        empty: whether it may be empty.

    Raises:
        InvalidArgumentError: no text, empty, or no Unicode text (half a surrogate pair); names the field.

    >>> text("name", "docs")
    'docs'
    """
    try:
        return values.text(value, field, empty=empty)
    except values.WrongValueError as error:
        raise invalid(error.place, error.reason) from None


def whole(field: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number as a plain `int`.

    Raises:
        InvalidArgumentError: not a whole number, or out of its limits; names the field.

    >>> whole("top_k", 10, 0)
    10
    """
    try:
        return values.whole(value, field, least, most)
    except values.WrongValueError as error:
        raise invalid(error.place, error.reason) from None


def flag(field: str, value: Any) -> bool:
    """Return a switch as a plain `bool`; one of numpy is fine, anything else is a mistake.

    Raises:
        InvalidArgumentError: neither true nor false; names the field.

    >>> flag("exact", True)
    True
    """
    if type(value) is bool:
        return value
    if type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "kind", "") == "b":
        return bool(value)
    raise invalid(field, f"must be True or False, not {type(value).__name__}")


def invalid(field: str, rule: str) -> InvalidArgumentError:
    """Return the error for an argument that breaks a rule.

    >>> invalid("top_k", "must be 0 or more, not -1").details
    {'field': 'top_k'}
    """
    return InvalidArgumentError(f"{field} {rule}", details={"field": field})


def listed(field: str, items: Any) -> list[Any]:
    """Return the items of a list or another iterable that is no text.

    Raises:
        InvalidArgumentError: it is none; names the field.

    >>> listed("result_ids", ("a", "b"))
    ['a', 'b']
    """
    if isinstance(items, (str, bytes, bytearray, Mapping)):
        raise invalid(field, f"must be a list or another iterable, not {type(items).__name__}")
    try:
        iterator = iter(items)
    except TypeError:
        raise invalid(field, f"must be a list or another iterable, not {type(items).__name__}") from None
    return list(iterator)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(seconds: int) -> datetime:
    """Return a time of an answer: Unix seconds as a date and time in UTC.

    Raises:
        ValueError: there is no such date.

    >>> moment(86_400).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"a time is {seconds}, which is no date") from error


def encode_filter(filter: "FilterLike | None", name: str = "filter") -> str:
    """Return a filter as it travels: the text of a JSON object, empty for None.

    Raises:
        InvalidArgumentError: it is no filter, or has a value that JSON does not know.

    >>> encode_filter({"path": "year", "eq": 1994})
    '{"path":"year","eq":1994}'
    """
    if filter is None:
        return ""
    try:
        plain = values.json_object(filters.document(filter, lambda reason: invalid(name, reason)), name)
    except values.WrongValueError as error:
        raise invalid(error.place, error.reason) from None
    return payloads.json_text(plain)
