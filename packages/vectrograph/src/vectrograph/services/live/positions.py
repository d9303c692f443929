"""Positions: signed, opaque texts that say where a reader is in each log that it reads."""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from vectrograph.domain.errors import InvalidArgument

_VERSION: Final = b"\x01"
# Bytes of the signature. Chosen: 96 bits, as TLS has for short messages; a guess is checked by this server only.
_MAC_BYTES: Final = 12
# Bytes that stand for the name of a channel, so that a position stays short. It tells the channels of one stream apart.
_NAME_BYTES: Final = 8
_NUMBER: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">H")
# Longest position that is looked at, in characters. Generous: 64 channels have some 4,000.
_MAX_CHARACTERS: Final = 32_768


class Cursor(NamedTuple):
    """A place in a log of changes: after the change `seq`.

    Attributes:
        position: of the engine, at or before this place; None for the beginning of the log.
        seq: changes up to this one are before the place, whatever the engine reads from `position`.
    """

    position: str | None
    seq: int


class Positions:
    """Seals and opens positions.

    A position of another tenant, and one that was changed, is not accepted. One of a collection that was dropped is
    for the engine to refuse.

    Args:
        keys: secret; the first one seals, all of them open.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [key[:64] for key in keys]

    def seal(self, tenant: str, cursors: Mapping[str, Cursor]) -> str:
        """Return the position of a reader of these channels.

        >>> positions = Positions([b"secret"])
        >>> positions.open("a", positions.seal("a", {"tokens": Cursor("x", 7)}), ["tokens", "collection:b"])
        {'tokens': Cursor(position='x', seq=7)}
        """
        items = list(cursors.items())
        if not items:
            return self.sealer(tenant, {}, "", None)(0)
        (name, last), others = items[-1], dict(items[:-1])
        return self.sealer(tenant, others, name, last.position)(last.seq)

    def sealer(self, tenant: str, others: Mapping[str, Cursor], channel: str, position: str | None) -> "Sealer":
        """Return a function from numbers of changes in a channel to positions; `others` stay where they are."""
        body = _VERSION + b"".join(_entry(*item) for item in others.items())
        if channel:
            body += _opening(channel, position)
        state = hashlib.blake2b(_tenant(tenant) + body, digest_size=_MAC_BYTES, key=self._keys[0])
        return Sealer(body, state, is_empty=not channel)

    def open(self, tenant: str, text: str, channels: Sequence[str], field: str = "since") -> dict[str, Cursor]:
        """Return where a reader was in those of these channels that the position names.

        Raises:
            InvalidArgument: it is no position of this server and tenant.
        """
        raw = _decoded(text)
        if raw is None or not any(self._is_ours(key, tenant, raw) for key in self._keys):
            raise InvalidArgument.of(
                field, "is no position that this server gave you; use the id of an event, oldest, or nothing"
            )
        found = dict(_entries(raw[_MAC_BYTES + len(_VERSION) :]))
        wanted = {_name(channel): channel for channel in channels}
        return {wanted[name]: cursor for name, cursor in found.items() if name in wanted}

    @staticmethod
    def _is_ours(key: bytes, tenant: str, raw: bytes) -> bool:
        expected = hashlib.blake2b(_tenant(tenant) + raw[_MAC_BYTES:], digest_size=_MAC_BYTES, key=key).digest()
        return hmac.compare_digest(expected, raw[:_MAC_BYTES])


class Sealer:
    """Seals positions that differ in the number of a change only: one hash of eight bytes for each."""

    __slots__ = ("_body", "_is_empty", "_state")

    def __init__(self, body: bytes, state: "hashlib.blake2b", *, is_empty: bool) -> None:
        self._body = body
        self._state = state
        self._is_empty = is_empty

    def __call__(self, seq: int) -> str:
        """Return the position after a change."""
        number = b"" if self._is_empty else _NUMBER.pack(seq)
        state = self._state.copy()
        state.update(number)
        return base64.urlsafe_b64encode(state.digest() + self._body + number).rstrip(b"=").decode("ascii")


def _tenant(tenant: str) -> bytes:
    encoded = tenant.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(encoded)) + encoded


@lru_cache(maxsize=4096)
def _name(channel: str) -> bytes:
    return hashlib.blake2b(channel.encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).digest()


def _opening(channel: str, position: str | None) -> bytes:
    place = b"" if position is None else position.encode("ascii")
    return _name(channel) + _LENGTH.pack(len(place)) + place


def _entry(channel: str, cursor: Cursor) -> bytes:
    return _opening(channel, cursor.position) + _NUMBER.pack(cursor.seq)


def _entries(body: bytes) -> list[tuple[bytes, Cursor]]:
    """Take apart what was sealed here."""
    entries: list[tuple[bytes, Cursor]] = []
    at = 0
    while at < len(body):
        name, at = body[at : at + _NAME_BYTES], at + _NAME_BYTES
        size, at = _LENGTH.unpack_from(body, at)[0], at + _LENGTH.size
        place, at = body[at : at + size].decode("ascii"), at + size
        seq, at = _NUMBER.unpack_from(body, at)[0], at + _NUMBER.size
        entries.append((name, Cursor(place or None, seq)))
    return entries


def _decoded(text: str) -> bytes | None:
    if len(text) > _MAX_CHARACTERS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) > _MAC_BYTES and raw[_MAC_BYTES : _MAC_BYTES + len(_VERSION)] == _VERSION else None
