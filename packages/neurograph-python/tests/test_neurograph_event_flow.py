"""The flow of a stream of events without sockets: wherever a connection is cut, each event comes once and in order."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from event_log import bare, change, end, framed
from hypothesis import given
from hypothesis import strategies as st

from neurograph import (
    AuthenticationError,
    ConnectionError,
    NeuroGraphError,
    NotFoundError,
    RateLimitError,
    TimeoutError,
)
from neurograph._execution import event_flow
from neurograph._execution.event_flow import Deliver, EventFlow, HangUp, Opened, Read, Write
from neurograph._execution.exchange import Exchange
from neurograph._execution.observing import Observation
from neurograph._execution.session import Authenticate, Session
from neurograph._options import ApiKey, Password
from neurograph._protocol.events import Place, subscription
from neurograph._protocol.sse_wire import SSEWire
from neurograph._wirekit.breaker import CircuitBreaker
from neurograph._wirekit.budget import RetryBudget
from neurograph._wirekit.flow import Flow, Send, Sleep, pull
from neurograph._wirekit.retry import RetryPolicy
from neurograph.metrics import Metrics
from neurograph.wire import Request, Response


class Lines:
    """A server in memory: a log, and connections that are cut and chunked as told.

    Args:
        size: events of the log.
        cuts: bytes after which each connection breaks, in turn; later ones never break.
        chunk: bytes of each piece.
    """

    def __init__(self, size: int, cuts: list[int], chunk: int = 1 << 16) -> None:
        self.log = [framed(change(n + 1), position=f"p{n + 1}") for n in range(size)]
        self.cuts = cuts
        self.chunk = chunk
        self.asked: list[Request] = []
        self.pauses: list[float] = []
        self.hung_up = 0
        self.hello: Callable[[int], bytes] = lambda at: b"retry: 0\n" + bare(f"p{at}")
        self._open: tuple[bytes, bool] | None = None

    def perform(self, effect: Any) -> Any:
        if isinstance(effect, Send):
            return self._answer(effect.request)
        if isinstance(effect, Sleep):
            return self.pauses.append(effect.seconds)
        if isinstance(effect, HangUp):
            self._open = None
            self.hung_up += 1
            return None
        if isinstance(effect, Authenticate):
            return "bearer"
        assert isinstance(effect, Read)
        return self._piece()

    def _answer(self, request: Request) -> Response:
        assert self._open is None, "the connection before is still open"
        self.asked.append(request)
        since = request.headers.get("Last-Event-ID")
        at = len(self.log) if since is None else int(since[1:])
        if "since=oldest" in request.target:
            at = 0
        cut = self.cuts.pop(0) if self.cuts else None
        if cut == 0:
            raise ConnectionError("cut")
        whole = self.hello(at) + b"".join(self.log[at:])
        self._open = (whole[:cut], cut is not None and cut <= len(whole))
        return Response(request, 200, {"content-type": "text/event-stream; charset=utf-8"}, b"", object())

    def _piece(self) -> bytes:
        assert self._open is not None
        rest, is_cut = self._open
        if rest:
            self._open = (rest[self.chunk :], is_cut)
            return rest[: self.chunk]
        if is_cut:
            raise ConnectionError("cut")
        raise _AllReadError


class _AllReadError(BaseException):
    """The client waits for what has not happened yet."""


class Client:
    """A flow under way, with what a client keeps around it."""

    def __init__(self, server: Any, since: str | None = "oldest", max_retries: int = 2, **more: Any) -> None:
        self.server = server
        self.place = Place(since)
        self.retries: list[Any] = []
        self.breaker = more.get("breaker", CircuitBreaker())
        observation = Observation(Metrics(self.breaker), self.retries.append)
        self.budget = more.get("budget", RetryBudget())
        self.session = Session(more.get("credentials", ApiKey("key")))
        self.flow: Flow[None] = EventFlow(
            partial(more.get("wire", SSEWire), subscription(more.get("channels", "tokens")), most_bytes=10_000),
            self.place,
            self.session,
            Exchange(RetryPolicy(max_retries=0), self.breaker, None, observation),
            RetryPolicy(max_retries=max_retries),
            self.budget,
            observation,
            30.0,
            more.get("channels", "tokens") == "tokens",
        ).run()

    def open(self) -> None:
        assert isinstance(pull(self.flow, next(self.flow), self.server.perform, Opened), Opened)

    def events(self) -> list[str | None]:
        """Return the positions of events until the server has no more."""
        found: list[str | None] = []
        while True:
            try:
                delivery = pull(self.flow, next(self.flow, None), self.server.perform, Deliver)
            except _AllReadError:
                return found
            if delivery is None:
                return found
            self.place.position = delivery.event.id or self.place.position
            found.append(delivery.event.id)


def whole(count: int, first: int = 1) -> list[str]:
    return [f"p{n}" for n in range(first, first + count)]


@given(
    st.integers(0, 6),
    st.lists(st.integers(0, 900), max_size=6),
    st.integers(1, 300),
)
def test_every_event_comes_once_and_in_order_wherever_connections_are_cut(
    size: int, cuts: list[int], chunk: int
) -> None:
    client = Client(Lines(size, cuts, chunk), max_retries=10)
    client.open()
    assert client.events() == whole(size)


@pytest.mark.parametrize("chunk", [1, 1 << 16])
def test_so_it_is_for_every_single_byte(chunk: int) -> None:
    total = len(b"retry: 0\n" + bare("p0") + b"".join(Lines(2, []).log))
    for cut in range(total + 1):
        client = Client(Lines(2, [cut, cut], chunk), max_retries=2)
        client.open()
        assert client.events() == whole(2), cut
        assert client.place.position == "p2"


@given(st.lists(st.integers(0, 40), max_size=4), st.integers(1, 50))
def test_a_fresh_stream_is_open_only_when_it_can_be_resumed(cuts: list[int], chunk: int) -> None:
    """Everything that happens after it is open comes, also when it breaks before its first event."""
    server = Lines(2, cuts, chunk)
    client = Client(server, since=None, max_retries=10)
    client.open()
    assert client.place.position == "p2"
    server.log += [framed(change(n), position=f"p{n}") for n in (3, 4)]
    server.cuts = [0, 3]
    server._open = (b"", True)  # the connection breaks before it brings anything
    assert client.events() == ["p3", "p4"]
    assert [seen.headers.get("Last-Event-ID") for seen in server.asked[-3:]] == ["p2"] * 3


def test_channels_without_positions_are_open_at_once() -> None:
    server = Lines(0, [])
    server.hello = lambda at: framed({**change(1), "channel": "metrics"})
    client = Client(server, since=None, channels="metrics")
    client.open()
    assert client.events() == [None]
    assert client.place.position is None


def test_bare_positions_move_the_place_of_the_reader() -> None:
    server = Lines(0, [])
    server.hello = lambda at: bare("p7") + b": heartbeat\n\n" + bare("p9")
    client = Client(server, since="p5")
    client.open()
    assert client.events() == []
    assert client.place.position == "p9"


def test_control_frames_have_no_say_about_the_position() -> None:
    server = Lines(0, [])
    server.hello = lambda at: framed(change(1), position="p1") + framed({"channel": "logs", "count": 3}, "dropped")
    client = Client(server, since="p0")
    client.open()
    assert client.events() == ["p1", None]
    assert client.place.position == "p1"


class TestPauses:
    def test_the_server_asks_for_a_pause(self) -> None:
        server = Lines(3, [200, 0, 60])
        server.hello = lambda at: b"retry: 2000\n" + bare(f"p{at}")
        client = Client(server)
        client.open()
        assert client.events() == whole(3)
        assert len(server.pauses) == 3
        assert all(2.0 <= pause < 3.0 for pause in server.pauses)

    def test_a_pause_of_ages_is_cut_to_a_minute(self) -> None:
        server = Lines(3, [200])
        server.hello = lambda at: b"retry: 99999999999\n" + bare(f"p{at}")
        client = Client(server)
        client.open()
        assert client.events() == whole(3)
        assert 60 <= server.pauses[0] < 61

    def test_pauses_grow_while_nothing_comes_and_begin_anew_after_an_event(self) -> None:
        server = Lines(2, [])
        one = len(server.hello(0) + server.log[0])
        server.cuts = [one, *[0] * 9, one, 0]
        client = Client(server, max_retries=0)
        client.open()
        assert client.events() == whole(2)
        assert [retry.attempt for retry in client.retries] == [*range(1, 11), 1, 2]
        ends = [min(30, 0.25 * 2 ** (retry.attempt - 1)) for retry in client.retries]
        assert all(pause <= end for pause, end in zip(server.pauses, ends, strict=True))

    def test_a_position_alone_is_no_progress(self) -> None:
        """A server that accepts, greets and breaks is not stormed."""
        server = Lines(1, [20] * 7)
        client = Client(server)
        client.open()
        assert client.events() == whole(1)
        assert [retry.attempt for retry in client.retries] == list(range(1, 8))

    def test_an_empty_budget_makes_pauses_long_and_ends_nothing(self) -> None:
        budget = RetryBudget(tokens=4)
        server = Lines(1, [20] * 6)
        client = Client(server, budget=budget)
        client.open()
        assert client.events() == whole(1)
        assert [pause >= 30 for pause in server.pauses] == [False, False, True, True, True, True]
        budget.succeeded()  # as every call does that works
        assert not budget.spent, "ordinary calls have lost their repeats to a stream"

    def test_an_open_circuit_is_waited_for(self) -> None:
        breaker = CircuitBreaker(threshold=2, recovery=5.0, clock=lambda: 0.0)
        server = Lines(1, [20, 0, 0])
        client = Client(server, breaker=breaker)
        client.open()
        outcomes: list[float] = []
        perform = server.perform

        def waiting(effect: Any) -> Any:
            if isinstance(effect, Sleep) and effect.seconds >= 5:
                outcomes.append(effect.seconds)
                raise _AllReadError
            return perform(effect)

        server.perform = waiting  # type: ignore[method-assign]
        assert client.events() == []
        assert 5 <= outcomes[0] < 7

    def test_the_first_opening_gives_up_as_every_call_does(self) -> None:
        client = Client(Lines(1, [0, 0, 0, 0]), max_retries=2)
        with pytest.raises(ConnectionError):
            client.open()
        assert [retry.attempt for retry in client.retries] == [1, 2]


class TestEnds:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("INVALID_API_KEY", AuthenticationError),
            ("COLLECTION_NOT_FOUND", NotFoundError),
            ("RATE_LIMIT_EXCEEDED", RateLimitError),
            ("NEW_CODE", NeuroGraphError),
        ],
    )
    def test_an_end_for_good_is_the_matching_error(self, code: str, kind: type[NeuroGraphError]) -> None:
        server = Lines(1, [])
        server.log.append(end(code, reconnect=False, details={"fact": 1}))
        client = Client(server)
        client.open()
        with pytest.raises(NeuroGraphError) as caught:
            client.events()
        assert type(caught.value) is kind
        assert (caught.value.error_code, caught.value.details) == (code, {"fact": 1})
        assert (caught.value.retryable, caught.value.retry_after) == (False, None)
        assert client.place.position == "p1"
        assert server.hung_up == 1

    def test_an_end_that_asks_to_come_back(self) -> None:
        server = Lines(1, [])
        stop = end("SERVER_STOPPING", reconnect=True)
        server.log.append(stop)
        client = Client(server)
        client.open()
        server.perform = _then(server, lambda: server.log.remove(stop))  # type: ignore[method-assign, assignment]
        assert client.events() == ["p1"]
        assert [type(retry.error).__name__ for retry in client.retries] == ["ServerError"]
        assert server.asked[-1].headers["Last-Event-ID"] == "p1"

    def test_the_end_of_what_there_is_ends_the_iteration(self) -> None:
        server = Lines(1, [])
        server.log.append(end("END_OF_LOG", reconnect=False))
        client = Client(server)
        client.open()
        assert client.events() == ["p1"]
        assert next(client.flow, "over") == "over"

    def test_a_login_that_is_over_is_renewed_once(self) -> None:
        server = Lines(1, [])
        server.log.append(end("TOKEN_EXPIRED", reconnect=False))
        client = Client(server, credentials=Password("a", "b"))
        client.open()
        with pytest.raises(AuthenticationError) as caught:
            client.events()
        assert caught.value.error_code == "TOKEN_EXPIRED"
        # p1 came, then the end; the next connection brought nothing but the end.
        assert len(server.asked) == 2


def _then(server: Lines, act: Callable[[], Any]) -> Callable[[Any], Any]:
    """Perform as a server does, and act whenever the client pauses."""
    perform = server.perform

    def performing(effect: Any) -> Any:
        if isinstance(effect, Sleep):
            act()
        return perform(effect)

    return performing


def test_silence_means_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Lines(1, [])
    perform = server.perform
    waits: list[float] = []

    def silent(effect: Any) -> Any:
        if isinstance(effect, Read) and len(server.asked) < 3 and server._open == (b"", False):
            waits.append(effect.seconds or 0)
            raise TimeoutError("nothing came")
        return perform(effect)

    server.perform = silent  # type: ignore[method-assign]
    client = Client(server)
    client.open()
    assert client.events() == whole(1)
    assert len(server.asked) == 3
    assert all(44 < seconds <= event_flow.SILENCE_SECONDS for seconds in waits)
    assert ["45 s" in str(retry.error) for retry in client.retries] == [True, True]


class AnsweringWire(SSEWire):
    """A wire that has an answer to everything that comes, as a WebSocket has to a close frame."""

    def outgoing(self) -> bytes:
        return b"I have heard"


class LeavingServer(Lines):
    """A server that leaves after its last words."""

    def perform(self, effect: Any) -> Any:
        if isinstance(effect, Write) and self._open == (b"", True):
            raise ConnectionError("nobody is there")
        return None if isinstance(effect, Write) else super().perform(effect)


def test_last_words_count_though_they_cannot_be_answered() -> None:
    server = LeavingServer(2, [10_000], chunk=1 << 16)
    server.log.append(end("INVALID_API_KEY", reconnect=False))
    client = Client(server, wire=AnsweringWire)
    client.open()
    server._open = (b"".join(server.log), True)
    found = [pull(client.flow, next(client.flow), server.perform, Deliver) for _ in range(2)]
    assert [delivery and delivery.event.id for delivery in found] == ["p1", "p2"]
    with pytest.raises(AuthenticationError):
        client.events()
    assert len(server.asked) == 1
