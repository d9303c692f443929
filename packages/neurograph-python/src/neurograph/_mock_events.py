"""Live events of the mock clients: the changes made through a mock, as a server would send them."""

import asyncio
import json
import queue
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Protocol, TypeAlias

from neurograph._mock_cdna import Refused
from neurograph._transport.lines import AsyncLine, Line
from neurograph.wire import Request, Response

_Fields: TypeAlias = "dict[str, Any]"
_BUS = frozenset({"collections", "metrics", "status", "signals", "actions", "logs", "connections"})
_PREFIX = "mock-"
_HEARTBEAT = b": heartbeat\n\n"


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

    def stream(self, request: Request, asked: _Fields, make: "Callable[[Changes, _Fields], Follower]") -> Response:
        """Answer a stream.

        Args:
            request: what was asked.
            asked: its parameters.
            make: makes the line of the answer.

        Raises:
            Refused: a channel or position that is none.
        """
        text = asked.get("channels", "")
        channels = json.loads(text) if text.startswith("[") else text.split(",")
        for name in channels:
            if name.startswith("collection:") and name != "collection:tokens":
                raise Refused(404, "COLLECTION_NOT_FOUND", f"The mock has no collection {name[11:]!r}")
            if name != "tokens" and name not in _BUS:
                raise Refused(422, "VALIDATION_ERROR", f"{name!r} is no channel")
        since = request.headers.get("Last-Event-ID") or asked.get("since")
        begin = len(self._log) if since is None else self._place(since)
        follower = make(self, asked)
        follower.put_bytes(f"retry: 0\nid: {_PREFIX}{begin}\n\n".encode() if "tokens" in channels else b"retry: 0\n\n")
        if "tokens" in channels:
            for version in range(begin + 1, len(self._log) + 1):
                follower.put(version)
            self._followers.append(follower)
        return Response(request, 200, {"content-type": "text/event-stream"}, b"", follower)

    def leave(self, follower: "Follower") -> None:
        """Tell it of changes no more."""
        if follower in self._followers:
            self._followers.remove(follower)

    def written(self, version: int, asked: _Fields) -> bytes:
        """Return one change as it is sent: with the point as it is now."""
        change = self._log[version - 1]
        data: _Fields = {"id": change["id"], "version": version}
        token, parts = self._tokens.get(change["id"]), asked.get("include", "").split(",")
        if token is not None and parts != [""]:
            found = {"payload": token["metadata"], "text": token["text"]}
            point = {name: value for name, value in found.items() if name in parts and value is not None}
            data["point"] = {"version": self._versions[change["id"]], **point}
        frame = {"channel": "tokens", "type": change["type"], "time": change["time"], "data": data}
        return f"id: {_PREFIX}{version}\ndata: {json.dumps(frame)}\n\n".encode()

    def _place(self, since: str) -> int:
        if since == "oldest":
            return 0
        number = since.removeprefix(_PREFIX)
        if since == number or not number.isdecimal() or int(number) > len(self._log):
            raise Refused(422, "VALIDATION_ERROR", "since is no position that this mock gave you")
        return int(number)


class Follower(Protocol):
    """A line that is told of changes."""

    def put(self, version: int) -> None:
        """Take a change; from any thread."""
        ...

    def put_bytes(self, piece: bytes) -> None:
        """Take something else."""
        ...


class MockLine(Line):
    """A stream of events for a thread. Its queue may be filled by signal handlers too."""

    def __init__(self, changes: Changes, asked: _Fields) -> None:
        self._changes = changes
        self._asked = asked
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
            return _HEARTBEAT
        return found if isinstance(found, bytes) else self._changes.written(found, self._asked)

    def cut(self) -> None:
        """End a wait."""
        self._queue.put(b"")

    def close(self) -> None:
        """Hear of nothing more."""
        self._changes.leave(self)


class AsyncMockLine(AsyncLine):
    """As MockLine, for a task."""

    def __init__(self, changes: Changes, asked: _Fields) -> None:
        self._changes = changes
        self._asked = asked
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
            return _HEARTBEAT
        return found if isinstance(found, bytes) else self._changes.written(found, self._asked)

    async def close(self) -> None:
        """Hear of nothing more."""
        self._changes.leave(self)
