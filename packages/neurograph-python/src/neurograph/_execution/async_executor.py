"""Runs calls: performs what their flows ask for."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from neurograph._arguments import UNSET, Timeout
from neurograph._concurrency import AsyncLock, OpenStreams, async_check_middleware, async_sleep
from neurograph._execution.exchange import Exchange
from neurograph._execution.observing import Observation
from neurograph._execution.session import Authenticate, Session, authorized
from neurograph._forks_and_copies import Uncopied, forget_after_fork, twin
from neurograph._options import Options, checked_timeout
from neurograph._protocol import decoding, operations
from neurograph._protocol.call import Call
from neurograph._protocol.vector_bodies import Dialect, negotiated
from neurograph._wirekit.breaker import CircuitBreaker
from neurograph._wirekit.budget import RetryBudget
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.flow import Send, run_async
from neurograph._wirekit.retry import RetryPolicy
from neurograph.exceptions import AuthenticationError, InvalidResponseError, NotFoundError, TimeoutError
from neurograph.metrics import Metrics
from neurograph.middleware import AsyncHandler
from neurograph.models import ServerLimits
from neurograph.wire import Request, Response

if TYPE_CHECKING:
    from neurograph._execution.event_flow import EventFlow
    from neurograph._protocol.events import Place, Wire
    from neurograph._transport.grip import AsyncGrip

T = TypeVar("T")


class AsyncExecutor(Uncopied):
    """Shared state of a client and its resources: connections, credentials, and the one way to run a call."""

    def __init__(self, options: Options) -> None:
        # Imported here because httpx2 takes longer to import than all the rest.
        from neurograph._transport.http import AsyncTransport

        async_check_middleware(options.middleware)
        self._transport = AsyncTransport(options)
        self.session = Session(options.credentials)
        self._breaker = CircuitBreaker(threshold=options.circuit_threshold, recovery=options.circuit_recovery)
        self._budget = RetryBudget()
        self.metrics = Metrics(self._breaker)
        self._lock = AsyncLock()
        self._limits: ServerLimits | None = None
        self.dialect = Dialect()
        self.streams: OpenStreams[Any] = OpenStreams()
        forget_after_fork(self._breaker)
        forget_after_fork(self._budget)
        self.base_url = options.base_url
        self.most_bytes = options.max_response_bytes
        self._adopt(options)

    def derived(self, options: Options) -> "AsyncExecutor":
        """Return another one with other time-outs, repeats and hooks, but the same connections, login, circuit
        and counts.
        """
        async_check_middleware(options.middleware)
        other = twin(self)
        other._adopt(options)
        return other

    def _adopt(self, options: Options) -> None:
        self._timeout = options.timeout
        self._middleware = options.middleware
        self._observation = Observation(self.metrics, options.on_retry)
        self._policy = RetryPolicy(max_retries=options.max_retries)
        self._exchange = Exchange(self._policy, self._breaker, self._budget, self._observation)

    async def run(self, call: Call[T], timeout: Timeout = UNSET) -> T:
        """Run one call, with the login and the repeats it needs, within this time, else the client's.

        Raises:
            ValidationError: the time is not positive.
            NeuroGraphError: the call failed.
        """
        deadline = Deadline.after(checked_timeout(timeout, self._timeout))
        flow = negotiated(call, self.dialect, lambda chosen: authorized(chosen, self.session, self._exchange, deadline))
        return await run_async(flow, self._perform)

    async def lines(self, call: Call[Response], timeout: Timeout = UNSET) -> AsyncGenerator[Response, None]:
        """Run a call whose answer is NDJSON or vector frames; yields a response for each line or frame as it arrives.

        The time-out bounds the time until the answer begins, and each wait for more of it.

        Raises:
            NeuroGraphError: the call failed, or its answer broke off.
        """
        response = await self.run(call, timeout)
        pieces = decoding.Pieces(response, self.most_bytes)
        if response.chunks is None:  # a middleware has answered
            for piece in pieces.feed(response.body):
                yield piece
            for piece in pieces.flush():
                yield piece
            return
        seconds = checked_timeout(timeout, self._timeout)
        async with aclosing(response.chunks) as chunks:
            waiting = Deadline.after(seconds)
            async for chunk in chunks:
                for piece in pieces.feed(chunk):
                    yield piece
                    waiting = Deadline.after(seconds)
                if waiting.expired:  # bytes come, but too few to be a piece
                    raise TimeoutError(f"{self.base_url} did not send the next part of {call.request} in {seconds} s")
        for piece in pieces.flush():
            yield piece

    async def limits(self) -> ServerLimits:
        """Return the limits that the server advertises, asked for once; empty when it advertises none."""
        if self._limits is None:
            try:
                self._limits = await self.run(operations.get_limits())
            except (AuthenticationError, NotFoundError, InvalidResponseError):
                self._limits = ServerLimits()  # a server that has no such page
            self.dialect.advertised(self._limits.vector_media_type)
        return self._limits

    def seconds(self, timeout: Timeout) -> float | None:
        """Return the seconds for one call; None for ever.

        Raises:
            ValidationError: the time is not positive.
        """
        return checked_timeout(timeout, self._timeout)

    def event_flow(
        self, wire: "Callable[[str | None], Wire]", place: "Place", seconds: float | None, has_positions: bool
    ) -> "EventFlow":
        """Return the flow of a stream of events; arguments as of EventFlow."""
        # Imported here, as all of streams is where it is used: most programs have none.
        from neurograph._execution.event_flow import EventFlow

        exchange = Exchange(RetryPolicy(max_retries=0), self._breaker, None, self._observation)
        return EventFlow(
            wire,
            place,
            self.session,
            exchange,
            self._policy,
            self._budget,
            self._observation,
            seconds,
            has_positions,
        )

    async def send(self, request: Request, deadline: Deadline, grip: "AsyncGrip | None" = None) -> Response:
        """Return the answer of one attempt, with the middleware around it."""
        return await self._sent(request, partial(self._transport.send, deadline=deadline, grip=grip))

    async def connect(self, request: Request, deadline: Deadline, grip: "AsyncGrip | None") -> Response:
        """Return the beginning of an answer that comes over a connection of its own; else as `send`."""
        return await self._sent(request, partial(self._transport.connect, deadline=deadline, grip=grip))

    async def authenticate(
        self, effect: Authenticate, perform: Callable[[Any], Awaitable[Any]], grip: "AsyncGrip | None" = None
    ) -> str:
        """Return a credential; one login at a time."""
        async with self._lock.hold(effect.deadline, grip):
            return await run_async(self.session.renew(effect, self._exchange), perform)

    async def close_streams(self) -> None:
        """End all streams of events."""
        for stream in self.streams.all():
            await stream.close()

    async def close(self) -> None:
        """Close the connections, those of streams too; a second call does nothing."""
        await self.close_streams()
        await self._transport.close()

    async def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Send):
            return await self.send(effect.request, effect.deadline)
        if isinstance(effect, Authenticate):
            return await self.authenticate(effect, self._perform)
        return await async_sleep(effect.seconds)

    async def _sent(self, request: Request, innermost: AsyncHandler) -> Response:
        begun = self._observation.begin()
        try:
            response = await self._handled(request, innermost)
        except BaseException as error:
            self._observation.broken(request, error, begun)
            raise
        self._observation.answered(request, response, begun)
        self.dialect.heard(response)
        return response

    async def _handled(self, request: Request, innermost: AsyncHandler) -> Response:
        handler = innermost
        for middleware in reversed(self._middleware):
            handler = partial(middleware, call_next=handler)
        return await handler(request)
