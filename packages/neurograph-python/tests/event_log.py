"""A log of events that a scripted server serves as a real one does: resumed by position, and cut where a test says."""

import json
import select
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from scripted_server import Answer, Arrived, Feed, Reply, ScriptedServer

EVENTS = "/api/v1/events"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-store\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def change(number: int, kind: str = "created", **data: Any) -> dict[str, Any]:
    """Return the frame of an event of the channel `tokens`."""
    fields = {"id": number, "version": number, **data}
    return {"channel": "tokens", "type": kind, "time": "2026-12-01T12:00:00.123456Z", "data": fields}


def bare(position: str) -> bytes:
    return f"id: {position}\n\n".encode()


def framed(frame: dict[str, Any], event: str = "", position: str = "") -> bytes:
    """Return an event as it is sent."""
    named = f"event: {event}\n" if event else ""
    placed = f"id: {position}\n" if position else ""
    return f"{named}{placed}data: {json.dumps(frame)}\n\n".encode()


def end(code: str, reconnect: bool, **more: Any) -> bytes:
    return framed({"code": code, "message": "what happened", "reconnect": reconnect, **more}, "end")


def chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class EventLog:
    """A log of the channel `tokens`, whose positions are `p0`, `p1` and so on.

    Args:
        size: events that it holds from the beginning.
        hint: reconnection time that each stream begins with, in milliseconds; None tells none.

    Attributes:
        cuts: for each connection in turn, bytes of the answer after which it is cut; None, and for later ones, never.
        began: for each connection so far, the position where it began.
        last_words: what a connection is sent instead of more events, once; then it is closed.
    """

    def __init__(self, size: int = 0, hint: int | None = None) -> None:
        self.size = size
        self.hint = hint
        self.cuts: list[int | None] = []
        self.began: list[int] = []
        self.last_words: list[bytes] = []
        self.changed = threading.Condition()

    def serve(self, server: ScriptedServer) -> "EventLog":
        """Answer the requests for events of a server."""
        server.on("GET", EVENTS, self)
        return self

    def add(self, count: int = 1) -> None:
        """Let something happen."""
        with self.changed:
            self.size += count
            self.changed.notify_all()

    def say(self, words: bytes) -> None:
        """Send something to one connection, and close it."""
        with self.changed:
            self.last_words.append(words)
            self.changed.notify_all()

    def wait_for(self, connections: int, timeout: float = 10) -> bool:
        """Wait until so many connections have begun; whether they did in time."""
        with self.changed:
            return self.changed.wait_for(lambda: len(self.began) >= connections, timeout)

    def __call__(self, request: Arrived) -> Answer:
        """Answer one request."""
        asked = parse_qs(request.target.partition("?")[2])
        since = request.headers.get("last-event-id", asked.get("since", ["now"])[-1])
        if since not in ("now", "oldest") and not since.startswith("p"):
            return Reply(422, {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "no position"}})
        with self.changed:
            at = {"now": self.size, "oldest": 0}.get(since)
            at = int(since[1:]) if at is None else at
            self.began.append(at)
            self.changed.notify_all()
            cut = self.cuts.pop(0) if self.cuts else None
        return Feed(lambda connection, stopping: self._feed(limited(connection, cut), connection, at, stopping))

    def _feed(self, send: Callable[[bytes], None], connection: Any, at: int, stopping: threading.Event) -> None:
        hint = b"" if self.hint is None else b"retry: %d\n" % self.hint
        send(HEAD + chunked(hint + bare(f"p{at}")))
        while not stopping.is_set():
            with self.changed:
                if self.size <= at and not self.last_words:
                    self.changed.wait(0.02)
                size, words = self.size, self.last_words[:1]
                del self.last_words[:1]
            if words:
                send(chunked(words[0]))
                return
            pieces = [framed(change(n + 1), position=f"p{n + 1}") for n in range(at, size)]
            if pieces:
                send(chunked(b"".join(pieces)))
            at = size
            if select.select([connection], [], [], 0)[0] and not connection.recv(1):
                return  # the client has left


class CutError(OSError):
    """The connection is to be cut here."""


def limited(connection: Any, limit: int | None) -> Callable[[bytes], None]:
    """Return a function that sends bytes, and cuts the connection after so many."""
    left = limit

    def send(data: bytes) -> None:
        nonlocal left
        if left is None:
            connection.sendall(data)
            return
        connection.sendall(data[:left])
        left -= len(data)
        if left <= 0:
            raise CutError

    return send
