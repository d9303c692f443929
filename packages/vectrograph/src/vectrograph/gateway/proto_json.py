"""Reading structs from the JSON form of protocol buffers, version 3, and writing them.

Field names in lowerCamelCase and as in the .proto file, null as the default, integers also as strings and as 1.0,
floats also as strings ("NaN", "Infinity"), enums as names and numbers, bytes in either base64; unknown fields are
passed over. Every field of an answer is written, 64-bit integers as strings; only unset extensions are left out.
https://protobuf.dev/programming-guides/json/
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType
from starlette.datastructures import QueryParams

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.limits import Limits
from vectrograph.services.limits.validation import validate_batch
from vectrograph.vectron.fields import Scalar

S = TypeVar("S", bound=msgspec.Struct)
Reader: TypeAlias = Callable[[Any, str], Any]
Writer: TypeAlias = Callable[[Any], Any]

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BOOLEANS: Final = {"true": True, "false": False}
# Longest text that is read as a number. Generous: the shortest text of any double has 24 characters at most.
_MAX_NUMBER_CHARACTERS: Final = 40


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
    """Return both spellings of the fields that are lists of anything but numbers."""
    hints = get_type_hints(kind, include_extras=True)
    bare = [(field, _bare(hints[field.name])[0]) for field in msgspec.structs.fields(kind)]
    lists = [field for field, hint in bare if get_origin(hint) is list and get_args(hint) != (float,)]
    return frozenset(spelling for field in lists for spelling in (field.name, field.encode_name))


def read_query(kind: type[S], query: bytes) -> S:
    """Return the fields of a query string as a struct; of a field that is there twice the last counts.

    Raises:
        InvalidArgument: a field is not of its type.
    """
    document: dict[str, Any] = dict(QueryParams(query))
    for key, (_, reader) in _fields(kind).items():
        if reader is _read_bool and document.get(key) in _BOOLEANS:
            document[key] = _BOOLEANS[document[key]]
    return _read_struct(kind, document, "")


def read_bytes(value: Any, where: str) -> bytes:
    """Return a field of bytes, in the standard or the URL alphabet, with or without padding.

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
    """Return both spellings of each field to its attribute and reader."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, tuple[str, Reader]] = {}
    for field in msgspec.structs.fields(kind):
        entry = field.name, _reader(hints[field.name])
        found[field.name] = found[field.encode_name] = entry
    return found


def _reader(annotation: Any) -> Reader:
    kind, scalar = _bare(annotation)
    if scalar is not None:
        return _READERS[scalar]
    origin = get_origin(kind)
    if origin is list:
        (item,) = get_args(kind)
        return _read_floats if item is float else partial(_read_list, _reader(item))
    if origin is dict:
        value = get_args(kind)[1]
        return _read_strings if value is str else partial(_read_map, _reader(value))
    if kind in _READERS:
        return _READERS[kind]
    return partial(_read_enum if issubclass(kind, Enum) else _read_nested, kind)


def _bare(annotation: Any) -> tuple[Any, Scalar | None]:
    """Return the type of a field without its description, None and UNSET; and its scalar type, where it has one."""
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        # A message within a message is None, and an extension of an answer UNSET, when it is not there.
        kinds = [kind for kind in get_args(annotation) if kind not in (type(None), UnsetType)]
        if len(kinds) > 1:
            return annotation, None
        annotation = kinds[0]
    if get_origin(annotation) is not Annotated:
        return annotation, None
    kind, *notes = get_args(annotation)
    return kind, next((note for note in notes if isinstance(note, Scalar)), None)


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
        raise InvalidArgument.of(where, "must be an integer", "type_error")
    if not low <= value <= high:
        raise InvalidArgument.of(where, f"must be from {low} to {high}", "out_of_range")
    return value


def _number(text: str) -> int | float | None:
    """Return the number that a string spells as JSON does; None when it spells none."""
    if len(text) > _MAX_NUMBER_CHARACTERS or (found := _NUMBER.fullmatch(text)) is None:
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


def _read_enum(kind: type[Enum], value: Any, where: str) -> Enum | int:
    """Return a member; or a number that no member has, which is the operation's to refuse, as over gRPC."""
    members = list(kind)
    if isinstance(value, str):
        for member in members:
            if member.name == value:
                return member
    elif not isinstance(value, bool) and isinstance(value, int):
        if not 0 <= value < len(members):
            return _read_integer(-(2**31), 2**31 - 1, value, where)
        return members[value]
    names = ", ".join(member.name for member in members)
    raise InvalidArgument.of(where, f"must be one of {names}", "enum")


_READERS: Final[Mapping[Any, Reader]] = {
    str: _read_string,
    bool: _read_bool,
    float: _read_float,
    Scalar.INT32: partial(_read_integer, -(2**31), 2**31 - 1),
    Scalar.UINT32: partial(_read_integer, 0, 2**32 - 1),
    Scalar.UINT64: partial(_read_integer, 0, 2**64 - 1),
    Scalar.BYTES: read_bytes,
}


def write_message(message: msgspec.Struct) -> bytes:
    """Return the JSON of an answer.

    >>> from vectrograph.vectron._messages.vectrograph import CountResponse
    >>> write_message(CountResponse(count=7))
    b'{"count":"7"}'
    """
    writer = _struct_writer(type(message))
    return msgspec.json.encode(message if writer is None else writer(message))


def _writer(annotation: Any) -> Writer | None:
    """Return how values of a type are written; None where msgspec writes them as they are."""
    kind, scalar = _bare(annotation)
    if scalar in (Scalar.INT64, Scalar.UINT64):
        return str
    if get_origin(kind) is list:
        item = _writer(get_args(kind)[0])
        return None if item is None else partial(_write_list, item)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_writer(kind)
    return None


@cache
def _struct_writer(kind: type[msgspec.Struct]) -> Writer | None:
    hints = get_type_hints(kind, include_extras=True)
    fields = tuple(
        (field.name, field.encode_name, _writer(hints[field.name])) for field in msgspec.structs.fields(kind)
    )
    return None if all(writer is None for _, _, writer in fields) else partial(_write_struct, fields)


def _write_list(writer: Writer, values: list[Any]) -> list[Any]:
    return [writer(value) for value in values]


def _write_struct(fields: tuple[tuple[str, str, Writer | None], ...], message: msgspec.Struct) -> dict[str, Any]:
    return {
        key: value if writer is None else writer(value)
        for name, key, writer in fields
        if (value := getattr(message, name)) is not UNSET
    }
