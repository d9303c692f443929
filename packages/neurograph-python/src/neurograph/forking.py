"""What a child process must forget after a fork: locks that another thread held, connections of the parent."""

import os
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that does not survive a fork as it is."""

    def after_fork(self) -> None:
        """Starts over; called in the child, where this thread is the only one."""


_forkables: "WeakSet[Forkable]" = WeakSet()


def forget_after_fork(forkable: Forkable) -> None:
    """Has `after_fork` called in every child process for as long as the object lives."""
    _forkables.add(forkable)


def _in_child() -> None:
    for forkable in list(_forkables):
        forkable.after_fork()


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:  # there is no fork on Windows
    _register(after_in_child=_in_child)
