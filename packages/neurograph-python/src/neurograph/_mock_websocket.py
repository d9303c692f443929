"""Frames of the WebSockets of the mock clients. Needs the extra `websocket`."""

import json
from typing import Any, TypeAlias

from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol
from websockets.utils import accept_key

from neurograph.wire import Request

_Fields: TypeAlias = "dict[str, Any]"


def handshake(request: Request) -> dict[str, str]:
    """Return the headers that agree to a WebSocket."""
    return {"sec-websocket-accept": accept_key(request.headers["Sec-WebSocket-Key"])}


def _text(message: _Fields) -> bytes:
    return Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=False)


class WebSocketFrames:
    """The server's side of one connection."""

    heartbeat = _text({"type": "ping"})

    def __init__(self) -> None:
        self._protocol = Protocol(SERVER)

    def position(self, position: str) -> bytes:
        """Return a position without an event."""
        return _text({"type": "position", "id": position})

    def event(self, event: _Fields, position: str) -> bytes:
        """Return an event."""
        fields = {name: value for name, value in event.items() if name != "type"}
        return _text({**fields, "event_type": event["type"], "id": position})

    def heard(self, data: bytes) -> list[_Fields]:
        """Take bytes of the client; returns the messages that they complete."""
        self._protocol.receive_data(data)
        frames = (frame for frame in self._protocol.events_received() if isinstance(frame, Frame))
        return [json.loads(bytes(frame.data)) for frame in frames if frame.opcode is Opcode.TEXT]

    def answer(self, message: _Fields) -> bytes:
        """Return a message that is no event."""
        return _text(message)
