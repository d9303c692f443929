"""Sends requests over HTTP; the only module that imports httpx2, and imported itself only when a client is made.

`Transport` serves threads, `AsyncTransport` serves event loops. They share everything but the waiting:
how a client is configured, how a request looks on the wire, and which exception stands for which
failure.
"""

import asyncio
import logging
import os
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from socket import socket
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from weakref import WeakSet

import httpx2

from neurograph._concurrency import running_loop
from neurograph._forks_and_copies import forget_after_fork, inherit
from neurograph._options import NO_SOCKS, Options
from neurograph._protocol.decoding import too_large
from neurograph._transport.lines import AsyncLine, Line
from neurograph._transport.sockets import (
    AsyncBackend,
    AsyncUpgraded,
    Backend,
    LostError,
    TimeLimit,
    Upgraded,
    keep_deadlines,
)
from neurograph._version import __version__
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.secrets import hide
from neurograph.exceptions import (
    ClientClosedError,
    ConfigurationError,
    ConnectionError,
    InvalidResponseError,
    NeuroGraphError,
    TimeoutError,
    ValidationError,
)
from neurograph.wire import Request, Response

if TYPE_CHECKING:
    from neurograph._transport.grip import AsyncGrip, Grip

T = TypeVar("T")

# Seconds for sending a frame; frames of a client are small. Chosen: two heartbeats of the server.
_WRITE_SECONDS = 30.0

# Connections of a client unless its options say otherwise: the default of httpx.
_MAX_CONNECTIONS = 100

# Servers read no more than twelve digits; this is more than eleven days.
_MAX_TIMEOUT_MS = 999_999_999

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

# Raised before anything has reached the server.
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

# Where the clients of this process send their calls.
_servers: set[str] = set()


def _of_others(record: logging.LogRecord) -> bool:
    """Return whether httpx2 logs a request that is not ours: ours would be a line for every call of every program."""
    url = str(record.args[1]) if isinstance(record.args, tuple) and len(record.args) > 1 else ""
    return record.levelno > logging.INFO or not url.startswith(tuple(_servers))


def _nothing(record: logging.LogRecord) -> bool:
    """Let no line of HPACK through: at level DEBUG it writes all headers, with the credentials among them."""
    return False


logging.getLogger("httpx2").addFilter(_of_others)
for _name in ("hpack.hpack", "hpack.table"):
    logging.getLogger(_name).addFilter(_nothing)


class Transport:
    """One pool of connections for all threads of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = Lock()
        self._pool: _Connections | None = None
        self._sockets: WeakSet[socket] = WeakSet()
        self._context: ssl.SSLContext | None = None
        self._closed = False
        forget_after_fork(self)

    def send(self, request: Request, deadline: Deadline, grip: "Grip | None" = None) -> Response:
        """Send one request and reads its whole answer, whatever its status.

        Args:
            request: to send.
            deadline: of all of it; of a streamed answer, until it begins.
            grip: holds the connection, so that others can break it.

        Raises:
            TimeoutError: not over by the deadline.
            ConnectionError: no connection, or it broke.
            InvalidResponseError: the answer is too large, or compressed in a way that cannot be undone.
            ConfigurationError: a proxy or a certificate that the environment names cannot be used.
            ClientClosedError: after `close`.
        """
        pool = self._open()
        try:
            limit = TimeLimit(deadline, grip)
            response = pool.client.send(pool.outgoing(request, deadline, limit), stream=True)
            self._remember(response)
            if request.streamed and response.is_success:
                limit.stream(deadline.seconds)
                chunks_to_come = self._chunks(response, request, deadline)
                return Response(request, response.status_code, response.headers, b"", chunks_to_come)
            return self._whole(response, request, deadline)
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error

    def connect(self, request: Request, deadline: Deadline, grip: "Grip | None") -> Response:
        """Send one request over a connection of its own, which takes none from the pool.

        Returns:
            The whole answer when it is a refusal, else one whose `chunks` are a Line.

        Raises:
            NeuroGraphError: as `send`.
        """
        client = self._apart()
        try:
            limit = TimeLimit(deadline, grip)
            response = client.send(_Outgoing(client, self._options)(request, deadline, limit), stream=True)
            if not _is_open(response):
                answer = self._whole(response, request, deadline)
                client.close()
                return answer
            upgraded = _upgraded(response, limit, Upgraded)
            pieces = self._pieces(client, response, request, deadline, upgraded)
            next(pieces)  # from here on it closes the client
        except BaseException as error:
            client.close()
            if isinstance(error, (httpx2.RequestError, ssl.SSLError, RuntimeError)):
                raise _translated(error, request, self._options, deadline, self._closed) from error
            raise
        line = _HTTPLine(pieces, limit, upgraded, request)
        return Response(request, response.status_code, response.headers, b"", line)

    def close(self) -> None:
        """Close all connections. Calls in flight in other threads fail, at the latest when their time is up."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._closed = True
        if pool is not None:
            pool.client.close()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent; the child opens its own."""
        for inherited in list(self._sockets):
            inherited.close()
        inherit(self._pool)
        self._lock = Lock()
        self._pool = None
        self._sockets = WeakSet()

    def _chunks(self, response: httpx2.Response, request: Request, deadline: Deadline) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        finally:
            response.close()

    def _whole(self, response: httpx2.Response, request: Request, deadline: Deadline) -> Response:
        try:
            body = _Body(request, self._options, deadline)
            for chunk in response.iter_bytes():
                body.take(chunk, response)
        finally:
            response.close()
        return Response(request, response.status_code, response.headers, b"".join(body.chunks))

    def _apart(self) -> httpx2.Client:
        """Return a client for one connection."""
        if self._closed:
            _refuse()
        context = self._context = self._context or _context_apart(self._options)
        client = _configured(httpx2.Client, self._options, context)
        keep_deadlines(client, Backend)
        return client

    def _pieces(
        self,
        client: httpx2.Client,
        response: httpx2.Response,
        request: Request,
        deadline: Deadline,
        upgraded: Upgraded | None,
    ) -> Generator[bytes | None, None, None]:
        """Yield the pieces of an open answer, the first one before there is any; None for a wait that took too long.

        Closed by its owner, or forgotten, it closes the connection.
        """
        try:
            yield b""
            if upgraded is None:
                yield from filter(None, response.iter_bytes())
                return
            while (piece := upgraded.read()) != b"":
                yield piece
        except (httpx2.RequestError, ssl.SSLError, RuntimeError, LostError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        finally:
            response.close()
            client.close()

    def _open(self) -> "_Connections":
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            if self._closed:
                _refuse()
            if self._pool is None:
                client = _configured(httpx2.Client, self._options)
                keep_deadlines(client, Backend)
                self._pool = _Connections(client, self._options)
            return self._pool

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
        self._context: ssl.SSLContext | None = None
        self._closed = False
        forget_after_fork(self)

    async def send(self, request: Request, deadline: Deadline, grip: "AsyncGrip | None" = None) -> Response:
        """Send one request and reads its whole answer; errors as in `Transport.send`."""
        pool = await self._open()
        try:
            limit = TimeLimit(deadline)
            response = await pool.client.send(pool.outgoing(request, deadline, limit), stream=True)
            if request.streamed and response.is_success:
                limit.stream(deadline.seconds)
                chunks_to_come = self._chunks(response, request, deadline)
                return Response(request, response.status_code, response.headers, b"", chunks_to_come)
            return await self._whole(response, request, deadline)
        except (httpx2.RequestError, ssl.SSLError, RuntimeError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error

    async def connect(self, request: Request, deadline: Deadline, grip: "AsyncGrip | None") -> Response:
        """Send one request over a connection of its own; as `Transport.connect`."""
        client = self._apart()
        try:
            limit = TimeLimit(deadline)
            response = await client.send(_Outgoing(client, self._options)(request, deadline, limit), stream=True)
            if not _is_open(response):
                answer = await self._whole(response, request, deadline)
                await client.aclose()
                return answer
            upgraded = _upgraded(response, limit, AsyncUpgraded)
            pieces = self._pieces(client, response, request, deadline, upgraded)
            await anext(pieces)  # from here on it closes the client, also when the loop ends
        except BaseException as error:
            await client.aclose()
            if isinstance(error, (httpx2.RequestError, ssl.SSLError, RuntimeError)):
                raise _translated(error, request, self._options, deadline, self._closed) from error
            raise
        line = _AsyncHTTPLine(pieces, limit, upgraded, request)
        return Response(request, response.status_code, response.headers, b"", line)

    async def close(self) -> None:
        """Close the connections of this loop, and refuses further use on any. A second call does nothing."""
        loop = running_loop()
        self._closed = True
        pool = self._pools.pop(loop, None)
        if pool is not None:
            await pool.close()

    def after_fork(self) -> None:
        """Leave the parent's loops and connections to the parent."""
        inherit(self._pools)
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

    async def _whole(self, response: httpx2.Response, request: Request, deadline: Deadline) -> Response:
        try:
            body = _Body(request, self._options, deadline)
            async for chunk in response.aiter_bytes():
                body.take(chunk, response)
        finally:
            await response.aclose()
        return Response(request, response.status_code, response.headers, b"".join(body.chunks))

    def _apart(self) -> httpx2.AsyncClient:
        if self._closed:
            _refuse()
        context = self._context = self._context or _context_apart(self._options)
        client = _configured(httpx2.AsyncClient, self._options, context)
        keep_deadlines(client, AsyncBackend)
        return client

    async def _pieces(
        self,
        client: httpx2.AsyncClient,
        response: httpx2.Response,
        request: Request,
        deadline: Deadline,
        upgraded: AsyncUpgraded | None,
    ) -> AsyncGenerator[bytes | None, None]:
        try:
            yield b""
            if upgraded is None:
                async for piece in response.aiter_bytes():
                    if piece:
                        yield piece
                return
            while (part := await upgraded.read()) != b"":
                yield part
        except (httpx2.RequestError, ssl.SSLError, RuntimeError, LostError) as error:
            raise _translated(error, request, self._options, deadline, self._closed) from error
        finally:
            await response.aclose()
            await client.aclose()

    async def _open(self) -> "_Pool":
        if self._closed:
            _refuse()
        loop = running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for ended in [other for other in self._pools if other.is_closed()]:
                self._pools.pop(ended, None)
            client = _configured(httpx2.AsyncClient, self._options)
            keep_deadlines(client, AsyncBackend)
            pool = self._pools[loop] = _Pool(client, self._options)
            await pool.bind()
        return pool


class _Connections:
    """The connections of all threads of a process, and the maker of their requests."""

    def __init__(self, client: httpx2.Client, options: Options) -> None:
        self.client = client
        self.outgoing = _Outgoing(client, options)


class _Pool:
    """The connections of one event loop.

    They must be closed while their loop still runs, but nobody tells a library that a loop is about to
    end. What every loop does at its end is to close its asynchronous generators; so one of those closes
    the connections.
    """

    def __init__(self, client: httpx2.AsyncClient, options: Options) -> None:
        self.client = client
        self.outgoing = _Outgoing(client, options)
        self._keeper = self._keep()

    async def bind(self) -> None:
        """Tie the pool to the running loop."""
        await anext(self._keeper)

    async def close(self) -> None:
        """Close the connections."""
        await self._keeper.aclose()

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.aclose()


class _HTTPLine(Line):
    """An open answer over a connection of its own."""

    def __init__(
        self,
        pieces: Generator[bytes | None, None, None],
        limit: TimeLimit,
        upgraded: Upgraded | None,
        request: Request,
    ) -> None:
        self._pieces = pieces
        self._limit = limit
        self._upgraded = upgraded
        self._request = request

    def read(self, seconds: float | None) -> bytes:
        self._limit.stream(seconds)
        piece = next(self._pieces, b"")
        if piece is None:
            raise _nothing_came(self._request)
        return piece

    def write(self, data: bytes) -> None:
        if self._upgraded is None:
            raise _one_way(self._request)
        self._limit.stream(_WRITE_SECONDS)
        try:
            self._upgraded.write(data)
        except LostError as error:
            raise _lost(self._request, error) from error

    def close(self) -> None:
        self._pieces.close()


class _AsyncHTTPLine(AsyncLine):
    """An open answer for a task to read; methods as of _HTTPLine."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes | None, None],
        limit: TimeLimit,
        upgraded: AsyncUpgraded | None,
        request: Request,
    ) -> None:
        self._pieces = pieces
        self._limit = limit
        self._upgraded = upgraded
        self._request = request

    async def read(self, seconds: float | None) -> bytes:
        self._limit.stream(seconds)
        piece = await anext(self._pieces, b"")
        if piece is None:
            raise _nothing_came(self._request)
        return piece

    async def write(self, data: bytes) -> None:
        if self._upgraded is None:
            raise _one_way(self._request)
        self._limit.stream(_WRITE_SECONDS)
        try:
            await self._upgraded.write(data)
        except LostError as error:
            raise _lost(self._request, error) from error

    async def close(self) -> None:
        await self._pieces.aclose()


class _Body:
    """The body of an answer as it comes, within its limits of time and size."""

    def __init__(self, request: Request, options: Options, deadline: Deadline) -> None:
        self.chunks: list[bytes] = []
        self._request = request
        self._options = options
        self._deadline = deadline
        self._left = options.max_response_bytes

    def take(self, chunk: bytes, response: httpx2.Response) -> None:
        """Take a piece, decompressed.

        Raises:
            TimeoutError: it comes too late.
            InvalidResponseError: the body is larger than the client reads.
        """
        _check(self._deadline, self._request, self._options)
        self._left -= len(chunk)
        if self._left < 0:
            answer = Response(self._request, response.status_code, response.headers, b"")
            raise too_large(answer, self._options.max_response_bytes)
        self.chunks.append(chunk)


def _is_open(response: httpx2.Response) -> bool:
    return response.is_success or response.status_code == HTTPStatus.SWITCHING_PROTOCOLS


def _upgraded(response: httpx2.Response, limit: TimeLimit, kind: Callable[[Any, TimeLimit], T]) -> T | None:
    """Return the connection of an answer that agrees to another protocol; None of another answer."""
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        return None
    return kind(response.extensions["network_stream"], limit)


def _context_apart(options: Options) -> ssl.SSLContext:
    """Return a context for connections beside the pool.

    One for all of them: loading certificates takes 50 ms. Not that of the pool, which may offer HTTP/2.
    """

    def made(**configuration: Any) -> ssl.SSLContext:
        verify = configuration["verify"]
        return verify if isinstance(verify, ssl.SSLContext) else httpx2.create_ssl_context(verify=verify)

    return _configured(made, options)


def _configured(make: Callable[..., T], options: Options, apart: ssl.SSLContext | None = None) -> T:
    """Make a client of httpx2.

    Args:
        make: the class of the client.
        options: of this client.
        apart: for one connection only, checked with this context.

    Raises:
        ConfigurationError: a proxy or a certificate that the environment names cannot be used.
    """
    try:
        more = {} if apart is None else {"verify": apart, "http2": False, "limits": httpx2.Limits(max_connections=1)}
        return make(**{**_configuration(options, load=apart is None), **more})
    except ImportError:
        problem = f"The proxy that the environment names {NO_SOCKS}"
    except OSError as error:
        problem = (
            f"Certificates to check the server cannot be loaded ({error.strerror or type(error).__name__}); "
            "see verify_ssl, SSL_CERT_FILE and SSL_CERT_DIR"
        )
    except (ValueError, TypeError, httpx2.InvalidURL):
        problem = (
            "A proxy that the environment names (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) is no URL such as "
            "http://proxy.example:3128"
        )
    raise ConfigurationError(problem, request_sent=False)


def _configuration(options: Options, load: bool = True) -> dict[str, Any]:
    headers = {"User-Agent": f"neurograph-python/{__version__}"}
    most = _MAX_CONNECTIONS if options.max_connections is None else options.max_connections
    limits = httpx2.Limits(
        max_connections=most,
        max_keepalive_connections=min(most, options.max_idle_connections),
        keepalive_expiry=options.idle_seconds,
    )
    return {
        "verify": _verification(options) if load else True,
        "headers": headers,
        "limits": limits,
        "proxy": options.proxy,
        "http2": options.http2,
        "follow_redirects": False,
    }


def _verification(options: Options) -> ssl.SSLContext | bool:
    """Return the context that certificates are checked with."""
    if options.base_url.startswith("http:") and options.proxy is None:
        # Loading the system's certificates takes 50 ms. Without TLS nothing needs them; this context
        # trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(options.verify_ssl, (str, os.PathLike)):
        place = os.fspath(options.verify_ssl)
        if os.path.isdir(place):
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    return options.verify_ssl


class _Outgoing:
    """Makes the requests of one client.

    What they have in common is worked out once: `build_request` of httpx2, which merges URLs, headers, cookies and
    parameters anew for each, costs a tenth of a small call.
    """

    def __init__(self, client: httpx2.Client | httpx2.AsyncClient, options: Options) -> None:
        self._options = options
        _servers.add(options.base_url)
        self._standing = [
            (b"Host", httpx2.URL(options.base_url).netloc),
            *((name, value) for name, value in client.headers.raw if name.lower() != b"accept"),
        ]

    def __call__(self, request: Request, deadline: Deadline, limit: TimeLimit) -> httpx2.Request:
        """Return the request as httpx2 sends it.

        Raises:
            TimeoutError: it is too late already.
            ValidationError: a header of a middleware cannot be sent.
        """
        _check(deadline, request, self._options, sent=False)
        timeout = deadline.timeout()
        headers: list[tuple[bytes, bytes]] = [*self._standing, (b"Accept", request.accept.encode())]
        if timeout is not None and not request.streamed:
            headers.append((b"X-Request-Timeout-Ms", b"%d" % min(max(1, int(timeout * 1000)), _MAX_TIMEOUT_MS)))
        if request.idempotency_key is not None:
            headers.append((b"Idempotency-Key", request.idempotency_key.encode()))
        if request.headers:
            headers = _overridden(headers, request.headers)
        if request.request_id is not None:
            headers.append((b"X-Request-ID", request.request_id.encode()))
        if request.bearer is not None:
            headers.append((b"Authorization", f"Bearer {request.bearer}".encode()))
        if request.body is not None:
            headers.append((b"Content-Type", request.content_type.encode()))
        if request.body is not None or request.method in _WITH_BODY:
            headers.append((b"Content-Length", b"%d" % len(request.body or b"")))
        return httpx2.Request(
            request.method,
            _parsed(self._options.base_url + request.target),
            headers=headers,
            stream=httpx2.ByteStream(request.body or b""),
            extensions={"timeout": {"connect": limit, "read": limit, "write": limit, "pool": timeout}},
        )


# As many as the paths of the API have shapes, and then some that name single tokens.
@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx2.URL:
    return httpx2.URL(url)


def _overridden(headers: list[tuple[bytes, bytes]], others: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers with those of a middleware in the place of their namesakes."""
    given: dict[Any, Any] = dict(others)
    for name, value in given.items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise ValidationError.of("headers", "of a middleware have a name that no header can have")
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ValidationError.of(f"headers.{name}", "must be printable ASCII text, without line breaks")
    more = [(name.encode("ascii"), value.encode("ascii")) for name, value in others.items()]
    taken = {name.lower() for name, _ in more}
    return [header for header in headers if header[0].lower() not in taken] + more


def _check(deadline: Deadline, request: Request, options: Options, sent: bool = True) -> None:
    if deadline.expired:
        error = TimeoutError(_late(request, options, deadline), request_sent=sent)
        raise error if sent else error.without_server()


def _translated(
    error: httpx2.RequestError | ssl.SSLError | RuntimeError | LostError,
    request: Request,
    options: Options,
    deadline: Deadline,
    closed: bool,
) -> NeuroGraphError | RuntimeError:
    """Return the exception of this library that stands for a failure below it."""
    if isinstance(error, RuntimeError):
        return _closed_error() if closed else error
    if isinstance(error, ssl.SSLError):  # not all of them are translated below; a missing client certificate is one
        message = f"The connection to {options.base_url} was refused by TLS during {request}: {_why(error)}"
        return ConnectionError(message, retryable=False)
    if isinstance(error, LostError):
        return _closed_error() if closed else _lost(request, error)
    sent = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx2.TimeoutException):
        late = TimeoutError(_late(request, options, deadline), request_sent=sent)
        return late.without_server() if isinstance(error, httpx2.PoolTimeout) else late
    if isinstance(error, httpx2.DecodingError):
        return InvalidResponseError(f"The response to {request} cannot be decompressed: {error}")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        message = f"The certificate of {options.base_url} cannot be trusted: {error}"
        return ConnectionError(message, retryable=False, request_sent=False)
    if sent:
        why = hide(_why(error), options.secrets())
        return ConnectionError(f"The connection to {options.base_url} was lost during {request}: {why}")
    why = hide(_why(error), options.secrets())
    message = f"Cannot connect to {options.base_url}: {why}. Is the server running, and is base_url right?"
    return ConnectionError(message, request_sent=False)


def _lost(request: Request, error: Exception) -> ConnectionError:
    return ConnectionError(f"The connection was lost during {request}: {_why(error)}")


def _nothing_came(request: Request) -> TimeoutError:
    return TimeoutError(f"The server sent nothing in time during {request}")


def _one_way(request: Request) -> InvalidResponseError:
    return InvalidResponseError(f"The server did not agree to {request} as a connection that something can be sent to")


def _late(request: Request, options: Options, deadline: Deadline) -> str:
    return f"{options.base_url} did not finish {request} within {deadline.seconds} s"


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _closed_error() -> ClientClosedError:
    return ClientClosedError("This client is closed; create a new one", request_sent=False)


def _refuse() -> NoReturn:
    raise _closed_error()
