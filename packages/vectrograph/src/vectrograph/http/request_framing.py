"""The borders between the requests of one HTTP/1.1 connection, found and checked before the parser sees a byte.

The parser of uvicorn has no limit for a request line, headers, trailers or chunk extensions, and it keeps what is
incomplete in memory. `RequestFraming` takes the bytes of a connection as they arrive and releases them in pieces that
are complete and within the limits: the whole head of a request, then its body. What two servers could read in two ways
(request smuggling) is refused. No input or output happens here.
"""

import re
from enum import Enum, auto
from typing import Final, Never

from vectrograph.http.errors import (
    FramingRefused,
    HeadersTooLarge,
    MalformedFraming,
    NotSupported,
    TargetTooLong,
    VersionNotSupported,
)

# Bytes of a request target. The longest legal path has 3 KiB; the rest is for filters in query strings. Apache: 8 KiB.
MAX_TARGET_BYTES: Final = 32 * 1024
# Bytes of a request line with all headers, and of all trailers. Node.js: 16 KiB, nginx: 32 KiB.
MAX_HEAD_BYTES: Final = 64 * 1024
# Header fields of a request, and trailer fields. Apache and gunicorn: 100.
MAX_FIELDS: Final = 100
# Bytes of the line before a chunk: its size and its extensions. Go: 4 KiB.
MAX_CHUNK_LINE_BYTES: Final = 4 * 1024
# Bytes that all lines between the chunks of a body may take: a fixed part, and a multiple of the data. Chunks of one
# byte need five times their data.
MAX_CHUNK_OVERHEAD_BYTES: Final = 64 * 1024
# Multiple of the data. Chosen: more than the five that chunks of one byte need.
CHUNK_OVERHEAD_FACTOR: Final = 8
# Chunks in one piece. Each costs the parser a call: of pieces with 512, others waited seconds for their turn.
_CHUNKS_AT_ONCE: Final = 64
# Empty lines before a request; RFC 9112 asks servers to skip at least one.
_MAX_EMPTY_LINES: Final = 4

# Registered methods that the parser knows; the application answers 405, or the gateway 501, where a path lacks one.
_METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"QUERY"),
)
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_FIELD: Final = _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD: Final = re.compile(
    rb"(%b{1,32}) ([\x21\x22\x24-\x7e]++) HTTP/1\.([01])\r\n((?:%b)*+)\r\n" % (_TOKEN, _FIELD),
)
_FIELDS: Final = re.compile(rb"(?:%b)*+\r\n" % _FIELD)
# Fields that decide where a request ends, or how the connection goes on.
_DECISIVE: Final = re.compile(rb"\n(content-length|transfer-encoding|upgrade):([^\r]*)")
_HOST: Final = re.compile(rb"\nhost:([^\r]*)")
_CONNECTION: Final = re.compile(rb"\nconnection:([^\r]*)")
_UPGRADE: Final = re.compile(rb"(?<=\n)upgrade:[^\n]*\n", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_CHUNK_BEGUN: Final = re.compile(rb"[0-9A-Fa-f]{0,16}(?:[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*+)?)?\r?")
# What no head holds: control characters, a line feed without a carriage return, a carriage return without a line feed.
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")
_BEGUN: Final = re.compile(rb"(%b{1,32}) ([\x21-\x7e]{1,1024})" % _TOKEN)
_AUTHORITY: Final = re.compile(rb"https?://([^/?]*)")


class _State(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNKS = auto()
    TRAILERS = auto()
    UPGRADED = auto()


class RequestFraming:
    """Divides the bytes of one connection into heads and parts of bodies.

    Args:
        websockets: whether a WebSocket may be opened, by a GET without a body that says so in both headers. Every other
            upgrade is ignored, as RFC 9110 allows: the request is then answered as if it had not asked.
    """

    def __init__(self, *, websockets: bool = False) -> None:
        self._websockets = websockets
        self._state = _State.HEAD
        self._buffer = b""
        self._searched = 0
        self._lines = 0
        self._remaining = 0
        self._data_bytes = 0
        self._overhead_bytes = 0
        self._empty_lines = 0

    @property
    def waiting(self) -> bytes:
        """Return the bytes that wait for their rest, or to be taken."""
        return self._buffer

    @property
    def is_upgraded(self) -> bool:
        """Return whether a WebSocket follows the head that was released last."""
        return self._state is _State.UPGRADED

    def receive(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_piece(self) -> bytes | None:
        """Return the next bytes for the parser; None when more must arrive first.

        A piece never reaches from one request into the next.

        Raises:
            FramingRefused: what arrived is malformed or over a limit; nothing after it can be understood.
        """
        if not self._buffer:
            return None
        if self._state is _State.HEAD:
            return self._next_head()
        if self._state is _State.BODY:
            return self._next_of_body()
        if self._state is _State.CHUNKS:
            return self._next_chunks()
        if self._state is _State.TRAILERS:
            return self._end_of_trailers()
        return self._released(len(self._buffer))

    def _released(self, size: int) -> bytes:
        buffer = self._buffer
        if size == len(buffer):
            self._buffer = b""
            return buffer
        self._buffer = buffer[size:]
        return buffer[:size]

    def _next_head(self) -> bytes | None:
        if self._buffer.startswith((b"\r", b"\n")) and not self._skip_empty_lines():
            return None
        if not self._buffer:
            return None
        end = self._buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._watch_head()
            return None
        size = end + 4
        if size > MAX_HEAD_BYTES:
            self._refuse_size()
        found = _HEAD.match(self._buffer)
        if found is None or found.end() != size:
            raise _complaint(self._buffer[:size])
        if len(found[2]) > MAX_TARGET_BYTES:
            raise _target_too_long()
        if self._buffer.count(b"\n", 0, size) - 2 > MAX_FIELDS:
            raise _too_many_fields("headers")
        head = self._validated(self._buffer[:size], found[1], found[2], old=found[3] == b"0")
        self._released(size)
        self._searched = self._lines = self._empty_lines = 0
        return head

    def _skip_empty_lines(self) -> bool:
        """Skip empty lines before a request. Return False when only half of one is there."""
        while self._buffer.startswith((b"\r", b"\n")):
            if self._buffer == b"\r":
                return False
            self._empty_lines += 1
            if not self._buffer.startswith(b"\r\n") or self._empty_lines > _MAX_EMPTY_LINES:
                raise MalformedFraming("A request must begin with its method; send no empty lines before it.")
            self._buffer = self._buffer[2:]
        return True

    def _watch_head(self) -> None:
        """Refuse a head that is incomplete and cannot become acceptable."""
        buffer, since = self._buffer, self._searched
        # A carriage return at the very end may still get its line feed: look at it again.
        forbidden = _FORBIDDEN.search(buffer, max(0, since - 1))
        if forbidden is not None:
            raise _complaint(buffer)
        self._lines += buffer.count(b"\n", since)
        self._searched = len(buffer)
        if self._lines == 0 and len(buffer) - buffer.find(b" ") - 1 > MAX_TARGET_BYTES + len(" HTTP/1.1\r"):
            self._refuse_size()
        if self._lines - 1 > MAX_FIELDS:
            raise _too_many_fields("headers")
        if len(buffer) > MAX_HEAD_BYTES:
            self._refuse_size()

    def _refuse_size(self) -> Never:
        """Say which part of the head is too large."""
        line = self._buffer.partition(b"\r\n")[0]
        target = line.partition(b" ")[2].removesuffix(b" HTTP/1.1").removesuffix(b" HTTP/1.0")
        if len(target) > MAX_TARGET_BYTES:
            raise _target_too_long()
        raise HeadersTooLarge(
            f"The request line and the headers are over the limit of {MAX_HEAD_BYTES} bytes; send less in headers.",
            details={"limit": MAX_HEAD_BYTES, "unit": "bytes"},
        )

    def _validated(self, head: bytes, method: bytes, target: bytes, *, old: bool) -> bytes:
        """Decide where the request ends, and return its head as the parser shall see it."""
        lowered = head.lower()
        if method not in _METHODS:
            raise NotSupported(
                "This server knows no such method; use GET, HEAD, POST, PUT or DELETE.",
                details={"allowed": sorted(name.decode() for name in _METHODS)},
            )
        if not target.startswith(b"/"):
            _require_own_target(method, target.lower(), [host.strip(b"\t ") for host in _HOST.findall(lowered)])
        decisive = _DECISIVE.findall(lowered)
        if not decisive:
            return head
        named: dict[bytes, list[bytes]] = {}
        for name, value in decisive:
            named.setdefault(name, []).append(value.strip(b"\t "))
        self._decide_body(named.get(b"content-length", []), named.get(b"transfer-encoding", []), old=old)
        upgrades = named.get(b"upgrade")
        if upgrades is None:
            return head
        opens = method == b"GET" and upgrades == [b"websocket"] and not old and _asks_for_upgrade(lowered)
        if self._websockets and opens and self._state is _State.HEAD:
            self._state = _State.UPGRADED
            return head
        return _UPGRADE.sub(b"", head)

    def _decide_body(self, lengths: list[bytes], codings: list[bytes], *, old: bool) -> None:
        if codings:
            _require_chunked(codings, lengths, old=old)
            self._state = _State.CHUNKS
            self._remaining = self._data_bytes = self._overhead_bytes = 0
        elif lengths:
            if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
                raise MalformedFraming("The header Content-Length must be one whole number of bytes.")
            self._remaining = int(lengths[0])
            if self._remaining:
                self._state = _State.BODY

    def _next_of_body(self) -> bytes:
        piece = self._released(min(len(self._buffer), self._remaining))
        self._remaining -= len(piece)
        if not self._remaining:
            self._state = _State.HEAD
        return piece

    def _next_chunks(self) -> bytes | None:
        """Return as many chunks as are there, at most some hundred at once; the last may be incomplete."""
        buffer, at, size = self._buffer, 0, len(self._buffer)
        for _ in range(_CHUNKS_AT_ONCE):
            taken = min(self._remaining, size - at)
            at += taken
            self._remaining -= taken
            self._data_bytes += taken
            if at == size:
                break
            line = _CHUNK_LINE.match(buffer, at)
            if line is None:
                _watch_chunk_line(buffer, at)
                break
            self._count_overhead(line.end() - at)
            at = line.end()
            length = int(line[1], 16)
            if not length:
                self._state = _State.TRAILERS
                break
            # The data and the line end behind it; the parser insists on that.
            self._remaining = length + 2
        return self._released(at) if at else None

    def _count_overhead(self, size: int) -> None:
        if size > MAX_CHUNK_LINE_BYTES:
            raise _chunk_line_too_long()
        self._overhead_bytes += size
        if self._overhead_bytes > MAX_CHUNK_OVERHEAD_BYTES + CHUNK_OVERHEAD_FACTOR * self._data_bytes:
            raise HeadersTooLarge(
                f"The lines between the chunks of the body are over the limit of {MAX_CHUNK_OVERHEAD_BYTES} bytes and "
                f"{CHUNK_OVERHEAD_FACTOR} times its data; send larger chunks without extensions.",
                details={"limit": MAX_CHUNK_OVERHEAD_BYTES, "unit": "bytes"},
            )

    def _end_of_trailers(self) -> bytes | None:
        """Return the end of the body. Trailers are checked and dropped: nothing here reads them."""
        buffer = self._buffer
        end = 0 if buffer.startswith(b"\r\n") else buffer.find(b"\r\n\r\n")
        complete = end >= 0
        size = len(buffer) if not complete else end + (4 if end else 2)
        if buffer.count(b"\n", 0, size) - complete > MAX_FIELDS:
            raise _too_many_fields("trailers")
        if size > MAX_HEAD_BYTES:
            raise HeadersTooLarge(
                f"The trailers are over the limit of {MAX_HEAD_BYTES} bytes; send none.",
                details={"limit": MAX_HEAD_BYTES, "unit": "bytes"},
            )
        if _FORBIDDEN.search(buffer, 0, size) or (complete and not _FIELDS.fullmatch(buffer, 0, size)):
            raise MalformedFraming("The trailers of the body are malformed; send none.")
        if not complete:
            return None
        self._released(size)
        self._state = _State.HEAD
        return b"\r\n"


def _asks_for_upgrade(head: bytes) -> bool:
    """Return whether a head, in lower case, says in its Connection header that it asks for an upgrade."""
    named = b",".join(_CONNECTION.findall(head)).split(b",")
    return b"upgrade" in [name.strip(b"\t ") for name in named]


def begun(head: bytes) -> tuple[str, bytes]:
    """Return method and path of a refused head as far as they can be read, to answer in the right form.

    >>> begun(b"GET /v1/limits?x=1 HTTP/1.1")
    ('GET', b'/v1/limits')
    """
    found = _BEGUN.match(head)
    if found is None:
        return "GET", b"/"
    return found[1].decode("ascii"), found[2].partition(b"?")[0]


def _require_own_target(method: bytes, target: bytes, hosts: list[bytes]) -> None:
    """Accept `*` for OPTIONS, and a whole URL that names the host of the Host header.

    Raises:
        MalformedFraming: the target is anything else.
    """
    if target == b"*" and method == b"OPTIONS":
        return
    found = _AUTHORITY.match(target)
    if found is None:
        raise MalformedFraming("The request target must begin with a slash.")
    if [found[1]] != hosts:
        raise MalformedFraming("The request target names another host than the header Host; send the path alone.")


def _require_chunked(codings: list[bytes], lengths: list[bytes], *, old: bool) -> None:
    """Accept `Transfer-Encoding: chunked`, and that alone.

    Raises:
        NotSupported: another coding is named.
        MalformedFraming: the body's end could be read in two ways.
    """
    names = [name.strip(b"\t ") for value in codings for name in value.split(b",")]
    unknown = [name for name in names if name != b"chunked"]
    if unknown:
        raise NotSupported(
            "The only transfer coding that this server knows is chunked; send the body as it is.",
            details={"expected": "chunked"},
        )
    if len(names) > 1:
        raise MalformedFraming("The header Transfer-Encoding must say chunked once.")
    if lengths:
        raise MalformedFraming("A request must not have both Content-Length and Transfer-Encoding; send one of them.")
    if old:
        raise MalformedFraming("HTTP/1.0 has no Transfer-Encoding; send Content-Length, or use HTTP/1.1.")


def _watch_chunk_line(buffer: bytes, at: int) -> None:
    """Accept the beginning of a line before a chunk.

    Raises:
        FramingRefused: it is too long already, or cannot become one.
    """
    if len(buffer) - at > MAX_CHUNK_LINE_BYTES:
        raise _chunk_line_too_long()
    if not _CHUNK_BEGUN.fullmatch(buffer, at):
        raise MalformedFraming("A chunk of the body must begin with its size in hexadecimal digits and a line end.")


def _complaint(head: bytes) -> FramingRefused:
    """Return the error for a head that is not a request: names the first line that is wrong."""
    lines = head.split(b"\r\n")
    line = re.fullmatch(rb"(%b{1,32}) ([^ ]++) (HTTP/[0-9]\.[0-9])" % _TOKEN, lines[0], re.DOTALL)
    if line is not None and line[3] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return VersionNotSupported("This server speaks HTTP/1.1.", details={"expected": "HTTP/1.1"})
    if line is None or not re.fullmatch(rb"[\x21\x22\x24-\x7e]+", line[2]):
        return MalformedFraming(
            "The request line must be a method, a target and HTTP/1.1, one blank between them and a line end (CR LF) "
            "behind; percent-encode other characters of the target."
        )
    number = next((place for place, text in enumerate(lines[1:], 1) if not _FIELDS.fullmatch(text + b"\r\n\r\n")), 0)
    return MalformedFraming(
        f"Header line {number} is malformed: it must be a name, a colon and a value on one line that ends with CR LF, "
        "without control characters.",
        details={"line": number},
    )


def _target_too_long() -> TargetTooLong:
    return TargetTooLong(
        f"The request target is over the limit of {MAX_TARGET_BYTES} bytes; send long filters in the body of a POST.",
        details={"limit": MAX_TARGET_BYTES, "unit": "bytes"},
    )


def _too_many_fields(what: str) -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The request has more than {MAX_FIELDS} {what}; send fewer.", details={"limit": MAX_FIELDS, "unit": what}
    )


def _chunk_line_too_long() -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The line before a chunk is over the limit of {MAX_CHUNK_LINE_BYTES} bytes; send no chunk extensions.",
        details={"limit": MAX_CHUNK_LINE_BYTES, "unit": "bytes"},
    )
