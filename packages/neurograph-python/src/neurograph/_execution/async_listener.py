"""The work behind a stream of events: performs what its flow asks for, over a connection of its own."""

from typing import Any

from neurograph._execution.async_executor import AsyncExecutor
from neurograph._execution.event_flow import Deliver, HangUp, Opened, Read, Write
from neurograph._execution.pulling import AsyncPuller
from neurograph._execution.session import Authenticate
from neurograph._forks_and_copies import Uncopied, forget_after_fork, inherit
from neurograph._protocol.events import Place, Subscription
from neurograph._protocol.wires import wire_of
from neurograph._transport.lines import AsyncLine, async_line_of
from neurograph._wirekit.flow import Flow, Send
from neurograph.exceptions import ClientClosedError, NeuroGraphError
from neurograph.models import Event
from neurograph.wire import Request, Response

# Smallest HTTP status whose answer is read at once, as an error.
_LEAST_FAILURE = 300


class AsyncListener(Uncopied):
    """One stream, without the face that users see: nothing here knows of that, so that it can be abandoned.

    Args:
        executor: of the client.
        subscription: what to listen to.
        transport: sse, websocket, or None to choose.
        seconds: for one opening; None waits for ever.
    """

    def __init__(
        self, executor: AsyncExecutor, subscription: Subscription, transport: str | None, seconds: float | None
    ) -> None:
        self._executor = executor
        self._place = Place(subscription.since)
        self._line: AsyncLine | None = None
        make_wire = wire_of(transport, subscription, executor.most_bytes)
        self._events = executor.event_flow(make_wire, self._place, seconds, subscription.has_positions)
        self._puller = AsyncPuller(self._flow, self._perform, self._hang_up)
        forget_after_fork(self)

    @property
    def position(self) -> str | None:
        """The position after everything that was handed out."""
        return self._place.position

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        return self._puller.is_over

    async def open(self) -> None:
        """Open the stream.

        Raises:
            NeuroGraphError: it cannot be opened.
            ClientClosedError: it was closed meanwhile.
        """
        self._executor.streams.add(self)
        try:
            opened = await self._puller.take(Opened)
        except BaseException:
            await self.close()
            raise
        if opened is None:
            raise _closed()

    async def next(self) -> Event | None:
        """Return the next event; None when the stream is over.

        Raises:
            NeuroGraphError: it has ended with an error.
        """
        delivery = await self._puller.take(Deliver)
        if delivery is None:
            self._executor.streams.discard(self)
            return None
        event = delivery.event
        if event.id is not None:
            self._place.position = event.id
        return event

    async def close(self) -> None:
        """End the stream."""
        self._executor.streams.discard(self)
        await self._puller.close()

    def abandon(self) -> None:
        """End the stream because nobody can ask for its events any more."""
        self._executor.streams.discard(self)
        self._puller.abandon()

    def after_fork(self) -> None:
        """Leave the connection to the parent process; here the stream goes on over another one."""
        inherit(self._line)
        self._line = None
        self._puller.after_fork()

    def _flow(self, resumed: bool) -> Flow[None]:
        return self._events.run(resumed=resumed)

    async def _perform(self, effect: Any) -> Any:
        if isinstance(effect, HangUp):
            return await self._hang_up()
        if self._puller.is_over:
            raise _closed()
        try:
            answer = await self._performed(effect)
        except NeuroGraphError as error:
            if self._puller.is_over:  # nothing to be repeated
                raise _closed() from error
            raise
        if self._puller.is_over:
            raise _closed()
        return answer

    async def _performed(self, effect: Any) -> Any:
        if isinstance(effect, Read):
            return b"" if self._line is None else await self._line.read(effect.seconds)
        if isinstance(effect, Write):
            return None if self._line is None else await self._line.write(effect.data)
        if isinstance(effect, Send):
            return await self._connected(effect)
        if isinstance(effect, Authenticate):
            return await self._executor.authenticate(effect, self._log_in, self._puller.grip)
        return await self._puller.sleep(effect.seconds)

    async def _connected(self, effect: Send[Request]) -> Response:
        response = await self._executor.connect(effect.request, effect.deadline, self._puller.grip)
        if response.status < _LEAST_FAILURE:
            self._line = async_line_of(response)
            self._puller.watch(self._line)
        return response

    async def _log_in(self, effect: Any) -> Any:
        if isinstance(effect, Send):
            return await self._executor.send(effect.request, effect.deadline, self._puller.grip)
        return await self._puller.sleep(effect.seconds)

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()


def _closed() -> ClientClosedError:
    return ClientClosedError("This stream of events is closed; subscribe again", request_sent=False)
