"""A JSON document with its vectors beside it as plain float32: a request, an answer, or a piece of a stream.

A frame is, without gaps:

    4 bytes    `NGV1`
    4 bytes    length of the document in bytes
    4 bytes    number of rows
    4 bytes    components of each row
    …          the document: JSON in UTF-8, with blanks at its end so that the rows begin at a multiple of 4
    …          the rows: float32, one after the other

All numbers are unsigned and little-endian. Where the JSON of the same request or answer holds a vector, the document
holds the number of its row, counted from 0. No row is named twice; a row that nothing names is ignored. For those who
write clients, `docs/vectors.md` says this.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.points import Vector

VECTORS: Final = "application/vnd.neurograph.vectors"
"""The media type of frames."""

_MAGIC: Final = b"NGV1"
_HEADER: Final = struct.Struct("<4s3I")
# Rows begin at a multiple of the size of a float32.
_ALIGNMENT_BYTES: Final = 4
_NO_ROWS: Final[Vector] = np.empty((0, 0), np.float32)


class Rows:
    """The vectors of a request. Each can be taken once, so that a small body never stands for many large vectors.

    Args:
        matrix: float32, shape (rows, dimension).
    """

    def __init__(self, matrix: Vector = _NO_ROWS) -> None:
        self._matrix = matrix
        self._taken: set[int] = set()

    def take(self, number: int, field: str | Place) -> Vector:
        """Return one row, shape (dimension,).

        Raises:
            InvalidArgument: there is no such row, or it was taken before; `field` names who asks.
        """
        if not 0 <= number < len(self._matrix):
            raise InvalidArgument.of(field, f"refers to row {number} of {len(self._matrix)}", "out_of_range")
        if number in self._taken:
            raise InvalidArgument.of(
                field,
                f"refers to row {number}, which another field refers to as well; send the row twice",
                "value_error",
            )
        self._taken.add(number)
        row: Vector = self._matrix[number]
        return row

    def take_many(self, numbers: Sequence[int], field: str) -> Vector:
        """Return several rows as a matrix, shape (numbers, dimension), without a copy when they are all in their order.

        Raises:
            InvalidArgument: as `take`.
        """
        for position, number in enumerate(numbers):
            self.take(number, (field, position))
        in_order = len(numbers) == len(self._matrix) and all(map(int.__eq__, numbers, range(len(numbers))))
        matrix: Vector = self._matrix if in_order else self._matrix[list(numbers)]
        return matrix


def is_frame(content_type: str) -> bool:
    """Return whether a Content-Type header names frames.

    >>> is_frame("application/vnd.neurograph.vectors; x=1"), is_frame("application/json")
    (True, False)
    """
    return content_type.partition(";")[0].strip().lower() == VECTORS


def read_frame(body: bytes) -> tuple[bytes, Rows]:
    """Return the document of a frame and its rows, which share the memory of the body.

    Lengths are compared with what is there before anything is made of them.

    Raises:
        InvalidArgument: this is no frame, or not exactly one.

    >>> document, rows = read_frame(write_frame({"embedding": np.float32([1, 2])}))
    >>> document, rows.take(0, "embedding").tolist()
    (b'{"embedding":0} ', [1.0, 2.0])
    """
    if len(body) < _HEADER.size or not body.startswith(_MAGIC):
        raise _malformed("begins with the four bytes NGV1 and three lengths")
    _, length, count, dimension = _HEADER.unpack_from(body)
    start = _HEADER.size + length
    if start % _ALIGNMENT_BYTES:
        raise _malformed("has its rows at a multiple of 4; put blanks behind the document")
    if (count == 0) != (dimension == 0):
        raise _malformed("has rows of at least one component, or none")
    if start + 4 * count * dimension != len(body):
        announced = f"{length} bytes of document and {count} rows of {dimension}"
        raise _malformed(f"is as long as it says; {announced} are not {len(body)} bytes")
    matrix = np.frombuffer(body, "<f4", count * dimension, start).reshape(count, dimension)
    return body[_HEADER.size : start], Rows(matrix.astype(np.float32, copy=False))


def write_frame(document: Any) -> bytes:
    """Return a frame of a document that holds vectors as float32 arrays of one length.

    Raises:
        ValueError: the vectors are of different lengths.
    """
    rows: list[Vector] = []

    def row_number(value: Any) -> int:
        rows.append(np.ascontiguousarray(value, "<f4"))
        return len(rows) - 1

    text = msgspec.json.Encoder(enc_hook=row_number).encode(document)
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the vectors of one frame must be of one length")
    return _framed(text, rows)


def write_lines(page: Iterable[msgspec.Struct]) -> bytes:
    """Return a frame of what would be lines of NDJSON: its document is a list of them."""
    return write_frame(list(page))


def framed_text(text: bytes) -> bytes:
    """Return a frame of a document without vectors that is JSON text already.

    >>> framed_text(b"{}")
    b'NGV1\\x04\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00{}  '
    """
    return _framed(text, ())


def as_lists(value: Any) -> Any:
    """Return vectors for JSON: hook of an encoder.

    Raises:
        NotImplementedError: this is no vector.
    """
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"JSON has no {type(value).__name__}")


def _framed(text: bytes, rows: Sequence[Vector]) -> bytes:
    padding = b" " * (-len(text) % _ALIGNMENT_BYTES)
    header = _HEADER.pack(_MAGIC, len(text) + len(padding), len(rows), len(rows[0]) if rows else 0)
    return b"".join([header, text, padding, *(row.data for row in rows)])


def _malformed(rule: str) -> InvalidArgument:
    return InvalidArgument.of("body", f"is not a frame of {VECTORS}: a frame {rule}", "frame_invalid")
