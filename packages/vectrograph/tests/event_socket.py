"""A reader of Server-Sent Events over a bare socket, which sees every byte and reads only when a test says so."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

# Seconds after which something that should have come is missing. Generous: nothing is measured.
PATIENCE = 30.0


@dataclass
class Frame:
    """One block of lines. `data` is decoded JSON, None where there is none."""

    event: str = ""
    id: str | None = None
    data: Any = None
    comment: str | None = None
    retry: int | None = None


@dataclass
class EventSocket:
    """A connection with one request for events.

    Attributes:
        port: of the server.
        query: parameters of the query string.
        credential: sent as bearer; None for none.
        headers: more headers.
        frames: everything so far.
        events: data of the events so far.
        buffer_bytes: of the socket that receives; 0 leaves it to the system.
    """

    port: int
    query: dict[str, str]
    credential: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    buffer_bytes: int = 0
    method: str = "GET"

    def __post_init__(self) -> None:
        self.frames: list[Frame] = []
        self.events: list[Any] = []
        self.is_over = False
        self._socket = socket.socket()
        if self.buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", self.port))
        head = {"Host": "localhost", **self.headers}
        if self.credential is not None:
            head["Authorization"] = f"Bearer {self.credential}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self._socket.sendall(f"{self.method} /api/v1/events?{urlencode(self.query)} HTTP/1.1\r\n{lines}\r\n".encode())
        self._received = bytearray()
        begin, _, rest = self._until(b"\r\n\r\n").partition(b"\r\n")
        self.status = int(begin.split()[1])
        pairs = (line.split(b": ", 1) for line in rest.strip().split(b"\r\n"))
        self.answer_headers = {name.decode().lower(): value.decode() for name, value in pairs}
        self._frames_to_come = self._parsed()

    def __enter__(self) -> "EventSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def error(self) -> dict[str, Any]:
        """The error of a request that was refused."""
        length = int(self.answer_headers["content-length"])
        while len(self._received) < length:
            self._more()
        found: dict[str, Any] = json.loads(self._received[:length])["error"]
        return found

    @property
    def ids(self) -> list[Any]:
        """Ids of the points of the events so far."""
        return [event["data"]["id"] for event in self.events]

    @property
    def last_id(self) -> str:
        """Position that a browser would send as Last-Event-ID."""
        return next((frame.id for frame in reversed(self.frames) if frame.id), "")

    def next(self) -> Frame | None:
        """Read one block; None when the answer is over."""
        frame = next(self._frames_to_come, None)
        if frame is None:
            self.is_over = True
        else:
            self.frames.append(frame)
            if not frame.event and frame.data is not None:
                self.events.append(frame.data)
        return frame

    def read(self, number: int) -> list[Any]:
        """Read until there were so many events."""
        while len(self.events) < number:
            assert self.next() is not None, f"the stream ended: {self.frames[-1:]}"
        return self.events

    def read_end(self) -> Any:
        """Read until the end; returns the data of the frame that says why."""
        while self.next() is not None:
            continue
        assert self.frames[-1].event == "end", self.frames[-1]
        return self.frames[-1].data

    def rest_of_connection(self) -> bytes:
        """Read until the server closes the connection."""
        while self._more(required=False):
            continue
        return bytes(self._received)

    def close(self) -> None:
        self._socket.close()

    def _parsed(self) -> Iterator[Frame]:
        rest = b""
        while True:
            size = int(self._until(b"\r\n"), 16)
            while len(self._received) < size + 2:
                self._more()
            *blocks, rest = (rest + self._received[:size]).split(b"\n\n")
            del self._received[: size + 2]
            for block in blocks:
                yield frame_of(block.decode())
            if not size:
                assert not rest
                return

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            self._more()
        size = self._received.index(mark)
        found = bytes(self._received[:size])
        del self._received[: size + len(mark)]
        return found

    def _more(self, *, required: bool = True) -> bool:
        try:
            part = self._socket.recv(65536)
        except ConnectionResetError:
            part = b""
        assert part or not required, "the connection was closed"
        self._received += part
        return bool(part)


def frame_of(block: str) -> Frame:
    """Read one block by the rules of the standard."""
    frame = Frame()
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                frame.comment = value
            case "event":
                frame.event = value
            case "id":
                frame.id = value
            case "retry":
                frame.retry = int(value)
            case "data":
                assert frame.data is None
                frame.data = json.loads(value)
            case _:
                raise AssertionError(f"an unknown line: {line!r}")
    return frame
