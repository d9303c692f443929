"""Reads that are sent a second time when the first answer is late, so that one slow answer delays nobody.

The first success wins and the other call is cancelled. An error that says something definite about the request (no such
point, no permission) wins as well; after any other the second call has its chance. When both fail, what the first
failure said is raised. Neither driver outlasts its calls, and no call outlasts its deadline or the closing of its
channel.

Source: Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013 (hedged requests).
"""

import asyncio
import contextlib
import queue
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from vectron_client._wirekit.flow import Send
from vectron_client.exceptions import InternalServerError, VectronError


@dataclass(frozen=True, slots=True)
class Hedged:
    """Effect: send, and send again when there is no answer after so many seconds; the better answer counts."""

    send: Send[Any]
    after: float


class Pending(Protocol):
    """A call on its way, as a channel starts it."""

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back once when the answer or an error is there."""
        ...

    def result(self) -> bytes:
        """Return the answer, or a `VectronError`."""
        ...

    def cancel(self) -> None:
        """Give the call up."""
        ...


def hedged(effect: Hedged, start: Callable[[Send[Any]], Pending]) -> bytes:
    """Perform the effect and block while it lasts.

    Args:
        effect: what to send, and when to send it again.
        start: sends without waiting.

    Raises:
        VectronError: there is no answer.
    """
    answered: queue.SimpleQueue[Pending] = queue.SimpleQueue()
    calls: list[Pending] = []

    def begin() -> None:
        call = start(effect.send)
        calls.append(call)
        call.when_done(lambda: answered.put(call))

    def begin_again() -> None:
        with contextlib.suppress(VectronError):  # the first call may still succeed, and tells if it does not
            begin()

    try:
        begin()
        try:
            done = answered.get(timeout=effect.after)
        except queue.Empty:
            begin_again()
            done = answered.get()
        return done.result() if len(calls) == 1 else _better(done, answered.get)
    finally:
        for call in calls:
            call.cancel()


def _better(call: Pending, other: Callable[[], Pending]) -> bytes:
    """Return the answer of a call that is done, or, where that is an error which may pass, of the other one."""
    try:
        return call.result()
    except VectronError as error:
        if is_definite(error):
            raise
        return _second(other(), error)


def _second(call: Pending, first_error: VectronError) -> bytes:
    try:
        return call.result()
    except VectronError as error:
        raise (error if is_definite(error) else first_error) from None


async def hedged_async(effect: Hedged, send: Callable[[Send[Any]], Awaitable[Any]]) -> bytes:
    """Perform the effect on an event loop; otherwise as `hedged`.

    Args:
        effect: what to send, and when to send it again.
        send: sends and waits for the answer.
    """
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(send(effect.send))]
    try:
        done, late = await asyncio.wait(tasks, timeout=effect.after)
        if not done:
            tasks.append(asyncio.ensure_future(send(effect.send)))
            done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if late and _is_open(done):
            done, late = await asyncio.wait(tasks)
        return _best(done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_open(done: set[asyncio.Future[Any]]) -> bool:
    """Return whether what has come so far is only failures that another call may undo."""
    errors = [task.exception() for task in done]
    return all(isinstance(error, VectronError) and not is_definite(error) for error in errors)


def _best(done: set[asyncio.Future[Any]]) -> bytes:
    """Return the answer that counts; raises the error that counts when there is none."""
    ranked = sorted(done, key=lambda task: _rank(task.exception()))
    answer: bytes = ranked[0].result()
    return answer


def _rank(error: BaseException | None) -> int:
    if error is None:
        return 0
    return 2 if isinstance(error, VectronError) and not is_definite(error) else 1


def is_definite(error: VectronError) -> bool:
    """Return whether the same request would fail in the same way again.

    >>> is_definite(InternalServerError("out of memory")), is_definite(VectronError("no", code="UNIMPLEMENTED"))
    (False, True)
    """
    return not error.retryable and not isinstance(error, InternalServerError)
