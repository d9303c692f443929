"""Vector frames: a JSON document with its vectors beside it as plain float32, as `docs/vectors.md` describes them."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

VECTORS = "application/vnd.neurograph.vectors"
"""The media type of frames."""

ACCEPT = f"{VECTORS}, application/json;q=0.9"
"""Value of `Accept` for answers with vectors; a server that does not know frames answers in JSON."""

_MAGIC = b"NGV1"
_HEADER = struct.Struct("<4s3I")


class Rows:
    """The vectors of a frame, float32 in little-endian, a copy each."""

    def __init__(self, body: bytes = b"", start: int = 0, count: int = 0, dimension: int = 0) -> None:
        self._body = body
        self._start = start
        self._size = 4 * dimension
        self._count = count

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < self._count:
            raise IndexError(number)
        begin = self._start + number * self._size
        return self._body[begin : begin + self._size]

    def block(self, numbers: Iterable[int]) -> bytes:
        """Return several rows, one after the other.

        Raises:
            IndexError: there is no such row.
        """
        wanted = list(numbers)
        if wanted == list(range(self._count)):
            return self._body[self._start :]
        return b"".join(self[number] for number in wanted)


def is_frame(content_type: str) -> bool:
    """Return whether a Content-Type header names frames."""
    return content_type.partition(";")[0].strip().lower() == VECTORS


def write_frame(document: bytes, rows: "Sequence[bytes] | memoryview") -> bytes:
    """Return a frame of JSON text and rows of one length, float32 in little-endian: bytes each, or a matrix in one
    piece.

    >>> write_frame(b"{}", [b"....", b"...."])
    b'NGV1\\x04\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x01\\x00\\x00\\x00{}  ........'
    """
    padding = b" " * (-len(document) % 4)
    if isinstance(rows, memoryview):
        count, dimension = rows.shape or (0, 0)
        parts: Sequence[Any] = [rows]
    else:
        count, dimension, parts = len(rows), len(rows[0]) // 4 if rows else 0, rows
    header = _HEADER.pack(_MAGIC, len(document) + len(padding), count, dimension)
    return b"".join([header, document, padding, *parts])


def read_frame(body: bytes) -> tuple[bytes, Rows]:
    """Return the document of a frame, and its rows.

    Raises:
        ValueError: this is no frame, or not exactly one.
    """
    size = _size(body)
    if size is None or size != len(body):
        raise ValueError(f"a vector frame of {size} bytes was announced, but {len(body)} bytes arrived")
    _, length, count, dimension = _HEADER.unpack_from(body)
    start = _HEADER.size + length
    return body[_HEADER.size : start], Rows(body, start, count, dimension)


class FrameSplitter:
    """Cuts a stream of frames into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the frames that this chunk completes.

        Raises:
            ValueError: the stream does not consist of frames.
        """
        self._held += chunk
        while (size := _size(self._held)) is not None and len(self._held) >= size:
            frame = bytes(self._held[:size])
            del self._held[:size]
            yield frame

    def flush(self) -> Iterator[bytes]:
        """Nothing, at the end of a stream.

        Raises:
            ValueError: the stream ended inside of a frame.
        """
        if self._held:
            raise ValueError("the stream ended inside a vector frame")
        return iter(())


def _size(begun: bytes | bytearray) -> int | None:
    """Return bytes of the frame that begins here; None as long as its header is not complete."""
    if not begun.startswith(_MAGIC[: len(begun)]):
        raise ValueError("a vector frame begins with NGV1")
    if len(begun) < _HEADER.size:
        return None
    _, length, count, dimension = _HEADER.unpack_from(begun)
    return int(_HEADER.size + length + 4 * count * dimension)
