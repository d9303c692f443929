"""WebSocket: `/ws`, the official protocol with our events in it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Never, TypeVar

import msgspec
from anyio import CancelScope, create_task_group
from msgspec import Meta, Struct
from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from vectrograph.domain import errors
from vectrograph.domain.errors import DomainError
from vectrograph.http.context import Application, Context
from vectrograph.http.credentials import offered_by
from vectrograph.http.errors import UpgradeRequired
from vectrograph.http.operation import Access, Operation, Workload
from vectrograph.http.scope import CONNECTION, TENANT, StreamingConnection, origin_of
from vectrograph.http.waking import LoopWaker
from vectrograph.http.websockets import SEND_FRAMES
from vectrograph.http.workers import Workers
from vectrograph.live.frames import (
    PING_SECONDS,
    Channels,
    EventFrame,
    Message,
    WebSocketWire,
    close_code,
    end_frame,
    error_frame,
    frame,
    read,
    refusals,
)
from vectrograph.live.message_rates import MessageRates
from vectrograph.services.call import Origin
from vectrograph.services.live.channels import MAX_CHANNELS, parse_names
from vectrograph.services.live.events import Ended, Parts
from vectrograph.services.live.live import RESUMPTION_SECONDS, Live, Resumption, Subscription
from vectrograph.services.live.streams import Stream
from vectrograph.services.points.filter_text import filter_of

T = TypeVar("T")
PATH: Final = "/ws"
PROTOCOL: Final = "vectrograph"
"""Subprotocol that is agreed on where a client offers it."""
MAX_FILTER_CHARACTERS: Final = 16 * 1024
"""Characters of all filters of one connection. As JSON objects they take ten times as much memory."""
# Begins a subprotocol that is a credential: browsers can send no header, but name subprotocols.
_BEARER: Final = "bearer."
# Seconds that a connection which is ended waits for its reader to take what was sent, before it is cut.
_END_SECONDS: Final = 1.0
# Characters of a type that nobody knows, as an error repeats it.
_SHOWN: Final = 100

_WIRE: Final = WebSocketWire()
_message: Final = msgspec.json.Decoder(Message)
_channels: Final = msgspec.json.Decoder(Channels)


class WebSocketQuery(Struct, frozen=True, kw_only=True):
    """Credentials in the query string, for clients that can send no header."""

    ticket: Annotated[str, Meta(description="From `POST /api/v1/events/ticket`; works once.")] | None = None
    token: Annotated[str, Meta(description="An access token or an API key. A ticket is safer.")] | None = None
    reconnection_token: (
        Annotated[
            str,
            Meta(
                description="From `get_reconnection_token`: restores account and channels, works once within "
                f"{RESUMPTION_SECONDS} seconds."
            ),
        ]
        | None
    ) = None
    since: (
        Annotated[str, Meta(description="With a reconnection token: the id of the last event that was received.")]
        | None
    ) = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A handshake, as far as it says who comes and with what.

    Attributes:
        credential: as it was sent; None for none.
        resumption: the stream to go on with.
        since: the last event of it that was received.
        origin: of the request.
    """

    credential: str | None
    resumption: Resumption | None
    since: str | None
    origin: Origin

    @classmethod
    def of(cls, scope: Scope, live: Live) -> "Opening":
        """Read a handshake.

        Raises:
            InvalidToken: there is a ticket, and it is not valid.
        """
        query = QueryParams(scope["query_string"])
        token = query.get("reconnection_token")
        credential = offered_by(Headers(scope=scope)) or _bearer(scope["subprotocols"])
        if credential is None and "ticket" in query:
            credential = live.redeem(query["ticket"])
        credential = credential or query.get("token") or None
        resumption = None if token is None else live.resumptions.redeem(token)
        if token is not None and resumption is None and credential is None:
            raise errors.InvalidToken(
                f"The reconnection token is not valid: it was used, or is older than {RESUMPTION_SECONDS} seconds; "
                "connect with credentials."
            )
        return cls(credential, resumption, query.get("since"), origin_of(scope))


class WebSocketEndpoint:
    """Answers everything that opens a WebSocket at `/ws`."""

    def __init__(self, application: Application, workers: Workers) -> None:
        self._application = application
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            DomainError: it is refused.
        """
        await receive()
        services, address = self._application.services, origin_of(scope).address
        # Before anything is spent on it: whoever asks again and again has the most connections.
        services.live.refuse_full(address)
        await self._workers.charge_address(services.rate_limits, address)
        opening = Opening.of(scope, services.live)
        open_stream = partial(self._open, opening)
        stream, resumption = await self._workers.run(Workload.THREADED, None, open_stream)
        try:
            scope[TENANT] = stream.tenant
            accepted = PROTOCOL if PROTOCOL in scope["subprotocols"] else None
            await send({"type": "websocket.accept", "subprotocol": accepted, "headers": []})
            session = Session(services.live, stream, self._application.waker, scope[CONNECTION], send)
            await session.run(receive, resumption, opening.since)
        except ConnectionResetError:
            # The reader has left; nobody is there to be told anything.
            return
        finally:
            stream.close()

    def _open(self, opening: Opening) -> tuple[Stream[bytes], Resumption | None]:
        """Return a stream without channels, and what it goes on with. Runs in a worker thread.

        Raises:
            Unauthenticated, RateLimited, Unavailable.
        """
        services, resumption = self._application.services, opening.resumption
        credential = opening.credential
        if resumption is not None:
            try:
                services.live.authenticate(resumption.credential)
                credential = resumption.credential
            except errors.Unauthenticated:
                # A token of then may have expired since; the client may have sent a new one.
                if credential is None:
                    raise
        principal = services.live.authenticate(credential)
        if principal is not None:
            services.rate_limits.charge_caller(principal)
        if resumption is not None and resumption.user_id != ("" if principal is None else principal.user_id):
            resumption = None
        return services.live.open(credential, (), _WIRE, self._application.waker, origin=opening.origin), resumption


class Session:
    """One connection, from `connected` to its end.

    Args:
        live: knows the channels.
        stream: has what is to be sent.
        waker: says when that is.
        connection: can be cut.
        send: of ASGI.
    """

    def __init__(
        self, live: Live, stream: Stream[bytes], waker: LoopWaker, connection: StreamingConnection, send: Send
    ) -> None:
        self._live = live
        self._stream = stream
        self._waker = waker
        self._connection = connection
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        # Held while something is sent, and from a request on until its answer: no event comes in between.
        self._sending = asyncio.Lock()
        self._rates = MessageRates(self._loop.time)
        self._subscriptions: dict[str, Subscription] = {}
        self._token: str | None = None
        self._is_ping_due = False
        self._pinging: asyncio.TimerHandle | None = None
        self._cutting: asyncio.TimerHandle | None = None
        # What a thread is to find out for a message.
        self._wanted: asyncio.Future[Any] | None = None
        self._answers: Mapping[str, Callable[[str], Any]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._pong,
            "get_subscriptions": self._list,
            "get_reconnection_token": self._give_token,
        }

    async def run(self, receive: Receive, resumption: Resumption | None, since: str | None) -> None:
        """Answer messages and send events until either side ends the connection.

        Raises:
            ConnectionResetError: the reader has left.
        """
        self._waker.register(self._stream, self._ring)
        self._ping_later()
        try:
            await self._greet(resumption, since)
            async with create_task_group() as group:
                group.start_soon(self._pump, group.cancel_scope)
                with suppress(ConnectionResetError):
                    while (message := await receive())["type"] == "websocket.receive":
                        await self._answer(message.get("text"))
                group.cancel_scope.cancel()
        finally:
            self._waker.forget(self._stream)
            for timer in (self._pinging, self._cutting):
                if timer is not None:
                    timer.cancel()

    # -------------------------------------------------- to the reader

    def _ring(self) -> None:
        self._bell.set()
        ended = self._stream.ended
        if ended is None:
            return
        if self._wanted is not None and not self._wanted.done():
            # No thread may be left to find it out.
            self._wanted.set_exception(errors.Unavailable(ended.message))
        if self._cutting is None:
            # The reader may take nothing, and its connection be full.
            self._cutting = self._loop.call_later(_END_SECONDS, self._connection.abort)

    def _ping_later(self) -> None:
        self._pinging = self._loop.call_later(PING_SECONDS, self._let_ping)

    def _let_ping(self) -> None:
        self._is_ping_due = True
        self._ping_later()
        self._bell.set()

    async def _pump(self, running: CancelScope) -> None:
        """Send what there is, as fast as the reader takes it."""
        try:
            while True:
                self._bell.clear()
                async with self._sending:
                    if self._is_ping_due:
                        self._is_ping_due = False
                        await self._write(frame("ping"))
                    taken = self._stream.take()
                    if isinstance(taken, Ended):
                        await self._write(end_frame(taken))
                        await self._send({"type": "websocket.close", "code": close_code(taken), "reason": taken.code})
                        break
                    if taken:
                        await self._write(taken)
                if taken is None:
                    await self._bell.wait()
        except ConnectionResetError:
            # The other task is told as well.
            return
        running.cancel()

    async def _write(self, frames: bytes) -> None:
        await self._send({"type": SEND_FRAMES, "data": frames})

    async def _greet(self, resumption: Resumption | None, since: str | None) -> None:
        principal = self._stream.principal
        fields: dict[str, Any] = {}
        if resumption is not None:
            refused = await self._in_thread(partial(self._restore, resumption, since))
            fields = {"channels": list(self._subscriptions), **refusals(refused)}
        await self._write(
            frame(
                "connected",
                client_id=self._stream.client_id,
                user_id=None if principal is None else principal.user_id,
                reconnected=resumption is not None,
                **fields,
            )
        )

    # -------------------------------------------------- from the reader

    async def _answer(self, text: str | None) -> None:
        """Answer one message; the connection stays whatever it is."""
        try:
            kind = _kind_of(text)
            wait = self._rates.charge(kind if kind in self._answers else "")
            if wait is not None:
                await self._refuse_rate(kind, wait)
                return
            if text is None:
                raise errors.InvalidArgument.of("message", "is a binary frame; send JSON in a text frame", "type_error")
            if kind not in self._answers:
                _complain_of(kind, text, self._answers)
            async with self._sending:
                await self._write(await self._answers[kind](text))
        except DomainError as error:
            async with self._sending:
                await self._write(error_frame(error))

    async def _refuse_rate(self, kind: str, wait: float) -> None:
        """Refuse a message, and read the next one later when there are very many."""
        which = f"of type {errors.clipped(kind, _SHOWN)!r}" if kind in self._answers else "that cannot be answered"
        message = f"Too many messages {which}; wait {wait:.1f} s."
        async with self._sending:
            await self._write(error_frame(errors.RateLimited(message, retry_after=round(wait, 3))))
        if (pause := self._rates.pause) > 0:
            await asyncio.sleep(pause)

    async def _subscribe(self, text: str) -> bytes:
        asked = read(text, _channels)
        refused = await self._in_thread(partial(self._add, asked.channels, asked.filter_text, asked.parts, asked.since))
        accepted = [channel for channel in dict.fromkeys(asked.channels) if channel not in refused]
        return frame("subscribed", channels=accepted, **refusals(refused))

    async def _unsubscribe(self, text: str) -> bytes:
        channels = read(text, _channels).channels
        await self._in_thread(partial(self._stream.unsubscribe, channels))
        for channel in channels:
            self._subscriptions.pop(channel, None)
        return frame("unsubscribed", channels=channels)

    async def _pong(self, _: str) -> bytes:
        return frame("pong")

    async def _list(self, _: str) -> bytes:
        return frame("subscriptions", channels=list(self._stream.channels))

    async def _give_token(self, _: str) -> bytes:
        """Return a token for what was sent until now; the one before stands for nothing any more."""
        subscriptions = []
        for each in dict.fromkeys(self._subscriptions.values()):
            left = tuple(channel for channel in each.channels if self._subscriptions.get(channel) is each)
            subscriptions.append(each._replace(channels=left))
        caller = self._stream.caller
        user_id = "" if caller.principal is None else caller.principal.user_id
        resumption = Resumption(caller.credential, user_id, tuple(subscriptions), self._stream.position)
        if self._token is not None:
            self._live.resumptions.redeem(self._token)
        self._token = self._live.resumptions.issue(user_id, resumption)
        return frame("reconnection_token", token=self._token, expires_in=RESUMPTION_SECONDS)

    # -------------------------------------------------- in a thread for streams

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """Return what a function returns that waits for engine or accounts.

        Raises:
            DomainError: of the function.
            Unavailable: the server stops.
        """
        done: asyncio.Future[T] = self._loop.create_future()
        self._wanted = done

        def run() -> None:
            try:
                outcome = partial(_settle, done, function())
            except Exception as error:  # noqa: BLE001  (raised again where it is waited for)
                outcome = partial(_fail, done, error)
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(outcome)

        if not self._live.run(run):
            raise errors.Unavailable("The server is stopping; connect again.")
        return await done

    def _add(self, names: Iterable[str], filter_text: str, parts: Parts, since: str | None) -> dict[str, DomainError]:
        """Subscribe to channels. Return those that were refused, with the reason.

        Raises:
            InvalidArgument, TooLarge, RateLimited: of the message as a whole.
        """
        names = list(dict.fromkeys(names))
        if len(names) > MAX_CHANNELS:
            parse_names(names)
        others = {each for name, each in self._subscriptions.items() if name not in names}
        if sum(len(each.filter) for each in others) + len(filter_text) > MAX_FILTER_CHARACTERS:
            raise errors.TooLarge.of(
                "filter", "with those of the other channels of the connection", MAX_FILTER_CHARACTERS, "characters"
            )
        refused: dict[str, DomainError] = {}
        for name in names:
            try:
                parse_names([name])
                self._stream.require(name)
            except DomainError as error:
                refused[name] = error
        allowed = [name for name in names if name not in refused]
        if not allowed:
            return refused
        selection = self._live.selection(self._stream, allowed, filter_of(filter_text, "filter"))
        subscribe = partial(self._stream.subscribe, selection=selection, parts=parts, since=since)
        try:
            subscribe(allowed)
        except DomainError as error:
            # It may be about one of them.
            refused |= {allowed[0]: error} if len(allowed) == 1 else _failed(subscribe, allowed)
        accepted = Subscription(tuple(name for name in allowed if name not in refused), filter_text, parts)
        self._subscriptions.update(dict.fromkeys(accepted.channels, accepted))
        return refused

    def _restore(self, resumption: Resumption, since: str | None) -> dict[str, DomainError]:
        refused: dict[str, DomainError] = {}
        for channels, filter_text, parts in resumption.subscriptions:
            position = since or resumption.position or None
            try:
                refused |= self._add(channels, filter_text, parts, position)
            except DomainError as error:
                refused |= dict.fromkeys(channels, error)
        return refused


def _failed(subscribe: Callable[[Sequence[str]], None], channels: Sequence[str]) -> dict[str, DomainError]:
    """Subscribe to each channel by itself. Return those that failed."""
    failed: dict[str, DomainError] = {}
    for channel in channels:
        try:
            subscribe([channel])
        except DomainError as error:
            failed[channel] = error
    return failed


def _settle(done: "asyncio.Future[T]", value: T) -> None:
    if not done.done():
        done.set_result(value)


def _fail(done: "asyncio.Future[T]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _bearer(subprotocols: Iterable[str]) -> str | None:
    return next((name.removeprefix(_BEARER) for name in subprotocols if name.startswith(_BEARER)), None)


def _kind_of(text: str | None) -> str:
    """Return the type of a message; "" where it has none."""
    if text is None:
        return ""
    try:
        return read(text, _message).type
    except DomainError:
        return ""


def _complain_of(kind: str, text: str, known: Iterable[str]) -> Never:
    """Say what is wrong with a message of no known type.

    Raises:
        InvalidArgument, TooLarge: that.
    """
    read(text, _message)
    raise errors.InvalidArgument.of(
        "type", f"is {errors.clipped(kind, _SHOWN)!r}; send one of {', '.join(known)}", "enum"
    )


def upgrade(_: Context, __: WebSocketQuery) -> Never:
    """Answer GET /ws that asks for no WebSocket."""
    raise UpgradeRequired(
        "There are WebSockets only; send the headers Connection: Upgrade and Upgrade: websocket, as WebSocket clients "
        "do.",
        headers={"Upgrade": "websocket"},
    )


WEBSOCKET: Final = Operation(
    method="GET",
    path=PATH,
    handler=upgrade,
    summary="Open a WebSocket for events",
    description="Messages are JSON in text frames: `subscribe`, `unsubscribe`, `ping`, `get_subscriptions`, "
    "`get_reconnection_token`. Credentials are those of REST, a subprotocol `bearer.…` beside `vectrograph`, or one of "
    "the parameters. See the page *events*.",
    tag="events",
    access=Access.AUTHENTICATED,
    query=WebSocketQuery,
    events=(EventFrame,),
    status=101,
    opens=True,
)
"""The route of WebSockets, as plain requests and documents see it."""
