# Generated from test_async_neurograph_events.py by tools/unasync.py; do not edit.
"""Streams of events of the synchronous client, against a scripted server on real sockets."""

import copy
import gc
from datetime import datetime, timezone
from typing import Any

import pytest
from client_setup import error_reply, scripted, with_key, with_password
from concurrently import apart
from event_log import EVENTS, HEAD, EventLog, bare, change, chunked, end, framed
from scripted_server import LOGIN, REFRESH, Arrived, Cut, Feed, Reply, ScriptedServer, Stall, login_reply

from neurograph import (
    AuthenticationError,
    AuthorizationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionError,
    Event,
    EventStream,
    InvalidResponseError,
    NeuroGraphClient,
    NeuroGraphError,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimeoutError,
    ValidationError,
    field,
)
from neurograph.middleware import Handler
from neurograph.observation import Retry
from neurograph.wire import Request, Response

server = pytest.fixture(scripted)


@pytest.fixture
def log(server: ScriptedServer) -> EventLog:
    return EventLog().serve(server)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses before opening again, noted instead of slept."""
    noted: list[float] = []

    def note(_: Any, seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("neurograph._execution.pulling.Puller.sleep", note)
    return noted


def taken(events: EventStream, count: int) -> list[str | None]:
    """Return the positions of the next events."""
    return [(next(events)).id for _ in range(count)]


def sending(*pieces: bytes) -> Feed:
    """Return an answer that is these pieces of a stream, and never ends."""

    def serve(connection: Any, stopping: Any) -> None:
        connection.sendall(HEAD + b"".join(map(chunked, pieces)))
        stopping.wait()

    return Feed(serve)


class TestDelivery:
    def test_an_event_has_all_its_parts(self, server: ScriptedServer) -> None:
        point = {"version": 43, "payload": {"lang": "fr"}, "text": "bonjour"}
        server.on("GET", EVENTS, sending(bare("p0"), framed(change(7, "updated", matches=True, point=point), "", "p1")))
        with with_key(server) as client:
            with client.events.subscribe("tokens") as events:
                event = next(events)
        assert event == Event(
            channel="tokens",
            type="updated",
            time=datetime(2026, 12, 1, 12, 0, 0, 123456, timezone.utc),
            id="p1",
            data={"id": 7, "version": 7, "matches": True, "point": point},
        )
        assert (event.point_id, event.version, event.matches) == (7, 7, True)
        assert (event.payload, event.text, event.point_version) == ({"lang": "fr"}, "bonjour", 43)
        assert event.missed == 0

    def test_what_is_asked_for_is_sent(self, server: ScriptedServer, log: EventLog) -> None:
        with with_key(server) as client:
            filter = field("lang") == "fr"
            channels = ["tokens", "collection:a,b"]
            with client.events.subscribe(channels, filter=filter, include=["payload", "text"], since="p0"):
                pass
            with client.events.subscribe("tokens, metrics", include="text", since="oldest"):
                pass
        first, second = server.arrived
        assert first.headers["authorization"] == "Bearer ng_live_key"
        assert first.headers["accept"] == "text/event-stream"
        assert first.headers["accept-encoding"] == "identity"
        assert first.headers["last-event-id"] == "p0"
        assert "x-request-timeout-ms" not in first.headers
        query = "channels=%5B%22tokens%22%2C+%22collection%3Aa%2Cb%22%5D"
        query += "&filter=%7B%22path%22%3A%22lang%22%2C%22eq%22%3A%22fr%22%7D&include=payload%2Ctext"
        assert first.target == f"{EVENTS}?{query}"
        assert second.target == f"{EVENTS}?channels=tokens%2Cmetrics&include=text&since=oldest"

    def test_events_come_in_order_and_once_over_broken_connections(self, server: ScriptedServer, log: EventLog) -> None:
        with with_key(server) as client:
            log.cuts = [400, 600, 900]
            with client.events.subscribe("tokens", since="oldest") as events:
                log.add(20)
                assert taken(events, 20) == [f"p{n}" for n in range(1, 21)]
                assert events.position == "p20"
        assert log.cuts == []

    def test_what_happens_after_the_opening_comes_whatever_breaks(self, server: ScriptedServer, log: EventLog) -> None:
        log.size = 5
        log.cuts = [len(HEAD) + 3, 0, None, len(HEAD) + 5]
        with with_key(server, max_retries=2) as client:
            with client.events.subscribe("tokens") as events:
                assert events.position == "p5"
                log.say(b": \n\n")
                assert log.wait_for(3)
                log.add(2)
                assert taken(events, 2) == ["p6", "p7"]
        assert log.began[:3] == [5, 5, 5]
        assert set(log.began[3:]) <= {5, 7}

    def test_a_position_outlives_its_client(self, server: ScriptedServer, log: EventLog) -> None:
        with with_key(server) as client:
            with client.events.subscribe("tokens") as events:
                log.add(3)
                taken(events, 2)
                position = events.position
            assert events.position == position == "p2"
        with with_key(server) as client:
            with client.events.subscribe("tokens", since=position) as events:
                assert taken(events, 1) == ["p3"]

    def test_dropped_events_are_events_of_their_own(self, server: ScriptedServer) -> None:
        dropped = framed({"channel": "logs", "count": 12}, "dropped")
        line = framed({"channel": "logs", "type": "log.info", "time": "2026-12-01T12:00:00Z", "data": {"message": "m"}})
        server.on("GET", EVENTS, sending(framed({"what": "ever"}, "news"), dropped, line))
        with with_key(server) as client:
            with client.events.subscribe("logs") as events:
                first, second = next(events), next(events)
        assert (first.channel, first.type, first.missed, first.id) == ("logs", "missed", 12, None)
        assert first.time.tzinfo is not None
        assert (second.type, second.missed, second.data) == ("log.info", 0, {"message": "m"})
        assert (second.point_id, second.version, second.matches, second.text) == (None, None, None, None)

    def test_an_event_cannot_be_changed(self) -> None:
        event = Event(channel="tokens", type="created", time=datetime.now(timezone.utc))
        with pytest.raises(Exception, match="frozen"):
            event.type = "deleted"


class TestOpening:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, AuthenticationError), (403, AuthorizationError), (404, NotFoundError), (422, ValidationError)],
    )
    def test_a_refusal_is_raised_at_once(
        self, server: ScriptedServer, status: int, kind: type[NeuroGraphError]
    ) -> None:
        server.on("GET", EVENTS, error_reply(status, "SOME_CODE"))
        with with_key(server) as client:
            with pytest.raises(kind) as caught:
                client.events.subscribe("tokens")
            assert (caught.value.status_code, caught.value.error_code) == (status, "SOME_CODE")
        assert server.count("GET", EVENTS) == 1

    def test_a_position_that_is_gone_names_the_oldest_one(self, server: ScriptedServer) -> None:
        body = {"success": False, "error": {"code": "POSITION_EXPIRED", "message": "m", "details": {"oldest": "p3"}}}
        server.on("GET", EVENTS, Reply(410, body))
        with with_key(server) as client:
            with pytest.raises(NeuroGraphError) as caught:
                client.events.subscribe("tokens", since="p1")
        assert (caught.value.status_code, caught.value.details) == (410, {"oldest": "p3"})

    def test_a_passing_failure_is_repeated(self, server: ScriptedServer, log: EventLog, pauses: list[float]) -> None:
        server.on("GET", EVENTS, error_reply(429, Retry_After="3"), error_reply(503), log)
        with with_key(server) as client:
            events = client.events.subscribe("tokens")
            assert events.position == "p0"
            events.close()
        assert 3 <= pauses[0] < 4

    def test_it_gives_up_after_the_retries_of_the_client(self, server: ScriptedServer) -> None:
        server.on("GET", EVENTS, error_reply(503))
        with with_key(server, max_retries=1) as client:
            with pytest.raises(ServerError):
                client.events.subscribe("tokens")
        assert server.count("GET", EVENTS) == 2

    @pytest.mark.parametrize("greeting", [b": hello\n\n", framed({**change(1), "channel": "metrics"})])
    def test_it_is_not_open_before_there_is_a_position(
        self, server: ScriptedServer, log: EventLog, greeting: bytes
    ) -> None:
        log.size = 5
        breaking = Feed(lambda connection, stopping: connection.sendall(HEAD + chunked(greeting)))
        server.on("GET", EVENTS, breaking, log)
        with with_key(server) as client:
            with client.events.subscribe("tokens, metrics") as events:
                assert events.position == "p5"
        assert server.count("GET", EVENTS) == 2

    @pytest.mark.parametrize("answer", [Stall(), sending(b": greetings, and no position")])
    def test_the_timeout_covers_it(self, server: ScriptedServer, answer: Any) -> None:
        server.on("GET", EVENTS, answer)
        with with_key(server) as client:
            with pytest.raises(TimeoutError):
                client.events.subscribe("tokens", timeout=0.2)

    def test_it_does_not_cover_waiting(self, server: ScriptedServer, log: EventLog) -> None:
        with with_key(server, timeout=0.3) as client:
            with client.events.subscribe("tokens") as events:
                with client.events.subscribe("tokens") as others:
                    server.on("GET", "/api/v1/tokens/7", Stall())
                    with pytest.raises(TimeoutError):
                        client.tokens.get(7)  # longer than that
                    log.add()
                    assert taken(events, 1) == taken(others, 1) == ["p1"]
        assert len(log.began) == 2

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (Reply(body={"an": "object"}, headers={"Content-Type": "application/json"}), "application/json"),
            (Reply(204), "answered 204"),
            (sending(b"data: [1]\n\n"), "no object"),
            (sending(b"data: {\n\n"), "no JSON"),
            (sending(b'data: {"channel": "tokens"}\n\n'), "type"),
        ],
    )
    def test_another_answer_is_no_stream(self, server: ScriptedServer, answer: Any, reason: str) -> None:
        server.on("GET", EVENTS, answer)
        with with_key(server) as client:
            with pytest.raises(InvalidResponseError, match=reason):
                with client.events.subscribe("metrics") as events:
                    next(events)
        assert server.count("GET", EVENTS) == 1

    def test_an_event_has_a_limit(self, server: ScriptedServer) -> None:
        server.on("GET", EVENTS, sending(b"data: " + b"x" * 5000))
        with NeuroGraphClient(server.url, api_key="k", max_response_bytes=4000) as client:
            with pytest.raises(InvalidResponseError, match="longer than 4000 bytes") as caught:
                client.events.subscribe("tokens")
        assert caught.value.error_code == "RESPONSE_TOO_LARGE"

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"channels": []}, "channels names no channel"),
            ({"channels": ""}, "channels names no channel"),
            ({"channels": 7}, "channels is int"),
            ({"channels": ["tokens", 7]}, r"channels\.1"),
            ({"include": 7}, "include is int"),
            ({"filter": "x"}, "filter is str"),
            ({"since": 7}, "since must be a string"),
            ({"since": "näh"}, "since must be printable"),
            ({"timeout": 0}, "timeout"),
            ({"transport": "pigeon"}, "'sse' or 'websocket'"),
        ],
    )
    def test_wrong_arguments_are_refused_before_anything_is_sent(
        self, server: ScriptedServer, arguments: dict[str, Any], reason: str
    ) -> None:
        with with_key(server) as client:
            with pytest.raises(ValidationError, match=reason):
                client.events.subscribe(**{"channels": "tokens", **arguments})
        assert server.arrived == []

    def test_connections_of_streams_are_not_those_of_calls(self, server: ScriptedServer, log: EventLog) -> None:
        with NeuroGraphClient(server.url, api_key="k", max_connections=1, timeout=5) as client:
            streams = [client.events.subscribe("tokens") for _ in range(5)]
            assert (client.tokens.get(7)).id == 7
            log.add()
            assert [taken(stream, 1) for stream in streams] == [["p1"]] * 5
            assert (client.tokens.get(7)).id == 7


class TestOpeningAgain:
    def test_the_hook_and_the_counters_hear_of_it(self, server: ScriptedServer, log: EventLog) -> None:
        heard: list[Retry] = []
        log.cuts = [400]
        with NeuroGraphClient(server.url, api_key="k", on_retry=heard.append) as client:
            with client.events.subscribe("tokens") as events:
                log.add(5)
                assert taken(events, 5) == [f"p{n}" for n in range(1, 6)]
            assert client.metrics.snapshot().retries == len(heard) == 1
        assert isinstance(heard[0].error, ConnectionError)
        assert str(heard[0].request) == f"GET {EVENTS}"

    def test_the_hook_may_end_it(self, server: ScriptedServer, log: EventLog) -> None:
        def enough(retry: Retry) -> None:
            raise LookupError("enough")

        log.cuts = [400]
        with NeuroGraphClient(server.url, api_key="k", on_retry=enough) as client:
            with client.events.subscribe("tokens", since="oldest") as events:
                log.add(5)
                with pytest.raises(LookupError):
                    taken(events, 5)
                assert events.closed
                assert list(events) == []

    def test_as_long_as_it_takes(self, server: ScriptedServer, log: EventLog, pauses: list[float]) -> None:
        with with_key(server, max_retries=0) as client:
            with client.events.subscribe("tokens") as events:
                server.on("GET", EVENTS, *[Cut()] * 4, *[error_reply(503)] * 4, error_reply(429, Retry_After="7"), log)
                log.say(b": bye\n\n")
                log.add()
                assert taken(events, 1) == ["p1"]
        assert len(pauses) == 10
        assert pauses[9] >= 7

    def test_an_end_that_asks_to_come_back(self, server: ScriptedServer, log: EventLog, pauses: list[float]) -> None:
        log.hint = 2000
        with with_key(server) as client:
            with client.events.subscribe("tokens") as events:
                log.say(end("SERVER_STOPPING", reconnect=True))
                assert log.changed is not None
                log.add()
                assert taken(events, 1) == ["p1"]
        assert all(2 <= pause < 3 for pause in pauses)

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (end("INVALID_API_KEY", reconnect=False), AuthenticationError),
            (end("PERMISSION_DENIED", reconnect=False), AuthorizationError),
            (end("COLLECTION_NOT_FOUND", reconnect=False), NotFoundError),
        ],
    )
    def test_an_end_for_good_is_raised(
        self, server: ScriptedServer, log: EventLog, answer: bytes, kind: type[NeuroGraphError]
    ) -> None:
        with with_key(server) as client:
            events = client.events.subscribe("tokens")
            log.say(answer)
            with pytest.raises(kind, match="what happened") as caught:
                next(events)
            assert not caught.value.retryable
            assert events.closed
            assert list(events) == []
        assert len(log.began) == 1

    def test_a_refusal_is_raised(self, server: ScriptedServer, log: EventLog) -> None:
        with with_key(server) as client:
            events = client.events.subscribe("tokens")
            server.on("GET", EVENTS, error_reply(404, "COLLECTION_NOT_FOUND"))
            log.say(b": bye\n\n")
            with pytest.raises(NotFoundError):
                next(events)

    def test_a_login_is_renewed(self, server: ScriptedServer, log: EventLog) -> None:
        server.on("POST", REFRESH, login_reply("access-2"))

        def checked(request: Arrived) -> Any:
            return log(request) if request.headers["authorization"] != revoked else error_reply(401, "TOKEN_EXPIRED")

        revoked = ""
        server.on("GET", EVENTS, checked)
        with with_password(server) as client:
            with client.events.subscribe("tokens") as events:
                log.add()
                assert taken(events, 1) == ["p1"]
                revoked = "Bearer access-1"
                log.say(end("TOKEN_EXPIRED", reconnect=False))
                log.add()
                assert taken(events, 1) == ["p2"]
        assert server.last("GET", EVENTS).headers["authorization"] == "Bearer access-2"
        assert (server.count("POST", LOGIN), server.count("POST", REFRESH)) == (1, 1)

    def test_silence_means_to_open_again(
        self, server: ScriptedServer, log: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neurograph._execution.event_flow.SILENCE_SECONDS", 0.2)
        server.on("GET", EVENTS, sending(bare("p0")), log)
        log.add()
        with with_key(server) as client:
            with client.events.subscribe("tokens") as events:
                assert taken(events, 1) == ["p1"]
        assert log.began == [0]

    def test_dripping_is_silence(self, server: ScriptedServer, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("neurograph._execution.event_flow.SILENCE_SECONDS", 0.3)

        def drip(connection: Any, stopping: Any) -> None:
            connection.sendall(HEAD + chunked(bare("p0")))
            while not stopping.wait(0.02):
                connection.sendall(chunked(b"x"))

        server.on("GET", EVENTS, Feed(drip), log)
        log.add()
        with with_key(server) as client:
            with client.events.subscribe("tokens") as events:
                assert taken(events, 1) == ["p1"]


class TestListening:
    def test_the_handler_is_called_for_each_event(self, server: ScriptedServer, log: EventLog) -> None:
        log.size = 3
        heard: list[str | None] = []
        with with_key(server) as client:

            def hear(event: Event) -> None:
                heard.append(event.id)
                if len(heard) == 3:
                    client.events.close()

            assert client.events.listen(hear, "tokens", since="oldest") == "p3"
            assert (client.tokens.get(7)).id == 7
        assert heard == ["p1", "p2", "p3"]

    def test_its_error_ends_it(self, server: ScriptedServer, log: EventLog) -> None:
        log.size = 3

        def fail(event: Event) -> None:
            raise LookupError(event.id)

        with with_key(server) as client:
            with pytest.raises(LookupError, match="p1"):
                client.events.listen(fail, ["tokens"], since="oldest")
            assert server.wait_until_left(10)


class TestClosing:
    def test_closing_the_client_closes_its_streams(self, server: ScriptedServer, log: EventLog) -> None:
        client = with_key(server)
        events = client.events.subscribe("tokens")
        patient = client.with_options(timeout=300).events.subscribe("tokens")
        client.close()
        assert events.closed
        assert patient.closed
        assert list(events) == []
        assert server.wait_until_left(10)
        with pytest.raises(ClientClosedError):
            client.events.subscribe("tokens")

    def test_closed_is_closed(self, server: ScriptedServer, log: EventLog) -> None:
        log.size = 9
        with with_key(server) as client:
            events = client.events.subscribe("tokens", since="oldest")
            assert taken(events, 2) == ["p1", "p2"]
            assert not events.closed
            events.close()
            events.close()
            assert list(events) == []
            assert events.position == "p2"

    def test_a_stream_that_is_forgotten_leaves_the_server(self, server: ScriptedServer, log: EventLog) -> None:
        log.size = 1
        with with_key(server) as client:
            for event in client.events.subscribe("tokens", since="oldest"):
                assert event.id == "p1"
                break
            gc.collect()
            assert left(server)

    def test_a_stream_cannot_be_copied(self, server: ScriptedServer, log: EventLog) -> None:
        with with_key(server) as client:
            with client.events.subscribe("tokens") as events:
                with pytest.raises(ConfigurationError):
                    copy.copy(events)


def left(server: ScriptedServer) -> bool:
    """Return whether all clients have left the server, soon."""
    return apart(server.wait_until_left, 10)


class TestMiddleware:
    def test_it_stands_around_every_opening(self, server: ScriptedServer, log: EventLog) -> None:
        seen: list[int] = []

        def watch(request: Request, call_next: Handler) -> Response:
            response = call_next(request.with_header("X-Team", "search"))
            seen.append(response.status)
            return response

        log.cuts = [400]
        with NeuroGraphClient(server.url, api_key="k", middleware=[watch]) as client:
            with client.events.subscribe("tokens", since="oldest") as events:
                log.add(5)
                taken(events, 5)
        assert seen == [200, 200]
        assert server.last("GET", EVENTS).headers["x-team"] == "search"

    def test_it_may_answer_by_itself(self, server: ScriptedServer) -> None:
        def canned(request: Request, call_next: Handler) -> Response:
            body = bare("p0") + framed(change(1), "", "p1") + end("END_OF_LOG", reconnect=False)
            return Response(request, 200, {"content-type": "text/event-stream"}, body)

        with NeuroGraphClient(server.url, api_key="k", middleware=[canned]) as client:
            assert [event.id for event in client.events.subscribe("tokens")] == ["p1"]
        assert server.arrived == []


def test_tickets(server: ScriptedServer) -> None:
    server.on("POST", f"{EVENTS}/ticket", Reply(body={"ticket": "tk_secret", "expires_in": 30}))
    with with_key(server) as client:
        ticket = client.events.ticket()
    assert (ticket.ticket, ticket.expires_in) == ("tk_secret", 30)
    assert "tk_secret" not in repr(ticket)


def test_too_many_streams(server: ScriptedServer) -> None:
    server.on("GET", EVENTS, error_reply(429, "RATE_LIMIT_EXCEEDED", Retry_After="3600"))
    with with_key(server) as client:
        with pytest.raises(RateLimitError) as caught:
            client.events.subscribe("tokens")
    assert caught.value.retry_after == 3600
