"""Calls, ready to be sent, and their way to a result: deadline, repeats, reading the response. Pure.

`flow` decides when and how often a `Request` is sent, and reads the result; a channel sends it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError

from vectron_client._execution.hedging import Hedged
from vectron_client._execution.retries import RetryPlan
from vectron_client._pb.methods import VECTROGRAPH_SERVICE_METHODS, Method
from vectron_client._wirekit.attempts import attempts
from vectron_client._wirekit.deadline import Deadline
from vectron_client._wirekit.flow import Flow, Send
from vectron_client._wirekit.retry import RetryPolicy
from vectron_client.exceptions import InternalServerError, VectronError

T = TypeVar("T")

#: Metadata key under which a write has a name, so that the server recognises a repeat.
IDEMPOTENCY_KEY = "idempotency-key"

#: A cheap method that exactly those servers have which recognise repeated writes.
_PROBE = VECTROGRAPH_SERVICE_METHODS["GetLimits"]

#: What reading an answer that makes no sense may raise.
_UNREADABLE = (DecodeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One message for one method.

    Attributes:
        method: which one.
        body: the serialised message.
        timeout: seconds the whole call has, for error messages; None without a limit.
        metadata: what to send beside the message, besides what every call of the client has.
        gzip: whether to compress the message.
        secrets: texts of the message that no error may repeat.
    """

    method: Method
    body: bytes = field(repr=False)
    timeout: float | None
    metadata: Metadata = field(default=(), repr=False)
    gzip: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """An operation that is ready to be sent.

    Attributes:
        method: which one.
        body: the serialised request.
        read: turns the serialised answer into the result.
        writes: whether it changes anything; only what does not is hedged, and repeated without more ado.
        named: whether servers may recognise a repeat by its name, so that this write may be repeated.
        metadata: what to send beside the message.
        secrets: texts of the message that no error may repeat, such as a password.
    """

    method: Method
    body: bytes = field(repr=False)
    read: Callable[[bytes], T]
    writes: bool = False
    named: bool = False
    metadata: Metadata = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def result(self, answer: bytes) -> T:
        """Read an answer.

        Raises:
            InternalServerError: it makes no sense.
        """
        if type(answer) is not bytes:  # gRPC passes on an end without a message, and a status OK, as None
            raise InternalServerError(f"the server ended {self.method.name} without an error but without a response")
        try:
            return self.read(answer)
        except _UNREADABLE as error:
            raise InternalServerError(f"the response to {self.method.name} cannot be decoded: {error}") from error


def confirm(method: str, success: bool) -> None:
    """Goes on only when an answer that has nothing but `success` has it.

    Raises:
        InternalServerError: it has not.
    """
    if not success:
        raise InternalServerError(f"the server answered {method} without an error but without success")


def flow(call: Call[T], plan: RetryPlan, timeout: float | None) -> Flow[T]:
    """Run a call to its result, with repeats as the plan says; all of it within `timeout` seconds.

    Yields:
        Send effects whose request is a `Request` and whose answer is the serialised response; reads Hedged ones instead
        when the plan has it so; and Sleep effects.
    """
    hedge_after = None if call.writes else plan.hedge_after
    return call.result((yield from answered(call, plan, timeout, hedge_after)))


def answered(call: Call[Any], plan: RetryPlan, timeout: float | None, hedge_after: float | None = None) -> Flow[Any]:
    """Run a call to its serialised answer, or to the stream of them that the channel makes; otherwise as `flow`."""
    deadline = Deadline.after(timeout)
    metadata = call.metadata
    if call.named:
        metadata = (*metadata, (IDEMPOTENCY_KEY, os.urandom(16).hex()))
    send = Send(Request(call.method, call.body, timeout, metadata, plan.gzip, call.secrets), deadline)
    policy = plan.policy(writes=call.writes, named=call.named)
    if call.named:
        write = _NamedWrite(send, policy)
        return (
            yield from attempts(write.attempt, replace(policy, retryable=write.is_retryable), deadline, plan.spread)
        )
    effect = send if hedge_after is None else Hedged(send, hedge_after)

    def attempt() -> Flow[Any]:
        answer = yield effect
        return answer

    return (yield from attempts(attempt, policy, deadline, plan.spread))


class _NamedWrite:
    """A write under a name; before it goes out again, the server is asked whether it is one that knows such names.

    A server that does not would carry a late repeat out a second time, perhaps on top of what others wrote meanwhile.
    """

    def __init__(self, send: Send[Request], policy: RetryPolicy) -> None:
        self._send = send
        self._policy = policy
        self._failure: VectronError | None = None
        self._unknown = False

    def is_retryable(self, error: Exception) -> bool:
        """Return whether another attempt may come."""
        return not self._unknown and self._policy.retryable(error)

    def attempt(self) -> Flow[Any]:
        """Send the write; asks first when it was sent before."""
        if self._failure is not None:
            yield from self._ask(self._failure)
        try:
            answer = yield self._send
        except VectronError as error:
            self._failure = error
            raise
        return answer

    def _ask(self, failure: VectronError) -> Flow[None]:
        try:
            yield replace(self._send, request=replace(self._send.request, method=_PROBE, body=b""))
        except VectronError as refusal:
            # While the server cannot be reached nothing is known yet; any other refusal comes from one that is older.
            self._unknown = not self._policy.retryable(refusal)
            raise failure from refusal
