"""The standard health service (grpc.health.v1), on threads of its own so that it answers while all others are busy.

The servicer of grpcio-health-checking sends answers while it holds the lock that the end of any stream needs. That end
is handled by grpc's one serving thread, which also has to confirm what is sent: fifty streams, opened and cancelled,
stopped the whole server. Here no lock is held while anything is sent, closed or cancelled.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from vectrograph.domain.addresses import Network, address_group
from vectrograph.domain.errors import RateLimited
from vectrograph.rpc._pb.methods import AUTH_SERVICE, VECTROGRAPH_SERVICE, VECTRON_SERVICE
from vectrograph.rpc.errors import message_of, status_of, trailers_of
from vectrograph.rpc.exchange import caller_address, request_id_of
from vectrograph.rpc.load_shedding import OnThreads, with_own_queues
from vectrograph.rpc.sending import Sender
from vectrograph.rpc.slow_bodies import SlowBodies
from vectrograph.rpc.stalled_calls import StalledCalls
from vectrograph.services.limits.refusal_log import RefusalLog
from vectrograph.services.limits.thread_pool import Pool

M = TypeVar("M", bound=Message)

SERVICE: Final[str] = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
# Streams of Watch that may be open: each takes some 20 kB and no thread. A client with health checking opens one for
# each connection, so an address may have as many as a large pool of clients behind one address needs.
MAX_WATCHES: Final = 2_048
# Streams of one address: a quarter of all.
MAX_WATCHES_PER_ADDRESS: Final = 512
# Calls that may wait for their caller at once. Anyone may ask how the server is, so nobody is waited for long: a
# message comes with the call, or a round trip later.
_STALL_SECONDS: Final = 1.0
# Number of such calls in all. Chosen: two addresses can fill it, and a further call ends the oldest.
_MAX_STALLED: Final = 24
# Number of such calls of one address: half of all.
_MAX_STALLED_PER_ADDRESS: Final = 12
# Enough that some are free while as many calls stall as may.
_THREADS: Final = _MAX_STALLED + 8
# Calls that may wait for a thread; further ones are refused. Generous: each is answered in less than a millisecond.
_MAX_WAITING: Final = 256
# A request is the name of a service.
_MAX_BYTES: Final = 4_096
# Seconds that a refused caller is told to wait. Chosen: half of the 10 s between probes of Kubernetes.
_RETRY_SECONDS: Final = 5.0
_NAMES: Final = ("", VECTRON_SERVICE, AUTH_SERVICE, VECTROGRAPH_SERVICE)
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """Tells whether the server (name "") and its services serve; needs no credentials. All serve until `leave`."""

    def __init__(self, readers: SlowBodies, trusted_proxies: Sequence[Network] = ()) -> None:
        """Start nothing but the watch on calls that send no message.

        Args:
            readers: ends watchers that take nothing for too long.
            trusted_proxies: say who callers are.
        """
        self._readers = readers
        self._trusted = trusted_proxies
        # What watchers do or leave undone must not keep probes from their answer.
        self._probes = _BoundedPool("rpc-health")
        self._watches = _BoundedPool("rpc-watch")
        self._lock = threading.Lock()
        self._streams: dict[_Stream, str] = {}
        self._per_address: dict[str, int] = {}
        self._serving = True

    def handlers(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Return the methods Check, List and Watch, by name."""
        probes, watches = self._probes.threads, self._watches.threads
        watch = OnThreads(self._watch, watches, experimental_non_blocking=True)
        methods = {
            "Check": grpc.stream_unary_rpc_method_handler(OnThreads(self._check, probes)),
            "List": grpc.stream_unary_rpc_method_handler(OnThreads(self._list, probes)),
            "Watch": grpc.stream_stream_rpc_method_handler(watch),
        }
        return with_own_queues(methods, RefusalLog("grpc health"))

    def _status(self, service: str) -> Any:
        if service not in _NAMES:
            return None
        return _SERVING if self._serving else _NOT_SERVING

    def _receive(
        self,
        pool: "_BoundedPool",
        kind: type[M],
        messages: Iterator[bytes],
        context: grpc.ServicerContext,
        address: str,
    ) -> M:
        with pool.stalled.watching(context, address):
            body = next(messages, b"")
        if len(body) > _MAX_BYTES:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the name of a service has {_MAX_BYTES} bytes at most")
        try:
            return kind.FromString(body)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the message is no {kind.__name__}")

    def _check(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        address = self._address(context)
        request = self._receive(self._probes, health_pb2.HealthCheckRequest, messages, context, address)
        status = self._status(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "this server has no such service")
        return _answer(status)

    def _list(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._receive(self._probes, health_pb2.HealthListRequest, messages, context, self._address(context))
        response = health_pb2.HealthListResponse()
        for name in _NAMES:
            response.statuses[name].status = self._status(name)
        encoded: bytes = response.SerializeToString()
        return encoded

    def _watch(self, messages: Iterator[bytes], context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        """Send the status, and leave the stream open without a thread."""
        address = self._address(context)
        request = self._receive(self._watches, health_pb2.HealthCheckRequest, messages, context, address)
        context.send_initial_metadata(())
        stream = _Stream(Sender(context, send, self._readers))
        self._open(stream, address, context)
        # Called by grpc's serving thread, hence short: it takes the lock, under which nothing ever waits.
        if not context.add_callback(lambda: self._forget(stream)):
            self._forget(stream)
            return
        status = self._status(request.service)
        stream.tell(_answer(_UNKNOWN if status is None else status), last=not self._serving)

    def _open(self, stream: "_Stream", address: str, context: grpc.ServicerContext) -> None:
        """Count a stream, or refuse it."""
        with self._lock:
            mine = self._per_address.get(address, 0)
            refused = mine >= MAX_WATCHES_PER_ADDRESS or len(self._streams) >= MAX_WATCHES
            if not refused:
                self._streams[stream] = address
                self._per_address[address] = mine + 1
        if refused:
            _refuse(context)

    def _forget(self, stream: "_Stream") -> None:
        with self._lock:
            address = self._streams.pop(stream, None)
            if address is None:
                return
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    def _address(self, context: grpc.ServicerContext) -> str:
        return address_group(caller_address(context, self._trusted))

    def leave(self) -> None:
        """Tell every watcher that nothing serves from now on, and end its stream, which would outlast any grace period.

        Return at once. A watcher that does not read is cut off within a second.
        """
        with self._lock:
            first, self._serving = self._serving, False
            streams = list(self._streams) if first else []
        for stream in streams:
            stream.tell(_answer(_NOT_SERVING), last=True)
        for pool in (self._probes, self._watches):
            pool.stalled.hurry()

    def close(self) -> None:
        """Let the threads end; only when the server takes no more calls."""
        self.leave()
        for pool in (self._probes, self._watches):
            pool.close()


class _BoundedPool:
    """Threads, and the limit on calls that stall on them."""

    def __init__(self, name: str) -> None:
        self.threads = Pool(_THREADS, max_waiting=_MAX_WAITING, thread_name_prefix=name)
        self.stalled = StalledCalls(seconds=_STALL_SECONDS, in_all=_MAX_STALLED, per_caller=_MAX_STALLED_PER_ADDRESS)

    def close(self) -> None:
        """Let the threads end."""
        self.stalled.close()
        self.threads.shutdown(wait=False)


class _Stream:
    """Sends to one watcher: one answer at a time, the latest if several wait. Holds no thread."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._lock = threading.Lock()
        self._next: bytes | None = None
        self._is_ended = False
        self._is_sending = False

    def tell(self, answer: bytes, last: bool = False) -> None:
        """Send an answer, at once or after the one on its way; end the stream after the `last`.

        What comes after that is dropped.
        """
        with self._lock:
            if self._is_ended:
                return
            self._next, self._is_ended = answer, last
        self._go_on()

    def _go_on(self) -> None:
        with self._lock:
            if self._is_sending:
                return
            following, self._next = self._next, None
            self._is_sending = following is not None
            is_over = self._is_ended and following is None
        if following is not None:
            self._sender.send(following, self._sent)
        elif is_over:
            self._sender.finish()

    def _sent(self) -> None:
        """Go on with what came meanwhile. Called by grpc's serving thread, hence short."""
        with self._lock:
            self._is_sending = False
        self._go_on()


def _answer(status: Any) -> bytes:
    encoded: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
    return encoded


def _refuse(context: grpc.ServicerContext) -> None:
    error = RateLimited(
        f"Too many streams of Watch are open: {MAX_WATCHES_PER_ADDRESS} of one address and {MAX_WATCHES} in all are "
        "allowed; close some, or use Check.",
        retry_after=_RETRY_SECONDS,
    )
    request_id = request_id_of(dict(context.invocation_metadata()))
    context.set_trailing_metadata(trailers_of(error, request_id))
    context.abort(status_of(error), message_of(error))
