"""A stream of events as a flow without I/O: opening, delivering, opening again, resuming."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from neurograph._execution.exchange import Exchange
from neurograph._execution.observing import Observation
from neurograph._execution.session import Session, authorized
from neurograph._protocol.events import End, Hint, Item, Place, Position, SignOfLife, Wire
from neurograph._wirekit.attempts import attempts
from neurograph._wirekit.budget import RetryBudget
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.flow import Flow
from neurograph._wirekit.retry import RetryPolicy
from neurograph.exceptions import AuthenticationError, CircuitOpenError, ConnectionError, NeuroGraphError, TimeoutError
from neurograph.models import Event
from neurograph.wire import Request

# Seconds without a sign of life after which a connection counts as broken: three heartbeats of the server.
SILENCE_SECONDS = 45.0
# Seconds after which a wire that has a ping sends one: as often as the server's heartbeat.
_PING_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for the next piece of the open answer, so many seconds at most; b"" at its end.

    Attributes:
        seconds: None waits for ever.
    """

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Write:
    """Send something over the open connection."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection, if one is open."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The stream is open for the first time: nothing that happens from now on is lost."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give an event to the reader, and note its position as the place of the reader. The flow goes on after that."""

    event: Event


class _AllSentError(Exception):
    """The stream has reached its end."""


def says_passing(error: Exception) -> bool:
    """Return whether a stream goes on after this failure; an open circuit only means to wait."""
    return isinstance(error, CircuitOpenError) or (isinstance(error, NeuroGraphError) and error.retryable)


# A stream is opened again until that succeeds or is refused: nobody waits for its end. Pauses up to half a minute keep
# many readers from storming a server that starts. A server that asks for more than ten minutes ends the stream.
_ALWAYS = RetryPolicy(max_retries=None, longest_pause=30.0, retry_after_ceiling=600.0, retryable=says_passing)


class EventFlow:
    """Makes the flow of one stream.

    Args:
        wire: makes the wire of a connection that begins at a position.
        place: where the reader is; whoever delivers an event moves it.
        session: has the credentials.
        exchange: sends one request, once.
        policy: repeats of the first opening.
        budget: of all repeats of the client.
        observation: is told of repeats.
        seconds: for one opening, a login included; None waits for ever.
        has_positions: whether the stream can be resumed; then it is open only when the reader has a position.
    """

    def __init__(
        self,
        wire: Callable[[str | None], Wire],
        place: Place,
        session: Session,
        exchange: Exchange,
        policy: RetryPolicy,
        budget: RetryBudget,
        observation: Observation,
        seconds: float | None,
        has_positions: bool,
    ) -> None:
        self._make_wire = wire
        self._place = place
        self._session = session
        self._exchange = exchange
        self._policy = policy
        self._budget = budget
        self._observation = observation
        self._seconds = seconds
        self._has_positions = has_positions
        self._pending: deque[Item] = deque()
        self._wire: Wire | None = None
        self._request: Request | None = None
        self._attempt = 0
        self._hint: float | None = None
        self._is_settled = False
        self._renews_login = False

    def run(self, *, resumed: bool = False) -> Flow[None]:
        """Open the stream and deliver its events until it is over.

        Args:
            resumed: the reader has been told already that the stream is open.

        Yields:
            Opened once, Deliver for each event, and what is to be performed: Read, Write, HangUp, and the effects of
            calls.

        Raises:
            NeuroGraphError: the stream could not be opened, or was refused when it was to be opened again.
        """
        self._drop()
        try:
            if not resumed:
                deadline = Deadline.after(self._seconds)
                yield from self._tried(lambda: self._open(deadline), self._policy, deadline)
                yield Opened()
            yield from self._tried(self._go_on, _ALWAYS, Deadline.after(None))
        except _AllSentError:
            yield HangUp()

    def _tried(self, attempt: Callable[[], Flow[None]], policy: RetryPolicy, deadline: Deadline) -> Flow[None]:
        def told(error: Exception, failures: int, pause: float) -> None:
            if self._request is not None:
                self._observation.retrying(self._request, error, failures, pause)

        yield from attempts(
            lambda: self._broken(attempt),
            policy,
            deadline,
            budget=self._budget,
            on_retry=told,
            progressed=lambda: self._is_settled,
        )

    def _broken(self, attempt: Callable[[], Flow[None]]) -> Flow[None]:
        """Run an attempt; when it breaks, close its connection and forget what came over it."""
        try:
            yield from attempt()
        except NeuroGraphError as error:
            self._drop()
            yield HangUp()
            if error.retry_after is None and says_passing(error):
                error.retry_after = self._hint
            raise

    def _go_on(self) -> Flow[None]:
        if self._wire is None:
            yield from self._open(Deadline.after(self._seconds))
        if self._wire is not None:
            yield from self._deliver(self._wire)

    def _open(self, deadline: Deadline) -> Flow[None]:
        self._is_settled = False
        wire = self._make_wire(self._place.position)
        call = wire.call()
        # What is counted are openings: a repeat may have another position.
        self._request = replace(call.request, attempt=self._attempt)
        self._attempt += 1
        response = yield from authorized(replace(call, request=self._request), self._session, self._exchange, deadline)
        wire.opened(response)
        yield from self._say(wire)
        # A fresh stream that broke before it has a position would lose what happens until it is open again.
        has_to_wait = self._has_positions and self._place.position is None
        while not self._has_answer(wire, has_to_wait):
            yield from self._receive(wire, deadline.timeout())
        self._wire = wire
        while self._pending and not isinstance(self._pending[0], Event):
            self._note(self._pending.popleft())
        # A position at the start proves nothing: the next moment may break the connection as the last one did.
        self._is_settled = False

    def _deliver(self, wire: Wire) -> Flow[None]:
        silence = Deadline.after(SILENCE_SECONDS)
        longest_wait = _PING_SECONDS if wire.pings else SILENCE_SECONDS
        while True:
            while self._pending:
                item = self._pending.popleft()
                if isinstance(item, Event):
                    self._settle()
                    yield Deliver(item)
                else:
                    self._note(item)
            try:
                yield from self._receive(wire, min(silence.remaining(), longest_wait))
            except TimeoutError as error:
                if not wire.pings or silence.expired:
                    raise _silent(self._request) from error
                wire.ping()
                yield from self._say(wire)
            if self._pending:
                silence = Deadline.after(SILENCE_SECONDS)
            elif silence.expired:  # bytes come, but too few to be anything
                raise _silent(self._request)

    def _receive(self, wire: Wire, seconds: float | None) -> Flow[None]:
        piece: bytes = yield Read(seconds)
        if not piece:
            raise ConnectionError(f"The server has closed the stream of {self._request}")
        self._pending.extend(wire.feed(piece))
        try:
            yield from self._say(wire)
        except ConnectionError:
            # The other side may have left after its last words; those count first. The next read says that it is gone.
            if not self._pending:
                raise

    def _say(self, wire: Wire) -> Flow[None]:
        outgoing = wire.outgoing()
        if outgoing:
            yield Write(outgoing)

    def _has_answer(self, wire: Wire, has_to_wait: bool) -> bool:
        """Return whether enough has come to call the stream open, or to see that it will not be."""
        if any(isinstance(item, End) for item in self._pending):
            return True
        # An event of a channel without a log has no id, and says nothing of the position.
        has_place = any(isinstance(item, (Position, Event)) and item.id is not None for item in self._pending)
        return wire.is_open and (has_place or not has_to_wait)

    def _note(self, item: Item) -> None:
        """Take note of what is no event.

        Raises:
            NeuroGraphError: the server ends the stream.
        """
        if isinstance(item, Position):
            if item.id != self._place.position:  # else it is only a greeting
                self._settle()
            self._place.position = item.id
        elif isinstance(item, Hint):
            self._hint = item.seconds
        elif isinstance(item, SignOfLife):
            self._settle()
        elif isinstance(item, End):
            if item.error is None:
                raise _AllSentError
            if isinstance(item.error, AuthenticationError) and self._session.renewable and not self._renews_login:
                # The login is over, and another one may be had; one that is refused at once is no use.
                item.error.retryable = self._renews_login = True
            raise item.error

    def _settle(self) -> None:
        """Note that the connection is of use."""
        self._is_settled = True
        self._renews_login = False

    def _drop(self) -> None:
        self._pending.clear()
        self._wire = None


def _silent(request: Request | None) -> TimeoutError:
    return TimeoutError(f"The server sent nothing for {SILENCE_SECONDS:g} s in the stream of {request}")
