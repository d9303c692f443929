"""Reading the JSON form of protocol buffers, version 3, into structs.

Field names in lowerCamelCase and as in the .proto file, null as the default, integers also as strings and as 1.0,
floats also as strings ("NaN", "Infinity"), enums as names and numbers, bytes in either base64; unknown fields are
passed over. https://protobuf.dev/programming-guides/json/
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from starlette.datastructures import QueryParams

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.limits import Limits
from vectrograph.services.limits.validation import validate_batch

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
UInt64 = Annotated[int, Meta(ge=0, description="A 64-bit integer, also as a string.")]
Int64 = Annotated[str, Meta(pattern="^-?[0-9]+$", description="A 64-bit integer, in JSON a string.")]
Base64 = Annotated[str, Meta(description="Bytes in base64.")]

S = TypeVar("S", bound=msgspec.Struct)
Reader: TypeAlias = Callable[[Any, str], Any]

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_DIGITS: Final = 40


def read_message(kind: type[S], body: bytes, limits: Limits) -> S:
    """Return a request body as its struct; an empty body is an empty message.

    Raises:
        TooLarge: a list has more than `max_batch` items, or the whole would take too much memory.
        InvalidArgument: it is not JSON, or a field is not of its type; names the field as the .proto file does.
    """
    if not body.strip():
        return kind()
    JsonBudget.of(limits).require(body, "body")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument.of("body", f"not valid JSON: {error}", "json_invalid") from error
    except RecursionError as error:
        raise InvalidArgument.of("body", "the JSON is nested too deeply", "json_invalid") from error
    if isinstance(document, dict):
        for key, value in document.items():
            # Reading an item takes longer than counting it. Vectors have a limit of their own.
            if isinstance(value, list) and key in _batches(kind):
                validate_batch(value, key, limits)
    return _read_struct(kind, document, "")


@cache
def _batches(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Both spellings of the fields that are lists of anything but numbers."""
    hints = get_type_hints(kind, include_extras=True)
    fields = [field for field in msgspec.structs.fields(kind) if get_origin(hints[field.name]) is list]
    lists = [field for field in fields if get_args(hints[field.name]) != (float,)]
    return frozenset(spelling for field in lists for spelling in (field.name, field.encode_name))


def read_query(kind: type[S], query: bytes) -> S:
    """The fields of a query string as a struct; of a field that is there twice the last counts.

    Raises:
        InvalidArgument: a field is not of its type.
    """
    return _read_struct(kind, dict(QueryParams(query)), "")


def read_bytes(value: Any, where: str) -> bytes:
    """A field of bytes, in the standard or the URL alphabet, with or without padding.

    Raises:
        InvalidArgument: it is not base64.

    >>> read_bytes("_w", "field")
    b'\\xff'
    """
    text = _read_string(value, where).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument.of(where, "must be base64", "type_error") from error


def _read_struct(kind: type[S], document: Any, where: str) -> S:
    if not isinstance(document, dict):
        raise InvalidArgument.of(where or "body", "must be a JSON object", "type_error")
    fields = _fields(kind)
    values: dict[str, Any] = {}
    for key, value in document.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        name, reader = field
        if name in values:
            raise InvalidArgument.of(where + name, "is given twice, in both spellings", "type_error")
        values[name] = reader(value, where + name)
    return kind(**values)


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, tuple[str, Reader]]:
    """Both spellings of each field to its attribute and reader."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, tuple[str, Reader]] = {}
    for field in msgspec.structs.fields(kind):
        entry = field.name, _reader(hints[field.name])
        found[field.name] = found[field.encode_name] = entry
    return found


def _reader(annotation: Any) -> Reader:
    if isinstance(annotation, UnionType):
        # A message within a message is None when it is not there.
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    for known, reader in _SCALARS:
        if annotation == known:
            return reader
    origin = get_origin(annotation)
    if origin is list:
        (item,) = get_args(annotation)
        return _read_floats if item is float else partial(_read_list, _reader(item))
    if origin is dict:
        value = get_args(annotation)[1]
        return _read_strings if value is str else partial(_read_map, _reader(value))
    if issubclass(annotation, Enum):
        return partial(_read_enum, annotation)
    return partial(_read_nested, annotation)


def _read_nested(kind: type[msgspec.Struct], value: Any, where: str) -> msgspec.Struct:
    return _read_struct(kind, value, f"{where}.")


def _read_list(reader: Reader, value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidArgument.of(where, "must be a list", "type_error")
    return [reader(item, f"{where}[{position}]") for position, item in enumerate(value)]


def _read_strings(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidArgument.of(where, "must be an object of strings", "type_error")
    for key, item in value.items():
        if not isinstance(item, str):
            raise InvalidArgument.of(f"{where}.{key}", "must be a string", "type_error")
    return value


def _read_map(reader: Reader, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument.of(where, "must be an object", "type_error")
    return {key: reader(item, f"{where}.{key}") for key, item in value.items()}


def _read_floats(value: Any, where: str) -> list[float]:
    if not isinstance(value, list):
        raise InvalidArgument.of(where, "must be a list of numbers", "type_error")
    if set(map(type, value)) <= {float}:
        return value
    return [_read_float(item, f"{where}[{position}]") for position, item in enumerate(value)]


def _read_float(value: Any, where: str) -> float:
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument.of(where, "must be a number", "type_error")
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidArgument.of(where, "is beyond the range of a float", "out_of_range") from error


def _read_integer(low: int, high: int, value: Any, where: str) -> int:
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument.of(where, "must be a whole number", "type_error")
    if not low <= value <= high:
        raise InvalidArgument.of(where, f"must be from {low} to {high}", "out_of_range")
    return value


def _number(text: str) -> int | float | None:
    """The number that a string spells as JSON does; None when it spells none."""
    if len(text) > _MAX_DIGITS or (found := _NUMBER.fullmatch(text)) is None:
        return None
    return int(text) if found[2] is None and found[3] is None else float(text)


def _read_string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument.of(where, "must be a string", "type_error")
    return value


def _read_bool(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument.of(where, "must be true or false", "type_error")
    return value


def _read_enum(kind: type[Enum], value: Any, where: str) -> Enum:
    members = list(kind)
    if isinstance(value, str):
        for member in members:
            if member.name == value:
                return member
    elif not isinstance(value, bool) and isinstance(value, int) and 0 <= value < len(members):
        return members[value]
    names = ", ".join(member.name for member in members)
    raise InvalidArgument.of(where, f"must be one of {names}", "enum")


def _read_base64(value: Any, where: str) -> str:
    return base64.b64encode(read_bytes(value, where)).decode()


_SCALARS: Final[tuple[tuple[Any, Reader], ...]] = (
    (str, _read_string),
    (bool, _read_bool),
    (float, _read_float),
    (Int32, partial(_read_integer, -(2**31), 2**31 - 1)),
    (UInt32, partial(_read_integer, 0, 2**32 - 1)),
    (UInt64, partial(_read_integer, 0, 2**64 - 1)),
    (Base64, _read_base64),
)
