"""A log of events that a scripted server serves over WebSockets, with every frame where a real server has it."""

import json
import select
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from event_log import EventLog, change, limited
from scripted_server import Answer, Arrived, Feed, ScriptedServer
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol
from websockets.utils import accept_key

PATH = "/ws"


def event_frame(number: int, **data: Any) -> dict[str, Any]:
    """Return the frame of an event of the channel `tokens`."""
    event = change(number, **data)
    time = event["time"]
    kind = event.pop("type")
    return {**event, "event_type": kind, "timestamp": time.removesuffix("Z"), "id": f"p{number}"}


def head(request: Arrived) -> bytes:
    """Return the answer that agrees to a WebSocket."""
    accept = accept_key(request.headers["sec-websocket-key"])
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()


class Conversation:
    """The server's side of one WebSocket."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.protocol = Protocol(SERVER, max_size=None)

    def say(self, *frames: dict[str, Any]) -> None:
        """Send frames in one piece."""
        for frame in frames:
            self.protocol.send_text(json.dumps(frame).encode())
        self.flush()

    def flush(self) -> None:
        """Send what is to be sent."""
        self.send(b"".join(self.protocol.data_to_send()))

    def hear(self, connection: Any, seconds: float) -> list[dict[str, Any]] | None:
        """Return messages that come in time; None when the client has left."""
        if not select.select([connection], [], [], seconds)[0]:
            return []
        piece = connection.recv(65536)
        if not piece:
            return None
        self.protocol.receive_data(piece)
        frames = [frame for frame in self.protocol.events_received() if isinstance(frame, Frame)]
        return [json.loads(bytes(frame.data)) for frame in frames if frame.opcode is Opcode.TEXT]


class WebSocketLog(EventLog):
    """An EventLog that speaks WebSocket.

    Attributes:
        asked: the messages of clients, in the order of their arrival.
        last_frames: what a connection is sent instead of more events, once; then it is closed.
        is_silent: whether nothing is sent any more, on no connection that is open.
    """

    def __init__(self, size: int = 0) -> None:
        super().__init__(size)
        self.asked: list[dict[str, Any]] = []
        self.last_frames: list[dict[str, Any] | None] = []
        self.is_silent = False

    def serve(self, server: ScriptedServer) -> "WebSocketLog":
        """Answer the WebSockets of a server."""
        server.on("GET", PATH, self)
        return self

    def wait_for_message(self, message: dict[str, Any], timeout: float = 10) -> bool:
        """Wait until a client has sent a message; whether it came in time."""
        with self.changed:
            return self.changed.wait_for(lambda: message in self.asked, timeout)

    def finish(self, frame: dict[str, Any] | None = None) -> None:
        """Send one connection a frame, and close it."""
        with self.changed:
            self.last_frames.append(frame)
            self.changed.notify_all()

    def __call__(self, request: Arrived) -> Answer:
        """Answer one handshake."""
        with self.changed:
            cut = self.cuts.pop(0) if self.cuts else None
        return Feed(partial(self._converse, head(request), cut))

    def _converse(self, head: bytes, cut: int | None, connection: Any, stopping: threading.Event) -> None:
        send = limited(connection, cut)
        send(head)
        talk = Conversation(send)
        talk.say({"type": "connected", "client_id": "c1", "user_id": "u1", "reconnected": False, "timestamp": "t"})
        at: int | None = None
        while not stopping.is_set():
            messages = talk.hear(connection, 0.02)
            if messages is None:
                return
            if self.is_silent and at is not None:
                continue
            for message in messages:
                with self.changed:
                    self.asked.append(message)
                    self.changed.notify_all()
                if message["type"] == "ping":
                    talk.say({"type": "pong", "timestamp": "t"})
                    continue
                at = self._begin(message.get("since"))
                channels = message["channels"]
                talk.say({"type": "subscribed", "channels": channels, "timestamp": "t"})
                talk.say({"type": "position", "id": f"p{at}"})
            if at is None:
                continue
            with self.changed:
                size, frames = self.size, self.last_frames[:1]
                del self.last_frames[:1]
            if frames:
                if frames[0] is not None:
                    talk.say(frames[0])
                    talk.protocol.send_close(1012)
                    talk.flush()
                return
            if size > at:
                talk.say(*[event_frame(n + 1) for n in range(at, size)])
            at = size

    def _begin(self, since: str | None) -> int:
        with self.changed:
            found = {None: self.size, "oldest": 0}.get(since)
            at = int(since[1:]) if since is not None and found is None else int(found or 0)
            self.began.append(at)
            self.changed.notify_all()
            return at
