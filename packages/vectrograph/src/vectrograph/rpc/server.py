"""The gRPC server: Vectron's two services, one of our own, health and reflection."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc

from vectrograph.domain.addresses import Network, address_group
from vectrograph.domain.cancellation import CancelledWhen
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.rpc.exchange import Exchange
from vectrograph.rpc.health import SERVICE as HEALTH_SERVICE
from vectrograph.rpc.health import Health
from vectrograph.rpc.load_shedding import OnThreads, with_own_queues
from vectrograph.rpc.methods import Public, Streaming, Unary, Watching, method_of, public_method_of
from vectrograph.rpc.reflection import SERVICE as REFLECTION_SERVICE
from vectrograph.rpc.reflection import Reflection
from vectrograph.rpc.sending import require_support
from vectrograph.rpc.slow_bodies import SlowBodies
from vectrograph.rpc.stalled_calls import StalledCalls
from vectrograph.rpc.watch import Watches
from vectrograph.services import Services
from vectrograph.services.limits.queueing import long_reading_threads
from vectrograph.services.limits.refusal_log import RefusalLog
from vectrograph.services.limits.thread_pool import Pool
from vectrograph.vectron.procedures import ACCOUNTS, EXTENSIONS, PROCEDURES, VECTRON

# Shortest interval of keepalive pings that is accepted, in milliseconds. Clients in Go send none below 10 s.
_MIN_PING_INTERVAL_MS: Final = 10_000
# Bytes of the largest message without credentials: an email and a password, with much to spare.
MAX_ANONYMOUS_BYTES: Final = 65_536
# Calls under way on one connection. Generous: clients have one for each of their threads.
_MAX_STREAMS_PER_CONNECTION: Final = 1_024
# Bytes beyond the limit that grpc lets in, so that our refusal can say by how much a message is too large.
_MESSAGE_SLACK_BYTES: Final = 4 << 20
# Calls of one method that grpc's core keeps until the serving thread takes them; see `_options`. One takes 16 KB, with
# large metadata twice that. A stalled thread must not make it end what two thousand honest callers sent at once.
MAX_UNSEEN_CALLS: Final = 4_096
# Calls that may wait for each thread. Chosen: bounds memory; how long they wait is bounded by
# `services.limits.queueing`.
_WAITING_PER_THREAD: Final = 32
# What waits for the disk, and what waits for a password to be hashed, has threads of its own.
_WRITERS: Final = (
    "CreateCollection",
    "DeleteCollection",
    "Upsert",
    "Delete",
    "SubmitFeedback",
    "UpsertIf",
    "DeleteWhere",
)
# One call may take the work of a thousand searches, so that such calls have threads of their own too.
_LONG_READERS: Final = ("SearchBatch", "Scroll", "Count")
_PATHS: Final = {f"/{name}": procedure for name, procedure in PROCEDURES.items()}
_ACCOUNTS: Final = frozenset(path for path, procedure in _PATHS.items() if procedure.service == ACCOUNTS)
_WRITING: Final = frozenset(path for path, procedure in _PATHS.items() if procedure.name in _WRITERS)
_LONG_READS: Final = frozenset(path for path, procedure in _PATHS.items() if procedure.name in _LONG_READERS)
# A stream holds a thread until its caller has taken the answer, so that streams have threads of their own.
_STREAMING: Final = frozenset(path for path, procedure in _PATHS.items() if procedure.streaming and not procedure.live)
# Opening a live stream reads a log, which may wait for the disk. Once open, it holds no thread.
_LIVE: Final = frozenset(path for path, procedure in _PATHS.items() if procedure.live)
# Threads for streams at most. Chosen: twice the most threads for requests, since a stream mostly waits for its
# caller.
_MAX_STREAM_THREADS: Final = 64
# Seconds that a call may take to send its message, or to take an answer of a stream: as over HTTP.
BODY_SECONDS: Final = 20.0
# Seconds for which the caller of a live stream, or of health's Watch, may take nothing.
READER_SECONDS: Final = 60.0
# Seconds that such a caller has when the server stops. Chosen: several round trips.
_LAST_READER_SECONDS: Final = 1.0
# Seconds until a connection must be ready, TLS included. Without it silent handshakes stayed for 75 s.
HANDSHAKE_SECONDS: Final = 10.0
# Seconds that a call may wait for its message while other calls wait for a thread.
_BODY_GRACE_SECONDS: Final = 1.0
# Calls without credentials, such as logins, that may wait for their message at once. Chosen: a message comes with its
# call or a round trip later, so few wait.
_MAX_ANONYMOUS_STALLED: Final = 12
# Number of such calls of one address: half of all.
_MAX_ANONYMOUS_STALLED_PER_ADDRESS: Final = 6
# Threads of accounts that are free while as many such calls wait as may.
_ANONYMOUS_SPARE_THREADS: Final = 4


def build_grpc_server(
    services: Services,
    *,
    threads: int,
    trusted_proxies: Sequence[Network] = (),
    body_seconds: float = BODY_SECONDS,
    reader_seconds: float = READER_SECONDS,
    handshake_seconds: float = HANDSHAKE_SECONDS,
    max_waiting: int | None = None,
    placement: ThreadPlacement = ThreadPlacement(),  # noqa: B008 (it has no state)
) -> "GracefulServer":
    """Return a server that is neither bound to a port nor started.

    Args:
        services: what answers. A message over their limit `max_body_bytes` ends with RESOURCE_EXHAUSTED, the error
            code REQUEST_TOO_LARGE and the limit; from a quarter and 4 MiB over it on, grpc's core refuses it before it
            is read whole, in words of its own without code and details.
        threads: how many calls that read, that write, and that belong to accounts are each answered at once, and
            three quarters as many that read much (batches, scrolls, counting); further ones wait. Streams, health and
            reflection have threads of their own.
        trusted_proxies: whose `x-forwarded-for` is believed.
        body_seconds: how long a call may take to send its message, or to take an answer of a stream, before it is
            cancelled.
        reader_seconds: how long the caller of a live stream may take nothing, before it is cancelled.
        handshake_seconds: how long a connection may take to become ready, TLS included, before it is closed.
        max_waiting: calls that may wait for a thread; further ones end with RESOURCE_EXHAUSTED. By default 32 for each
            thread.
        placement: where grpc's own threads and those that answer reads run.

    `stop(grace)` finishes calls in flight within `grace` seconds, refuses new ones (UNAVAILABLE; CANCELLED when a call
    crosses the news of the stop on the wire), tells those who watch the health service, and asks callers of live
    streams to come back.

    Raises:
        StartupError: the installed grpcio lacks what live streams need.
    """
    require_support()
    most = threads * _WAITING_PER_THREAD if max_waiting is None else max_waiting
    # One caller can hold half of the threads of streams at most.
    streams = min(_MAX_STREAM_THREADS, max(threads, 2 * services.concurrency.max_streams))
    anonymous = max(threads, _MAX_ANONYMOUS_STALLED + _ANONYMOUS_SPARE_THREADS)

    def pool(kind: str, count: int, begin: Callable[[], None] = placement.unpin) -> Pool:
        return Pool(count, max_waiting=most, thread_name_prefix=f"rpc-{kind}", begin=begin)

    # What writes waits for the disk, and what belongs to accounts hashes passwords, both outside of Python.
    reading = pool("reading", threads, placement.pin)
    long_reading = pool("long-reading", long_reading_threads(threads), placement.pin)
    writing, accounts, streaming = pool("writing", threads), pool("accounts", anonymous), pool("streaming", streams)
    opening = pool("opening", threads)
    pools = [reading, long_reading, writing, accounts, streaming, opening]
    pool_of = dict.fromkeys(_PATHS, reading)
    for chosen, paths in (
        (long_reading, _LONG_READS),
        (writing, _WRITING),
        (accounts, _ACCOUNTS),
        (streaming, _STREAMING),
        (opening, _LIVE),
    ):
        pool_of |= dict.fromkeys(paths, chosen)
    refusals = RefusalLog("grpc")
    slow = SlowBodies(body_seconds, _BODY_GRACE_SECONDS, lambda: any(pool.waiting for pool in pools))
    stalled = StalledCalls(
        seconds=body_seconds, in_all=_MAX_ANONYMOUS_STALLED, per_caller=_MAX_ANONYMOUS_STALLED_PER_ADDRESS
    )
    stopping = threading.Event()
    readers = SlowBodies(reader_seconds, _LAST_READER_SECONDS, stopping.is_set)
    health, reflection = Health(readers, trusted_proxies), Reflection(trusted_proxies)
    watches = Watches(readers, placement.pin)
    given = _Given(services, slow, stalled, trusted_proxies, threading.BoundedSemaphore(threads), watches)
    inner = grpc.server(reading, options=_options(services.limits.max_body_bytes, handshake_seconds))
    registry: Any = inner  # what is published of grpc's types lacks this method
    for service in (VECTRON, ACCOUNTS, EXTENSIONS):
        handlers = _handlers(given, service, pool_of)
        registry.add_registered_method_handlers(service, with_own_queues(handlers, refusals, refuse_late=True))
    registry.add_registered_method_handlers(HEALTH_SERVICE, health.handlers())
    registry.add_registered_method_handlers(REFLECTION_SERVICE, reflection.handlers())
    sides = (health, reflection, watches)
    return GracefulServer(inner, pools, (slow, stalled, readers), sides, stopping, placement)


@dataclass(frozen=True, slots=True)
class _Given:
    """The needs of every method.

    Attributes:
        services: what answers.
        slow: the watch on calls of known callers that stall.
        stalled: the watch on calls that anonymous callers may make.
        trusted: proxies that are believed.
        turns: for streams, of which as many are computed at once as there are threads that read.
        watches: the live streams.
    """

    services: Services
    slow: SlowBodies
    stalled: StalledCalls
    trusted: Sequence[Network]
    turns: threading.BoundedSemaphore
    watches: Watches


def _options(max_message_bytes: int, handshake_seconds: float) -> list[tuple[str, int]]:
    return [
        # From the first byte to the caller's HTTP/2 settings; by default two minutes.
        ("grpc.server_handshake_timeout_ms", round(handshake_seconds * 1000)),
        # What is a little too large is read, so that the refusal can say by how much. The core sends its own before any
        # code of ours could add to it.
        ("grpc.max_receive_message_length", max_message_bytes + max_message_bytes // 4 + _MESSAGE_SLACK_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", _MAX_STREAMS_PER_CONNECTION),
        # Each method has a queue of that length. Between three quarters of it and all of it grpc ends some calls at
        # random, in a way that reads like a broken connection.
        ("grpc.server.max_pending_requests", MAX_UNSEEN_CALLS // 4 * 3),
        ("grpc.server.max_pending_requests_hard_limit", MAX_UNSEEN_CALLS),
        # Two servers on one port would share its calls at random; the second is to fail instead.
        ("grpc.so_reuseport", 0),
        # Vectron's clients ping every 30 seconds during a call. By default a server takes that for abuse after the
        # third ping and closes the connection.
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _handlers(
    given: _Given, service: str, pool_of: Mapping[str, Pool]
) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
    """Return the methods of a service, by name, each on the threads of its pool."""
    handlers = {}
    for path, procedure in _PATHS.items():
        if procedure.service != service:
            continue
        name, pool = procedure.name, pool_of[path]
        if procedure.public:
            handlers[name] = _public(given, name, pool, public_method_of(procedure, given.services))
        else:
            serve: Callable[..., Any] = _unary
            if procedure.streaming:
                serve = _watching if procedure.live else _streaming
            handlers[name] = serve(given, name, pool, method_of(procedure, given.services))
    return handlers


# All methods are registered as streams of raw request messages, which on the wire is the same as a single one. For a
# single one grpc reads and parses the message before it calls the method; here nothing is read before the credentials
# are checked, so that anonymous callers can neither make the server parse nor occupy a thread by sending slowly.


def _unary(given: _Given, name: str, pool: Pool, answer: Unary) -> "grpc.RpcMethodHandler[bytes, bytes]":
    services, slow, trusted = given.services, given.slow, given.trusted

    def behaviour(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with Exchange(name, context) as exchange:
            call = exchange.authenticate(services, trusted)
            with slow.watching(context):
                body = exchange.receive(requests, services.limits)
            with CancelledWhen(lambda: not context.is_active()):
                return answer(call, body)

    return grpc.stream_unary_rpc_method_handler(OnThreads(behaviour, pool))


def _public(given: _Given, name: str, pool: Pool, answer: Public) -> "grpc.RpcMethodHandler[bytes, bytes]":
    services, stalled, trusted = given.services, given.stalled, given.trusted

    def behaviour(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with Exchange(name, context) as exchange:
            principal, origin = exchange.identify(services, trusted)
            with stalled.watching(context, address_group(origin.address)):
                body = exchange.receive(requests, services.limits, MAX_ANONYMOUS_BYTES)
            return answer(principal, origin, body)

    return grpc.stream_unary_rpc_method_handler(OnThreads(behaviour, pool))


def _streaming(given: _Given, name: str, pool: Pool, answer: Streaming) -> "grpc.RpcMethodHandler[bytes, bytes]":
    services, slow, trusted, turns = given.services, given.slow, given.trusted, given.turns

    def behaviour(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        with Exchange(name, context) as exchange:
            exchange.announce()
            call = exchange.authenticate(services, trusted)
            with services.concurrency.stream(call.principal):
                with slow.watching(context):
                    body = exchange.receive(requests, services.limits)
                answers = answer(call, body)
                while (message := _next(answers, turns, context)) is not None:
                    # The block lasts until grpc has sent the message.
                    with slow.watching(context, len(message)):
                        yield message

    return grpc.stream_stream_rpc_method_handler(OnThreads(behaviour, pool))


def _watching(given: _Given, name: str, pool: Pool, answer: Watching) -> "grpc.RpcMethodHandler[bytes, bytes]":
    services, slow, trusted, watches = given.services, given.slow, given.trusted, given.watches

    def behaviour(requests: Iterator[bytes], context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        with Exchange(name, context) as exchange:
            call = exchange.authenticate(services, trusted)
            with slow.watching(context):
                body = exchange.receive(requests, services.limits)
            watches.open(exchange, context, send, services.live, call, answer(call, body))

    return grpc.stream_stream_rpc_method_handler(OnThreads(behaviour, pool, experimental_non_blocking=True))


def _next(answers: Iterator[bytes], turns: threading.BoundedSemaphore, context: grpc.ServicerContext) -> bytes | None:
    with turns, CancelledWhen(lambda: not context.is_active()):
        return next(answers, None)


class GracefulServer(grpc.Server):
    """A grpc server together with the pools and side services that stop with it."""

    def __init__(
        self,
        inner: grpc.Server,
        pools: Sequence[ThreadPoolExecutor],
        limits: Sequence[SlowBodies | StalledCalls],
        sides: Sequence[Health | Reflection | Watches],
        stopping: threading.Event,
        placement: ThreadPlacement,
    ) -> None:
        self._placement = placement
        self._inner = inner
        self._pools = pools
        self._limits = limits
        self._sides = sides
        self._stopping = stopping

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable["grpc.GenericRpcHandler[Any, Any]"]) -> None:
        """Add services of others; they bring their own authentication."""
        self._inner.add_generic_rpc_handlers(generic_rpc_handlers)

    def add_insecure_port(self, address: str) -> int:
        """Bind an address; port 0 picks a free one. Returns the port.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        return self._inner.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Bind an address with TLS. Returns the port.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        return self._inner.add_secure_port(address, server_credentials)

    def start(self) -> None:
        """Begin to answer. A server starts once."""
        self._placement.run_pinned(self._inner.start)

    def stop(self, grace: float | None = None) -> threading.Event:
        """Take no more calls; give those in flight `grace` seconds, or with None cancel them. Do not wait for that.

        Returns:
            An event that is set when every call is over. Stopping twice is fine.
        """
        self._stopping.set()
        for side in self._sides:
            side.leave()
        # grpc's own None waits without a limit.
        stopped = self._inner.stop(0 if grace is None else grace)
        threading.Thread(target=self._release, args=(stopped,), name="rpc-release", daemon=True).start()
        return stopped

    def _release(self, stopped: threading.Event) -> None:
        """Let the pools go. Earlier, a call that was accepted and not begun would bring down grpc's serving thread."""
        stopped.wait()
        for side in self._sides:
            side.close()
        for limit in self._limits:
            limit.close()
        for pool in self._pools:
            pool.shutdown(wait=False)

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped. Returns whether `timeout` seconds passed first."""
        return self._inner.wait_for_termination(timeout)
