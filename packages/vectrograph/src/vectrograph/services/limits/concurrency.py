"""Limits of the requests and streams that one account has under way."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from vectrograph.domain.errors import RateLimited
from vectrograph.services.call import Principal

# Streamed answers of one account at once. Generous: a client reads one or two at a time; gRPC has twice as many
# threads for streams.
MAX_STREAMS: Final = 16
# Seconds that a refused caller is told to wait. Chosen: most requests end within it.
_RETRY_SECONDS: Final = 1.0


class Concurrency:
    """Counts, in this process, what is worked on for each account. A limit of 0 is none.

    An account has one limit for all its API keys and tokens, so that making keys gains nothing.
    """

    def __init__(self, *, requests: int = 0, streams: int = MAX_STREAMS) -> None:
        """Limit the requests that threads work on, and the streams whose answer is being sent piece by piece."""
        self._limits = {"requests": requests, "streams": streams}
        self._lock = threading.Lock()
        self._under_way: Counter[tuple[str, str]] = Counter()

    def enter_request(self, principal: Principal) -> Callable[[], None] | None:
        """Count a request until the function that this returns is called; None where nothing is limited.

        Raises:
            RateLimited: the caller has as many under way as are allowed.
        """
        if not self._limits["requests"]:
            return None
        return partial(self.leave, self.enter("requests", principal))

    @contextmanager
    def request(self, principal: Principal) -> Iterator[None]:
        """Count a request for as long as the block runs.

        Raises:
            RateLimited: the caller has as many under way as are allowed.
        """
        leave = self.enter_request(principal)
        try:
            yield
        finally:
            if leave is not None:
                leave()

    @property
    def max_streams(self) -> int:
        """Streams of one caller that may be under way at once."""
        return self._limits["streams"]

    @contextmanager
    def stream(self, principal: Principal) -> Iterator[None]:
        """Count a stream for as long as the block runs.

        Raises:
            RateLimited: the caller reads as many as are allowed.
        """
        name = self.enter_stream(principal)
        try:
            yield
        finally:
            self.leave(name)

    def enter_stream(self, principal: Principal) -> tuple[str, str]:
        """Count a stream until `leave` is called with what this returns.

        Raises:
            RateLimited: the caller reads as many as are allowed.
        """
        return self.enter("streams", principal)

    def enter(self, kind: str, principal: Principal) -> tuple[str, str]:
        """Count one of a kind, requests or streams, until `leave` is called with what this returns.

        Raises:
            RateLimited: there are as many as are allowed.
        """
        name = (kind, principal.user_id)
        limit = self._limits[kind]
        with self._lock:
            if limit and self._under_way[name] >= limit:
                raise RateLimited(
                    f"This account already has {limit} {kind} in progress over all its API keys, "
                    "which is the limit; wait for one to end.",
                    details={"limit": limit, "unit": kind},
                    retry_after=_RETRY_SECONDS,
                )
            self._under_way[name] += 1
        return name

    def leave(self, name: tuple[str, str]) -> None:
        """Record the end of a request or stream."""
        with self._lock:
            self._under_way[name] -= 1
            if self._under_way[name] <= 0:
                del self._under_way[name]
