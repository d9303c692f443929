"""From bytes and text to structs, with every complaint of the parser turned into one `{field, message, type}`."""

import re
from array import array
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.points import Vector

T = TypeVar("T", bound=msgspec.Struct)

_LOCATED = re.compile(r"(?P<what>.*) - at `(?P<where>.*)`", re.DOTALL)
_NAMED = re.compile(r"Object (?P<fault>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], body: bytes, budget: JsonBudget) -> T:
    """Return a request body as its struct.

    Raises:
        TooLarge: the struct would take more than the budget; nothing of it was built.
        InvalidArgument: not JSON (type `json_invalid`), a missing, unknown or wrongly typed field (`missing`,
            `extra_forbidden`, `type_error`). Names the field with a dotted path such as `tokens.0.text`, and the body
            itself as `body`.
    """
    if not body.strip():
        raise InvalidArgument.of("body", "the request has no body; send a JSON object", "missing")
    budget.require(body, "body")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _located(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument.of("body", f"not valid JSON: {error}", "json_invalid") from error
    except RecursionError as error:
        raise InvalidArgument.of("body", "the JSON is nested too deeply", "json_invalid") from error


def decode_query(kind: type[T], given: Mapping[str, str]) -> T:
    """Return a query string as its struct; parameters it does not know are ignored.

    Raises:
        InvalidArgument: a parameter is not of its type.
    """
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _located(str(error)) from error


def decode_id(field: str, text: str) -> int:
    """Return a whole number from a path.

    Raises:
        InvalidArgument: it is not written as one.

    >>> decode_id("token_id", "7")
    7
    """
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise InvalidArgument.of(field, "must be an integer", "type_error")
    return int(text)


def as_vector(values: list[float]) -> Vector:
    """Return numbers as float32, shape (n,). Those beyond its range become infinite, which the services refuse by
    position.

    >>> as_vector([1.0, 0.5]).dtype
    dtype('float32')
    """
    # In two steps: from a list numpy takes longer, and would warn of what becomes infinite.
    return np.array(array("f", values))


def _located(complaint: str) -> InvalidArgument:
    """Translate the text of a `msgspec.ValidationError`, the only place where it says which field is meant."""
    located = _LOCATED.fullmatch(complaint)
    what, where = (located["what"], located["where"]) if located else (complaint, "$")
    if named := _NAMED.fullmatch(what):
        field = _dotted(f"{where}.{named['name']}")
        if named["fault"] == "missing required":
            return InvalidArgument.of(field, "this field is required", "missing")
        return InvalidArgument.of(field, "unknown field", "extra_forbidden")
    kind = "value_error" if "length" in what or "range" in what else "type_error"
    return InvalidArgument.of(_dotted(where), _lowered(what), kind)


def _dotted(path: str) -> str:
    """Return the path of a field as clients read it; the whole body is called `body`.

    >>> _dotted("$.tokens[0].text"), _dotted("$.a[...]"), _dotted("$")
    ('tokens.0.text', 'a', 'body')
    """
    steps = path.removeprefix("$").replace("[...]", "").replace("[", ".").replace("]", "")
    return steps.lstrip(".") or "body"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
