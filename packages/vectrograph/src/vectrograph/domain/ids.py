"""Ids that a point may have."""

import re
from typing import Final

from vectrograph.domain.collections import IdKind
from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.points import MAX_SERIAL_ID

_DECIMAL: Final = re.compile(r"[1-9][0-9]{0,15}")


def encode_id(id: str, where: str | Place, max_bytes: int) -> bytes:
    """Return the UTF-8 bytes of an id.

    Raises:
        InvalidArgument: it is not a string, empty, longer than `max_bytes`, or not valid Unicode; `where` is the field.

    >>> encode_id("a", "id", 512)
    b'a'
    """
    if not isinstance(id, str):
        raise InvalidArgument.of(where, "must be a string", "string_type")
    try:
        encoded = id.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument.of(where, "is not valid Unicode: it has an unpaired surrogate") from error
    if not 1 <= len(encoded) <= max_bytes:
        raise InvalidArgument.of(where, f"is {len(encoded)} bytes of UTF-8 and must be from 1 to {max_bytes}")
    return encoded


def require_storable(id: str, kind: IdKind, where: str | Place) -> None:
    """Refuse an id that a collection cannot hold: a serial one takes canonical decimals from 1 to 2⁵³-1.

    Raises:
        InvalidArgument: it is none.

    >>> require_storable("17", IdKind.SERIAL, "id")
    """
    if kind is IdKind.SERIAL and not is_serial(id):
        raise InvalidArgument.of(
            where, f"must be a number from 1 to {MAX_SERIAL_ID}, in decimal without leading zeros, in this collection"
        )


def is_serial(id: str) -> bool:
    """Return whether an id is a canonical decimal from 1 to 2⁵³-1.

    >>> [is_serial(id) for id in ("7", "07", "0", "9007199254740992", "x")]
    [True, False, False, False, False]
    """
    return _DECIMAL.fullmatch(id) is not None and int(id) <= MAX_SERIAL_ID
