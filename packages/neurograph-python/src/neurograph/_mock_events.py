"""Live events of the mock clients: the changes made through a mock, as a server would send them."""

import asyncio
import json
import queue
from datetime import datetime, timezone
from typing import Any, Protocol, TypeAlias

from neurograph._mock_cdna import Refused
from neurograph._transport.lines import AsyncLine, Line
from neurograph.wire import Request, Response

_Fields: TypeAlias = "dict[str, Any]"
_BUS = frozenset({"collections", "metrics", "status", "signals", "actions", "logs", "connections"})
_PREFIX = "mock-"


class Frames(Protocol):
    """The form in which a stream is written.

    Attributes:
        heartbeat: a sign of life.
    """

    heartbeat: bytes

    def position(self, position: str) -> bytes:
        """Return a position without an event."""
        ...

    def event(self, event: _Fields, position: str) -> bytes:
        """Return an event."""
        ...

    def heard(self, data: bytes) -> list[_Fields]:
        """Take bytes of the client; returns the messages that they complete."""
        ...

    def answer(self, message: _Fields) -> bytes:
        """Return a message that is no event."""
        ...


class Changes:
    """The log of the changes of a memory, and who listens to it.

    Args:
        tokens: by id; the same dictionary that the memory changes.
    """

    def __init__(self, tokens: dict[int, _Fields]) -> None:
        self._tokens = tokens
        self._log: list[_Fields] = []
        self._versions: dict[int, int] = {}
        self._followers: list[Follower] = []
        self._tickets = 0

    def add(self, kind: str, token_id: int) -> None:
        """Note a change, and tell everybody who listens."""
        version = len(self._log) + 1
        moment = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        self._versions[token_id] = version
        self._log.append({"type": kind, "id": token_id, "version": version, "time": moment})
        for follower in list(self._followers):
            follower.put(version)

    def ticket(self) -> _Fields:
        """Answer a ticket."""
        self._tickets += 1
        return {"ticket": f"mock_ticket_{self._tickets:08d}", "expires_in": 30}

    def stream(self, request: Request, asked: _Fields, make: "type[MockLine | AsyncMockLine]") -> Response:
        """Answer a stream of server-sent events.

        Args:
            request: what was asked.
            asked: its parameters.
            make: makes the line of the answer.

        Raises:
            Refused: a channel or position that is none.
        """
        text = asked.get("channels", "")
        channels = json.loads(text) if text.startswith("[") else text.split(",")
        include = [name for name in asked.get("include", "").split(",") if name]
        begin = self._begin(channels, request.headers.get("Last-Event-ID") or asked.get("since"))
        line = make(self, _SSEFrames())
        line.put_bytes(b"retry: 0\n\n")
        self._follow(line, channels, include, begin)
        return Response(request, 200, {"content-type": "text/event-stream"}, b"", line)

    def web_socket(self, request: Request, make: "type[MockLine | AsyncMockLine]") -> Response:
        """Answer a WebSocket; arguments as of `stream`."""
        # Imported here, as it needs an extra. A client that gets here has it.
        from neurograph._mock_websocket import WebSocketFrames, handshake

        line = make(self, WebSocketFrames())
        line.put_bytes(line.frames.answer({"type": "connected", "client_id": "mock", "reconnected": False}))
        return Response(request, 101, handshake(request), b"", line)

    def heard(self, follower: "Follower", message: _Fields) -> None:
        """Answer a message that came over a WebSocket."""
        if message["type"] != "subscribe":
            follower.put_bytes(follower.frames.answer({"type": "pong"}))
            return
        answer: _Fields = {"type": "subscribed", "channels": message["channels"]}
        begin = len(self._log)
        try:
            if "filter" in message:
                raise Refused(422, "VALIDATION_ERROR", "The mock does not know filters; test them against a server")
            begin = self._begin(message["channels"], message.get("since"))
        except Refused as refused:
            why = {"code": refused.code, "message": refused.message, "details": {}}
            answer.update(channels=[], denied=message["channels"], message=refused.message, errors=[why])
        follower.put_bytes(follower.frames.answer(answer))
        if answer["channels"]:
            self._follow(follower, message["channels"], message.get("include", ()), begin)

    def leave(self, follower: "Follower") -> None:
        """Tell it of changes no more."""
        if follower in self._followers:
            self._followers.remove(follower)

    def written(self, version: int, follower: "Follower") -> bytes:
        """Return one change as it is sent: with the point as it is now."""
        change = self._log[version - 1]
        data: _Fields = {"id": change["id"], "version": version}
        token = self._tokens.get(change["id"])
        if token is not None and follower.include:
            found = {"payload": token["metadata"], "text": token["text"]}
            point = {name: value for name, value in found.items() if name in follower.include and value is not None}
            data["point"] = {"version": self._versions[change["id"]], **point}
        event = {"channel": "tokens", "type": change["type"], "time": change["time"], "data": data}
        return follower.frames.event(event, f"{_PREFIX}{version}")

    def _begin(self, channels: list[str], since: str | None) -> int:
        for name in channels:
            if name.startswith("collection:") and name != "collection:tokens":
                raise Refused(404, "COLLECTION_NOT_FOUND", f"The mock has no collection {name[11:]!r}")
            if name != "tokens" and name not in _BUS:
                raise Refused(422, "VALIDATION_ERROR", f"{name!r} is no channel")
        return len(self._log) if since is None else self._place(since)

    def _follow(self, follower: "Follower", channels: list[str], include: list[str], begin: int) -> None:
        if "tokens" not in channels:
            return
        follower.include = include
        follower.put_bytes(follower.frames.position(f"{_PREFIX}{begin}"))
        for version in range(begin + 1, len(self._log) + 1):
            follower.put(version)
        self._followers.append(follower)

    def _place(self, since: str) -> int:
        if since == "oldest":
            return 0
        number = since.removeprefix(_PREFIX)
        if since == number or not number.isdecimal() or int(number) > len(self._log):
            raise Refused(422, "VALIDATION_ERROR", "since is no position that this mock gave you")
        return int(number)


class Follower(Protocol):
    """A line that is told of changes.

    Attributes:
        frames: how it is written.
        include: parts of points that it is sent.
    """

    frames: Frames
    include: list[str]

    def put(self, version: int) -> None:
        """Take a change; from any thread."""
        ...

    def put_bytes(self, piece: bytes) -> None:
        """Take something else."""
        ...


class MockLine(Line):
    """A stream of events for a thread. Its queue may be filled by signal handlers too."""

    def __init__(self, changes: Changes, frames: Frames) -> None:
        self.frames = frames
        self.include: list[str] = []
        self._changes = changes
        self._queue: queue.SimpleQueue[int | bytes] = queue.SimpleQueue()

    def put(self, version: int) -> None:
        """Take a change."""
        self._queue.put(version)

    def put_bytes(self, piece: bytes) -> None:
        """Take something else."""
        self._queue.put(piece)

    def read(self, seconds: float | None) -> bytes:
        """Wait for the next change; a heartbeat when there is none."""
        try:
            found = self._queue.get(timeout=seconds)
        except queue.Empty:
            return self.frames.heartbeat
        return found if isinstance(found, bytes) else self._changes.written(found, self)

    def write(self, data: bytes) -> None:
        """Take what the client says."""
        for message in self.frames.heard(data):
            self._changes.heard(self, message)

    def cut(self) -> None:
        """End a wait."""
        self._queue.put(b"")

    def close(self) -> None:
        """Hear of nothing more."""
        self._changes.leave(self)


class AsyncMockLine(AsyncLine):
    """A stream of events for a task; methods as of MockLine."""

    def __init__(self, changes: Changes, frames: Frames) -> None:
        self.frames = frames
        self.include: list[str] = []
        self._changes = changes
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[int | bytes] = asyncio.Queue()

    def put(self, version: int) -> None:
        """Take a change."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, version)

    def put_bytes(self, piece: bytes) -> None:
        """Take something else."""
        self._queue.put_nowait(piece)

    async def read(self, seconds: float | None) -> bytes:
        """Wait for the next change; a heartbeat when there is none."""
        try:
            found = await asyncio.wait_for(self._queue.get(), seconds)
        except asyncio.TimeoutError:
            return self.frames.heartbeat
        return found if isinstance(found, bytes) else self._changes.written(found, self)

    async def write(self, data: bytes) -> None:
        """Take what the client says."""
        for message in self.frames.heard(data):
            self._changes.heard(self, message)

    async def close(self) -> None:
        """Hear of nothing more."""
        self._changes.leave(self)


class _SSEFrames:
    """Server-sent events."""

    heartbeat = b": heartbeat\n\n"

    def position(self, position: str) -> bytes:
        return f"id: {position}\n\n".encode()

    def event(self, event: _Fields, position: str) -> bytes:
        return f"id: {position}\ndata: {json.dumps(event)}\n\n".encode()

    def heard(self, data: bytes) -> list[_Fields]:
        return []

    def answer(self, message: _Fields) -> bytes:
        return b""
