"""Sends requests over HTTP; the only module that imports httpx2, and imported itself only when a client is made.

`Transport` serves threads, `AsyncTransport` serves event loops. They share everything but the waiting:
how a client is configured, how a request looks on the wire, and which exception stands for which
failure.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterator
from socket import socket
from threading import Lock
from typing import Any, NoReturn
from weakref import WeakSet

import httpx2

from neurograph.exceptions import (
    ClientClosedError,
    ConnectionError,
    InvalidResponseError,
    NeuroGraphError,
    TimeoutError,
)
from neurograph.forking import forget_after_fork
from neurograph.options import Options
from neurograph.version import __version__
from neurograph.wire import Request, Response
from wirekit.deadline import Deadline

# Servers commonly close idle connections after 5 seconds (uvicorn does). Letting go a little earlier
# means that no request is sent into a connection that is being closed.
_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=4.0)

# Servers read no more than twelve digits; this is more than eleven days.
_LONGEST_MS = 999_999_999

# Raised before anything has reached the server.
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

# Connections that belong to the parent process are neither used nor torn down in the child, only kept
# out of sight: tearing them down would speak to the server, or wait for locks that nobody will release.
_inherited: list[object] = []


class Transport:
    """One pool of connections for all threads of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = Lock()
        self._client: httpx2.Client | None = None
        self._sockets: WeakSet[socket] = WeakSet()
        self._closed = False
        forget_after_fork(self)

    def send(self, request: Request, deadline: Deadline) -> Response:
        """Sends one request and reads its whole answer, whatever its status.

        Raises:
            TimeoutError: not over by the deadline.
            ConnectionError: no connection, or it broke.
            InvalidResponseError: the answer is compressed in a way that cannot be undone.
            ClientClosedError: after `close`.
        """
        client = self._open()
        try:
            response = client.send(_prepared(client, request, self._options, deadline), stream=True)
            self._remember(response)
            if request.streamed and response.is_success:
                chunks_to_come = self._chunks(response, request, deadline)
                return Response(request, response.status_code, response.headers, b"", chunks_to_come)
            try:
                chunks = []
                for chunk in response.iter_bytes():
                    _check(deadline, request, self._options)
                    chunks.append(chunk)
            finally:
                response.close()
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        return Response(request, response.status_code, response.headers, b"".join(chunks))

    def close(self) -> None:
        """Closes all connections. Calls in flight in other threads fail, at the latest when their time is up."""
        with self._lock:
            client, self._client = self._client, None
            self._closed = True
        if client is not None:
            client.close()

    def after_fork(self) -> None:
        """Leaves the parent's connections to the parent; the child opens its own."""
        for inherited in list(self._sockets):
            inherited.close()
        _inherited.append(self._client)
        self._lock = Lock()
        self._client = None
        self._sockets = WeakSet()

    def _chunks(self, response: httpx2.Response, request: Request, deadline: Deadline) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        finally:
            response.close()

    def _open(self) -> httpx2.Client:
        client = self._client
        if client is not None:
            return client
        with self._lock:
            if self._closed:
                _refuse()
            if self._client is None:
                self._client = httpx2.Client(**_configuration(self._options))
            return self._client

    def _remember(self, response: httpx2.Response) -> None:
        stream = response.extensions.get("network_stream")
        connection = None if stream is None else stream.get_extra_info("socket")
        if connection is not None:
            self._sockets.add(connection)


class AsyncTransport:
    """One pool of connections for every event loop it is used on; a pool closes when its loop ends."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._closed = False
        forget_after_fork(self)

    async def send(self, request: Request, deadline: Deadline) -> Response:
        """Sends one request and reads its whole answer; errors as in `Transport.send`."""
        client = await self._open()
        try:
            response = await client.send(_prepared(client, request, self._options, deadline), stream=True)
            if request.streamed and response.is_success:
                chunks_to_come = self._chunks(response, request, deadline)
                return Response(request, response.status_code, response.headers, b"", chunks_to_come)
            try:
                chunks = []
                async for chunk in response.aiter_bytes():
                    _check(deadline, request, self._options)
                    chunks.append(chunk)
            finally:
                await response.aclose()
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        return Response(request, response.status_code, response.headers, b"".join(chunks))

    async def close(self) -> None:
        """Closes the connections of this loop, and refuses further use on any. A second call does nothing."""
        self._closed = True
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()

    def after_fork(self) -> None:
        """Leaves the parent's loops and connections to the parent."""
        _inherited.append(self._pools)
        self._pools = {}

    async def _chunks(
        self, response: httpx2.Response, request: Request, deadline: Deadline
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        finally:
            await response.aclose()

    async def _open(self) -> httpx2.AsyncClient:
        if self._closed:
            _refuse()
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for ended in [other for other in self._pools if other.is_closed()]:
                self._pools.pop(ended, None)
            pool = self._pools[loop] = _Pool(httpx2.AsyncClient(**_configuration(self._options)))
            await pool.bind()
        return pool.client


class _Pool:
    """The connections of one event loop.

    They must be closed while their loop still runs, but nobody tells a library that a loop is about to
    end. What every loop does at its end is to close its asynchronous generators; so one of those closes
    the connections.
    """

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self._keeper = self._keep()

    async def bind(self) -> None:
        """Ties the pool to the running loop."""
        await anext(self._keeper)

    async def close(self) -> None:
        """Closes the connections."""
        await self._keeper.aclose()

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.aclose()


def _configuration(options: Options) -> dict[str, Any]:
    headers = {"User-Agent": f"neurograph-python/{__version__}"}
    limits = _LIMITS
    if options.max_connections is not None:
        kept = min(options.max_connections, limits.max_keepalive_connections or options.max_connections)
        limits = httpx2.Limits(
            max_connections=options.max_connections,
            max_keepalive_connections=kept,
            keepalive_expiry=limits.keepalive_expiry,
        )
    return {
        "verify": _verification(options),
        "headers": headers,
        "limits": limits,
        "proxy": options.proxy,
        "follow_redirects": False,
    }


def _verification(options: Options) -> ssl.SSLContext | bool:
    """What to check certificates against."""
    if options.base_url.startswith("http:") and options.proxy is None:
        # Loading the system's certificates takes 50 ms. Without TLS nothing needs them; this context
        # trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(options.verify_ssl, str):
        return ssl.create_default_context(cafile=options.verify_ssl)
    return options.verify_ssl


def _prepared(
    client: httpx2.Client | httpx2.AsyncClient, request: Request, options: Options, deadline: Deadline
) -> httpx2.Request:
    _check(deadline, request, options, sent=False)
    headers = {"Accept": request.accept}
    timeout = deadline.timeout()
    if timeout is not None and not request.streamed:
        headers["X-Request-Timeout-Ms"] = str(min(max(1, int(timeout * 1000)), _LONGEST_MS))
    if request.idempotency_key is not None:
        headers["Idempotency-Key"] = request.idempotency_key
    headers.update(request.headers)
    if request.request_id is not None:
        headers["X-Request-ID"] = request.request_id
    if request.bearer is not None:
        headers["Authorization"] = f"Bearer {request.bearer}"
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    return client.build_request(
        request.method,
        options.base_url + request.target,
        content=request.body,
        headers=headers,
        timeout=timeout,
    )


def _check(deadline: Deadline, request: Request, options: Options, sent: bool = True) -> None:
    if deadline.expired:
        raise TimeoutError(_late(request, options, deadline), request_sent=sent)


def _translated(
    error: httpx2.RequestError | ssl.SSLError | RuntimeError,
    request: Request,
    options: Options,
    deadline: Deadline,
    closed: bool,
) -> NeuroGraphError | RuntimeError:
    """The exception of this library that stands for a failure below it."""
    if isinstance(error, RuntimeError):
        return _closed_error() if closed else error
    if isinstance(error, ssl.SSLError):  # not all of them are translated below; a missing client certificate is one
        message = f"The connection to {options.base_url} was refused by TLS during {request}: {_why(error)}"
        return ConnectionError(message, retryable=False)
    sent = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx2.TimeoutException):
        return TimeoutError(_late(request, options, deadline), request_sent=sent)
    if isinstance(error, httpx2.DecodingError):
        return InvalidResponseError(f"The answer to {request} cannot be decompressed: {error}")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        message = f"The certificate of {options.base_url} cannot be trusted: {error}"
        return ConnectionError(message, retryable=False, request_sent=False)
    if sent:
        return ConnectionError(f"The connection to {options.base_url} broke during {request}: {_why(error)}")
    message = f"Cannot connect to {options.base_url}: {_why(error)}. Is the server running, and is base_url right?"
    return ConnectionError(message, request_sent=False)


def _late(request: Request, options: Options, deadline: Deadline) -> str:
    return f"{options.base_url} did not finish {request} within {deadline.seconds} s"


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _closed_error() -> ClientClosedError:
    return ClientClosedError("This client is closed; make a new one", request_sent=False)


def _refuse() -> NoReturn:
    raise _closed_error()
