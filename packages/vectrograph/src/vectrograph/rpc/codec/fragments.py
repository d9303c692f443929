"""Points and hits as pieces of messages, written byte by byte: an answer is their concatenation.

A message object for each hit, with setters for its fields, takes several times as long. The rules of the encoding:
https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from vectrograph.domain.points import Payload, Point, Vector
from vectrograph.domain.queries import Hit

_FLOAT: Final = np.dtype("<f4")
_pack_float: Final = struct.Struct("<f").pack
_SHORT: Final = tuple(bytes([number]) for number in range(128))

# Field numbers of vectron.v1, shifted, with the wire type: 2 for what has a length, 5 for 32 bits.
_ID: Final = b"\x0a"
_HIT_SCORE: Final = b"\x15"
_PAYLOAD: Final = b"\x1a"
_HIT_VECTOR: Final = b"\x22"
_POINT_VECTOR: Final = b"\x12"
_PAYLOAD_JSON: Final = b"\xa2\x06"
_HIT_DISTANCE: Final = b"\xad\x06"
_UPSERTED: Final = b"\x08"
_JSON_PAYLOAD_READ: Final = b"\xa0\x06\x01"
_KEY: Final = b"\x0a"
_VALUE: Final = b"\x12"
_FIRST: Final = b"\x0a"


def varint(number: int) -> bytes:
    """Return a number in base 128, least significant group first.

    >>> varint(300)
    b'\\xac\\x02'
    """
    if number < 128:
        return _SHORT[number]
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


# The longest id of a hit whose length is one byte: tag and length of the id, tag and four bytes of the score.
_SHORT_ID: Final = 127 - 2 - 5
# The beginning of a hit in a response that has an id of so many bytes, a score and no more.
_BARE_HIT: Final = tuple(_FIRST + bytes([2 + size + 5]) + _ID + bytes([size]) for size in range(_SHORT_ID + 1))


def encode_hits(hits: Sequence[Hit], *, json_payload: bool = False) -> bytes:
    """Return a SearchResponse with the parts of each point that are there; `json_payload` leaves out the map of
    strings.
    """
    pieces = []
    for hit in hits:
        point = hit.point
        name = point.id.encode()
        size = len(name)
        if point.payload or point.vector is not None or hit.distance is not None or size > _SHORT_ID:
            pieces.append(repeated(hit_fragment(hit, json_payload=json_payload)))
        else:
            # Most searches are for ids and scores, and a call for each field would take as long as all the rest.
            pieces += _BARE_HIT[size], name, _HIT_SCORE, _pack_float(hit.score)
    return b"".join(pieces)


def encode_upserted(count: int, *, json_payload: bool) -> bytes:
    """Encode an UpsertResponse.

    >>> encode_upserted(2, json_payload=False)
    b'\\x08\\x02'
    """
    encoded = _UPSERTED + varint(count) if count else b""
    return encoded + _JSON_PAYLOAD_READ if json_payload else encoded


def repeated(encoded: bytes) -> bytes:
    """Return one element of a repeated field of messages, field 1 of its message."""
    return _FIRST + varint(len(encoded)) + encoded


def hit_fragment(hit: Hit, *, json_payload: bool = False) -> bytes:
    """Return a SearchResult with the parts of its point that are there."""
    point = hit.point
    name = point.id.encode()
    encoded = _ID + varint(len(name)) + name + _HIT_SCORE + _pack_float(hit.score)
    if hit.distance is not None:
        encoded += _HIT_DISTANCE + _pack_float(hit.distance)
    if point.vector is not None:
        encoded += _vector(_HIT_VECTOR, point.vector)
    return encoded + _payload(point.payload, json_payload) if point.payload else encoded


def point_fragment(point: Point, *, json_payload: bool = False) -> bytes:
    """Return a Point with those of its parts that are there."""
    name = point.id.encode()
    encoded = _ID + varint(len(name)) + name
    if point.vector is not None:
        encoded += _vector(_POINT_VECTOR, point.vector)
    return encoded + _payload(point.payload, json_payload) if point.payload else encoded


def _vector(tag: bytes, vector: Vector) -> bytes:
    floats = np.ascontiguousarray(vector, _FLOAT).tobytes()
    return tag + varint(len(floats)) + floats


def _payload(payload: Payload, json_payload: bool) -> bytes:
    """Return strings as they are, other values as their JSON text, and the whole as JSON when there are any."""
    if json_payload:
        whole = _json(payload)
        return _PAYLOAD_JSON + varint(len(whole)) + whole
    parts = []
    plain = True
    for key, value in payload.items():
        if not isinstance(value, str):
            plain = False
        parts.append(_entry(key, value))
    if not plain:
        whole = _json(payload)
        parts.append(_PAYLOAD_JSON + varint(len(whole)) + whole)
    return b"".join(parts)


def _entry(key: str, value: Any) -> bytes:
    name = key.encode()
    text = value.encode() if isinstance(value, str) else _json(value)
    entry = _KEY + varint(len(name)) + name + _VALUE + varint(len(text)) + text
    return _PAYLOAD + varint(len(entry)) + entry


_encoder: Final = msgspec.json.Encoder()


def _json(value: Mapping[str, Any] | Any) -> bytes:
    return _encoder.encode(value)
