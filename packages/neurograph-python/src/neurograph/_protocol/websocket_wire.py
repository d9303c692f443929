"""Streams of events over a WebSocket: the official protocol with more fields. No I/O. Needs the extra `websocket`."""

import base64
import json
import logging
import os
from http import HTTPStatus
from typing import Any

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol
from websockets.utils import accept_key

from neurograph._protocol import events
from neurograph._protocol.call import Call
from neurograph._protocol.events import End, Item, Position, SignOfLife, Subscription
from neurograph.exceptions import ConnectionError
from neurograph.wire import Request, Response

PATH = "/ws"
_SUBPROTOCOL = "vectrograph"
# No part of the tree of loggers: at level DEBUG it would write every frame, with what the points hold.
_NO_LOG = logging.Logger("neurograph.websocket", logging.CRITICAL + 1)


class WebSocketWire:
    """One connection.

    Args:
        subscription: what to ask for.
        position: where to begin; wins over that of the subscription.
        most_bytes: largest event.
    """

    pings = True

    def __init__(self, subscription: Subscription, position: str | None, most_bytes: int) -> None:
        self._subscription = subscription
        self._position = position
        self._most_bytes = most_bytes
        self._key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": self._key,
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": _SUBPROTOCOL,
        }
        self._request = Request("GET", PATH, headers=headers, streamed=True)
        self._protocol = Protocol(CLIENT, max_size=most_bytes, logger=_NO_LOG)
        self._parts: list[bytes] = []
        self.is_open = False

    def call(self) -> Call[Response]:
        """Return the request that opens it."""
        return Call(self._request, lambda response: response)

    def opened(self, response: Response) -> None:
        """Read the head of the answer, and subscribe.

        Raises:
            InvalidResponseError: the server does not speak WebSocket here.
        """
        accepted = response.headers.get("sec-websocket-accept")
        if response.status != HTTPStatus.SWITCHING_PROTOCOLS or accepted != accept_key(self._key):
            raise events.not_a_stream(response, "the answer opens no WebSocket")
        asked: dict[str, Any] = {"type": "subscribe", "channels": self._subscription.channels}
        if self._subscription.filter is not None:
            asked["filter"] = self._subscription.filter
        if self._subscription.include:
            asked["include"] = self._subscription.include
        if self._position is not None:
            asked["since"] = self._position
        self._say(asked)

    def feed(self, piece: bytes) -> list[Item]:
        """Take the next piece; returns what it completes. A broken frame is an end, after what came before it.

        Raises:
            InvalidResponseError: this is no event.
        """
        self._protocol.receive_data(piece)
        items: list[Item] = []
        for frame in self._protocol.events_received():
            item = self._take(frame) if isinstance(frame, Frame) else None
            if item is not None:
                items.append(item)
        broken = self._protocol.parser_exc
        if isinstance(broken, PayloadTooBig):
            reason = f"an event is longer than {self._most_bytes} bytes"
            items.append(End(events.too_long(self._request, reason, self._most_bytes)))
        elif broken is not None:
            reason = f"The server broke the rules of WebSocket in answer to {self._request}: {broken}"
            items.append(End(ConnectionError(reason)))
        return items

    def outgoing(self) -> bytes:
        """Return what is to be sent."""
        return b"".join(self._protocol.data_to_send())

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._say({"type": "ping"})

    def _say(self, message: dict[str, Any]) -> None:
        self._protocol.send_text(json.dumps(message).encode())

    def _take(self, frame: Frame) -> Item | None:
        if frame.opcode is Opcode.CLOSE:
            closed = self._protocol.close_rcvd
            return End(ConnectionError(f"The server has closed the WebSocket: {closed}"))
        if frame.opcode is Opcode.PING or frame.opcode is Opcode.PONG:
            return SignOfLife()
        if frame.opcode is Opcode.BINARY:
            return None  # nothing of ours
        if frame.data:  # any number of empty parts would fill the memory
            self._parts.append(bytes(frame.data))
        if not frame.fin:
            return None
        text = b"".join(self._parts)
        self._parts.clear()
        return self._read(events.parsed(text, self._request))

    def _read(self, frame: dict[str, Any]) -> Item | None:
        kind = frame.get("type")
        if kind is None:
            return events.event(_event_of(frame), self._request)
        if kind == "position":
            return Position(frame["id"]) if isinstance(frame.get("id"), str) else None
        if kind == "dropped":
            return events.event(events.missed(frame), self._request)
        if kind == "end":
            return events.end(frame)
        if kind == "subscribed":
            return self._subscribed(frame)
        if kind == "error" and not self.is_open:
            return events.refused(frame)
        return SignOfLife()

    def _subscribed(self, frame: dict[str, Any]) -> Item:
        denied = frame.get("denied")
        if denied:
            errors = frame.get("errors")
            first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
            default = {"code": "PERMISSION_DENIED", "message": frame.get("message") or f"Denied: {denied}"}
            return events.refused({**default, **first})
        self.is_open = True
        return SignOfLife()


def _event_of(frame: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an event; one of an official server has no time zone, and means UTC."""
    time = frame.get("time")
    if time is None and isinstance(frame.get("timestamp"), str):
        time = f"{frame['timestamp']}Z"
    renamed = {name: value for name, value in frame.items() if name not in ("event_type", "timestamp")}
    return {**renamed, "type": frame.get("event_type"), "time": time}
