# Generated from test_async_neurograph_websocket.py by tools/unasync.py; do not edit.
"""Streams of events over WebSockets, against a scripted server: the same promises as over SSE."""

from functools import partial
from typing import Any

import pytest
from client_setup import error_reply, scripted, with_key, with_password
from concurrently import apart, gather
from scripted_server import LOGIN, REFRESH, Arrived, Feed, Reply, ScriptedServer, login_reply
from websocket_log import PATH, Conversation, WebSocketLog, event_frame, head

from neurograph import (
    AuthenticationError,
    AuthorizationError,
    Event,
    EventStream,
    InvalidResponseError,
    NeuroGraphClient,
    NeuroGraphError,
    NotFoundError,
    TimeoutError,
    field,
)

server = pytest.fixture(scripted)


@pytest.fixture
def log(server: ScriptedServer) -> WebSocketLog:
    return WebSocketLog().serve(server)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses before opening again, noted instead of slept."""
    noted: list[float] = []

    def note(_: Any, seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("neurograph._execution.pulling.Puller.sleep", note)
    return noted


def listening(client: NeuroGraphClient, **more: Any) -> EventStream:
    return client.events.subscribe(**{"channels": "tokens", "transport": "websocket", **more})


def taken(events: EventStream, count: int) -> list[str | None]:
    """Return the positions of the next events."""
    return [(next(events)).id for _ in range(count)]


def saying(*frames: dict[str, Any], until: Any = None) -> Any:
    """Return an answer that agrees to what is asked, sends these frames, and waits for the client to leave."""

    def answer(request: Arrived) -> Feed:
        return Feed(partial(converse, head(request)))

    def converse(greeting: bytes, connection: Any, stopping: Any) -> None:
        connection.sendall(greeting)
        talk = Conversation(connection.sendall)
        asked = talk.hear(connection, 10)
        assert asked is not None
        talk.say(*frames)
        if until is not None:
            until(talk)
        while talk.hear(connection, 10) is not None:
            pass

    return answer


SUBSCRIBED = {"type": "subscribed", "channels": ["tokens"], "timestamp": "t"}
POSITION = {"type": "position", "id": "p0"}


class TestDelivery:
    def test_what_is_asked_for_is_sent(self, server: ScriptedServer, log: WebSocketLog) -> None:
        with with_key(server) as client:
            more = {"filter": field("lang") == "fr", "include": ["payload", "text"], "since": "p0"}
            with listening(client, channels=["tokens", "collection:a,b"], **more):
                pass
            with listening(client):
                pass
        [first, second] = server.arrived
        assert first.target == PATH
        assert first.headers["authorization"] == "Bearer ng_live_key"
        assert first.headers["sec-websocket-protocol"] == "vectrograph"
        assert (first.headers["upgrade"], first.headers["connection"]) == ("websocket", "Upgrade")
        assert "sec-websocket-extensions" not in first.headers
        assert first.headers["sec-websocket-key"] != second.headers["sec-websocket-key"]
        assert log.asked == [
            {
                "type": "subscribe",
                "channels": ["tokens", "collection:a,b"],
                "filter": {"path": "lang", "eq": "fr"},
                "include": ["payload", "text"],
                "since": "p0",
            },
            {"type": "subscribe", "channels": ["tokens"]},
        ]

    def test_an_event_is_the_same_as_over_sse(self, server: ScriptedServer) -> None:
        point = {"version": 43, "payload": {"lang": "fr"}, "text": "bonjour"}
        frame = event_frame(7, kind="updated", matches=True, point=point)
        official = {
            "channel": "status",
            "timestamp": "2026-12-01T12:00:00",
            "event_type": "status.up",
            "data": {"a": 1},
        }
        server.on("GET", PATH, saying(SUBSCRIBED, POSITION, frame, official))
        with with_key(server) as client:
            with listening(client) as events:
                first, second = next(events), next(events)
        assert first == Event.model_validate(
            {
                "channel": "tokens",
                "type": "updated",
                "time": "2026-12-01T12:00:00.123456Z",
                "id": "p7",
                "data": {"id": 7, "version": 7, "matches": True, "point": point},
            }
        )
        assert (second.type, second.id, second.data) == ("status.up", None, {"a": 1})
        assert str(second.time) == "2026-12-01 12:00:00+00:00"

    @pytest.mark.parametrize("cut", range(0, 700, 9))
    def test_events_come_in_order_and_once_wherever_it_breaks(
        self, server: ScriptedServer, log: WebSocketLog, cut: int
    ) -> None:
        log.size, log.cuts = 2, [cut, cut, None]
        with with_key(server) as client:
            with listening(client) as events:
                assert events.position == "p2"
                log.add(3)
                assert taken(events, 3) == ["p3", "p4", "p5"]
                assert events.position == "p5"

    def test_a_position_outlives_its_client(self, server: ScriptedServer, log: WebSocketLog) -> None:
        with with_key(server) as client:
            with listening(client) as events:
                log.add(3)
                taken(events, 2)
        with with_key(server) as client:
            with listening(client, since=events.position) as events:
                assert taken(events, 1) == ["p3"]

    def test_frames_may_come_in_parts(self, server: ScriptedServer) -> None:
        def in_parts(talk: Conversation) -> None:
            talk.protocol.send_text(b'{"channel": "tokens", "event_type": "created", ', fin=False)
            talk.protocol.send_ping(b"are you there")
            talk.protocol.send_continuation('"time": "2026-12-01T12:00:00Z", "data": {"ä": '.encode()[:-7], fin=False)
            talk.protocol.send_continuation('"time": "2026-12-01T12:00:00Z", "data": {"ä": '.encode()[-7:], fin=False)
            talk.protocol.send_continuation(b"1}}", fin=True)
            talk.protocol.send_binary(b"nothing of ours")
            talk.flush()
            talk.say({"type": "news of a later server"}, event_frame(2))

        server.on("GET", PATH, saying(SUBSCRIBED, POSITION, until=in_parts))
        with with_key(server) as client:
            with listening(client) as events:
                assert (next(events)).data == {"ä": 1}
                assert (next(events)).id == "p2"

    def test_dropped_events_are_events_of_their_own(self, server: ScriptedServer) -> None:
        dropped = {"type": "dropped", "channel": "logs", "count": 12}
        server.on("GET", PATH, saying(SUBSCRIBED, dropped))
        with with_key(server) as client:
            with listening(client, channels="logs") as events:
                assert (next(events)).missed == 12


class TestOpening:
    @pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (403, AuthorizationError)])
    def test_a_refused_handshake(self, server: ScriptedServer, status: int, kind: type[NeuroGraphError]) -> None:
        server.on("GET", PATH, error_reply(status, "SOME_CODE"))
        with with_key(server) as client:
            with pytest.raises(kind) as caught:
                listening(client)
        assert (caught.value.status_code, caught.value.error_code) == (status, "SOME_CODE")

    @pytest.mark.parametrize("channels", ["tokens", "metrics"])
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            ({"code": "COLLECTION_NOT_FOUND", "message": "gone", "details": {"fact": 1}}, NotFoundError),
            ({"code": "PERMISSION_DENIED", "message": "gone", "details": {"fact": 1}}, AuthorizationError),
        ],
    )
    def test_a_refused_channel(
        self, server: ScriptedServer, channels: str, error: dict[str, Any], kind: type[NeuroGraphError]
    ) -> None:
        refusal = {"denied": ["x"], "message": "gone", "errors": [{"channel": "x", **error}]}
        server.on("GET", PATH, saying({**SUBSCRIBED, **refusal}))
        with with_key(server) as client:
            with pytest.raises(kind, match="gone") as caught:
                listening(client, channels=channels)
        assert caught.value.details == {"fact": 1}
        assert server.count("GET", PATH) == 1

    def test_a_channel_that_an_official_server_denies(self, server: ScriptedServer) -> None:
        server.on("GET", PATH, saying({**SUBSCRIBED, "channels": [], "denied": ["logs"], "message": "Not for you"}))
        with with_key(server) as client:
            with pytest.raises(AuthorizationError, match="Not for you"):
                listening(client, channels="logs")

    def test_a_position_that_is_gone_names_the_oldest_one(self, server: ScriptedServer) -> None:
        error = {"channel": "tokens", "code": "POSITION_EXPIRED", "message": "m", "details": {"oldest": "p3"}}
        server.on("GET", PATH, saying({**SUBSCRIBED, "denied": ["tokens"], "errors": [error]}))
        with with_key(server) as client:
            with pytest.raises(NeuroGraphError) as caught:
                listening(client, since="p1")
        assert type(caught.value).__name__ == "PositionExpiredError"
        assert caught.value.details == {"oldest": "p3"}

    def test_a_passing_refusal_is_repeated(
        self, server: ScriptedServer, log: WebSocketLog, pauses: list[float]
    ) -> None:
        limited = {"type": "error", "code": "RATE_LIMIT_EXCEEDED", "message": "wait", "retry_after": 3.0}
        server.on("GET", PATH, saying(limited), log)
        with with_key(server) as client:
            with listening(client) as events:
                assert events.position == "p0"
        assert 3 <= pauses[0] < 4

    def test_a_lasting_one_is_raised(self, server: ScriptedServer) -> None:
        refused = {"type": "error", "code": "VALIDATION_ERROR", "message": "filter: is no filter"}
        server.on("GET", PATH, saying(refused))
        with with_key(server) as client:
            with pytest.raises(NeuroGraphError, match="is no filter") as caught:
                listening(client)
        assert caught.value.error_code == "VALIDATION_ERROR"

    def test_another_answer_is_no_websocket(self, server: ScriptedServer) -> None:
        server.on("GET", PATH, Reply(200, {"a": "page"}))
        with with_key(server) as client:
            with pytest.raises(InvalidResponseError, match="opens no WebSocket"):
                listening(client)

    def test_an_accept_for_somebody_else(self, server: ScriptedServer) -> None:
        wrong = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: abc\r\n\r\n"
        server.on("GET", PATH, Feed(lambda connection, stopping: connection.sendall(wrong)))
        with with_key(server) as client:
            with pytest.raises(InvalidResponseError, match="opens no WebSocket"):
                listening(client)

    @pytest.mark.parametrize("frames", [[], [SUBSCRIBED]])
    def test_the_timeout_covers_it(self, server: ScriptedServer, frames: list[dict[str, Any]]) -> None:
        server.on("GET", PATH, saying(*frames))
        with with_key(server) as client:
            with pytest.raises(TimeoutError):
                listening(client, timeout=0.2)

    def test_an_event_has_a_limit(self, server: ScriptedServer) -> None:
        server.on("GET", PATH, saying(SUBSCRIBED, POSITION, event_frame(1), event_frame(2, filling="x" * 5000)))
        with NeuroGraphClient(server.url, api_key="k", max_response_bytes=4000) as client:
            with listening(client) as events:
                assert taken(events, 1) == ["p1"]
                with pytest.raises(InvalidResponseError, match="longer than 4000 bytes") as caught:
                    next(events)
        assert caught.value.error_code == "RESPONSE_TOO_LARGE"

    def test_it_does_not_take_connections_of_calls(self, server: ScriptedServer, log: WebSocketLog) -> None:
        with NeuroGraphClient(server.url, api_key="k", max_connections=1, timeout=5) as client:
            streams = [listening(client) for _ in range(3)]
            assert (client.tokens.get(7)).id == 7
            log.add()
            assert [taken(stream, 1) for stream in streams] == [["p1"]] * 3


class TestOpeningAgain:
    def test_an_end_that_asks_to_come_back(self, server: ScriptedServer, log: WebSocketLog) -> None:
        with with_key(server) as client:
            with listening(client) as events:
                log.finish({"type": "end", "code": "SERVER_STOPPING", "message": "m", "reconnect": True})
                log.add()
                assert taken(events, 1) == ["p1"]

    def test_a_close_without_a_word(self, server: ScriptedServer, log: WebSocketLog) -> None:
        with with_key(server) as client:
            with listening(client) as events:
                log.finish()
                log.add()
                assert taken(events, 1) == ["p1"]

    def test_broken_rules(self, server: ScriptedServer, log: WebSocketLog) -> None:
        def break_rules(talk: Conversation) -> None:
            talk.send(b"\xff\xff\xff\xff")

        server.on("GET", PATH, saying(SUBSCRIBED, POSITION, until=break_rules), log)
        log.add()
        with with_key(server) as client:
            with listening(client) as events:
                assert taken(events, 1) == ["p1"]

    @pytest.mark.parametrize(
        ("code", "kind"), [("INVALID_API_KEY", AuthenticationError), ("COLLECTION_NOT_FOUND", NotFoundError)]
    )
    def test_an_end_for_good_is_raised(
        self, server: ScriptedServer, log: WebSocketLog, code: str, kind: type[NeuroGraphError]
    ) -> None:
        with with_key(server) as client:
            events = listening(client)
            log.finish({"type": "end", "code": code, "message": "what happened", "reconnect": False})
            with pytest.raises(kind, match="what happened"):
                next(events)
            assert events.closed

    def test_a_refused_handshake_is_raised(self, server: ScriptedServer, log: WebSocketLog) -> None:
        with with_key(server) as client:
            events = listening(client)
            server.on("GET", PATH, error_reply(401, "INVALID_API_KEY"))
            log.finish()
            with pytest.raises(AuthenticationError):
                next(events)

    def test_a_login_is_renewed(self, server: ScriptedServer, log: WebSocketLog) -> None:
        server.on("POST", REFRESH, login_reply("access-2"))
        revoked = ""

        def checked(request: Arrived) -> Any:
            return log(request) if request.headers["authorization"] != revoked else error_reply(401, "TOKEN_EXPIRED")

        server.on("GET", PATH, checked)
        with with_password(server) as client:
            with listening(client) as events:
                revoked = "Bearer access-1"
                log.finish({"type": "end", "code": "TOKEN_EXPIRED", "message": "m", "reconnect": False})
                log.add()
                assert taken(events, 1) == ["p1"]
        assert (server.count("POST", LOGIN), server.count("POST", REFRESH)) == (1, 1)

    def test_silence_is_asked_about_and_then_left(
        self, server: ScriptedServer, log: WebSocketLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neurograph._execution.event_flow.SILENCE_SECONDS", 0.4)
        monkeypatch.setattr("neurograph._execution.event_flow._PING_SECONDS", 0.1)
        with with_key(server) as client:
            with listening(client) as events:
                waiting = partial(taken, events, 1)
                log.is_silent = True

                def go_on() -> None:
                    assert log.wait_for(2)
                    log.is_silent = False
                    log.add()

                _, found = both(partial(apart, go_on), waiting)
                assert found == ["p1"]
        assert set(log.began) == {0}

    def test_an_answered_ping_is_a_sign_of_life(
        self, server: ScriptedServer, log: WebSocketLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neurograph._execution.event_flow._PING_SECONDS", 0.02)
        with with_key(server) as client:
            with listening(client) as events:

                def go_on() -> None:
                    assert log.wait_for_message({"type": "ping"})
                    log.add()

                _, found = both(partial(apart, go_on), partial(taken, events, 1))
                assert found == ["p1"]
        assert log.began == [0]


def both(one: Any, other: Any) -> list[Any]:
    return gather([one, other])


def test_closing_ends_it(server: ScriptedServer, log: WebSocketLog) -> None:
    with with_key(server) as client:
        events = listening(client)
        log.add()
        assert taken(events, 1) == ["p1"]
        events.close()
        assert list(events) == []
        assert apart(server.wait_until_left, 10)
