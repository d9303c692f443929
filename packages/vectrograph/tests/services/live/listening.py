"""A reader of live events in tests: a wire of plain JSON lines, and a transport without a network."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import UNSET

from vectrograph.services.live.events import Changed, Ended, Event, Parts, Wire
from vectrograph.services.live.live import Live
from vectrograph.services.live.streams import Stream

T = TypeVar("T")
# Seconds after which something that should have come is missing. Generous: nothing is measured.
PATIENCE = 20.0


class LineWire(Wire[list[dict[str, Any]]]):
    """Sends dictionaries; a control frame has the key `control`."""

    name = "lines"
    written = 0

    def event(self, event: Event) -> bytes:
        type(self).written += 1
        document: dict[str, Any] = {"channel": event.channel, "type": event.type, "at": event.at, "id": event.id}
        if isinstance(event.data, Changed):
            changed = event.data
            document["data"] = {"id": changed.id, "version": changed.version}
            if changed.matches is not None:
                document["data"]["matches"] = changed.matches
            if (point := changed.point) is not None:
                document["data"]["point"] = {"version": point.version}
                if point.payload is not UNSET:
                    document["data"]["point"]["payload"] = json.loads(point.payload)
                if point.text is not UNSET:
                    document["data"]["point"]["text"] = point.text
        else:
            document["data"] = dict(event.data)
        return json.dumps(document).encode()

    def chunk(self, events: Sequence[bytes], position: str) -> list[dict[str, Any]]:
        documents = [json.loads(event) for event in events]
        assert position == documents[-1]["id"] or position == ""
        return documents

    def position(self, position: str) -> list[dict[str, Any]]:
        return [{"control": "position", "id": position}]

    def heartbeat(self, position: str) -> list[dict[str, Any]]:
        return [{"control": "heartbeat", "id": position}]

    def dropped(self, channel: str, count: int) -> list[dict[str, Any]]:
        return [{"control": "dropped", "channel": channel, "count": count}]


class Bell:
    """A waker that a test waits for."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    def wake(self, streams: Sequence[Stream[Any]]) -> None:
        self.rung.set()


class Reader:
    """Reads a stream when a test wants something of it.

    Attributes:
        seen: everything so far.
        events: everything but control frames.
    """

    def __init__(self, live: Live, credential: str | None, *channels: str, **given: Any) -> None:
        self.bell = Bell()
        self.seen: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.ended: Ended | None = None
        given.setdefault("parts", Parts())
        self.stream = live.open(credential, channels, LineWire(), self.bell, **given)

    @property
    def controls(self) -> list[dict[str, Any]]:
        return [each for each in self.seen if "control" in each]

    @property
    def ids(self) -> list[Any]:
        return [each["data"]["id"] for each in self.events]

    @property
    def last_id(self) -> str:
        """The position that a client would go on from."""
        return next((each["id"] for each in reversed(self.seen) if each.get("id")), "")

    def step(self) -> bool:
        """Take one thing; False when there is nothing now."""
        taken = self.stream.take()
        if isinstance(taken, Ended):
            self.ended = taken
            return False
        if taken is None:
            return False
        self.seen += taken
        self.events += [each for each in taken if "control" not in each]
        return True

    def until(self, done: Callable[[], bool]) -> "Reader":
        """Read until something is the case."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            self.bell.rung.clear()
            if self.step():
                continue
            if done():
                return self
            assert self.ended is None, self.ended
            assert self.bell.rung.wait(max(0.0, deadline - time.monotonic())), f"nothing more came: {self.seen}"
        return self

    def read(self, number: int) -> list[dict[str, Any]]:
        """Read until there are so many events."""
        self.until(lambda: len(self.events) >= number)
        return self.events

    def read_end(self) -> Ended:
        """Read until the stream has ended."""
        deadline = time.monotonic() + PATIENCE
        while self.ended is None:
            self.bell.rung.clear()
            if not self.step() and self.ended is None:
                assert self.bell.rung.wait(max(0.0, deadline - time.monotonic())), "the stream did not end"
        return self.ended

    def rest(self) -> "Reader":
        """Read what is there, until a marker that the test writes itself would be next."""
        while self.step():
            pass
        return self

    def close(self) -> None:
        self.stream.close()
