"""Payloads between dictionaries of JSON values and their two forms on the wire. Pure.

The official wire form is a map from text to text. It carries payloads whose values are all text. As soon as one
value is not, the whole payload travels as JSON in an extension field. Servers without that field read the map alone,
so the map goes besides, with the JSON text of each value, until the server has told that it reads the field: then a
server without it loses no value, only its type, and no payload travels twice to one that has it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from vectron_client._wirekit.values import json_object


@dataclass(slots=True)
class ServerForms:
    """Facts about a server that its answers tell; one for each connection.

    Attributes:
        json_alone: whether it reads payloads as JSON, without the map.
    """

    json_alone: bool = False


def encode(payload: Mapping[str, Any] | None, forms: ServerForms | None = None) -> tuple[Mapping[str, str], bytes]:
    """Return the map and the JSON of a payload; the JSON is empty when the map says it all.

    Args:
        payload: what to send.
        forms: what is known about the server; the map is empty where it reads JSON alone.

    Raises:
        WrongValueError: not a mapping, a key that is not text, a value that JSON does not know or would change.

    >>> encode({"title": "first"})
    ({'title': 'first'}, b'')
    >>> encode({"title": "first", "year": 2024})
    ({'title': 'first', 'year': '2024'}, b'{"title":"first","year":2024}')
    >>> encode({"title": "first", "year": 2024}, ServerForms(json_alone=True))
    ({}, b'{"title":"first","year":2024}')
    """
    if payload is None:
        return {}, b""
    plain = json_object(payload, "payload")
    for value in plain.values():  # a loop is cheaper here than `all` with a generator
        if type(value) is not str:
            break
    else:
        return plain, b""
    if forms is not None and forms.json_alone:
        return {}, _ENCODER.encode(plain).encode()
    texts = {
        # `repr` writes whole numbers as JSON does, without the set-up of an encoder.
        key: value if isinstance(value, str) else repr(value) if type(value) is int else _ENCODER.encode(value)
        for key, value in plain.items()
    }
    return texts, _ENCODER.encode(plain).encode()


def json_text(value: Any) -> str:
    """Return the JSON text of a value in plain form.

    >>> json_text({"gte": 0.5})
    '{"gte":0.5}'
    """
    return _ENCODER.encode(value)


# Plain values are new ones, checked on the way, and never contain themselves.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def decode(texts: Mapping[str, str], whole: bytes) -> dict[str, Any]:
    """Return the payload from both forms; the JSON wins where it is present.

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
