"""Sockets that keep the deadline of a call; the only module that imports httpcore2.

httpcore2 gives every single read and write the whole time-out, so that a server that drips bytes can stretch a call at
will. Here each read, write, connect and TLS handshake gets what is left of the call.
"""

import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore2
from httpcore2._backends.sync import SyncStream

from neurograph._wirekit.deadline import Deadline

if TYPE_CHECKING:
    from neurograph._transport.grip import Grip

# Bytes written at once. The time left is looked at before each piece; smaller ones would only cost system calls.
_WRITE_BYTES = 64 * 1024


class TimeLimit(float):
    """The time for one request, in the form of a number that libraries hand through to the socket.

    Its value is the seconds at the start; `left` tells what is left of them.

    Args:
        deadline: of the request.
        grip: is to hold each connection before somebody waits for it.
    """

    def __new__(cls, deadline: Deadline, grip: "Grip | None" = None) -> "TimeLimit":
        """Make the number."""
        return super().__new__(cls, deadline.remaining())

    def __init__(self, deadline: Deadline, grip: "Grip | None" = None) -> None:
        self.grip = grip
        self._deadline = deadline
        self._each: float | None = None
        self._streaming = False

    def stream(self, seconds: float | None) -> None:
        """Give every further read so many seconds of its own; None waits for ever."""
        self._streaming = True
        self._each = seconds

    def left(self) -> float | None:
        """Return the seconds for the next operation; None for no limit, 0 or less when it is too late."""
        return self._each if self._streaming else self._deadline.timeout()


class _Timed:
    """Common state of connections: the time limit of the request that uses them now."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit

    def left(self, timeout: float | None, late: type[Exception]) -> float | None:
        """Return the seconds for one operation. Some steps of a proxy's handshake name no time; theirs is the last one.

        Raises:
            Exception: of the class given, when no time is left.
        """
        if timeout is not None:
            self._limit = timeout
        seconds = self._limit.left() if isinstance(self._limit, TimeLimit) else self._limit
        if seconds is not None and seconds <= 0:
            raise late("the time for the call is over")
        return seconds

    @property
    def grip(self) -> "Grip | None":
        """The grip that is to hold the connection."""
        return self._limit.grip if isinstance(self._limit, TimeLimit) else None


class Stream(_Timed, httpcore2.NetworkStream):
    """A connection of a synchronous client."""

    def __init__(self, inner: httpcore2.NetworkStream, limit: float | None) -> None:
        super().__init__(limit)
        self._inner = inner
        self._socket: socket.socket | None = inner.get_extra_info("socket")

    def left(self, timeout: float | None, late: type[Exception]) -> float | None:
        """Return the seconds for one operation, which whoever has a grip may break."""
        seconds = super().left(timeout, late)
        if self.grip is not None and self._socket is not None:
            self.grip.hold(self._socket)
        return seconds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come."""
        return self._inner.read(max_bytes, self.left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write everything."""
        if len(buffer) <= _WRITE_BYTES:
            self._inner.write(buffer, self.left(timeout, httpcore2.WriteTimeout))
            return
        view: Any = memoryview(buffer)
        while view:
            self._inner.write(view[:_WRITE_BYTES], self.left(timeout, httpcore2.WriteTimeout))
            view = view[_WRITE_BYTES:]

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Encrypt the connection."""
        seconds = self.left(timeout, httpcore2.ConnectTimeout)
        with self._another_hold():
            return Stream(self._inner.start_tls(ssl_context, server_hostname, seconds), self._limit)

    @contextmanager
    def _another_hold(self) -> Generator[None, None, None]:
        """Hold the connection by another descriptor: encrypting it takes the first one away."""
        if self.grip is None or self._socket is None:
            yield
            return
        with self._socket.dup() as another:
            self.grip.hold(another)
            yield

    def get_extra_info(self, info: str) -> Any:
        """Tell something about the connection."""
        return self._inner.get_extra_info(info)


class Backend(httpcore2.NetworkBackend):
    """Connects for a synchronous client.

    The name is resolved by the system, which knows no time limit; all else keeps to the deadline.
    """

    def __init__(self, replaced: httpcore2.NetworkBackend) -> None:
        """Take the place of another one."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers; one that does not leaves time for the others."""
        timed = _Timed(timeout)
        addresses = _resolved(host, port)
        for place, address in enumerate(addresses, 1):
            seconds = timed.left(None, httpcore2.ConnectTimeout)
            share = None if seconds is None else seconds / (len(addresses) - place + 1)
            try:
                stream = _connected((address, port), share, local_address, socket_options or (), timed.grip)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(addresses):
                    raise
            else:
                return Stream(stream, timeout)
        raise httpcore2.ConnectError(f"the name {host} has no address")

    def sleep(self, seconds: float) -> None:
        """Pause."""
        time.sleep(seconds)


def _connected(
    address: tuple[str, int],
    seconds: float | None,
    local_address: str | None,
    options: Iterable[Any],
    grip: "Grip | None",
) -> SyncStream:
    """Connect to a numeric address. Unlike `socket.create_connection`, the socket is held while it connects."""
    family, kind, protocol, _, full_address = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind, protocol)
    try:
        if local_address is not None:
            connection.bind((local_address, 0))
        connection.settimeout(seconds)
        if grip is not None:
            grip.hold(connection)
        connection.connect(full_address)
        for option in (*options, (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)):
            connection.setsockopt(*option)
    except BaseException as error:
        connection.close()
        if isinstance(error, socket.timeout):
            raise httpcore2.ConnectTimeout(str(error)) from error
        if isinstance(error, OSError):
            raise httpcore2.ConnectError(str(error)) from error
        raise
    return SyncStream(connection)


class LostError(Exception):
    """A connection that was taken over from HTTP is broken."""


class Upgraded:
    """A connection after the server has agreed to speak another protocol over it.

    Args:
        stream: the extension `network_stream` of the answer.
        limit: of time, for each operation.
    """

    def __init__(self, stream: httpcore2.NetworkStream, limit: TimeLimit) -> None:
        self._stream = stream
        self._limit = limit

    def read(self) -> bytes | None:
        """Wait for bytes; b"" at the end, None when nothing came in time.

        Raises:
            LostError: the connection broke.
        """
        try:
            return self._stream.read(_WRITE_BYTES, self._limit)
        except httpcore2.ReadTimeout:
            return None
        except httpcore2.NetworkError as error:
            raise LostError(str(error) or type(error).__name__) from error

    def write(self, data: bytes) -> None:
        """Write everything.

        Raises:
            LostError: the connection broke, or took too long to take it.
        """
        try:
            self._stream.write(data, self._limit)
        except (httpcore2.NetworkError, httpcore2.WriteTimeout) as error:
            raise LostError(str(error) or type(error).__name__) from error


class AsyncUpgraded:
    """A connection that was taken over from HTTP, for tasks; methods as of Upgraded."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, limit: TimeLimit) -> None:
        self._stream = stream
        self._limit = limit

    async def read(self) -> bytes | None:
        """Wait for bytes; b"" at the end, None when nothing came in time."""
        try:
            return await self._stream.read(_WRITE_BYTES, self._limit)
        except httpcore2.ReadTimeout:
            return None
        except httpcore2.NetworkError as error:
            raise LostError(str(error) or type(error).__name__) from error

    async def write(self, data: bytes) -> None:
        """Write everything."""
        try:
            await self._stream.write(data, self._limit)
        except (httpcore2.NetworkError, httpcore2.WriteTimeout) as error:
            raise LostError(str(error) or type(error).__name__) from error


def _resolved(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore2.ConnectError(str(error)) from error
    # An address of a link needs its interface, which only its full form has.
    return list(dict.fromkeys(socket.getnameinfo(entry[4], socket.NI_NUMERICHOST)[0] for entry in found))


class AsyncStream(_Timed, httpcore2.AsyncNetworkStream):
    """A connection of an asynchronous client."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream, limit: float | None) -> None:
        super().__init__(limit)
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come."""
        return await self._inner.read(max_bytes, self.left(timeout, httpcore2.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write everything."""
        await self._inner.write(buffer, self.left(timeout, httpcore2.WriteTimeout))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Encrypt the connection."""
        seconds = self.left(timeout, httpcore2.ConnectTimeout)
        return AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, seconds), self._limit)

    def get_extra_info(self, info: str) -> Any:
        """Tell something about the connection."""
        return self._inner.get_extra_info(info)


class AsyncBackend(httpcore2.AsyncNetworkBackend):
    """Connects for an asynchronous client."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers."""
        seconds = _Timed(timeout).left(None, httpcore2.ConnectTimeout)
        return AsyncStream(await self._inner.connect_tcp(host, port, seconds, local_address, socket_options), timeout)

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        await self._inner.sleep(seconds)


def keep_deadlines(client: Any, backend: Callable[[Any], Any]) -> None:
    """Make a client of httpx2 connect through a backend of this module, on its way to proxies too.

    httpcore2 takes a backend, but httpx2 has no argument for it.
    """
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = backend(pool._network_backend)
