"""The standard health service (grpc.health.v1), on threads of its own so that it answers while all others are busy."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2

from vectrograph.rpc._pb.methods import AUTH_SERVICE, VECTROGRAPH_SERVICE, VECTRON_SERVICE
from vectrograph.rpc.admission import Admission, Lanes
from vectrograph.rpc.pool import Pool
from vectrograph.rpc.slow_bodies import SlowBodies
from vectrograph.rpc.threads import OnThreads
from vectrograph.services.refusals import Refusals

SERVICE: Final[str] = health.SERVICE_NAME
_THREADS: Final = 4
# Anyone may ask how the server is, so a question that does not come is not waited for long.
_PATIENCE_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 0.2
_MAX_WAITING: Final = 256


class Health:
    """Whether the server (name "") and its services serve; needs no credentials. All serve until `leave`."""

    def __init__(self) -> None:
        self._threads = Pool(_THREADS, max_waiting=_MAX_WAITING, thread_name_prefix="rpc-health")
        self._slow = SlowBodies(_PATIENCE_SECONDS, _GRACE_SECONDS, lambda: self._threads.waiting > 0)
        self._servicer = health.HealthServicer()
        self._lock = threading.Lock()
        self._streams: set[_Stream] = set()
        self._serving = True
        for name in (health.OVERALL_HEALTH, VECTRON_SERVICE, AUTH_SERVICE, VECTROGRAPH_SERVICE):
            self._servicer.set(name, health_pb2.HealthCheckResponse.SERVING)

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """The methods Check and Watch."""
        serializer = health_pb2.HealthCheckResponse.SerializeToString
        check = OnThreads(self._check, self._threads)
        watch = OnThreads(self._watch, self._threads, experimental_non_blocking=True)
        methods = grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.stream_unary_rpc_method_handler(check, response_serializer=serializer),
                "Watch": grpc.stream_stream_rpc_method_handler(watch, response_serializer=serializer),
            },
        )
        return Admission(methods, Lanes(self._threads), Refusals("grpc health"))

    def _receive(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        with self._slow.watching(context):
            body = next(messages, b"")
        try:
            return health_pb2.HealthCheckRequest.FromString(body)
        except DecodeError:
            return context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is no HealthCheckRequest")

    def _check(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        return self._servicer.Check(self._receive(messages, context), context)

    def _watch(self, messages: Iterator[bytes], context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        request = self._receive(messages, context)
        stream = _Stream(send)
        with self._lock:
            self._streams.add(stream)
        context.add_callback(lambda: self._forget(stream))
        self._servicer.Watch(request, context, stream)

    def _forget(self, stream: "_Stream") -> None:
        with self._lock:
            self._streams.discard(stream)

    def leave(self) -> None:
        """Tell every watcher that nothing serves from now on, and end its stream, which would outlast any grace period.

        Returns at once; a watcher that does not read cannot delay the server's stop.
        """
        with self._lock:
            first, self._serving = self._serving, False
        if first:
            self._threads.submit(self._say_goodbye)

    def close(self) -> None:
        """Let the threads end; only when the server takes no more calls."""
        self.leave()
        self._slow.close()
        self._threads.shutdown(wait=False)

    def _say_goodbye(self) -> None:
        self._servicer.enter_graceful_shutdown()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream(None)


class _Stream:
    """Sends to one watcher; None ends the stream, and whatever comes after that is dropped."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._open = True

    def __call__(self, response: Any) -> None:
        with self._lock:
            if self._open:
                self._open = response is not None
                self._send(response)
