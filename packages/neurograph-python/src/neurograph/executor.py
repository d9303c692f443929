# Generated from async_executor.py by tools/unasync.py; do not edit.
"""Runs calls: performs what their flows ask for."""

import copy
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from neurograph import calls
from neurograph.auth import Authenticate, Session, authorized
from neurograph.concurrency import Lock, check_middleware, sleep
from neurograph.exceptions import AuthenticationError, InvalidResponseError, NotFoundError
from neurograph.exchange import Exchange
from neurograph.forking import forget_after_fork
from neurograph.metrics import Metrics
from neurograph.middleware import Handler
from neurograph.models import ServerLimits
from neurograph.observation import Observation
from neurograph.options import Options
from neurograph.wire import Call, Request, Response
from wirekit.breaker import CircuitBreaker
from wirekit.budget import RetryBudget
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

        check_middleware(options.middleware)
        self._transport = Transport(options)
        self.session = Session(options.credentials)
        self._breaker = CircuitBreaker(threshold=options.circuit_threshold, recovery=options.circuit_recovery)
        self._budget = RetryBudget()
        self.metrics = Metrics(self._breaker)
        self._lock = Lock()
        self._limits: ServerLimits | None = None
        forget_after_fork(self._breaker)
        forget_after_fork(self._budget)
        self._adopt(options)

    def derived(self, options: Options) -> "Executor":
        """Another one with other time-outs, repeats and hooks, but the same connections, login, circuit and counts."""
        check_middleware(options.middleware)
        other = copy.copy(self)
        other._adopt(options)
        return other

    def _adopt(self, options: Options) -> None:
        self._timeout = options.timeout
        self._middleware = options.middleware
        self._observation = Observation(self.metrics, options.on_retry)
        policy = RetryPolicy(max_retries=options.max_retries)
        self._exchange = Exchange(policy, self._breaker, self._budget, self._observation)

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
            return self._send(effect.request, effect.deadline)
        if isinstance(effect, Authenticate):
            with self._lock.hold(effect.deadline):
                return run(self.session.renew(effect, self._exchange), self._perform)
        return sleep(effect.seconds)

    def _send(self, request: Request, deadline: Deadline) -> Response:
        """One attempt, with the middleware around it."""
        begun = self._observation.begin()
        try:
            response = self._handled(request, deadline)
        except BaseException as error:
            self._observation.broken(request, error, begun)
            raise
        self._observation.answered(request, response, begun)
        return response

    def _handled(self, request: Request, deadline: Deadline) -> Response:
        if not self._middleware:
            return self._transport.send(request, deadline)

        def innermost(sent: Request) -> Response:
            return self._transport.send(sent, deadline)

        handler: Handler = innermost
        for middleware in reversed(self._middleware):
            handler = partial(middleware, call_next=handler)
        return handler(request)
