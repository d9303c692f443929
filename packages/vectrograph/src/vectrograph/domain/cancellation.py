"""Stopping work that nobody waits for any more: the caller has left, or the server ends.

Whoever serves a request sets the cancellation of its thread, and long work asks for it between pieces of some
milliseconds. It is looked up only there, so that short requests pay next to nothing for it.
"""

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Final, TypeAlias

from vectrograph.domain.errors import Cancelled

Cancellation: TypeAlias = Callable[[], None]
"""Called by long work every few milliseconds. It raises when the work is no longer wanted: its deadline has passed, its
caller has left, or the database closes."""

Gone = Callable[[], bool]
"""Tells whether the caller has left; called by the thread that works for it, every few milliseconds."""

GONE: Final = "vectrograph.gone"
"""Key of an ASGI scope under which a `Gone` is handed on."""

_current: Final[ContextVar[Gone | None]] = ContextVar("cancellation", default=None)


def never_cancelled() -> None:
    """Let work run to its end; a `Cancellation`."""


class CancelledWhen:
    """A block whose work ends when the caller has left.

    Args:
        gone: tells it.
    """

    __slots__ = ("_gone", "_token")

    def __init__(self, gone: Gone) -> None:
        self._gone = gone
        self._token: Token[Gone | None] | None = None

    def __enter__(self) -> None:
        self._token = _current.set(self._gone)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _current.reset(self._token)


def cancel_when(gone: Gone) -> None:
    """Let all work of the current task, and of threads that it starts, end when the caller has left."""
    _current.set(gone)


def current() -> Gone | None:
    """Return what tells whether the caller of the current thread has left, None where nobody can."""
    return _current.get()


def refuse_cancelled() -> None:
    """Stop when the caller of the current thread has left.

    Raises:
        Cancelled: it has.
    """
    gone = _current.get()
    if gone is not None and gone():
        raise cancelled()


def cancelled() -> Cancelled:
    """Return the error of work that was given up."""
    return Cancelled("The caller disconnected, so the work was cancelled.")
