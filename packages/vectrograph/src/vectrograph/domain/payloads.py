"""Payloads of points: JSON objects, kept as their compact UTF-8 text."""

import json
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Final, TypeAlias

from vectrograph.domain.errors import InvalidArgument, Place, TooLarge

MAX_DEPTH: Final = 64
"""Levels of lists and objects in a payload."""

_SCALARS: Final = frozenset([str, int, float, bool, NoneType])
_PLAIN: Final = _SCALARS | {list}
_NAMES: Final = {str}
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


QuickEncoder: TypeAlias = Callable[[Any], bytes]
"""Writes compact JSON quickly, and may take more than JSON has: dates, bytes, numbers as keys, null for NaN."""


def encode_payload(
    payload: Mapping[str, Any], where: str | Place, max_bytes: int, quick: QuickEncoder | None = None
) -> bytes:
    """Return the compact JSON text of a payload, as UTF-8; `decode_payload` gives an equal payload back, tuples become
    lists.

    Args:
        payload: any JSON object.
        where: the field, for an error.
        max_bytes: limit of the text.
        quick: used for what it writes as JSON has it.

    Raises:
        InvalidArgument: it is no JSON object, has NaN, infinities or half a surrogate pair, or is nested deeper than
            MAX_DEPTH; `where` is the field.
        TooLarge: its text is longer than `max_bytes`.

    >>> encode_payload({"genre": "drama", "years": (1994, 1995)}, "payload", 1000)
    b'{"genre":"drama","years":[1994,1995]}'
    """
    plain = _encode_plain(payload, quick) if quick is not None and type(payload) is dict else None
    if plain is not None and len(plain) <= max_bytes:
        return plain
    if not isinstance(payload, Mapping):
        raise InvalidArgument.of(where, "must be a JSON object", "dict_type")
    if not payload:
        return b"{}"
    try:
        encoded = _encode(dict(payload)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument.of(where, f"is not JSON: {error}") from error
    if len(encoded) > max_bytes:
        raise TooLarge.of(
            where,
            f"is {len(encoded)} bytes of JSON and the limit max_payload_bytes is {max_bytes}; "
            "store large data elsewhere and keep a reference.",
            max_bytes,
            "bytes",
        )
    # Brackets bound depth and number of objects, in strings or not: most payloads need no walk.
    objects = encoded.count(b"{")
    if objects > 1 or objects + encoded.count(b"[") > MAX_DEPTH or {*map(type, payload)} != _NAMES:
        _require_json(payload, where, 1)
    return encoded


def _encode_plain(payload: dict[str, Any], quick: QuickEncoder) -> bytes | None:
    """Return the text of scalars and lists of scalars; None where that takes a closer look."""
    values = payload.values()
    kinds = {*map(type, values)}
    if not kinds <= _PLAIN or not _NAMES.issuperset(map(type, payload)):
        return None
    if list in kinds:
        kinds.remove(list)
        for value in values:
            if type(value) is list:
                kinds.update(map(type, value))
        if not kinds <= _SCALARS:
            return None
    try:
        encoded = quick(payload)
    except (OverflowError, ValueError):
        # An integer beyond 64 bits, or half a surrogate pair.
        return None
    return None if float in kinds and b"null" in encoded else encoded


def decode_payload(encoded: bytes) -> dict[str, Any]:
    """Return the payload of a text that `encode_payload` made.

    >>> decode_payload(b'{"a":[1,null]}')
    {'a': [1, None]}
    """
    payload: dict[str, Any] = json.loads(encoded)
    return payload


def _require_json(value: object, where: str | Place, depth: int) -> None:
    """Refuse what json.dumps silently turns into something else: keys that are no strings; and too much depth."""
    if depth > MAX_DEPTH and isinstance(value, Mapping | list | tuple):
        raise InvalidArgument.of(where, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidArgument.of(where, f"has the key {key!r}, which is not a string")
            _require_json(item, where, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_json(item, where, depth + 1)
