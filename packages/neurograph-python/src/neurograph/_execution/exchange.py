"""From a call to its result as a flow without I/O: attempts with retry, errors for statuses, decoding."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from neurograph._execution.observing import Observation
from neurograph._protocol.call import Call
from neurograph._protocol.decoding import unframed
from neurograph._protocol.failures import failure
from neurograph._wirekit.attempts import attempts
from neurograph._wirekit.breaker import CircuitBreaker
from neurograph._wirekit.budget import RetryBudget
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.flow import Flow, Send
from neurograph._wirekit.retry import RetryPolicy
from neurograph.exceptions import CircuitOpenError, NeuroGraphError, NotFoundError
from neurograph.wire import Request, Response

T = TypeVar("T")


def _never_arrived(error: Exception) -> bool:
    """Return whether a repeat is safe for a call that must not happen twice: nothing has reached the server."""
    return isinstance(error, NeuroGraphError) and error.retryable and not error.request_sent


class Exchange:
    """Sends calls; the only place that repeats them.

    Idempotent calls are repeated after every passing failure, others only when the connection was never
    established.

    Args:
        policy: how often and how patiently.
        breaker: stops sending to a server that keeps failing.
        budget: bounds the repeats of all calls together.
        observation: is told of repeats.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        breaker: CircuitBreaker | None = None,
        budget: RetryBudget | None = None,
        observation: Observation | None = None,
    ) -> None:
        self._policy = policy
        self._breaker = breaker
        self._budget = budget
        self._observation = observation
        self._policy_once = replace(policy, retryable=_never_arrived)

    def __call__(
        self, call: Call[T], deadline: Deadline, *, bearer: str | None = None, secrets: tuple[str, ...] = ()
    ) -> Flow[T]:
        """Send one call and reads its answer.

        Args:
            call: what to send.
            deadline: of all attempts together.
            bearer: the credential to send.
            secrets: what no error may show, should the server echo it.

        Raises:
            NeuroGraphError: the last attempt failed, or the answer is malformed.
        """
        policy = self._policy if call.idempotent else self._policy_once
        request = replace(call.request, bearer=bearer, request_id=os.urandom(16).hex())
        hidden = secrets if bearer is None else (*secrets, bearer)
        attempt = _attempt(request, deadline, hidden, self._breaker)
        told = None if self._observation is None else partial(self._observation.retrying, request)
        response = yield from attempts(attempt, policy, deadline, budget=self._budget, on_retry=told)
        return call.decode(unframed(response))


def _attempt(
    request: Request, deadline: Deadline, secrets: tuple[str, ...], breaker: CircuitBreaker | None
) -> Callable[[], Flow[Response]]:
    """Make flows that each try the request once, and remember whether an earlier one may have had its effect."""
    maybe_done = False
    tried = 0

    def attempt() -> Flow[Response]:
        nonlocal maybe_done, tried
        _refuse_when_open(breaker, request)
        sent = replace(request, attempt=tried) if tried else request
        tried += 1
        try:
            response: Response = yield Send(sent, deadline)
        except NeuroGraphError as broken:
            maybe_done = maybe_done or broken.request_sent
            broken.request_id = broken.request_id or (request.request_id if broken.request_sent else None)
            if breaker is not None and broken.retryable and broken.blames_server:
                breaker.failed()
            raise
        if breaker is not None:
            (breaker.failed if response.status >= 500 else breaker.succeeded)()
        if response.status < 300:
            return response
        error = failure(response, secrets)
        if maybe_done and request.method == "DELETE" and isinstance(error, NotFoundError):
            return response  # gone since the attempt whose answer was lost
        maybe_done = maybe_done or response.status >= 500
        raise error

    return attempt


def _refuse_when_open(breaker: CircuitBreaker | None, request: Request) -> None:
    wait = 0.0 if breaker is None else breaker.wait()
    if wait > 0:
        raise CircuitOpenError(
            f"Nothing was sent for {request}: the server failed too often in a row; the next try is in {wait:.1f} s",
            retry_after=wait,
            retryable=False,
            request_sent=False,
        )
