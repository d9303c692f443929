"""Grids in memory, bounded in bytes: the one that was asked the longest ago goes first."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from vectrograph.domain.errors import Overloaded, QuotaExceeded
from vectrograph.services.call import Call
from vectrograph.services.grid.arrays import MEMBER_BYTES, GridArrays, Ids

MAX_LOADING: Final = 2
"""Threads that read a grid into memory, or wait for one that is being read: each kind of work has four or more."""
# Seconds that a question waits for others of the same grid before it counts as one that waits for reading.
_USUAL_WAIT_SECONDS: Final = 0.1
# Seconds that a refused caller is told to wait. Measured: 100,000 tokens are read in one to four.
_RETRY_SECONDS: Final = 1.0
# Memory that a grid takes before it has tokens, in bytes. Chosen: some empty arrays, a lock and a position.
_EMPTY_BYTES: Final = 4_096
_NO_IDS: Final = np.empty(0, np.int64)


class LoadedGrid:
    """One grid in memory. Its fields belong to whoever holds it.

    Attributes:
        arrays: its tokens, as far as they have been read.
        pending: tokens to be read, ascending: new ones and changed ones.
        revision: of the members that arrays and pending stand for; -1 before they are known.
        position: in the log of changes; changes before it are in arrays or pending. None before it is known.
    """

    def __init__(self) -> None:
        self.arrays = GridArrays()
        self.pending: Ids = _NO_IDS
        self.revision = -1
        self.position: str | None = None
        self.reserved_bytes = _EMPTY_BYTES
        self.lock = threading.Lock()

    def expect(self, members: Ids, revision: int) -> None:
        """Take the members as they are now: those that left go, those that are new are to be read."""
        self.arrays.drop(np.setdiff1d(self.arrays.ids, members, assume_unique=True))
        changed = np.intersect1d(self.pending, members, assume_unique=True)
        self.pending = np.union1d(changed, np.setdiff1d(members, self.arrays.ids, assume_unique=True))
        self.revision = revision

    def touch(self, ids: Ids) -> None:
        """Read these tokens again, as far as they are members."""
        members = self.arrays.among(ids)
        if len(members):
            self.pending = np.union1d(self.pending, members)


class GridCache:
    """The grids of one server in memory. Thread-safe.

    Args:
        most_bytes: memory of all of them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._grids: OrderedDict[int, LoadedGrid] = OrderedDict()
        self._loading = threading.BoundedSemaphore(MAX_LOADING)

    @property
    def most_members(self) -> int:
        """Tokens that one grid may have."""
        return (self._most_bytes - _EMPTY_BYTES) // MEMBER_BYTES

    @property
    def reserved_bytes(self) -> int:
        """Memory that is set aside for the grids here."""
        with self._lock:
            return sum(grid.reserved_bytes for grid in self._grids.values())

    @contextmanager
    def held(self, call: Call, key: int) -> Iterator[LoadedGrid]:
        """Provide a grid for as long as a block runs; nobody else has it meanwhile.

        Raises:
            Overloaded: it is being read, and enough others wait for that.
            DeadlineExceeded, Cancelled: the call ended while it waited.
        """
        with self._lock:
            grid = self._grids.get(key) or self._grids.setdefault(key, LoadedGrid())
            self._grids.move_to_end(key)
            self._make_room(key)
        if not grid.lock.acquire(timeout=_USUAL_WAIT_SECONDS):
            with self.loading():
                while not grid.lock.acquire(timeout=_USUAL_WAIT_SECONDS):
                    call.refuse_late()
        try:
            yield grid
        finally:
            grid.lock.release()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Take one of the few turns to read a grid, or to wait for one.

        Raises:
            Overloaded: all are taken.
        """
        if not self._loading.acquire(blocking=False):
            raise Overloaded(
                "The server is reading other grids into memory; try again later.", retry_after=_RETRY_SECONDS
            )
        try:
            yield
        finally:
            self._loading.release()

    def reserve(self, key: int, members: int) -> None:
        """Set memory aside for so many tokens of a grid; others leave for it.

        Raises:
            QuotaExceeded: all the memory is too little.
        """
        wanted = members * MEMBER_BYTES
        if members > self.most_members:
            raise QuotaExceeded(
                f"The grid has {members} tokens and {self.most_members} fit into grid_memory_bytes; remove some.",
                details={"limit": self.most_members, "unit": "tokens"},
            )
        with self._lock:
            grid = self._grids.get(key)
            if grid is None:
                return
            grid.reserved_bytes = _EMPTY_BYTES + wanted
            self._make_room(key)

    def forget(self, key: int) -> None:
        """Let go of a grid that is no more."""
        with self._lock:
            self._grids.pop(key, None)

    def _make_room(self, key: int) -> None:
        """Let the grids that were asked the longest ago leave until the rest fits beside this one."""
        total = sum(grid.reserved_bytes for grid in self._grids.values())
        while total > self._most_bytes and (other := next(iter(self._grids))) != key:
            total -= self._grids.pop(other).reserved_bytes
