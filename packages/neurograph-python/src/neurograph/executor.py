# Generated from async_executor.py by tools/unasync.py; do not edit.
"""Runs calls: performs what their flows ask for."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from neurograph import calls
from neurograph.auth import Authenticate, Session, authorized
from neurograph.concurrency import Lock, sleep
from neurograph.exceptions import AuthenticationError, InvalidResponseError, NotFoundError
from neurograph.exchange import Exchange
from neurograph.models import ServerLimits
from neurograph.options import Options
from neurograph.wire import Call, Response
from wirekit.deadline import Deadline
from wirekit.flow import Send, run
from wirekit.lines import LineSplitter
from wirekit.retry import RetryPolicy

T = TypeVar("T")


class Executor:
    """What a client and its resources share: connections, credentials, and the one way to run a call."""

    def __init__(self, options: Options) -> None:
        # Imported here because httpx2 takes longer to import than all the rest.
        from neurograph.transport import Transport

        self._timeout = options.timeout
        self._transport = Transport(options)
        self.session = Session(options.credentials)
        self._lock = Lock()
        self._limits: ServerLimits | None = None
        self._exchange = Exchange(RetryPolicy(max_retries=options.max_retries))

    def run(self, call: Call[T]) -> T:
        """Runs one call, with the login and the repeats it needs, within the client's time-out.

        Raises:
            NeuroGraphError: the call failed.
        """
        flow = authorized(call, self.session, self._exchange, Deadline.after(self._timeout))
        return run(flow, self._perform)

    def lines(self, call: Call[Response]) -> Generator[Response, None]:
        """Runs a call whose answer is NDJSON; yields a response for each line as it arrives.

        The client's time-out bounds the time until the answer begins, and each wait for more of it.

        Raises:
            NeuroGraphError: the call failed, or its answer broke off.
        """
        response = self.run(call)
        splitter = LineSplitter()
        with closing(response.chunks) as chunks:
            for chunk in chunks:
                for line in splitter.feed(chunk):
                    yield replace(response, body=line, chunks=None)
        for line in splitter.flush():
            yield replace(response, body=line, chunks=None)

    def limits(self) -> ServerLimits:
        """The limits that the server advertises, asked for once; empty when it advertises none."""
        if self._limits is None:
            try:
                self._limits = self.run(calls.get_limits())
            except (AuthenticationError, NotFoundError, InvalidResponseError):
                self._limits = ServerLimits()  # a server that has no such page
        return self._limits

    def close(self) -> None:
        """Closes the connections; a second call does nothing."""
        self._transport.close()

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Send):
            return self._transport.send(effect.request, effect.deadline)
        if isinstance(effect, Authenticate):
            with self._lock.hold(effect.deadline):
                return run(self.session.renew(effect, self._exchange), self._perform)
        return sleep(effect.seconds)
