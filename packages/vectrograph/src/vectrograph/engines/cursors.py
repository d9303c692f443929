"""Opaque positions: where a scroll or a reader of the log goes on, bound to what it was made for."""

import base64
import binascii
import hashlib
import json
from typing import Any, Final

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.json_form import to_dict
from vectrograph.domain.queries import ScrollRequest

# Bytes of the digest before a position. It tells cursors of other requests apart and is no signature.
_SEAL_BYTES: Final = 8


def scroll_scope(collection: str, request: ScrollRequest) -> str:
    """Return the scope of a scroll's cursor: the collection's own id, order and filter."""
    condition = None if request.filter is None else to_dict(request.filter)
    return json.dumps([collection, request.order.key, request.order.descending, condition], sort_keys=True)


def seal_position(collection: str, seq: int) -> str:
    """Return the position in the log of changes after a seq.

    >>> unseal_position("a", seal_position("a", 17))
    17
    """
    return seal(_log_scope(collection), seq)


def unseal_position(collection: str, text: str) -> int:
    """Return the seq in a position of the log of changes.

    Args:
        collection: its own id, which no other collection has, also not one of the same name.
        text: the position.

    Raises:
        InvalidArgument: it is the position of another collection, or none.
    """
    try:
        seq = unseal(_log_scope(collection), text, "since")
    except InvalidArgument as error:
        raise _foreign_position() from error
    if type(seq) is not int or seq < 0:
        raise _foreign_position()
    return seq


def _foreign_position() -> InvalidArgument:
    return InvalidArgument.of(
        "since",
        "is no position of this collection, or belongs to one of this name that was dropped; begin without a position",
    )


def _log_scope(collection: str) -> str:
    return json.dumps([collection, "changes"])


def seal(scope: str, key: str | int) -> str:
    """Return an opaque text for a key, which `unseal` gives back for the same scope only.

    >>> unseal("a", seal("a", 17), "cursor")
    17
    """
    body = json.dumps(key).encode("utf-8")
    return base64.urlsafe_b64encode(_digest(scope) + body).decode("ascii").rstrip("=")


def unseal(scope: str, text: str, field: str) -> Any:
    """Return the key in a text that `seal` made for this scope.

    Raises:
        InvalidArgument: the text is of another scope, or no text of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if raw[:_SEAL_BYTES] == _digest(scope):
            return json.loads(raw[_SEAL_BYTES:])
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument.of(field, "is not a valid cursor; begin without one") from error
    raise InvalidArgument.of(field, "belongs to another collection, order or filter; begin without a cursor")


def _digest(scope: str) -> bytes:
    return hashlib.blake2b(scope.encode("utf-8", "surrogatepass"), digest_size=_SEAL_BYTES).digest()
