"""Memory budget of the engine beside SQLite, and its holders.

Counted is anonymous memory that grows with the data: columns of rows, vectors of small collections, graphs, copies of
graphs while they are extended, and payload columns. Not counted are mapped files, which the kernel takes back when it
needs room, caches of SQLite (8 MB a connection), and what a request needs while it runs.
"""

import os
import weakref
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Final, Protocol
from weakref import WeakSet

from vectrograph.domain.errors import OutOfSpace

# Part of the budget, as its denominator, that background work leaves to writers. Chosen, not measured.
_MARGIN_SHARE: Final = 8
_SHARE: Final = 2
"""One byte of so many is the engine's. The other half is for the interpreter, caches of SQLite, requests under way, and
pages of mapped files."""
_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


class OverBudget(Exception):
    """There is not that much left."""


class Reclaimable(Protocol):
    """Somebody who has memory that can be made anew, such as columns for filters."""

    def give_up(self) -> bool:
        """Give it back, unless it is in use. Never waits."""
        ...


class Budget:
    """A limit that is kept by everyone asking first; thread-safe.

    Args:
        limit: bytes, None for no limit.

    >>> budget = Budget(1000)
    >>> with budget.reserve(700):
    ...     budget.free
    300
    >>> budget.free
    1000
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._used = 0
        self._reclaimable: WeakSet[Reclaimable] = WeakSet()
        # A finalizer may run at any allocation, also of the thread that is in here.
        self._lock = RLock()

    @property
    def used(self) -> int:
        """Bytes taken."""
        return self._used

    @property
    def free(self) -> int | None:
        """Bytes left, None when there is no limit."""
        return None if self.limit is None else max(0, self.limit - self._used)

    def reclaimable(self, holder: "Reclaimable") -> None:
        """Ask a holder to give up what it has when others find nothing left."""
        with self._lock:
            self._reclaimable.add(holder)

    def _reclaim(self, amount: int) -> None:
        """Let holders give up memory until so many bytes are free, or none has any; the lock is not held."""
        with self._lock:
            holders = list(self._reclaimable)
        for holder in holders:
            if self.free is None or self.free >= amount:
                return
            holder.give_up()

    def reserve(self, amount: int, *, leaving: int = 0) -> "Reservation":
        """Take so many bytes, if so many are left to others then.

        Raises:
            OverBudget: there are not so many left; nothing was taken.
        """
        if self.free is not None and amount + leaving > self.free:
            self._reclaim(amount + leaving)
        with self._lock:
            if self.free is not None and amount + leaving > self.free:
                kept = f", of which {leaving} are kept for writers" if leaving else ""
                raise OverBudget(f"{amount} bytes are wanted and {self.free} are left{kept}")
            reservation = Reservation(self)
            reservation.resize(amount)
            return reservation

    @property
    def margin(self) -> int:
        """Bytes that background work leaves to writers, who are refused what they cannot have at once."""
        return 0 if self.limit is None else self.limit // _MARGIN_SHARE

    def refusal(self, what: str) -> OutOfSpace:
        """Return the error of a write for which there is no memory left."""
        return OutOfSpace(
            f"The memory limit of {self.limit} bytes has no space for {what}, and nothing was written; "
            "delete points, or raise memory_bytes.",
            details={"memory_bytes": self.limit, "used": self._used},
        )

    def _change(self, amount: int, *, anyway: bool = False) -> None:
        if not anyway and amount > 0 and self.free is not None and amount > self.free:
            self._reclaim(amount)
        with self._lock:
            if not anyway and amount > 0 and self.limit is not None and self._used + amount > self.limit:
                raise OverBudget(f"{amount} bytes are wanted and {max(0, self.limit - self._used)} are left")
            self._used += amount


class Reservation:
    """Bytes taken from a budget until they are released, explicitly, by a `with` block, or with their owner."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._amount = 0

    @property
    def amount(self) -> int:
        """Bytes."""
        return self._amount

    def resize(self, amount: int, *, anyway: bool = False) -> None:
        """Have so many bytes from now on; `anyway` for what is there already and cannot be refused.

        Raises:
            OverBudget: there are not so many left; nothing has changed.
        """
        self._budget._change(amount - self._amount, anyway=anyway)
        self._amount = amount

    def release(self) -> None:
        """Give everything back."""
        self.resize(0)

    def leave_to(self, owner: object) -> None:
        """Keep the bytes for as long as an object lives, which is how long readers may still use it."""
        amount, self._amount = self._amount, 0
        weakref.finalize(owner, self._budget._change, -amount).atexit = False

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def default_budget() -> int | None:
    """Return bytes that an engine takes when it is not told; None where the memory of the machine is not known."""
    memory = available_memory()
    return None if memory is None else memory // _SHARE


def available_memory(groups: Path = _GROUPS, own_group: Path = _OWN_GROUP) -> int | None:
    """Return bytes that this process can have: those of the machine, or fewer where a control group allows fewer.

    Args:
        groups: where control groups are mounted.
        own_group: the file that tells which one is this process's.
    """
    found = [limit for limit in (_machine(), *_group_limits(groups, own_group)) if limit is not None]
    return min(found, default=None)


def _machine() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _group_limits(groups: Path, own_group: Path) -> list[int | None]:
    """Return limits of the group and of all groups around it, in version 2 and version 1 of the interface."""
    limits: list[int | None] = []
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return limits
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        # Within a container, the path of the host may lead nowhere: the mounted root is its own group then.
        limits += [_limit(root.joinpath(*parts[:depth]) / name) for depth in range(len(parts) + 1)]
    return limits


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        # No such group, or "max".
        return None
