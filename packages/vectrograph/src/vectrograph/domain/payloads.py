"""Payloads of points: JSON objects, kept as their compact UTF-8 text."""

import json
from collections.abc import Mapping
from typing import Any, Final

from vectrograph.domain.errors import InvalidArgument, TooLarge

MAX_DEPTH: Final = 64
"""Levels of lists and objects in a payload."""


def encode_payload(payload: Mapping[str, Any], where: str, max_bytes: int) -> bytes:
    """Return the compact JSON text of a payload, as UTF-8; `decode_payload` gives an equal payload back, tuples become
    lists.

    Raises:
        InvalidArgument: it is no JSON object, has NaN, infinities or half a surrogate pair, or is nested deeper than
            MAX_DEPTH; `where` is the field.
        TooLarge: its text is longer than `max_bytes`.

    >>> encode_payload({"genre": "drama", "years": (1994, 1995)}, "payload", 1000)
    b'{"genre":"drama","years":[1994,1995]}'
    """
    if not isinstance(payload, Mapping):
        raise InvalidArgument.of(where, "must be a JSON object", "dict_type")
    if not payload:
        return b"{}"
    try:
        encoded = json.dumps(dict(payload), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument.of(where, f"is not JSON: {error}") from error
    if len(encoded) > max_bytes:
        raise TooLarge(
            f"{where} is {len(encoded)} bytes of JSON and the limit is {max_bytes}; keep large things elsewhere.",
            details={"field": where, "limit": max_bytes, "unit": "bytes"},
        )
    # Brackets bound depth and number of objects, in strings or not: most payloads need no walk.
    objects = encoded.count(b"{")
    if objects > 1 or objects + encoded.count(b"[") > MAX_DEPTH or any(type(key) is not str for key in payload):
        _require_json(payload, where, 1)
    return encoded


def decode_payload(encoded: bytes) -> dict[str, Any]:
    """Return the payload of a text that `encode_payload` made.

    >>> decode_payload(b'{"a":[1,null]}')
    {'a': [1, None]}
    """
    payload: dict[str, Any] = json.loads(encoded)
    return payload


def _require_json(value: object, where: str, depth: int) -> None:
    """Refuse what json.dumps silently turns into something else: keys that are no strings; and too much depth."""
    if depth > MAX_DEPTH and isinstance(value, Mapping | list | tuple):
        raise InvalidArgument.of(where, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidArgument.of(where, f"has the key {key!r}, which is no string")
            _require_json(item, where, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_json(item, where, depth + 1)
