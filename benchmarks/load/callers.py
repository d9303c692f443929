"""One search over HTTP or gRPC, as cheap for the caller as it can be: the load is to be on the server."""

import asyncio
import json
import ssl
from enum import StrEnum
from typing import Any, Final, Protocol

import grpc
import grpc.aio
import numpy as np

from benchmarks.load.subject import COLLECTION, Subject
from vectron_client._pb import vectrograph_pb as own

QUERIES_AT_ONCE: Final = 8
_TOP_K: Final = 10


class Outcome(StrEnum):
    """Outcome of a request. wrong: a status that no refusal may have, or none at all. late: gave up waiting."""

    OK = "ok"
    REFUSED = "refused"
    WRONG = "wrong"
    LATE = "late"


class Unexpected(Exception):
    """Neither an answer nor a refusal came; says what did."""


class Caller(Protocol):
    """Sends one request at a time on a connection of its own, or many over one."""

    async def ask(self) -> Outcome:
        """Send the request and wait for its answer.

        Raises:
            Unexpected: it is neither an answer nor a refusal.
        """
        ...

    async def close(self) -> None:
        """Let the connections go."""
        ...


class Addressed(Protocol):
    """A server that speaks HTTP on a port of this machine, and a key to it."""

    @property
    def http_port(self) -> int:
        """The port."""
        ...

    @property
    def key(self) -> str:
        """The API key."""
        ...


class HttpCaller:
    """Connections to the REST API, used again; a request is the same bytes each time. With a context, over TLS."""

    def __init__(
        self,
        subject: Addressed,
        *,
        path: str = "/api/v1/tokens/query/many",
        method: str = "POST",
        context: ssl.SSLContext | None = None,
    ) -> None:
        texts = [f"how do I open file number {number}" for number in range(QUERIES_AT_ONCE)]
        body = json.dumps({"texts": texts, "include": ["text"], "top_k": _TOP_K}).encode() if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {subject.key}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._port = subject.http_port
        self._context = context
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> Outcome:
        """Send the request on an idle connection, or on a new one.

        Raises:
            Unexpected: the connection was cut, or the answer is of another status.
        """
        # The server closes connections that nobody used for five seconds.
        while self._idle and self._idle[-1][0].at_eof():
            self._idle.pop()[1].close()
        pair = self._idle.pop() if self._idle else await self._connected()
        reader, writer = pair
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            writer.close()
            raise Unexpected(type(error).__name__) from error
        except asyncio.CancelledError:
            writer.close()
            raise
        self._idle.append(pair)
        status = int(head[9:12])
        if status not in (200, 429, 503):
            raise Unexpected(f"status {status}")
        return Outcome.OK if status == 200 else Outcome.REFUSED

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)

    async def close(self) -> None:
        """Close all connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


class GrpcCaller:
    """SearchBatch over one channel."""

    def __init__(self, subject: Subject) -> None:
        queries = np.random.default_rng(1).standard_normal((QUERIES_AT_ONCE, subject.dimension), np.float32)
        request = own.SearchBatchRequest(
            collection=COLLECTION, vectors=queries.tobytes(), queries=QUERIES_AT_ONCE, top_k=_TOP_K
        )
        self._body = request.SerializeToString()
        self._metadata = (("x-api-key", subject.key),)
        self._channel: Any = grpc.aio.insecure_channel(subject.grpc_address)
        self._call: Any = self._channel.unary_unary(
            "/vectrograph.v1.VectrographService/SearchBatch", request_serializer=None, response_deserializer=None
        )

    async def ask(self) -> Outcome:
        """Search.

        Raises:
            Unexpected: the call ended neither well nor with RESOURCE_EXHAUSTED.
        """
        try:
            await self._call(self._body, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise Unexpected(f"{error.code().name}: {error.details()}") from error
            return Outcome.REFUSED
        return Outcome.OK

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
