"""File descriptors of the engine: how many it may have open, and whose are closed when others need some.

A collection needs descriptors only while it is worked on. Its connections stay open afterwards, because opening them
takes a millisecond, until the limit is reached: then those of the collection that was used the longest ago are closed.
What is in memory stays.

Sockets take descriptors too, and whoever connects decides how many. A part of the limit is therefore kept back: as long
as the engine does not use it, it is held by descriptors that stand for nothing, and each is closed right before the
engine opens a file in its place.
"""

import errno
import os
import resource
import time
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol, TypeVar

import apsw

from vectrograph.domain.errors import Overloaded

Opened = TypeVar("Opened")

_SHARE: Final = 3
"""One of so many descriptors of the process is the engine's; the others are for connections and everything else."""
_MIN_LIMIT: Final = 24
"""Descriptors: enough for eight collections that are read or written at the same moment."""
_MAX_LIMIT: Final = 4_096
"""Descriptors: a collection has three to thirty; more would only keep page caches of SQLite in memory."""
_KEPT_BACK: Final = 64
"""Descriptors held ready: enough for some twenty collections that are read or written at the same moment."""
_WAIT_SECONDS: Final = 5.0
"""Seconds that a call waits until another one gives descriptors back. SQLite waits as long for a lock."""
# Seconds between two tries of a call that waits for descriptors. Chosen: short beside the work it waits for.
_POLL_SECONDS: Final = 0.01
# Times that an opening is tried when the process runs out of descriptors in the middle of it.
_ATTEMPTS: Final = 8
# Seconds that a refused caller is told to wait.
_RETRY_SECONDS: Final = 1.0


class Owner(Protocol):
    """Somebody who has descriptors and can do without them."""

    @property
    def used_at(self) -> float:
        """Time of the last use, in `time.monotonic()` seconds."""
        ...

    def park(self) -> bool:
        """Close them all, unless they are in use. Never waits."""
        ...


class OpenFiles:
    """The descriptors of one engine; thread-safe.

    Args:
        limit: how many it may have; None for a third of what the process may have.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = default_limit() if limit is None else limit
        self._lock = Lock()
        self._owners: dict[Owner, int] = {}
        self._used = 0
        self._held: list[int] = []
        self._closed = False
        with self._lock:
            self._keep_back()

    @property
    def used(self) -> int:
        """Descriptors that owners have."""
        return self._used

    def open(self, owner: Owner, amount: int, open_them: Callable[[], Opened]) -> Opened:
        """Open what takes so many descriptors, closing those of others where there is no room.

        Args:
            owner: has them from now on, until it calls `give_back`.
            amount: how many.
            open_them: does it.

        Raises:
            Overloaded: all are in use.
        """
        for _ in range(_ATTEMPTS):
            self._take(owner, amount)
            try:
                return open_them()
            except BaseException as error:
                self.give_back(owner, amount)
                if not is_exhausted(error):
                    raise
            # The table of the process is full: connections, or somebody else, took what was not kept back.
            self._park_one(owner)
        raise exhausted()

    def give_back(self, owner: Owner, amount: int) -> None:
        """Have so many less; they are closed."""
        with self._lock:
            left = self._owners.get(owner, 0) - amount
            if left > 0:
                self._owners[owner] = left
            else:
                self._owners.pop(owner, None)
            self._used -= amount
            self._keep_back()

    def close(self) -> None:
        """Keep nothing back any more."""
        with self._lock:
            self._closed = True
            self._keep_back()

    def _take(self, owner: Owner, amount: int) -> None:
        late = time.monotonic() + _WAIT_SECONDS
        while True:
            with self._lock:
                # One owner alone may have more than all: it would wait for itself otherwise.
                if self._used + amount <= self.limit or not self._owners.keys() - {owner}:
                    self._used += amount
                    self._owners[owner] = self._owners.get(owner, 0) + amount
                    self._keep_back()
                    return
            if not self._park_one(owner):
                if time.monotonic() >= late:
                    raise exhausted()
                time.sleep(_POLL_SECONDS)

    def _park_one(self, owner: Owner) -> bool:
        with self._lock:
            others = [other for other in self._owners if other is not owner]
        others.sort(key=lambda other: other.used_at)
        return any(other.park() for other in others)

    def _keep_back(self) -> None:
        """Hold as many descriptors ready as the kept part of the limit has left; the lock is held."""
        wanted = 0 if self._closed else max(0, min(self.limit, _KEPT_BACK) - self._used)
        while len(self._held) > wanted:
            os.close(self._held.pop())
        try:
            while len(self._held) < wanted:
                self._held.append(os.dup(self._held[0]) if self._held else os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            # Others have them at the moment: what can be had is held, the next change tries for the rest.
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise


def default_limit() -> int:
    """Return the number of descriptors that an engine may have under the limit of this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_LIMIT
    return max(_MIN_LIMIT, min(_MAX_LIMIT, soft // _SHARE))


def is_exhausted(error: BaseException) -> bool:
    """Tell whether something failed because the process, or the system, has no descriptor left."""
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE)
    if not isinstance(error, apsw.CantOpenError | apsw.IOError):
        return False
    # SQLite does not say why it could not open a file.
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as refusal:
        return refusal.errno in (errno.EMFILE, errno.ENFILE)
    return False


def exhausted() -> Overloaded:
    """Return the error of a call for which there is no descriptor."""
    return Overloaded(
        "The server has no free file descriptor at the moment, because too many connections or collections are in use "
        "at once; try again. Its operator can raise the limit on open files (ulimit -n).",
        retry_after=_RETRY_SECONDS,
    )
