"""From a call to its result as a flow without I/O: attempts with retry, errors for statuses, decoding."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from neurograph.exceptions import NeuroGraphError, NotFoundError
from neurograph.failures import failure
from neurograph.wire import Call, Request, Response
from wirekit.call import attempts
from wirekit.deadline import Deadline
from wirekit.flow import Flow, Send
from wirekit.retry import RetryPolicy

T = TypeVar("T")


def _never_arrived(error: Exception) -> bool:
    """Whether a repeat is safe for a call that must not happen twice: nothing has reached the server."""
    return isinstance(error, NeuroGraphError) and error.retryable and not error.request_sent


class Exchange:
    """Sends calls; the only place that repeats them.

    Idempotent calls are repeated after every passing failure, others only when the connection was never
    established.

    Args:
        policy: how often and how patiently.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._policy_once = replace(policy, retryable=_never_arrived)

    def __call__(
        self, call: Call[T], deadline: Deadline, *, bearer: str | None = None, secrets: tuple[str, ...] = ()
    ) -> Flow[T]:
        """Sends one call and reads its answer.

        Args:
            call: what to send.
            deadline: of all attempts together.
            bearer: the credential to send.
            secrets: what no error may show, should the server echo it.

        Raises:
            NeuroGraphError: the last attempt failed, or the answer is malformed.
        """
        policy = self._policy if call.idempotent else self._policy_once
        attempt = _attempt(call.request.authorized(bearer), deadline, secrets)
        response = yield from attempts(attempt, policy, deadline)
        return call.decode(response)


def _attempt(request: Request, deadline: Deadline, secrets: tuple[str, ...]) -> Callable[[], Flow[Response]]:
    """Makes flows that each try the request once, and remember whether an earlier one may have had its effect."""
    maybe_done = False

    def attempt() -> Flow[Response]:
        nonlocal maybe_done
        try:
            response: Response = yield Send(request, deadline)
        except NeuroGraphError as broken:
            maybe_done = maybe_done or broken.request_sent
            raise
        if response.status < 300:
            return response
        error = failure(response, secrets)
        if maybe_done and request.method == "DELETE" and isinstance(error, NotFoundError):
            return response  # gone since the attempt whose answer was lost
        maybe_done = maybe_done or response.status >= 500
        raise error

    return attempt
