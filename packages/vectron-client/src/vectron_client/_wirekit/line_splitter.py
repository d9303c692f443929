# Generated from packages/wirekit/src/wirekit/line_splitter.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Lines out of a stream of bytes that is cut anywhere, as NDJSON arrives."""


class LineSplitter:
    """Is fed pieces of a stream and returns the lines they complete.

    >>> splitter = LineSplitter()
    >>> splitter.feed(b'{"a":'), splitter.feed(b'1}\\n{"b"'), splitter.feed(b":2}\\n\\n3"), splitter.flush()
    ([], [b'{"a":1}'], [b'{"b":2}'], [b'3'])
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece; returns the lines that end in it, without their ends, empty ones left out."""
        if b"\n" not in piece:
            self._pieces.append(piece)
            return []
        *lines, rest = b"".join((*self._pieces, piece)).split(b"\n")
        self._pieces = [rest]
        return [line for line in lines if line.strip()]

    def flush(self) -> list[bytes]:
        """Return the last line, when it has no end; call it once the stream is over."""
        rest = b"".join(self._pieces)
        self._pieces = []
        return [rest] if rest.strip() else []
