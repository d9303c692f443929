# Generated from async_listener.py by tools/unasync.py; do not edit.
"""The work behind a stream of events: performs what its flow asks for, over a connection of its own."""

from typing import Any

from neurograph._execution.event_flow import Deliver, HangUp, Opened, Read, Write
from neurograph._execution.executor import Executor
from neurograph._execution.pulling import Puller
from neurograph._execution.session import Authenticate
from neurograph._forks_and_copies import Uncopied, forget_after_fork, inherit
from neurograph._protocol.events import Place, Subscription
from neurograph._protocol.wires import wire_of
from neurograph._transport.lines import Line, line_of
from neurograph._wirekit.flow import Flow, Send
from neurograph.exceptions import ClientClosedError, NeuroGraphError
from neurograph.models import Event
from neurograph.wire import Request, Response

# Smallest HTTP status whose answer is read at once, as an error.
_LEAST_FAILURE = 300


class Listener(Uncopied):
    """One stream, without the face that users see: nothing here knows of that, so that it can be abandoned.

    Args:
        executor: of the client.
        subscription: what to listen to.
        transport: sse, websocket, or None to choose.
        seconds: for one opening; None waits for ever.
    """

    def __init__(
        self, executor: Executor, subscription: Subscription, transport: str | None, seconds: float | None
    ) -> None:
        self._executor = executor
        self._place = Place(subscription.since)
        self._line: Line | None = None
        make_wire = wire_of(transport, subscription, executor.most_bytes)
        self._events = executor.event_flow(make_wire, self._place, seconds, subscription.has_positions)
        self._puller = Puller(self._flow, self._perform, self._hang_up)
        forget_after_fork(self)

    @property
    def position(self) -> str | None:
        """The position after everything that was handed out."""
        return self._place.position

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        return self._puller.is_over

    def open(self) -> None:
        """Open the stream.

        Raises:
            NeuroGraphError: it cannot be opened.
            ClientClosedError: it was closed meanwhile.
        """
        self._executor.streams.add(self)
        try:
            opened = self._puller.take(Opened)
        except BaseException:
            self.close()
            raise
        if opened is None:
            raise _closed()

    def next(self) -> Event | None:
        """Return the next event; None when the stream is over.

        Raises:
            NeuroGraphError: it has ended with an error.
        """
        delivery = self._puller.take(Deliver)
        if delivery is None:
            self._executor.streams.discard(self)
            return None
        event = delivery.event
        if event.id is not None:
            self._place.position = event.id
        return event

    def close(self) -> None:
        """End the stream."""
        self._executor.streams.discard(self)
        self._puller.close()

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

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, HangUp):
            return self._hang_up()
        if self._puller.is_over:
            raise _closed()
        try:
            answer = self._performed(effect)
        except NeuroGraphError as error:
            if self._puller.is_over:  # nothing to be repeated
                raise _closed() from error
            raise
        if self._puller.is_over:
            raise _closed()
        return answer

    def _performed(self, effect: Any) -> Any:
        if isinstance(effect, Read):
            return b"" if self._line is None else self._line.read(effect.seconds)
        if isinstance(effect, Write):
            return None if self._line is None else self._line.write(effect.data)
        if isinstance(effect, Send):
            return self._connected(effect)
        if isinstance(effect, Authenticate):
            return self._executor.authenticate(effect, self._log_in, self._puller.grip)
        return self._puller.sleep(effect.seconds)

    def _connected(self, effect: Send[Request]) -> Response:
        response = self._executor.connect(effect.request, effect.deadline, self._puller.grip)
        if response.status < _LEAST_FAILURE:
            self._line = line_of(response)
            self._puller.watch(self._line)
        return response

    def _log_in(self, effect: Any) -> Any:
        if isinstance(effect, Send):
            return self._executor.send(effect.request, effect.deadline, self._puller.grip)
        return self._puller.sleep(effect.seconds)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


def _closed() -> ClientClosedError:
    return ClientClosedError("This stream of events is closed; subscribe again", request_sent=False)
