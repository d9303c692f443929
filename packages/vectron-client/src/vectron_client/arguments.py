"""Checks of single arguments, which name the argument when they fail, and times as answers have them. Pure."""

import operator
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from vectron_client.exceptions import InvalidArgumentError


def text(field: str, value: Any, *, empty: bool = False) -> str:
    """Text that fits a message.

    Args:
        field: name of the argument.
        value: what was given.
        empty: whether it may be empty.

    Raises:
        InvalidArgumentError: no text, empty, or no Unicode text (half a surrogate pair); names the field.

    >>> text("name", "docs")
    'docs'
    """
    if not isinstance(value, str):
        raise invalid(field, f"must be text, not {type(value).__name__}")
    if not value and not empty:
        raise invalid(field, "must not be empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(field, f"is not Unicode text: {error.reason}") from error
    return value


def whole(field: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number as a plain `int`.

    Raises:
        InvalidArgumentError: not a whole number, or out of its limits; names the field.

    >>> whole("top_k", 10, 0)
    10
    """
    try:
        number = operator.index(value)  # numpy's whole numbers too
    except TypeError:
        raise invalid(field, f"must be a whole number, not {type(value).__name__}") from None
    if number < least or (most is not None and number > most):
        limits = f"{least} or more" if most is None or number < least else f"at most {most}"
        raise invalid(field, f"must be {limits}, not {number}")
    return number


def invalid(field: str, rule: str) -> InvalidArgumentError:
    """The error for an argument that breaks a rule.

    >>> invalid("top_k", "must be 0 or more, not -1").details
    {'field': 'top_k'}
    """
    return InvalidArgumentError(f"{field} {rule}", details={"field": field})


def listed(field: str, values: Any) -> list[Any]:
    """The items of a list or another iterable that is no text.

    Raises:
        InvalidArgumentError: it is none; names the field.

    >>> listed("result_ids", ("a", "b"))
    ['a', 'b']
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise invalid(field, f"must be a list or another iterable, not {type(values).__name__}")
    return list(values)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(seconds: int) -> datetime:
    """A time of an answer: Unix seconds as a date and time in UTC.

    Raises:
        ValueError: there is no such date.

    >>> moment(86_400).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"a time is {seconds}, which is no date") from error
