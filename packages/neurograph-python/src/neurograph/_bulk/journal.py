"""The journal of a bulk load: which items were sent under which key, and what became of them.

A line is written, and forced to the disk, before a batch is sent, and another when its outcome is known. A process that
died in between sends the same items under the same key again, and the server, which keeps keys for a day, either
creates them or tells again what it had created: each item is created exactly once.
"""

import hashlib
import json
import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Protocol

from neurograph._protocol.operations import new_key
from neurograph.exceptions import ConfigurationError, NeuroGraphError, ValidationError

# Servers keep idempotency keys for 24 hours; an hour less leaves time for the request itself.
_KEYS_KEPT_SECONDS = 23 * 3600.0
# HTTP status 409: the key was used already, so nothing is known of these items.
_CONFLICT = 409


class Sendable(Protocol):
    """An item as a batch sends it."""

    @property
    def index(self) -> int:
        """Its place among the items, from 0."""
        ...

    def canonical(self) -> bytes:
        """Return the same for the same item, however it is sent."""
        ...


@dataclass(slots=True)
class Plan:
    """A batch that an earlier run has sent.

    Attributes:
        key: its idempotency key.
        ranges: first and last-but-one index of each run of items.
        digest: of the items.
        begun: when it was sent, in seconds since 1970.
        ids: of the tokens created; None when nobody knows whether they were.
    """

    key: str
    ranges: list[tuple[int, int]]
    digest: str
    begun: float
    ids: list[int] | None = None
    items: list[Any] = field(default_factory=list)
    _seen: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)

    def take(self, item: Sendable) -> bool:
        """Take an item of this batch, by rising index; whether it was the last.

        Raises:
            ValidationError: the items are not those of the earlier run.
        """
        self._seen += 1
        self._hash.update(_prefixed(item))
        if self.ids is None:
            self.items.append(item)
        if self._seen < sum(stop - start for start, stop in self.ranges):
            return False
        if self._hash.hexdigest() != self.digest:
            raise self.mismatch()
        return True

    def mismatch(self) -> ValidationError:
        """Return the error for items that are not those of this batch."""
        return _changed(f"items {self.ranges[0][0]} to {self.ranges[-1][1] - 1} differ from those")


class Journal:
    """A journal on disk, held by one process at a time.

    Args:
        path: of the file; made when it is not there.
        server: where the load goes; a journal serves one server.

    Raises:
        ConfigurationError: another process holds it, it is of another server, or no journal, or it is too late to know
            what became of a batch.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], server: str) -> None:
        self._path = Path(path)
        self._lock = Lock()
        self._file: BinaryIO = self._path.open("a+b")
        try:
            _hold(self._file, self._path)
            plans = self._read(server)
        except BaseException:
            self._file.close()
            raise
        spans = [(*span, plan) for plan in plans.values() for span in plan.ranges]
        self._spans = sorted(spans, key=lambda span: span[0], reverse=True)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def plan_of(self, index: int) -> Plan | None:
        """Return the batch in which an earlier run has sent this item; to be asked by rising index."""
        while self._spans and self._spans[-1][1] <= index:
            self._spans.pop()
        return self._spans[-1][2] if self._spans and self._spans[-1][0] <= index else None

    def refuse_missing(self, count: int) -> None:
        """Check at the end of the items that those of the earlier run were all there.

        Raises:
            ValidationError: there were more.
        """
        if any(stop > count for _, stop, _ in self._spans):
            raise _changed(f"they end after {count}; there were more")

    def plan(self, batch: Sequence[Sendable]) -> str:
        """Note, on the disk, that a batch is about to be sent; returns the key to send it under."""
        key = new_key()
        digest = hashlib.sha256(b"".join(map(_prefixed, batch))).hexdigest()
        ranges = _ranges(item.index for item in batch)
        self._write({"plan": key, "items": ranges, "digest": digest, "at": time.time()}, durable=True)
        return key

    def done(self, key: str, ids: Sequence[int]) -> None:
        """Note what a batch has created."""
        self._write({"done": key, "ids": _ranges(ids)})

    def failed(self, key: str, error: NeuroGraphError) -> None:
        """Note that a batch was refused, when that is certain; else the next run will ask again."""
        status = error.status_code
        never_sent = status is None and isinstance(error, ValidationError)
        if never_sent or (status is not None and 400 <= status < 500 and status != _CONFLICT):
            self._write({"refused": key})

    def _write(self, entry: dict[str, Any], *, durable: bool = False) -> None:
        with self._lock:
            self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())

    def _read(self, server: str) -> dict[str, Plan]:
        self._file.seek(0)
        whole = self._file.read()
        end = whole.rfind(b"\n") + 1  # a line that was being written when its process died says nothing
        self._file.truncate(end)
        lines = whole[:end].splitlines()
        if not lines:
            self._write({"journal": "create_many", "version": 1, "server": server}, durable=True)
            return {}
        try:
            head, *entries = map(json.loads, lines)
            if head["journal"] != "create_many" or head["version"] != 1:
                raise ValueError(head)
            plans = _plans(entries)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{self._path} is not a journal of create_many; pass another path") from error
        if head["server"] != server:
            raise ConfigurationError(f"The journal {self._path} belongs to a load into {head['server']}, not {server}")
        self._refuse_old(plans.values())
        return plans

    def _refuse_old(self, plans: Iterable[Plan]) -> None:
        for plan in plans:
            if plan.ids is None and time.time() - plan.begun > _KEYS_KEPT_SECONDS:
                raise ConfigurationError(
                    f"Whether items {plan.ranges[0][0]} to {plan.ranges[-1][1] - 1} were created cannot be told any "
                    f"more: they were sent more than a day ago. Look for them, and begin a new journal with what is "
                    f"missing instead of {self._path}"
                )


@contextmanager
def held(journal: Journal | None) -> Generator[None, None, None]:
    """Close the journal, if there is one, at the end."""
    try:
        yield
    finally:
        if journal is not None:
            journal.close()


def _plans(entries: Iterable[dict[str, Any]]) -> dict[str, Plan]:
    plans: dict[str, Plan] = {}
    for entry in entries:
        if "plan" in entry:
            spans = [(int(start), int(stop)) for start, stop in entry["items"]]
            plans[entry["plan"]] = Plan(entry["plan"], spans, entry["digest"], entry["at"])
        elif "done" in entry:
            plans[entry["done"]].ids = [number for start, stop in entry["ids"] for number in range(start, stop)]
        else:
            del plans[entry["refused"]]
    return plans


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Return numbers as runs: first and one past the last of each."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return runs


def _prefixed(item: Sendable) -> bytes:
    content = item.canonical()
    return len(content).to_bytes(8, "little") + content


def _changed(what: str) -> ValidationError:
    return ValidationError.of("items", f"are not those that the journal was begun with: {what}")


def _hold(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows; there, two loads with one journal are not told apart
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigurationError(
            f"The journal {path} is in use by another load; wait for it, or pass another"
        ) from error
