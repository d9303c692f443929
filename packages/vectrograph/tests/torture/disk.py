"""A model of a disk with a cache: it remembers what was synced, and at a power loss any part of the rest.

What POSIX promises, and no more: fsync of a file makes its bytes and length durable, fsync of a directory its entries;
whatever was not synced may be there, may be missing, in any order, torn between sectors.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from torture.seam import Event, Kind

SECTORS = (512, 4096)


class Loss(StrEnum):
    """Fate of what was not synced."""

    EVERYTHING = "everything is lost"
    NOTHING = "nothing is lost"
    LATEST = "the latest is lost"
    SOME = "some is lost"
    TORN = "some is lost, writes are torn between sectors"
    CONTENTS = "contents are lost, entries of directories are not"
    ENTRIES = "entries of directories are lost, contents are not"


@dataclass(slots=True)
class _Pending:
    """A change that was not synced yet; `place` among all calls."""

    place: int
    event: Event


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Pending] = field(default_factory=list)


@dataclass(slots=True)
class Disk:
    """State of the disk after some calls; feed it with `apply`, take pictures with `after_power_loss`."""

    root: str
    _files: dict[int, _File] = field(default_factory=dict)
    _entries: dict[str, int] = field(default_factory=dict)
    _pending: list[_Pending] = field(default_factory=list)
    _place: int = 0

    def apply(self, event: Event) -> None:
        """Count one more call."""
        self._place += 1
        match event.kind:
            case Kind.WRITE | Kind.TRUNCATE:
                self._file(event.file).pending.append(_Pending(self._place, event))
            case Kind.SYNC:
                file = self._file(event.file)
                for pending in file.pending:
                    _change(file.durable, pending.event)
                file.pending.clear()
            case Kind.SYNC_DIRECTORY:
                inside = [pending for pending in self._pending if os.path.dirname(pending.event.path) == event.path]
                for pending in inside:
                    _enter(self._entries, pending.event)
                self._pending = [pending for pending in self._pending if pending not in inside]
            case _:
                self._pending.append(_Pending(self._place, event))

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())

    def after_power_loss(self, loss: Loss, chance: random.Random, home: Path) -> None:
        """Write into an empty directory what is left when the power goes now."""
        keep = self._keeper(loss, chance)
        entries = dict(self._entries)
        for pending in self._pending:
            if loss is Loss.CONTENTS or (loss is not Loss.ENTRIES and keep(pending)):
                _enter(entries, pending.event)
        sector = chance.choice(SECTORS) if loss is Loss.TORN else 0
        for path in sorted(entries):
            place = home / os.path.relpath(path, self.root)
            if not place.parent.is_dir():
                continue
            if entries[path] == 0:
                place.mkdir()
            else:
                place.write_bytes(self._content(entries[path], loss, keep, chance, sector))

    def _content(
        self, number: int, loss: Loss, keep: Callable[[_Pending], bool], chance: random.Random, sector: int
    ) -> bytes:
        file = self._file(number)
        content = bytearray(file.durable)
        for pending in file.pending:
            if loss is Loss.ENTRIES or (loss is not Loss.CONTENTS and (sector or keep(pending))):
                if sector and pending.event.kind is Kind.WRITE:
                    _tear(content, pending.event, sector, chance)
                else:
                    _change(content, pending.event)
        return bytes(content)

    def _keeper(self, loss: Loss, chance: random.Random) -> Callable[[_Pending], bool]:
        share = chance.random()
        everything = [pending.place for pending in self._pending]
        everything += [pending.place for file in self._files.values() for pending in file.pending]
        last = chance.choice(everything) if everything else 0
        match loss:
            case Loss.NOTHING:
                return lambda _: True
            case Loss.LATEST:
                return lambda pending: pending.place < last
            case Loss.SOME | Loss.TORN:
                return lambda _: chance.random() < share
            case _:
                return lambda _: False


def _change(content: bytearray, event: Event) -> None:
    if event.kind is Kind.TRUNCATE:
        if event.offset < len(content):
            del content[event.offset :]
        else:
            content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[event.offset : end] = event.data


def _tear(content: bytearray, event: Event, sector: int, chance: random.Random) -> None:
    """Write some sectors of a write and not others; about half of the writes stay whole or are lost whole."""
    fate = chance.random()
    start, end = event.offset, event.offset + len(event.data)
    while start < end:
        stop = min(end, (start // sector + 1) * sector)
        if fate < 0.25 or (fate < 0.75 and chance.random() < 0.5):
            part = event.data[start - event.offset : stop - event.offset]
            _change(content, Event(Kind.WRITE, event.path, event.file, start, part))
        start = stop


def _enter(entries: dict[str, int], event: Event) -> None:
    match event.kind:
        case Kind.CREATE | Kind.MKDIR:
            entries[event.path] = event.file
        case Kind.RENAME:
            entries.pop(event.path, None)
            entries[event.target] = event.file
        case _:
            entries.pop(event.path, None)
