"""Counting a message's fields before it is parsed.

Protobuf makes an object of every element of a repeated field: an empty point is 2 bytes on the wire and 80 in memory,
so 64 MiB of them would take 2.5 GiB before any limit could be looked at.
"""

from typing import Final

from vectrograph.domain.errors import TooLarge
from vectrograph.domain.limits import Limits

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_FIXED: Final = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
# Fields that are not elements of a batch: names, limits, flags, and those of future versions.
_OTHERS: Final = 64


def max_fields(limits: Limits) -> int:
    """Return the most fields of a message within the limits: a full batch, or a vector's floats sent one by one."""
    return max(limits.max_batch, limits.max_dimension) + _OTHERS


def limit_fields(body: bytes, limit: int) -> None:
    """Accept a message with at most `limit` fields at its top level, well-formed or not.

    Raises:
        TooLarge: there are more.

    >>> limit_fields(b"\\x12\\x00" * 3, 3)
    """
    place, end = 0, len(body)
    if end <= limit:
        # A field takes a byte at least.
        return
    for _ in range(limit):
        if place >= end:
            return
        tag = body[place]
        if tag < 0x80:
            # Almost every tag is one byte.
            place += 1
        else:
            tag, place = _varint(body, place)
        kind = tag & 7
        if kind == _LENGTH:
            length, place = _varint(body, place)
            place += length
        elif kind == _VARINT:
            _, place = _varint(body, place)
        else:
            # Where a group begins or ends there is nothing but the tag; the fields within are counted like others.
            place += _FIXED.get(kind, 0)
    if place < end:
        raise TooLarge(
            f"the message holds more than {limit} fields; send fewer points at once",
            details={"limit": limit, "unit": "fields"},
        )


def _varint(body: bytes, place: int) -> tuple[int, int]:
    """Return the number at a place and where it ends; what is cut short reads as if zeros followed."""
    number = shift = 0
    for byte in body[place : place + 10]:
        number |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            break
        shift += 7
    return number, place
