"""Objects that hold connections, locks or a login: a child process starts them over, and nothing copies them."""

import os
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar
from weakref import WeakSet

from neurograph.exceptions import ConfigurationError

T = TypeVar("T")


class Forkable(Protocol):
    """Something that does not survive a fork as it is."""

    def after_fork(self) -> None:
        """Start over; called in the child, where this thread is the only one."""


_forkables: "WeakSet[Forkable]" = WeakSet()


def forget_after_fork(forkable: Forkable) -> None:
    """Has `after_fork` called in every child process for as long as the object lives."""
    _forkables.add(forkable)


# Connections that belong to the parent process are neither used nor torn down in the child, only kept out of sight:
# tearing them down would speak to the server, or wait for locks that nobody will release.
_inherited: list[object] = []


def inherit(thing: object) -> None:
    """Keep something of the parent process for as long as the child lives, without a use."""
    _inherited.append(thing)


def _in_child() -> None:
    for forkable in list(_forkables):
        forkable.after_fork()


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:  # there is no fork on Windows
    _register(after_in_child=_in_child)


class Uncopied:
    """Base of what can be neither pickled nor copied."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise ConfigurationError(
            f"{type(self).__name__} holds connections and a login, and cannot be pickled or copied. Make a client in "
            "each process, pass its arguments around instead, or call with_options() for another with other options",
            request_sent=False,
        )


def twin(thing: T) -> T:
    """Return another object with the same attributes, without a look at `__reduce_ex__`; for the library's own use."""
    other = object.__new__(type(thing))
    vars(other).update(vars(thing))
    return other
