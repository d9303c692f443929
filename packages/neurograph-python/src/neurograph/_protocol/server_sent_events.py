"""Server-sent events out of a stream of bytes that is cut anywhere, as the HTML standard has it. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from dataclasses import dataclass
from typing import TypeAlias

_BOM = b"\xef\xbb\xbf"
# Digits of a reconnection time that are looked at, in milliseconds; this is more than three years.
_MOST_DIGITS = 11


class TooLongError(Exception):
    """A line, or the data of an event, is longer than the reader takes."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event.

    Attributes:
        event: its type; "" when the stream named none.
        data: the lines of its data, joined by line feeds.
        id: the id that stands in this event; None without one.
    """

    event: str
    data: str
    id: str | None


@dataclass(frozen=True, slots=True)
class BareId:
    """An id without an event."""

    id: str


@dataclass(frozen=True, slots=True)
class ReconnectionTime:
    """The pause before the stream may be opened again."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class Comment:
    """A line for nobody, which shows that the other side is there."""

    text: str


Item: TypeAlias = Message | BareId | ReconnectionTime | Comment


class Parser:
    """Is fed pieces of a stream and returns what they complete; an event that never ends is never returned.

    Args:
        most_bytes: longest line, and most data of one event.

    >>> parser = Parser(1000)
    >>> parser.feed(b"id: 7\\nda"), parser.feed(b"ta: hello\\n\\n: still here\\n")
    ([], [Message(event='', data='hello', id='7'), Comment(text='still here')])
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._begins = True
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[str] = []
        self._data_bytes = 0
        self._event = ""
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[Item]:
        """Take the next piece; returns what ends in it.

        Raises:
            TooLongError: a line or an event is too long.
        """
        items: list[Item] = []
        if self._after_cr and piece:
            self._after_cr = False
            if piece[:1] == b"\n":  # the other half of a line end
                piece = piece[1:]
        for part in piece.splitlines(keepends=True):
            content = part.rstrip(b"\r\n")
            self._line_bytes += len(content)
            if self._line_bytes > self._most_bytes:
                raise TooLongError(f"a line is longer than {self._most_bytes} bytes")
            if len(content) == len(part):  # it has no end yet
                self._line.append(part)
                continue
            line = b"".join((*self._line, content)) if self._line else content
            self._line.clear()
            self._line_bytes = 0
            item = self._take(line)
            if item is not None:
                items.append(item)
        self._after_cr = piece[-1:] == b"\r" or (self._after_cr and not piece)
        return items

    def _take(self, line: bytes) -> Item | None:
        if self._begins:
            self._begins = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if not name:
            return Comment(text)
        if name == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._most_bytes + 1:
                raise TooLongError(f"the data of an event are longer than {self._most_bytes} bytes")
            self._data.append(text)
        elif name == b"event":
            self._event = text
        elif name == b"id" and "\0" not in text:
            self._id = text
        elif name == b"retry" and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            return ReconnectionTime(int(text))
        return None

    def _dispatch(self) -> Item | None:
        data, event, given = self._data, self._event, self._id
        self._data, self._data_bytes, self._event, self._id = [], 0, "", None
        if data:
            return Message(event, "\n".join(data), given)
        return None if given is None else BareId(given)
