"""Load shedding: while all threads are taken, only so many calls may wait that they are still served in time."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import grpc

from vectrograph.domain.errors import RateLimited
from vectrograph.rpc.errors import message_of, status_of, trailers_of
from vectrograph.rpc.exchange import request_id_of
from vectrograph.services.limits.refusal_log import RefusalLog
from vectrograph.services.limits.thread_pool import Pool

R = TypeVar("R")
_REFUSED: Final = RateLimited(
    "The server has more queued calls than it can answer in time; slow down.", retry_after=1.0
)
_STATUS: Final = status_of(_REFUSED)
_MESSAGE: Final = message_of(_REFUSED)
_, *_TRAILERS = trailers_of(_REFUSED, "")
_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


@dataclass(frozen=True, slots=True)
class OnThreads:
    """A method's behaviour that grpc runs on the given pool instead of the server's.

    The two `experimental_…` names are grpc's own (`grpc/_server.py`): it looks for them on the behaviour. Non-blocking
    behaviours get a function to send each response with, as a third argument, and hold no thread between responses.
    """

    behaviour: Callable[..., Any]
    experimental_thread_pool: ThreadPoolExecutor
    experimental_non_blocking: bool = False

    def __call__(self, *arguments: Any) -> Any:
        """Run the behaviour."""
        return self.behaviour(*arguments)


class AtOnce(ThreadPoolExecutor):
    """Executor that calls a function where it is submitted: for work that takes less time than a hand-over."""

    def __init__(self) -> None:
        # Never starts one; grpc takes nothing but a thread pool.
        super().__init__(1)
        self._over: Future[Any] = Future()
        self._over.set_result(None)

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Call the function now, for what it does: the future is over, and its result None."""
        fn(*args, **kwargs)
        return self._over


class OwnQueue(ThreadPoolExecutor):
    """Executor that hands calls to a pool. While that is full, they begin where they are submitted, to be refused."""

    def __init__(self, pool: Pool) -> None:
        """Start nothing; grpc takes nothing but a thread pool."""
        super().__init__(1)
        self._pool = pool
        self._at_once = AtOnce()
        self._mine = threading.local()

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function on a thread of the pool, or now, while `refuses` is set."""
        if not self._pool.is_full:
            return self._pool.submit(fn, *args, **kwargs)
        self._mine.refuses = True
        try:
            return self._at_once.submit(fn, *args, **kwargs)
        finally:
            self._mine.refuses = False

    @property
    def refuses(self) -> bool:
        """Tell whether what this thread does now is a call that is to be refused."""
        return getattr(self._mine, "refuses", False)


if TYPE_CHECKING:
    MethodHandler = grpc.RpcMethodHandler[Any, Any]
else:
    MethodHandler = grpc.RpcMethodHandler


def with_own_queues(
    handlers: Mapping[str, MethodHandler], refusals: RefusalLog, *, refuse_late: bool = False
) -> dict[str, MethodHandler]:
    """Return handlers for `add_registered_method_handlers`; they refuse calls with RESOURCE_EXHAUSTED under load.

    grpc's core has one queue for the calls of all methods that are not registered, and one for each that is. Calls that
    come faster than the serving thread takes them in therefore delay their own method alone.

    A refusal happens in the serving thread, before a thread of the pool is taken or a byte of the message is read. It
    takes less time than handing the call to a thread: what waits in the core too long is ended by grpc in a way that no
    client can tell from a broken connection.

    Args:
        handlers: handlers whose behaviours are `OnThreads` of a `Pool`.
        refusals: counts the refused calls.
        refuse_late: whether calls that waited too long for a thread are refused too.
    """
    return {name: _with_own_queue(handler, refusals, refuse_late) for name, handler in handlers.items()}


def _with_own_queue(handler: Any, refusals: RefusalLog, refuse_late: bool) -> MethodHandler:
    kind = next(kind for kind in _KINDS if getattr(handler, kind) is not None)
    usual: OnThreads = getattr(handler, kind)
    pool = cast("Pool", usual.experimental_thread_pool)
    queue = OwnQueue(pool)

    def begin(request: Any, context: grpc.ServicerContext, *send: Any) -> Any:
        if queue.refuses or (refuse_late and not pool.began_in_time):
            return _refuse(context, refusals)
        return usual.behaviour(request, context, *send)

    return cast("MethodHandler", handler._replace(**{kind: OnThreads(begin, queue, usual.experimental_non_blocking)}))


def _refuse(context: grpc.ServicerContext, refusals: RefusalLog) -> Any:
    refusals.note()
    request_id = request_id_of(dict(context.invocation_metadata()))
    context.set_trailing_metadata((("x-request-id", request_id), *_TRAILERS))
    return context.abort(_STATUS, _MESSAGE)
