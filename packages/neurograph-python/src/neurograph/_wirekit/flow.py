# Generated from packages/wirekit/src/wirekit/flow.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Flows: logic without I/O that asks its shell to act, and the drivers that do it.

A *flow* is a generator that yields *effects* and returns its result. Whoever drives it performs each effect
and sends the answer in, or throws the exception in at the place of the `yield`. So retry, login and paging
are written once, tested without a socket, and run by a synchronous and by an asynchronous shell alike.

The contract:
    - A driver performs effects one after the other, in the order in which they are yielded.
    - An exception raised by performing an effect is thrown into the flow, `KeyboardInterrupt` and
      cancellation included, so that `finally` blocks run. A flow lets what is not an `Exception` pass, and
      yields no effect while it does.
    - A flow is driven once, by one thread or task.

>>> def greet():
...     answer = yield Send("hello", Deadline.after(None))
...     return answer.upper()
>>> run(greet(), lambda effect: f"{effect.request} yourself")
'HELLO YOURSELF'
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from neurograph._wirekit.deadline import Deadline

T = TypeVar("T")
Request = TypeVar("Request")

Flow: TypeAlias = Generator[Any, Any, T]


@dataclass(frozen=True, slots=True)
class Send(Generic[Request]):
    """Send one request and answer with its response; raise when there is none by the deadline."""

    request: Request
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Sleep:
    """Pause for so many seconds."""

    seconds: float


def run(flow: Flow[T], perform: Callable[[Any], Any]) -> T:
    """Drive a flow with a plain function that performs its effects.

    Args:
        flow: a fresh generator.
        perform: performs one effect; returns what the flow shall see, or raises it.

    Returns:
        What the flow returns. Raises what the flow raises.
    """
    try:
        effect = next(flow)
        while True:
            try:
                answer = perform(effect)
            except BaseException as error:  # noqa: BLE001, PERF203 - the flow decides what it means
                effect = flow.throw(error)
            else:
                effect = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(flow: Flow[T], perform: Callable[[Any], Awaitable[Any]]) -> T:
    """Drive a flow with a coroutine function that performs its effects; otherwise as `run`."""
    try:
        effect = next(flow)
        while True:
            try:
                answer = await perform(effect)
            except BaseException as error:  # noqa: BLE001, PERF203 - the flow decides what it means
                effect = flow.throw(error)
            else:
                effect = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def pull(flow: Flow[Any], effect: Any, perform: Callable[[Any], Any], wanted: type[T]) -> T | None:
    """Drive a flow that has yielded an effect until it yields one of a kind that is not to be performed.

    Such an effect is a result among others, so that a flow can have many. Go on with what `next(flow, None)` returns.

    Args:
        flow: a generator under way.
        effect: what it has yielded; None when it was over.
        perform: performs one effect; returns what the flow shall see, or raises it.
        wanted: the kind of effect to stop at.

    Returns:
        The effect that was wanted; None when the flow is over. Raises what the flow raises.

    >>> class Found(int):
    ...     pass
    >>> def count():
    ...     for number in range(2):
    ...         answer = yield Send(number, Deadline.after(None))
    ...         yield Found(answer)
    >>> flow = count()
    >>> [pull(flow, next(flow, None), lambda effect: effect.request * 10, Found) for _ in range(3)]
    [0, 10, None]
    """
    try:
        while effect is not None and not isinstance(effect, wanted):
            try:
                answer = perform(effect)
            except BaseException as error:  # noqa: BLE001, PERF203 - the flow decides what it means
                effect = flow.throw(error)
            else:
                effect = flow.send(answer)
    except StopIteration:
        return None
    return effect


async def pull_async(
    flow: Flow[Any], effect: Any, perform: Callable[[Any], Awaitable[Any]], wanted: type[T]
) -> T | None:
    """Drive a flow with a coroutine function that performs its effects; otherwise as `pull`."""
    try:
        while effect is not None and not isinstance(effect, wanted):
            try:
                answer = await perform(effect)
            except BaseException as error:  # noqa: BLE001, PERF203 - the flow decides what it means
                effect = flow.throw(error)
            else:
                effect = flow.send(answer)
    except StopIteration:
        return None
    return effect
