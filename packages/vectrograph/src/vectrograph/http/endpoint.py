"""From an operation to an ASGI application: who calls, what they send, the handler, the answer.

A request costs one hop to a worker thread, and that thread does all that takes time: authentication, parsing, the use
case and writing JSON, so that a large body never holds up the event loop.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import anyio
import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from vectrograph.domain.cancellation import GONE, cancel_when
from vectrograph.domain.errors import DomainError
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.http.context import NDJSON, Application, Context, Lines, Page, Streamed
from vectrograph.http.credentials import (
    IDEMPOTENCY_HEADER,
    credential_of,
    deadline_of,
    offered_by,
    refuse_late,
)
from vectrograph.http.decoding import decode, decode_query
from vectrograph.http.errors import (
    ClientDisconnected,
    MethodNotAllowed,
    UnsupportedMediaType,
    body_too_large,
)
from vectrograph.http.operation import Answer, Operation, Workload
from vectrograph.http.scope import CONNECTION, STREAMING, TENANT, StreamingConnection, origin_of
from vectrograph.http.vector_frames import (
    VECTORS,
    Rows,
    as_lists,
    framed_text,
    is_frame,
    read_frame,
    write_frame,
    write_lines,
)
from vectrograph.http.workers import Workers
from vectrograph.services.call import Call, Origin
from vectrograph.services.limits.rate_limits import Allowance
from vectrograph.services.request_metadata import bound_key, require_idempotency_key

# Largest body that is read before its caller is known: an email and a password, with much to spare.
_SMALL_BODY_BYTES: Final = 65_536
_JSON: Final = b"application/json"
_encoder = msgspec.json.Encoder(enc_hook=as_lists)


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer as it goes out. Where `pages` is given, they follow the body, a line for each struct, or as frames;
    `stream` counts them among those of the caller until they are over. Where `streamed` is given, it sends the body.
    """

    status: int
    body: bytes = field(repr=False)
    headers: list[tuple[bytes, bytes]]
    pages: Iterator[Iterable[msgspec.Struct]] | None = None
    framed: bool = False
    stream: tuple[str, str] | None = None
    streamed: Streamed | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Parts of a request that its handler's thread needs."""

    origin: Origin
    credential: str | None = field(repr=False)
    deadline: float | None
    path: Mapping[str, str]
    query: bytes
    body: bytes = field(repr=False)
    framed: bool = False
    accept: str = ""
    last_event_id: str = ""
    idempotency_key: str | None = None
    offered: str | None = field(default=None, repr=False)
    scope: Scope = field(default_factory=dict, repr=False)


class Endpoint:
    """Serves one operation."""

    def __init__(self, operation: Operation, application: Application, workers: Workers) -> None:
        self._operation = operation
        self._application = application
        self._workers = workers
        self._pool = operation.pool
        self._limited = operation.workload is not Workload.PROBING and operation.path != "/livez"
        self._decoder = None if operation.body is None else msgspec.json.Decoder(operation.body)
        self._frame_decoder = None if operation.frame is None else msgspec.json.Decoder(operation.frame)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            DomainError, RequestRefused: to be answered with an error.
            ClientDisconnected: there is nobody left to answer.
        """
        self._workers.refuse_when_full(self._pool)
        if (gone := scope.get(GONE)) is not None:
            cancel_when(gone)
        headers = Headers(scope=scope)
        framed = self._is_framed(headers, scope["method"])
        deadline = deadline_of(headers, time.monotonic())
        origin = origin_of(scope)
        if self._limited:
            await self._workers.charge_address(self._application.services.rate_limits, origin.address)
        credential = None if self._operation.public else self._credential(headers, scope)
        body = await self._receive_body(headers, credential, deadline, scope, receive)
        request = Request(
            origin=origin,
            credential=credential,
            deadline=deadline,
            path=scope["path_params"],
            query=scope["query_string"],
            offered=offered_by(headers) if self._operation.public else None,
            body=body,
            framed=framed,
            accept=headers.get("accept", ""),
            last_event_id=headers.get("last-event-id", ""),
            idempotency_key=headers.get(IDEMPOTENCY_HEADER) if self._operation.idempotent_by_key else None,
            scope=scope,
        )
        rendered = await self._workers.run(self._pool, deadline, partial(self._work, request))
        try:
            if rendered.streamed is not None and scope["method"] != "HEAD":
                await _stream(rendered, rendered.streamed, scope, receive, send)
                return
            await send({"type": "http.response.start", "status": rendered.status, "headers": rendered.headers})
            if rendered.pages is None or scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": rendered.body})
            else:
                await self._send_lines(rendered, rendered.pages, request, receive, send)
        finally:
            if rendered.stream is not None:
                self._application.services.concurrency.leave(rendered.stream)
            if rendered.streamed is not None:
                rendered.streamed.close()

    def _credential(self, headers: Headers, scope: Scope) -> str:
        """Return the credential of a request; one in a header comes before a ticket."""
        ticket = QueryParams(scope["query_string"]).get("ticket") if self._operation.takes_ticket else None
        if ticket is not None and offered_by(headers) is None:
            return self._application.services.live.redeem(ticket)
        return credential_of(headers)

    def _is_framed(self, headers: Headers, method: str) -> bool:
        """Return whether the body is a vector frame; one where none is expected is refused before it is read."""
        if method in ("GET", "HEAD") or not is_frame(headers.get("content-type", "")):
            return False
        if self._frame_decoder is None:
            raise UnsupportedMediaType(
                "The body of this request has no vectors; send it as JSON with Content-Type: application/json.",
                details={"expected": "application/json"},
            )
        return True

    async def _send_lines(
        self,
        rendered: Rendered,
        pages: Iterator[Iterable[msgspec.Struct]],
        request: Request,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send page after page, and stop when the client has gone.

        The status is out by then, so an error becomes the last line, in the shape that errors have everywhere.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
            lines: bytes | None = b""
            while lines is not None:
                # Its first page is out, so it is not refused any more.
                lines = await self._workers.run(
                    self._pool, None, partial(self._next_lines, pages, rendered.framed, request), continues=True
                )
                await send({"type": "http.response.body", "body": lines or b"", "more_body": lines is not None})
            group.cancel_scope.cancel()

    def _next_lines(self, pages: Iterator[Iterable[msgspec.Struct]], framed: bool, request: Request) -> bytes | None:
        """Return the lines or the frame of the next page, of the error in its place, or None at the end."""
        write: Callable[[Iterable[msgspec.Struct]], bytes] = write_lines if framed else _encoder.encode_lines
        try:
            page = next(pages, None)
            return None if page is None else write(page)
        except DomainError as error:
            body = self._application.write_error(error, request.origin.request_id).body
            return framed_text(body) if framed else body + b"\n"

    async def _receive_body(
        self, headers: Headers, credential: str | None, deadline: float | None, scope: Scope, receive: Receive
    ) -> bytes:
        """Return the body, where the operation has one. Only callers with valid credentials may send a large one."""
        if self._operation.body is None:
            return b""
        if credential is None:
            return await _read(receive, _SMALL_BODY_BYTES)
        if int(headers.get("content-length", _SMALL_BODY_BYTES + 1)) > _SMALL_BODY_BYTES:
            authenticate = partial(self._application.services.sessions.authenticate, credential)
            caller = await self._workers.run(Workload.THREADED, deadline, authenticate)
            scope[TENANT] = caller.tenant
        return await _read(receive)

    def _work(self, request: Request) -> Rendered:
        refuse_late(request.deadline)
        caller = self._caller(request)
        allowance = None if caller is None else self._application.services.rate_limits.charge_caller(caller.principal)
        idempotency = None
        if request.idempotency_key is not None and caller is not None:
            name = f"{self._operation.method} {self._operation.path}"
            # Which token or point is meant stands in the path.
            what = "\0".join(request.path.values()).encode() + b"\0" + request.body
            key = require_idempotency_key(request.idempotency_key, IDEMPOTENCY_HEADER)
            idempotency = bound_key(key, caller.principal.user_id, name, what)
        rows = Rows()
        if request.framed:
            document, rows = read_frame(request.body)
            request = replace(request, body=document)
        context = Context(
            self._application,
            caller,
            request.path,
            accept=request.accept,
            idempotency=idempotency,
            credential=request.credential,
            offered=request.offered,
            last_event_id=request.last_event_id,
            origin=request.origin,
            rows=rows,
        )
        rendered = self._answered(context, request)
        if allowance is not None:
            rendered.headers.extend(_allowance_headers(allowance))
        return rendered

    def _answered(self, context: Context, request: Request) -> Rendered:
        """Run the handler, counted among the requests that its caller has under way, and render its answer."""
        concurrency = self._application.services.concurrency
        with ExitStack() as counted:
            if context.caller is not None:
                counted.enter_context(concurrency.request(context.caller.principal))
            answer = self._operation.handler(context, self._given(request))
            framed = self._operation.vectors and VECTORS in request.accept.lower()
            rendered = _rendered(self._operation.status, answer, framed)
        if self._operation.vectors:
            rendered.headers.append((b"vary", b"accept"))
        if rendered.pages is None or context.caller is None:
            return rendered
        return replace(rendered, stream=concurrency.enter_stream(context.caller.principal))

    def _caller(self, request: Request) -> Call | None:
        if request.credential is None:
            return None
        principal = self._application.services.sessions.authenticate(request.credential)
        request.scope[TENANT] = principal.tenant
        call = Call(principal, request.origin.request_id, request.deadline, origin=request.origin)
        if self._operation.scope is not None:
            call.require(self._operation.scope)
        if self._operation.reach is not None:
            call.require_collection(request.path[self._operation.path_parameters[0]], self._operation.reach)
        return call

    def _given(self, request: Request) -> Any:
        """Return the second argument of the handler."""
        operation = self._operation
        if request.framed and self._frame_decoder is not None:
            return decode(self._frame_decoder, request.body, self._budget())
        if self._decoder is not None:
            if not operation.body_required and not request.body.strip():
                return self._decoder.decode(b"{}")
            return decode(self._decoder, request.body, self._budget())
        if operation.query is not None:
            return decode_query(operation.query, dict(QueryParams(request.query)))
        return None

    def _budget(self) -> JsonBudget:
        return JsonBudget.of(self._application.services.limits)


class PathEndpoint:
    """Serves all methods of one path."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = dict(endpoints)
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]
        self._allowed = sorted(self._endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over to the endpoint of the method.

        Raises:
            MethodNotAllowed: the path has no such method.
        """
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            raise MethodNotAllowed(
                f"This path has no method {scope['method']}; use {' or '.join(self._allowed)}.",
                details={"allowed": self._allowed},
                headers={"Allow": ", ".join(self._allowed)},
            )
        await endpoint(scope, receive, send)


async def _stream(rendered: Rendered, streamed: Streamed, scope: Scope, receive: Receive, send: Send) -> None:
    """Let an answer go on for as long as its reader wants."""
    scope[STREAMING] = True
    connection: StreamingConnection | None = scope.get(CONNECTION)
    if connection is not None:
        connection.begin_stream()
    await send({"type": "http.response.start", "status": rendered.status, "headers": rendered.headers})
    await streamed.run(scope, receive, send)


async def _read(receive: Receive, limit: int | None = None) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part: bytes = message.get("body", b"")
        if limit is not None and len(whole) + len(part) > limit:
            raise body_too_large(limit)
        if not message.get("more_body", False):
            if not whole:
                return part
            whole += part
            return bytes(whole)
        whole += part


async def _cancel_when_gone(receive: Receive, running: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    running.cancel()


def _allowance_headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-ratelimit-limit", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(allowance.reset)),
    ]


def _rendered(status: int, answer: Answer, framed: bool) -> Rendered:
    if answer is None:
        return Rendered(status, b"", [])
    if isinstance(answer, Lines):
        media_type = VECTORS if framed else NDJSON
        return Rendered(status, b"", [(b"content-type", media_type.encode())], answer.pages, framed)
    if isinstance(answer, Page):
        own = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        return Rendered(status, answer.body, [*_content(answer.media_type.encode(), answer.body), *own])
    if not isinstance(answer, msgspec.Struct):
        head = [(b"content-type", answer.media_type.encode())]
        own = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        return Rendered(status, b"", [*head, *own], streamed=answer)
    body = write_frame(answer) if framed else _encoder.encode(answer)
    return Rendered(status, body, _content(VECTORS.encode() if framed else _JSON, body))


def _content(media_type: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
