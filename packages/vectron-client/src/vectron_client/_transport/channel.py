"""The two channels, synchronous and asynchronous: the only module that uses grpc.

Each performs the effects of a flow (`call.flow`) and turns whatever gRPC raises into a `VectronError`.

A connection belongs to the process that opened it, and an asynchronous one to its event loop as well. Both channels
keep their connections in a dictionary under that owner and open one at first use, so that a client made before a fork,
or used on one loop after another, works. What a child process inherits stays in the dictionary, untouched.
"""

import asyncio
import functools
import os
import sys
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

from vectron_client._execution.call import Request
from vectron_client._execution.feeds import Begin, Take
from vectron_client._execution.hedging import Hedged, hedged, hedged_async
from vectron_client._pb.methods import Method
from vectron_client._transport.endpoint import Endpoint
from vectron_client._transport.statuses import error_of
from vectron_client._transport.streams import AsyncFeed, AsyncStream, Feed, Raising, Stream
from vectron_client._wirekit.flow import Send, Sleep
from vectron_client._wirekit.secrets import hide
from vectron_client.exceptions import FailedPreconditionError, InvalidArgumentError, VectronError

# gRPC's C++ core writes failed TLS handshakes and lost connections to stderr, although each is an exception as well.
# It reads the variable GRPC_VERBOSITY once, when it is imported. A program that has set that variable or GRPC_TRACE, or
# has imported gRPC before, keeps its choice.
_quiet = "grpc" not in sys.modules and not {"GRPC_VERBOSITY", "GRPC_TRACE"} & os.environ.keys()
if _quiet:
    os.environ["GRPC_VERBOSITY"] = "NONE"
try:
    import grpc
    import grpc.aio as aio
finally:
    if _quiet:
        del os.environ["GRPC_VERBOSITY"]  # child processes decide for themselves

Effect: TypeAlias = Send[Request] | Hedged | Sleep | Begin | Take

#: What gRPC raises: failed calls, cancelled ones, and calls on a channel that another thread or task has closed.
_GRPC_ERRORS = (grpc.RpcError, grpc.FutureCancelledError, aio.BaseError, ValueError)


@functools.cache
def _keep_core(process: int) -> grpc.Channel | None:
    """Return a channel of this process that nobody uses or closes; None where gRPC does not look after forks."""
    # After its last channel is closed gRPC's core ends its threads and itself in its own time. It does not look after
    # a fork meanwhile: the first call of the child may wait forever for a lock that a thread of the parent held. A core
    # that stays stops its threads before every fork and starts them again on both sides. It does not where the user
    # has switched that off, and then a child could not use a core that stays at all.
    switch = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower()
    if not hasattr(os, "fork") or switch in {"0", "f", "false", "n", "no"}:
        return None
    return grpc.insecure_channel("localhost:1")


class _Connection:
    """An open gRPC channel and its methods, made once each.

    Args:
        endpoint: where to.
        library: `grpc` or `grpc.aio`.
    """

    def __init__(self, endpoint: Endpoint, library: Any) -> None:
        self.process = os.getpid()
        _keep_core(self.process)
        if endpoint.tls:
            credentials = grpc.ssl_channel_credentials(
                endpoint.root_certificates, endpoint.client_key, endpoint.client_certificate
            )
            self.channel = library.secure_channel(endpoint.address, credentials, endpoint.arguments)
        else:
            self.channel = library.insecure_channel(endpoint.address, endpoint.arguments)
        self._methods: dict[str, Callable[..., Any]] = {}
        #: Streams of an asynchronous connection that may not have ended.
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()

    def method(self, described: Method) -> Any:
        """Return the callable of the method; it takes and gives bytes."""
        method = self._methods.get(described.path)
        if method is None:
            kind = self.channel.unary_stream if described.response_streaming else self.channel.unary_unary
            method = self._methods[described.path] = kind(described.path)
        return method

    async def close(self) -> None:
        """Close an asynchronous connection and ends its calls."""
        # Older grpcio (seen in 1.66) finds the calls to cancel by looking through the tasks of the loop. A stream on
        # which no task waits at this moment would go on, and the next look at it would wait for its deadline.
        for stream in list(self.streams):
            stream.cancel()
        await self.channel.close()


class PendingCall:
    """A call on its way."""

    def __init__(self, future: Any, raising: Raising) -> None:
        self._future = future
        self._raising = raising

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back from another thread, once, when the answer or an error is there."""

        def done(_: Any) -> None:
            callback()

        self._future.add_done_callback(done)

    def result(self) -> bytes:
        """Return the answer; waits for it, and raises a `VectronError` when there is none."""
        with self._raising():
            answer: bytes = self._future.result()
        return answer

    def cancel(self) -> None:
        """Give the call up; it is done afterwards, with an answer if one had come already."""
        self._future.cancel()


class Channel:
    """Performs effects and blocks while it does; may be shared by threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connections: dict[int, _Connection] = {}
        self._closed = False

    def perform(self, effect: Effect) -> bytes | Stream | Feed | None:
        """Send a request, perhaps twice, and returns the answer or the stream of answers; or sleeps.

        Raises:
            VectronError: there is no answer.
        """
        if isinstance(effect, Sleep):
            time.sleep(effect.seconds)
            return None
        if isinstance(effect, Hedged):
            return hedged(effect, self.start)
        if isinstance(effect, Take):
            taken: bytes | None = effect.feed.take(effect.seconds)
            return taken
        request = effect.request
        method = self._connection().method(request.method)
        with self._raising(request):
            answer = method(request.body, **_arguments(effect, self._endpoint))
        if isinstance(effect, Begin):
            return Feed(answer, lambda: self._raising(request))
        return Stream(answer, lambda: self._raising(request)) if request.method.response_streaming else answer

    @contextmanager
    def _raising(self, request: Request) -> Generator[None, None, None]:
        """Turn what gRPC raises into a `VectronError`."""
        try:
            yield
        except _GRPC_ERRORS as error:
            _raise(error, request, self._endpoint, self._closed)

    def start(self, send: Send[Request]) -> PendingCall:
        """Send a request without waiting for the answer."""
        method = self._connection().method(send.request.method)
        with self._raising(send.request):
            future = method.future(send.request.body, **_arguments(send, self._endpoint))
        return PendingCall(future, lambda: self._raising(send.request))

    def _connection(self) -> _Connection:
        process = os.getpid()
        connection = self._connections.get(process)
        if connection is None:
            mine = _Connection(self._endpoint, grpc)
            # No lock, since a fork could copy it locked: of two threads here at once the second adopts the first's.
            connection = self._connections.setdefault(process, mine)
            if connection is not mine:
                mine.channel.close()
        if self._closed:
            self.close()
            raise _closed_error()
        return connection

    def close(self) -> None:
        """Close the connection; calls in other threads end with an error. A second time does nothing."""
        self._closed = True
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.channel.close()


#: Asynchronous connections that are open in this process or were so in the one it was forked from.
_open_async: "weakref.WeakSet[_Connection]" = weakref.WeakSet()


class AsyncChannel:
    """Performs effects on whatever event loop it is awaited on."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connections: dict[asyncio.AbstractEventLoop, _Connection] = {}
        self._closed = False

    async def perform(self, effect: Effect) -> bytes | AsyncStream | AsyncFeed | None:
        """Send a request, perhaps twice, and returns the answer or the stream of answers; or sleeps.

        Raises:
            VectronError: there is no answer.
        """
        require_loop()
        if isinstance(effect, Sleep):
            await asyncio.sleep(effect.seconds)
            return None
        if isinstance(effect, Hedged):
            return await hedged_async(effect, self.perform)
        if isinstance(effect, Take):
            taken: bytes | None = await effect.feed.take(effect.seconds)
            return taken
        request = effect.request
        connection = self._connection()
        method = connection.method(request.method)
        with self._raising(request):
            call = method(request.body, **_arguments(effect, self._endpoint))
            if not request.method.response_streaming:
                answer: bytes = await call
                return answer
        connection.streams.add(call)
        if isinstance(effect, Begin):
            return AsyncFeed(call, lambda: self._raising(request))
        return await AsyncStream.opened(call, lambda: self._raising(request))

    @contextmanager
    def _raising(self, request: Request) -> Generator[None, None, None]:
        """Turn what gRPC raises into a `VectronError`."""
        try:
            yield
        except asyncio.CancelledError as error:
            # gRPC also cancels the calls of a channel that is closed, and then nobody has cancelled this task.
            if self._closed and not _may_be_cancelled():
                raise _closed_error() from error
            raise
        except _GRPC_ERRORS as error:
            _raise(error, request, self._endpoint, self._closed)

    def _connection(self) -> _Connection:
        if self._closed:
            raise _closed_error()
        loop = require_loop()
        connection = self._connections.get(loop)
        if connection is None or connection.process != os.getpid():
            connection = self._open(loop)
        return connection

    def _open(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        process = os.getpid()
        if any(connection.process != process for connection in _open_async):
            # gRPC's asyncio transport has one thread for the whole process, and a child has none: its calls would hang.
            raise VectronError(
                "this process was forked while an AsyncVectronClient was open, and gRPC's asyncio transport does not "
                "survive that; close the client before forking, start processes with 'spawn', or use VectronClient",
                code="FAILED_PRECONDITION",
            )
        for ended in [other for other in self._connections if other.is_closed()]:
            del self._connections[ended]
        connection = self._connections[loop] = _Connection(self._endpoint, aio)
        _open_async.add(connection)
        return connection

    async def close(self) -> None:
        """Close the connections of all loops; calls under way end with an error. A second time does nothing."""
        self._closed = True
        connections, self._connections = self._connections, {}
        for loop, connection in connections.items():
            if connection.process != os.getpid():
                continue
            if loop.is_running() and loop is not require_loop():
                asyncio.run_coroutine_threadsafe(connection.close(), loop)
            else:
                await connection.close()


def require_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs.

    Raises:
        FailedPreconditionError: none does, or one of another library, such as trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise FailedPreconditionError(
            "AsyncVectronClient needs a running asyncio event loop, and gRPC has no other; in trio use VectronClient "
            "in a thread (trio.to_thread.run_sync)"
        ) from None


def _arguments(effect: Send[Request] | Begin, endpoint: Endpoint) -> dict[str, Any]:
    """Return how a call is made."""
    request = effect.request
    return {
        "timeout": effect.deadline.timeout() if isinstance(effect, Send) else None,
        "metadata": endpoint.metadata + request.metadata if request.metadata else endpoint.metadata,
        "compression": grpc.Compression.Gzip if request.gzip else None,
    }


def _may_be_cancelled() -> bool:
    """Return whether somebody has cancelled the current task; before Python 3.11 nobody can tell."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is None or cancelling() > 0


def _closed_error() -> VectronError:
    return VectronError("this client is closed; create a new one", code="FAILED_PRECONDITION")


def _raise(error: Exception, request: Request, endpoint: Endpoint, closed: bool) -> NoReturn:
    """Raise what an error of gRPC means, and keep that error as its cause unless it repeats a credential."""
    secrets = [value.removeprefix("Bearer ") for _, value in endpoint.metadata + request.metadata]
    secrets += request.secrets
    found = _translated(error, request, endpoint, closed, secrets)
    trailers = error.trailing_metadata() if isinstance(error, grpc.RpcError) else ()
    told = [str(error), repr(error), str(trailers)]
    cause = error if hide(told, secrets) == told else None
    try:
        raise found from cause
    finally:
        if cause is None:
            found.__context__ = None


def _translated(
    error: Exception, request: Request, endpoint: Endpoint, closed: bool, secrets: list[str]
) -> VectronError:
    if closed:
        return _closed_error()
    if isinstance(error, grpc.FutureCancelledError):
        return VectronError(f"{request.method.name} was cancelled", code="CANCELLED")
    if not isinstance(error, grpc.RpcError):
        # What it refuses it would refuse again: a local mistake, which must not be repeated.
        return InvalidArgumentError(f"gRPC refuses to send {request.method.name}: {hide(str(error), secrets)}")
    trailers: Any = error.trailing_metadata() or ()
    status: Any = error.code()
    found = error_of(
        getattr(status, "name", "UNKNOWN"),
        hide(error.details() or "", secrets),
        [(key, hide(value, secrets)) for key, value in trailers],
        method=request.method.name,
        address=endpoint.address,
        timeout=request.timeout,
    )
    found.details = hide(found.details, secrets)
    return found
