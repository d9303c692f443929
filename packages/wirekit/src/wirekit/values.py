"""Checks of what callers pass: text, numbers, times and JSON values, the same in every client.

Each function returns a plain Python value (`str`, `int`, `float`, `dict`, `list`, `bool` or None) that JSON carries
without a change, or raises `WrongValueError` with the place of the first value that it would change or cannot carry.
`docs/values.md` has the table of what is accepted and refused. numpy is used when the program has it already and is
never imported for you.
"""

import math
import numbers
import operator
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final, cast

#: Levels of lists and objects in one JSON value, the same as on the server.
MAX_DEPTH: Final = 64

#: Bits of a whole number. Python itself reads and writes no number of more than 4,300 digits.
MAX_BITS: Final = 14_283

#: Characters of one key in the place of an error; longer keys are cut, so that a message stays readable.
_SHOWN_KEY: Final = 80


class WrongValueError(ValueError):
    """A value that cannot be sent as it is.

    Attributes:
        place: the argument, and the keys and positions inside of it, such as `payload.tags.0`.
        reason: what is wrong and what to pass instead, without the place.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.place} {self.reason}"


def text(value: Any, label: str, *, empty: bool = False) -> str:
    """Return Unicode text as a plain `str`.

    Args:
        value: a `str`, or an instance of a subclass such as a member of a `StrEnum`.
        label: the name of the argument in errors.
        empty: whether it may be empty.

    Raises:
        WrongValueError: no text, empty, or with half a surrogate pair.

    >>> text("docs", "name")
    'docs'
    >>> text(b"docs", "name")
    Traceback (most recent call last):
    wirekit.values.WrongValueError: name must be a string, not bytes; decode it first
    """
    if not isinstance(value, str):
        hint = "; decode it first" if isinstance(value, (bytes, bytearray, memoryview)) else ""
        raise WrongValueError(label, f"must be a string, not {type(value).__name__}{hint}")
    if not value and not empty:
        raise WrongValueError(label, "must not be empty")
    reason = _text_fault(value)
    if reason is not None:
        raise WrongValueError(label, reason)
    return str.__str__(value)


def whole(value: Any, label: str, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as a plain `int`.

    Args:
        value: an `int`, or a whole number of numpy; no `bool`.
        label: the name of the argument in errors.
        least: the smallest number that is accepted; None for no limit.
        most: the largest number that is accepted; None for no limit.

    Raises:
        WrongValueError: not a whole number, or out of its limits.

    >>> whole(10, "top_k", 0)
    10
    """
    try:
        number = int(operator.index(value))
    except TypeError:
        raise WrongValueError(label, f"must be an integer, not {type(value).__name__}") from None
    if isinstance(value, bool):
        raise WrongValueError(label, "must be an integer, not bool")
    if least is not None and number < least:
        raise WrongValueError(label, f"must be {least} or more, not {_shown(number)}")
    if most is not None and number > most:
        raise WrongValueError(label, f"must be at most {most}, not {_shown(number)}")
    return number


def real(value: Any, label: str, least: float | None = None, most: float | None = None) -> float:
    """Return a finite number as a plain `float`.

    Args:
        value: an `int`, a `float`, or a real number of numpy; no `bool`.
        label: the name of the argument in errors.
        least: the smallest number that is accepted; None for no limit.
        most: the largest number that is accepted; None for no limit.

    Raises:
        WrongValueError: not a real number, not finite, or out of its limits.

    >>> real(1, "threshold")
    1.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise WrongValueError(label, f"must be a number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise WrongValueError(label, f"must be a finite number, not {number}")
    if least is not None and number < least:
        raise WrongValueError(label, f"must be {least:g} or more, not {number:g}")
    if most is not None and number > most:
        raise WrongValueError(label, f"must be at most {most:g}, not {number:g}")
    return number


def moment(value: Any, label: str) -> str:
    """Return a date and time as ISO 8601 text with its offset from UTC.

    Raises:
        WrongValueError: no `datetime`, or one without a time zone.

    >>> from datetime import timezone
    >>> moment(datetime(2026, 1, 1, tzinfo=timezone.utc), "since")
    '2026-01-01T00:00:00+00:00'
    """
    if not isinstance(value, datetime):
        raise WrongValueError(label, f"must be a datetime with a time zone, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise WrongValueError(label, "must have a time zone; pass tzinfo, such as timezone.utc")
    return value.isoformat()


def json_object(value: Any, label: str) -> dict[str, Any]:
    """Return a mapping as a new dictionary of plain JSON values.

    Tuples and arrays of numpy become lists, scalars of numpy become plain numbers, and members of a `StrEnum` or an
    `IntEnum` become text or a number. Every other value comes back from a server equal to what was sent.

    Args:
        value: a mapping with text as keys.
        label: the name of the argument in errors.

    Raises:
        WrongValueError: no mapping, or a value that JSON would change or does not know; `place` says where.

    >>> json_object({"year": 2024, "tags": ("a", "b")}, "payload")
    {'year': 2024, 'tags': ['a', 'b']}
    >>> json_object({"tags": [{1: "int", "1": "text"}]}, "payload")
    Traceback (most recent call last):
    wirekit.values.WrongValueError: payload.tags.0 has the key 1; keys must be text
    """
    if not isinstance(value, Mapping):
        raise WrongValueError(label, f"is {type(value).__name__}; pass a dictionary")
    plain: dict[str, Any] = json_value(value, label)
    return plain


def json_value(value: Any, label: str) -> Any:
    """Return any JSON value in plain form; see `json_object`.

    >>> json_value((1, 2.5, None), "value")
    [1, 2.5, None]
    """
    try:
        return _plain(value, 0)
    except _Fault as fault:
        raise WrongValueError(".".join((label, *reversed(fault.trail))), fault.reason) from None


class _Fault(Exception):
    """A fault on its way out of nested values: each level adds its key or position to the trail."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trail: list[str] = []


#: Whole numbers below this size need no count of their bits.
_SMALL: Final = 2**63

_TOO_DEEP: Final = f"contains itself, or is nested deeper than {MAX_DEPTH} levels"

#: Values that JSON has no form for, and what to pass instead; the first class that fits counts.
_ADVICE: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    ((bytes, bytearray, memoryview), "decode it to text, or encode it with base64"),
    ((datetime, date, time), "pass its isoformat()"),
    (timedelta, "pass its total_seconds()"),
    (Enum, "pass its value"),
    ((set, frozenset), "pass a list"),
    (complex, "pass two numbers"),
)


def _plain(value: Any, depth: int) -> Any:
    """Return a value in plain form; raises `_Fault`."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if value.isascii() else _checked_text(value)
    if kind is int:
        return value if -_SMALL < value < _SMALL else _checked_int(value)
    if kind is float:
        return value if math.isfinite(value) else _checked_float(value)
    if isinstance(value, Mapping):
        return _plain_object(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return _plain_list(cast("Sequence[Any]", value), depth + 1)
    return _converted(value, depth)


def _plain_object(mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise _Fault(_TOO_DEEP)
    plain: dict[str, Any] = {}
    for key, member in mapping.items():
        if type(key) is not str or not key.isascii():
            key = _checked_key(key)
        if type(member) is str and member.isascii():  # what most members are, without a call
            plain[key] = member
            continue
        try:
            plain[key] = _plain(member, depth)
        except _Fault as fault:
            fault.trail.append(key if len(key) <= _SHOWN_KEY else f"{key[:_SHOWN_KEY]}…")
            raise
    if len(plain) != len(mapping):
        raise _Fault("has a key twice")
    return plain


def _plain_list(items: Sequence[Any], depth: int) -> list[Any]:
    if depth > MAX_DEPTH:
        raise _Fault(_TOO_DEEP)
    plain: list[Any] = []
    for member in items:
        try:
            plain.append(_plain(member, depth))
        except _Fault as fault:  # noqa: PERF203 - costs nothing until there is a fault
            fault.trail.append(str(len(plain)))
            raise
    return plain


def _converted(value: Any, depth: int) -> Any:
    """Return the plain form of subclasses of plain types and of numbers and arrays of numpy and its kin."""
    if isinstance(value, str):
        return _checked_text(str.__str__(value))
    if isinstance(value, int):
        return _checked_int(int(value))
    if isinstance(value, float):
        return _checked_float(float(value))
    if type(value).__name__ == "Decimal":  # not looked up as a class: importing decimal is slow
        raise _Fault("is Decimal, which JSON does not have; pass it as text or as a float")
    for kinds, advice in _ADVICE:
        if isinstance(value, kinds):
            raise _Fault(f"is {type(value).__name__}, which JSON does not have; {advice}")
    if is_masked(value):
        raise _Fault("is a masked array, whose mask would be lost; pass its filled() or tolist()")
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.floating):
        return _checked_float(float(value))  # also of long doubles, whose `tolist` changes nothing
    listing = getattr(value, "tolist", None)
    if callable(listing) and not isinstance(value, type):
        if depth >= MAX_DEPTH:
            raise _Fault(_TOO_DEEP)
        plain = listing()
        if type(plain) is not type(value):
            # One level deeper, so that a class whose `tolist` returns more of its kind comes to an end.
            return _plain(plain, depth if isinstance(plain, list) else depth + 1)
    raise _Fault(f"is {type(value).__name__}; pass text, a number, a list or a dictionary")


def is_masked(value: Any) -> bool:
    """Return whether this is a masked array of numpy; its masked components would travel as numbers like any other.

    >>> is_masked([1.0])
    False
    """
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(value, (masked.MaskedArray, masked.core.MaskedConstant))


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise _Fault(f"has the key {_short(key)}; keys must be text")
    reason = _text_fault(key)
    if reason is not None:
        raise _Fault(f"has a key that {reason}")
    return str.__str__(key)


def _checked_text(value: str) -> str:
    reason = _text_fault(value)
    if reason is not None:
        raise _Fault(reason)
    return value


def _checked_int(value: int) -> int:
    if value.bit_length() > MAX_BITS:
        raise _Fault(f"is a whole number of {value.bit_length()} bits; at most {MAX_BITS} can be sent")
    return value


def _checked_float(value: float) -> float:
    if not math.isfinite(value):
        raise _Fault(f"is {value}; JSON has finite numbers only")
    return value


def _text_fault(value: str) -> str | None:
    """Return the fault of a text, None for nothing."""
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"is not Unicode text: character {error.start} is half a surrogate pair"
    return None


def _short(key: Any) -> str:
    """Return a key for an error: numbers and None as they are, of anything else the type."""
    if type(key) is int:
        return _shown(key)
    return repr(key) if key is None or type(key) in (bool, float) else f"of type {type(key).__name__}"


def _shown(number: int) -> str:
    return str(number) if number.bit_length() <= 128 else f"a number of {number.bit_length()} bits"
