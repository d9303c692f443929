"""Effects for answers that are taken one by one, for as long as a call lasts. Pure."""

from dataclasses import dataclass
from typing import Any, Protocol

from vectron_client._execution.call import Request


class Feed(Protocol):
    """A call whose answers are taken one by one, as a flow sees it."""

    @property
    def is_usable(self) -> bool:
        """Return whether the next answer can be taken: none may be missing, and process and event loop are the same."""
        ...

    def take(self, seconds: float | None) -> Any:
        """Return what the effect `Take` answers; from an asynchronous call, an awaitable of it."""
        ...

    def cancel(self) -> None:
        """End the call; whoever waits for an answer gets None. Cancelling twice does nothing."""
        ...


class SilenceError(Exception):
    """No answer came in time; the call is of no use any more."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Effect: begin a call without a deadline; its feed is there at once."""

    request: Request


@dataclass(frozen=True, slots=True)
class Take:
    """Effect: wait for the next answer of a call; None at its end, SilenceError when there is none in time.

    Attributes:
        feed: of the call.
        seconds: how long; None waits for ever.
    """

    feed: Feed
    seconds: float | None
