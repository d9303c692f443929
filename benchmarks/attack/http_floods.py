"""Bytes of HTTP requests that never end, or of which there is no end."""

from typing import Final

HEAD: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
_BLOCK_BYTES: Final = 1_000_000

FLOODS: Final = {
    "one header line": (HEAD + b"x: ", b"a"),
    "tiny headers": (HEAD, b"a:\r\n"),
    "target": (b"GET /", b"a"),
    "chunk extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "chunk extensions": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;%b\r\nx\r\n" % (b"a" * 1000)),
    "chunks of one byte": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a:\r\n"),
    "requests": (b"", HEAD + b"\r\n"),
    "requests of old": (b"", b"GET / HTTP/1.0\r\n\r\n"),
    "upgrades": (b"", HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "empty lines": (b"", b"\r\n"),
}
"""By name, how a flood begins and what is repeated."""


def opening_and_block(name: str, token: str) -> tuple[bytes, bytes]:
    """Return how a flood begins and about a megabyte of what follows; bodies belong to the bearer of `token`."""
    begin, more = FLOODS[name]
    if b"chunked" in begin:
        # Somebody whose body is read.
        headers = b"Authorization: Bearer %b\r\nContent-Type: application/json\r\nTransfer" % token.encode()
        begin = begin.replace(b"GET /livez", b"POST /api/v1/tokens").replace(b"Transfer", headers)
    return begin, more * (_BLOCK_BYTES // len(more))


def body_of_empty_things(field: str, element: bytes, size: int) -> bytes:
    """Return JSON of about `size` bytes whose field is a list of one small element again and again."""
    count = size // (len(element) + 1)
    return b'{"%b":[%b]}' % (field.encode(), b",".join([element] * count))
