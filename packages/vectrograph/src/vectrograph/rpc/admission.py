"""Which calls are let in while all threads are taken: few enough that those who wait are still served in time."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from vectrograph.domain.errors import RateLimited
from vectrograph.rpc.exchange import Exchange
from vectrograph.rpc.pool import Pool
from vectrograph.rpc.threads import OnThreads

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
else:
    Handler = grpc.GenericRpcHandler


class Admission(Handler):
    """Hands calls to the handlers of a service, or refuses them at the door with RESOURCE_EXHAUSTED."""

    def __init__(
        self,
        inner: Handler,
        pool: Pool,
        max_waiting: int,
        refusals: ThreadPoolExecutor,
    ) -> None:
        self._inner = inner
        self._pool = pool
        self._max_waiting = max_waiting
        self._refusal = grpc.stream_unary_rpc_method_handler(OnThreads(_refuse, refusals))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler of the method; called by grpc for each call, before a thread is found for it."""
        handler = self._inner.service(handler_call_details)
        if handler is None:
            return None
        full = self._pool.waiting >= self._max_waiting or self._pool.is_too_long
        return self._refusal if full else handler


def _refuse(_: object, context: grpc.ServicerContext) -> bytes:
    with Exchange("refused", context):
        raise RateLimited("The server has more calls waiting than it can answer in time; slow down.", retry_after=1.0)
