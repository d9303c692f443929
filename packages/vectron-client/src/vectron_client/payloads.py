"""Payloads between dictionaries of JSON values and their two forms on the wire. Pure.

The official wire form is a map from text to text. It carries payloads whose values are all text. As soon as one
value is not, the whole payload travels as JSON in an extension field besides, and the map carries the JSON text of
that value, so that a server without the extension loses no value, only its type.
"""

import json
from collections.abc import Mapping
from typing import Any


class PayloadError(ValueError):
    """The payload has no form on the wire; the message says which key is to blame and why."""


def encode(payload: Mapping[str, Any] | None) -> tuple[Mapping[str, str], bytes]:
    """The map and the JSON of a payload; the JSON is empty when the map says it all.

    Raises:
        PayloadError: not a mapping, a key that is not text, a value that JSON does not know.

    >>> encode({"title": "first"})
    ({'title': 'first'}, b'')
    >>> encode({"title": "first", "year": 2024})
    ({'title': 'first', 'year': '2024'}, b'{"title":"first","year":2024}')
    """
    if payload is None:
        return {}, b""
    if not isinstance(payload, Mapping):
        raise PayloadError(f"payload is {type(payload).__name__}; it must be a dictionary")
    plain = True
    for key, value in payload.items():
        if not isinstance(key, str):
            raise PayloadError(f"payload key {key!r} is {type(key).__name__}; keys must be text")
        plain = plain and isinstance(value, str)
    payload = dict(payload)
    return (payload, b"") if plain else _with_json(payload)


def _with_json(payload: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    texts = {key: value if isinstance(value, str) else _json(key, value) for key, value in payload.items()}
    try:
        whole = _ENCODER.encode(payload).encode()
    except UnicodeEncodeError as error:
        raise PayloadError(f"payload has text that is not Unicode: {error.reason}") from error
    except RecursionError as error:
        raise PayloadError("payload is nested too deeply") from error
    return texts, whole


def _json(key: str, value: Any) -> str:
    """The JSON text of one value; finds the key to blame."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"payload[{key!r}] is not JSON: {error}") from error


def json_text(value: Any) -> str:
    """The JSON text of a value; numbers and arrays of numpy become plain ones.

    Raises:
        TypeError, ValueError, RecursionError: JSON does not know it: NaN, a set, a cycle.

    >>> json_text({"gte": 0.5})
    '{"gte":0.5}'
    """
    return _ENCODER.encode(value)


def _plain(value: Any) -> Any:
    """What JSON knows instead of a numpy scalar or array, which have `tolist`."""
    convert = getattr(value, "tolist", None)
    if not callable(convert):
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return convert()


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def decode(texts: Mapping[str, str], whole: bytes) -> dict[str, Any]:
    """The payload from both forms; the JSON wins where it is present.

    Raises:
        ValueError: the JSON cannot be read or is not an object.

    >>> decode({"year": "2024"}, b'{"year":2024}')
    {'year': 2024}
    """
    if not whole:
        return dict(texts)
    payload = json.loads(whole.decode())
    if not isinstance(payload, dict):
        raise ValueError(f"payload is {type(payload).__name__}; it must be a JSON object")
    return payload
