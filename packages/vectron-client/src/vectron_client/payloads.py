"""Payloads between dictionaries of JSON values and their two forms on the wire. Pure.

The official wire form is a map from text to text. It carries payloads whose values are all text. As soon as one
value is not, the whole payload travels as JSON in an extension field besides, and the map carries the JSON text of
that value, so that a server without the extension loses no value, only its type.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from vectron_client._wirekit.values import json_object


def encode(payload: Mapping[str, Any] | None) -> tuple[Mapping[str, str], bytes]:
    """The map and the JSON of a payload; the JSON is empty when the map says it all.

    Raises:
        WrongValueError: not a mapping, a key that is not text, a value that JSON does not know or would change.

    >>> encode({"title": "first"})
    ({'title': 'first'}, b'')
    >>> encode({"title": "first", "year": 2024})
    ({'title': 'first', 'year': '2024'}, b'{"title":"first","year":2024}')
    """
    if payload is None:
        return {}, b""
    plain = json_object(payload, "payload")
    if all(isinstance(value, str) for value in plain.values()):
        return plain, b""
    texts = {key: value if isinstance(value, str) else _ENCODER.encode(value) for key, value in plain.items()}
    return texts, _ENCODER.encode(plain).encode()


def json_text(value: Any) -> str:
    """The JSON text of a value in plain form.

    >>> json_text({"gte": 0.5})
    '{"gte":0.5}'
    """
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def decode(texts: Mapping[str, str], whole: bytes) -> dict[str, Any]:
    """The payload from both forms; the JSON wins where it is present.

    Raises:
        ValueError: the JSON cannot be read or is not an object.

    >>> decode({"year": "2024"}, b'{"year":2024}')
    {'year': 2024}
    """
    if not whole:
        return dict(texts)
    payload: Any = json.loads(whole.decode())
    if not isinstance(payload, dict):
        raise ValueError(f"payload is {type(payload).__name__}; it must be a JSON object")
    return cast("dict[str, Any]", payload)
