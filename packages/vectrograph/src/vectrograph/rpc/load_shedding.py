"""Admission of calls while all threads are taken: few enough that those who wait are still served in time."""

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import grpc

from vectrograph.domain.errors import RateLimited
from vectrograph.rpc.errors import message_of, status_of, trailers_of
from vectrograph.rpc.exchange import request_id_of
from vectrograph.rpc.pool import OnThreads, Pool
from vectrograph.services.limits.refusal_log import RefusalLog

R = TypeVar("R")
_REFUSED: Final = RateLimited(
    "The server has more calls waiting than it can answer in time; slow down.", retry_after=1.0
)
_STATUS: Final = status_of(_REFUSED)
_MESSAGE: Final = message_of(_REFUSED)
_, *_TRAILERS = trailers_of(_REFUSED, "")
_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class AtOnce(ThreadPoolExecutor):
    """Calls a function where it is submitted: for what is over sooner than a thread would have begun it."""

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
    """Hands calls to a pool. While that is full, they begin where they are submitted, and are to be refused there."""

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


class PoolsByMethod:
    """The threads of each method: what writes, and what belongs to accounts, never holds up those who search."""

    def __init__(self, usual: Pool, *others: tuple[Pool, Collection[str]]) -> None:
        """`others` are pools with the paths of the methods that they answer."""
        self._usual = usual
        self._pools = {path: pool for pool, paths in others for path in paths}

    def of(self, path: str) -> Pool:
        """The threads of a method, by its full path."""
        return self._pools.get(path, self._usual)


if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
    MethodHandler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler
    MethodHandler = grpc.RpcMethodHandler


class LoadShedder(Handler):
    """Hands calls to the handlers of a service, or refuses them at the door with RESOURCE_EXHAUSTED.

    A refusal happens where grpc finds the call, before a thread is taken or a byte of the message looked at, and takes
    less time than handing it to a thread would: who takes calls in must keep up with those who send them, because what
    waits there too long grpc itself ends in a way that no client can tell from a broken connection.
    """

    def __init__(self, inner: Handler, pools_by_method: PoolsByMethod, refusals: RefusalLog) -> None:
        self._inner = inner
        self._pools = pools_by_method
        self._refusals = refusals
        self._refusal = grpc.stream_unary_rpc_method_handler(OnThreads(self._refuse, AtOnce()))
        self._placed: dict[str, tuple[MethodHandler, MethodHandler]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> MethodHandler | None:
        """The handler of the method; called by grpc for each call, before a thread is found for it."""
        path = handler_call_details.method
        handler = self._inner.service(handler_call_details)
        if handler is None:
            return None
        pool = self._pools.of(path)
        if pool.is_full:
            return self._refusal
        found, placed = self._placed.get(path, (None, handler))
        if found is not handler:
            placed = self._place(handler, pool)
            self._placed[path] = handler, placed
        return placed

    def _place(self, handler: Any, pool: Pool) -> MethodHandler:
        """The handler on the pool of its method; one with threads of its own stays there."""
        kind = next(kind for kind in _KINDS if getattr(handler, kind) is not None)
        behaviour = getattr(handler, kind)
        if hasattr(behaviour, "experimental_thread_pool"):
            return cast("MethodHandler", handler)

        def begin(request: Any, context: grpc.ServicerContext) -> Any:
            return behaviour(request, context) if pool.began_in_time else self._refuse(request, context)

        return cast("MethodHandler", handler._replace(**{kind: OnThreads(begin, pool)}))

    def _refuse(self, _: object, context: grpc.ServicerContext) -> Any:
        return _refuse(context, self._refusals)


def with_own_queues(handlers: Mapping[str, MethodHandler], refusals: RefusalLog) -> dict[str, MethodHandler]:
    """Return handlers that `add_registered_method_handlers` takes and that refuse calls while their threads are taken.

    grpc's core has one queue for the calls of all methods that are not registered, and one for each that is. What
    comes faster than the serving thread takes it in therefore delays its own kind alone.

    Args:
        handlers: whose behaviours are `OnThreads` of a `Pool`.
        refusals: are told of each refused call.
    """
    return {name: _with_own_queue(handler, refusals) for name, handler in handlers.items()}


def _with_own_queue(handler: Any, refusals: RefusalLog) -> MethodHandler:
    kind = next(kind for kind in _KINDS if getattr(handler, kind) is not None)
    usual: OnThreads = getattr(handler, kind)
    queue = OwnQueue(cast("Pool", usual.experimental_thread_pool))

    def begin(request: Any, context: grpc.ServicerContext, *send: Any) -> Any:
        return _refuse(context, refusals) if queue.refuses else usual.behaviour(request, context, *send)

    return cast("MethodHandler", handler._replace(**{kind: OnThreads(begin, queue, usual.experimental_non_blocking)}))


def _refuse(context: grpc.ServicerContext, refusals: RefusalLog) -> Any:
    refusals.note()
    request_id = request_id_of(dict(context.invocation_metadata()))
    context.set_trailing_metadata((("x-request-id", request_id), *_TRAILERS))
    return context.abort(_STATUS, _MESSAGE)
