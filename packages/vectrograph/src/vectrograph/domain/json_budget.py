"""Counting what a JSON text would become before it is parsed.

A parser makes an object of every list, object, text and number: `[]` is 3 bytes of text and 64 in memory, so 64 MiB of
them would take gigabytes and minutes before any limit could be looked at.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from vectrograph.domain.errors import Place, TooLarge
from vectrograph.domain.limits import Limits

# Texts, lists and objects for each point of a full batch: a payload of 60 names and texts, with room to spare. Two
# million take up to 250 MB and half a second.
_OBJECTS_PER_ITEM: Final = 200
# Bytes of the largest body for each value of any kind. A component of a vector is 8 to 20 bytes of text and 32 in
# memory; shorter ones are rare and take up to four times the body.
_BYTES_PER_VALUE: Final = 8
# Values that are accepted however small the limits are: a million, some tens of MiB in memory.
_MIN_VALUES: Final = 1 << 20
# Bytes looked at in one go: half of a processor's second cache.
_CHUNK_BYTES: Final = 1 << 18
_QUOTE, _COMMA, _COLON, _BACKSLASH, _BRACE = b'",:\\{'
# Brackets differ from braces in this bit alone.
_BRACE_BIT: Final = 0x20


class JsonBudget:
    """Budget for all JSON texts of one request together.

    Args:
        objects: most texts, lists and objects, names of fields included.
        values: most of these and numbers, truths and nulls.
    """

    def __init__(self, objects: int, values: int) -> None:
        self._objects = objects
        self._values = values
        self._pending: list[bytes] = []
        self._bytes = self._pending_bytes = self._used_objects = self._used_values = 0

    @classmethod
    def of(cls, limits: Limits) -> "JsonBudget":
        """Return room for a full batch, or the largest payload, and for the vectors of the largest body.

        >>> budget = JsonBudget.of(Limits())
        >>> budget.require(b'{"tokens":[{},{}]}', "body")
        """
        objects = max(_OBJECTS_PER_ITEM * limits.max_batch, limits.max_payload_bytes // 2)
        return cls(objects, max(limits.max_body_bytes // _BYTES_PER_VALUE, objects, _MIN_VALUES))

    def require(self, text: bytes | str, field: str | Place) -> None:
        """Accept a text that does not exceed what is left, well-formed or not.

        Raises:
            TooLarge: it holds too much; nothing was built of it.
        """
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        self._bytes += len(data)
        # Whatever is built takes two bytes of text at least: small texts are not looked at.
        if self._used_objects + (self._pending_bytes + len(data)) // 2 < self._objects:
            self._pending.append(data)
            self._pending_bytes += len(data)
            return
        for one in (*self._pending, data):
            self._used_objects += self._least_objects(one)
        self._pending.clear()
        self._pending_bytes = 0
        if self._used_objects > self._objects:
            raise _too_much(field, self._objects, "texts, lists and objects")
        if self._bytes // 2 > self._values:
            # What came before is not counted: it held no more than the limit either.
            self._used_values += count_json(data)[1]
            if self._used_values > self._values:
                raise _too_much(field, self._values, "values")

    def require_all(self, texts: Sequence[bytes], place: Callable[[int], Place]) -> None:
        """Accept many texts; `place` is that of the n-th.

        Raises:
            TooLarge: together they hold too much; nothing was built of them.
        """
        # Most are small together, and need not be looked at one by one.
        size = sum(map(len, texts))
        if self._used_objects + (self._pending_bytes + size) // 2 < self._objects:
            self._pending.extend(texts)
            self._pending_bytes += size
            self._bytes += size
            return
        for position, text in enumerate(texts):
            self.require(text, place(position))

    def _least_objects(self, data: bytes) -> int:
        """Count marks in all of a text, and more exactly only where these are too many: texts may hold marks too."""
        left = self._objects - self._used_objects
        # Where many texts are added up, each must be counted well.
        lone = not self._used_objects and not self._pending
        roughly = _count_at_most(data, left if lone else 0)
        return roughly if roughly <= left else count_json(data)[0]


def count_json(data: bytes) -> tuple[int, int]:
    """Count the texts, lists and objects of a JSON text, and its values with the names of fields.

    Of malformed JSON it counts at least what a parser builds before it stops.

    >>> count_json(b'{"a":[1,2,"x,[\\\\"y"]}')
    (4, 6)
    """
    objects, values, place, within = 0, 1, 0, False
    while place < len(data):
        end = place + _CHUNK_BYTES
        # A piece must not end within an escape: leave an odd backslash to the next.
        while end < len(data) and data[end - 1] == _BACKSLASH:
            end += 1
        piece = data[place:end].replace(b"\\\\", b"").replace(b'\\"', b"")
        place = end
        parts = piece.split(b'"')
        outside = np.frombuffer(b"".join(parts[1 if within else 0 :: 2]), np.uint8)
        quotes = len(parts) - 1
        containers = int(np.count_nonzero((outside | _BRACE_BIT) == _BRACE))
        # A text begins at every other quote.
        objects += containers + (quotes + (not within)) // 2
        values += containers + int(np.count_nonzero(outside == _COMMA)) + int(np.count_nonzero(outside == _COLON))
        within ^= bool(quotes % 2)
    return objects, values


def _count_at_most(data: bytes, enough: int) -> int:
    """Return a number that texts, lists and objects do not exceed: the first that is not more than enough, or the best.

    A text takes three bytes with what divides it from the next, so that quotes need not always be counted.
    """
    containers = 0
    whole = np.frombuffer(data, np.uint8)
    pieces = [whole[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
    for piece in pieces:
        containers += int(np.count_nonzero((piece | _BRACE_BIT) == _BRACE))
    if containers + len(data) // 3 + 1 <= enough:
        return containers + len(data) // 3 + 1
    quotes = sum(int(np.count_nonzero(piece == _QUOTE)) for piece in pieces)
    return containers + (quotes + 1) // 2


def _too_much(field: str | Place, limit: int, unit: str) -> TooLarge:
    return TooLarge.of(field, f"holds more than {limit} {unit}; send several smaller requests.", limit, unit)
