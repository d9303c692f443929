"""`/ws` over real sockets: the official protocol, what is added to it, and clients that behave badly."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from rest.live.test_sse import DOCS, Site, eventually, fill
from rest.serving import DIMENSION, Served, Start, listening
from web_socket import BINARY, WebSocket, frame_of

from vectrograph.domain.limits import LiveLimits
from vectrograph.domain.points import Delete, Put
from vectrograph.http.operation import Workload
from vectrograph.http.websockets import MAX_MESSAGE_BYTES, WebSocketConnection
from vectrograph.http.workers import Workers
from vectrograph.http_app import build_http_app
from vectrograph.live import frames, websocket
from vectrograph.live.message_rates import FREE_REFUSALS, RATES, MessageRates
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.live.channels import MAX_CHANNELS
from vectrograph.services.live.live import MAX_RESUMPTIONS_OF_ACCOUNT, RESUMPTION_SECONDS

NewDesk = Callable[..., "Desk"]


class Desk(Site):
    """A site whose readers are WebSockets."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        self.sockets: list[WebSocket] = []

    def socket(self, query: str = "", *, credential: str | None = "", **given: Any) -> WebSocket:
        """Open a WebSocket; the first frame is not read yet."""
        secret = self.token if credential == "" else credential
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        socket = WebSocket(self.served.port, f"/ws{query}", **{**headers, **given})
        self.sockets.append(socket)
        return socket

    def client(self, *channels: str, credential: str | None = "", **given: Any) -> WebSocket:
        """Open a WebSocket and subscribe to channels; both answers are read."""
        socket = self.socket(credential=credential, **given)
        assert (socket.status, socket.next()["type"]) == (101, "connected")
        if channels:
            answer = socket.ask({"type": "subscribe", "channels": channels})
            assert (answer["type"], answer["channels"]) == ("subscribed", list(channels)), answer
        return socket

    def key(self, *scopes: str, **given: Any) -> Any:
        return self.served.services.keys.create(self.call, "k", list(scopes) or None, None, **given)


@pytest.fixture
def new_desk(start: Start) -> Iterator[NewDesk]:
    desks: list[Desk] = []

    def make(**given: Any) -> Desk:
        desks.append(Desk(start(**given)))
        return desks[-1]

    yield make
    for desk in desks:
        for socket in desk.sockets:
            socket.close()


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    return new_desk()


def moment(text: str) -> datetime:
    """Return the time of an official frame: in UTC, without saying so."""
    at = datetime.fromisoformat(text)
    assert at.tzinfo is None
    return at


# ---------------------------------------------------------------- the official protocol


def test_the_official_messages_have_the_official_answers(desk: Desk) -> None:
    client = desk.socket()
    connected = client.next()
    moment(connected.pop("timestamp"))
    assert len(connected.pop("client_id")) == 36
    assert connected == {"type": "connected", "user_id": "developer", "reconnected": False}

    def asked(**message: Any) -> dict[str, Any]:
        answer = client.ask(message)
        moment(answer.pop("timestamp"))
        return answer

    assert asked(type="subscribe", channels=["metrics", "signals"]) == {
        "type": "subscribed",
        "channels": ["metrics", "signals"],
    }
    assert asked(type="get_subscriptions") == {"type": "subscriptions", "channels": ["metrics", "signals"]}
    assert asked(type="ping") == {"type": "pong"}
    # It echoes whatever was asked, known or not.
    assert asked(type="unsubscribe", channels=["metrics", "never"]) == {
        "type": "unsubscribed",
        "channels": ["metrics", "never"],
    }
    assert asked(type="get_subscriptions") == {"type": "subscriptions", "channels": ["signals"]}
    token = asked(type="get_reconnection_token")
    assert (token["type"], token["expires_in"], len(token["token"])) == ("reconnection_token", 300, 43)
    assert asked(type="subscribe", channels=[]) == {"type": "subscribed", "channels": []}


def test_the_channels_of_whom_may_not_are_denied_and_the_others_subscribed(desk: Desk) -> None:
    client = desk.client()
    asked = ["status", "logs", "tokens", "connections", "collection:missing", "broadcast", "collection:docs", "tokens"]
    answer = client.ask({"type": "subscribe", "channels": asked})
    assert answer["channels"] == ["status", "tokens", "collection:docs"]
    assert set(answer["denied"]) == {"logs", "connections", "collection:missing", "broadcast"}
    codes = {error["channel"]: error["code"] for error in answer["errors"]}
    assert codes == {
        "logs": "PERMISSION_DENIED",
        "connections": "PERMISSION_DENIED",
        "broadcast": "VALIDATION_ERROR",
        "collection:missing": "COLLECTION_NOT_FOUND",
    }
    for error in answer["errors"]:
        assert error["message"].rstrip(".") in answer["message"]
    assert set(client.ask({"type": "get_subscriptions"})["channels"]) == {"status", "tokens", "collection:docs"}


def test_events_have_the_official_fields_and_ours_and_no_type(desk: Desk) -> None:
    client = desk.client("collection:docs", "metrics")
    desk.write("a", n=1)
    event = client.next_event()
    assert event.keys() == {"channel", "timestamp", "event_type", "data", "id", "time"}
    assert event["time"] == event["timestamp"] + "Z"
    moment(event["timestamp"])
    assert (event["channel"], event["event_type"]) == ("collection:docs", "created")
    assert event["data"] == {"id": "a", "version": 1}
    desk.live.bus.publish("metrics", "system_metrics", {"n": 1})
    event = client.next_event()
    assert event.keys() == {"channel", "timestamp", "event_type", "data", "time"}
    assert event["data"] == {"n": 1}


def test_the_server_pings_every_thirty_seconds_whatever_else_it_sends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.05)
    client = desk.client("collection:docs")
    for n in range(3):
        desk.write(f"p{n}")
        while (frame := client.next()).get("type") != "ping":
            assert frame.get("type") in (None, "position")
        assert frame.keys() == {"type", "timestamp"}


def test_a_position_that_moved_without_an_event_is_told_when_nothing_else_is(desk: Desk) -> None:
    at = [desk.live.monotonic()]
    desk.live.monotonic = lambda: at[0]
    client = desk.client()
    answer = client.ask(
        {"type": "subscribe", "channels": ["collection:docs"], "filter": {"path": "colour", "eq": "red"}}
    )
    assert answer["type"] == "subscribed", answer
    first = client.next()
    assert (first["type"], set(first)) == ("position", {"type", "id"})
    desk.write("blue", colour="blue")
    (stream,) = desk.live._streams
    eventually(lambda: stream._has_moved)
    at[0] += 30
    desk.live._look()
    second = client.next()
    assert second["type"] == "position"
    assert second["id"] != first["id"]


# ---------------------------------------------------------------- what is added to it


def test_filters_parts_and_positions_are_heeded(desk: Desk) -> None:
    client = desk.client()
    given = {"type": "subscribe", "channels": ["collection:docs"], "include": ["payload"]}
    client.ask({**given, "filter": {"path": "colour", "eq": "red"}})
    desk.write("a", colour="red")
    desk.write("b", colour="blue")
    desk.served.engine.write(DOCS, [Delete(id="b")])
    desk.live.wrote(DOCS)
    first, second = client.next_event(), client.next_event()
    assert first["data"] == {
        "id": "a",
        "version": 1,
        "matches": True,
        "point": {"version": 1, "payload": {"colour": "red"}},
    }
    assert (second["event_type"], second["data"]["id"]) == ("deleted", "b")
    late = desk.client()
    answer = late.ask({**given, "since": first["id"], "filter": '{"path": "colour", "eq": "blue"}'})
    assert answer["type"] == "subscribed"
    assert late.next_event()["data"]["id"] == "b"
    oldest = desk.client()
    oldest.ask({"type": "subscribe", "channels": ["collection:docs"], "since": "oldest", "include": "text,payload"})
    assert [oldest.next_event()["data"]["id"] for _ in range(3)] == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"filter": {"path": "a"}}, "filter"),
        ({"filter": "{"}, "filter"),
        ({"filter": 3}, "filter"),
        ({"filter": "\ud800"}, "JSON"),
        ({"include": ["vector"]}, "vector"),
        ({"include": 3}, "include"),
        ({"since": 3}, "since"),
        ({"channels": "metrics"}, "channels"),
        ({"channels": [3]}, "channels.0"),
        ({"channels": None}, "channels"),
        ({"channels": {"a": "b"}}, "channels"),
        ({"filter": {"path": "a", "eq": "x" * websocket.MAX_FILTER_CHARACTERS}}, "filter"),
    ],
)
def test_a_malformed_subscription_changes_nothing(desk: Desk, more: dict[str, Any], word: str) -> None:
    client = desk.client("metrics")
    answer = client.ask({"type": "subscribe", "channels": ["collection:docs"], **more})
    assert answer["type"] == "error"
    assert word in answer["message"]
    assert client.ask({"type": "get_subscriptions"})["channels"] == ["metrics"]


def test_a_position_that_is_none_is_a_reason(desk: Desk) -> None:
    client = desk.client()
    answer = client.ask({"type": "subscribe", "channels": ["collection:docs", "tokens"], "since": "nonsense"})
    assert answer["channels"] == []
    assert answer["denied"] == ["collection:docs", "tokens"]
    assert "since" in answer["message"]


def test_no_event_comes_between_a_request_and_its_answer(desk: Desk) -> None:
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            desk.live.bus.publish("metrics", "m", {"n": (n := n + 1)})

    writer = threading.Thread(target=write)
    client = desk.client("signals")
    writer.start()
    try:
        client.send({"type": "subscribe", "channels": ["metrics"]})
        assert client.next()["type"] == "subscribed"
        assert client.next_event()["channel"] == "metrics"
    finally:
        stop.set()
        writer.join()


def test_a_slow_reader_is_told_what_it_missed(desk: Desk) -> None:
    client = desk.client("metrics", buffer_bytes=4096)
    text = "x" * 50_000
    for n in range(600):
        desk.live.bus.publish("metrics", "m", {"n": n, "text": text})
    seen, dropped = 0, 0
    while seen + dropped < 600:
        frame = client.next()
        seen += "type" not in frame
        if frame.get("type") == "dropped":
            assert frame["channel"] == "metrics"
            dropped += frame["count"]
    assert dropped > 0
    assert seen + dropped == 600


def test_a_dropped_collection_ends_the_connection_and_says_so(desk: Desk) -> None:
    client = desk.client("collection:docs", "metrics")
    desk.served.services.catalog.drop(desk.call, "docs")
    while (frame := client.next()).get("type") != "end":
        assert frame["type"] == "position"
    assert (frame["code"], frame["reconnect"]) == ("COLLECTION_NOT_FOUND", False)
    assert frame["details"] == {"collection": "docs"}
    assert client.end() == (1000, "COLLECTION_NOT_FOUND")


# ---------------------------------------------------------------- credentials


def test_credentials_come_in_many_ways(desk: Desk) -> None:
    key = desk.key().secret
    with desk.served.client(desk.token) as http:
        ticket = http.post("/api/v1/events/ticket").json()["ticket"]
    for query, headers in (
        (f"?token={desk.token}", {}),
        (f"?token={key}", {}),
        ("", {"X_API_Key": key}),
        ("", {"Authorization": f"bearer {key}"}),
        (f"?ticket={ticket}", {}),
        ("", {"Sec_WebSocket_Protocol": f"vectrograph, bearer.{desk.token}"}),
    ):
        client = desk.socket(query, credential=None, **headers)
        assert client.next()["user_id"] == "developer", (query, headers)
        agreed = client.headers.get("sec-websocket-protocol")
        assert agreed == ("vectrograph" if "Sec_WebSocket_Protocol" in headers else None)
    assert desk.socket(f"?ticket={ticket}", credential=None).error["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize("query", ["?token=nonsense", "?ticket=nonsense", "?reconnection_token=nonsense", "?token="])
def test_bad_credentials_are_401_before_anything_is_accepted(new_desk: NewDesk, query: str) -> None:
    desk = new_desk()
    desk.served.services.development.end("a test")
    client = desk.socket(query, credential=None)
    assert client.status == 401
    assert client.headers["www-authenticate"] == "Bearer"
    assert client.error["code"] in ("INVALID_TOKEN", "AUTHENTICATION_REQUIRED")
    assert desk.live.count == 0


def test_nobody_gets_metrics_and_status_in_development_mode_and_nothing_elsewhere(desk: Desk) -> None:
    nobody = desk.socket(credential=None)
    assert nobody.next()["user_id"] is None
    answer = nobody.ask({"type": "subscribe", "channels": ["metrics", "status", "tokens", "signals"]})
    assert (answer["channels"], answer["denied"]) == (["metrics", "status"], ["tokens", "signals"])
    assert nobody.next_event()["event_type"] == "status.healthy"
    desk.served.services.development.end("a test")
    while (frame := nobody.next()).get("type") != "end":
        continue
    assert frame["code"] == "AUTHENTICATION_REQUIRED"
    assert nobody.end() == (1008, "AUTHENTICATION_REQUIRED")
    assert desk.socket(credential=None).status == 401


def test_the_first_real_account_ends_connections_without_credentials(desk: Desk) -> None:
    """It ends development mode in the transaction that makes it."""
    nobody = desk.client("status", credential=None)
    with desk.served.client(desk.served.login("admin")) as http:
        body = {"username": "real", "password": "a phrase of its own", "role": "viewer"}
        assert http.post("/api/v1/users", json=body).status_code == 201
    while (frame := nobody.next()).get("type") != "end":
        continue
    assert frame["code"] == "AUTHENTICATION_REQUIRED"


def test_a_plain_request_is_told_how_to_ask(desk: Desk) -> None:
    with desk.served.client() as http:
        assert http.get("/ws").status_code == 401
    with desk.served.client(desk.token) as http:
        answer = http.get("/ws")
        assert (answer.status_code, answer.json()["error"]["code"]) == (426, "UPGRADE_REQUIRED")
        assert answer.headers["upgrade"] == "websocket"
        assert http.post("/ws").status_code == 405


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("", True),
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1:8443", True),
        ("http://[::1]:3000", True),
        ("https://app.example", True),
        ("https://evil.example", False),
        ("https://app.example.evil.example", False),
        ("http://app.example", False),
        ("http://localhost.evil.example", False),
        ("http://evil.example#localhost", False),
        ("http://evil@localhost", False),
        ("null", False),
        ("file://", False),
        ("localhost", False),
    ],
)
def test_only_pages_of_this_server_and_of_named_origins_may_open_one(desk: Desk, origin: str, may: bool) -> None:
    app = build_http_app(
        desk.served.services,
        allowed_hosts=["localhost", "127.0.0.1", "::1"],
        version="1",
        cors_origins=["https://app.example"],
    )
    with listening(app) as port, WebSocket(port, f"/ws?token={desk.token}", Origin=origin) as client:
        assert client.status == (101 if may else 403)
        assert may or client.error["code"] == "ORIGIN_NOT_ALLOWED"


def test_pages_of_all_origins_may_where_the_setting_says_so(desk: Desk) -> None:
    """As over REST, where the same setting is for ordinary requests."""
    app = build_http_app(desk.served.services, allowed_hosts=["localhost"], version="1", cors_origins=["*"])
    with listening(app) as port, WebSocket(port, Origin="https://any.example") as client:
        assert client.status == 101


def test_a_revoked_key_ends_its_connection_at_once_and_those_of_others_go_on(desk: Desk) -> None:
    key = desk.key()
    revoked, other = desk.client("collection:docs", credential=key.secret), desk.client("collection:docs")
    desk.served.services.keys.revoke(desk.call, key.record.key_id)
    desk.write("a")
    while (frame := revoked.next()).get("type") != "end":
        assert "event_type" not in frame
    assert (frame["code"], frame["reconnect"]) == ("INVALID_API_KEY", False)
    assert revoked.end() == (1008, "INVALID_API_KEY")
    assert other.next_event()["data"]["id"] == "a"


def test_a_reader_that_takes_nothing_is_cut_soon_after_its_key_was_revoked(desk: Desk) -> None:
    key = desk.key()
    client = desk.client(credential=key.secret, buffer_bytes=4096)
    client.ask({"type": "subscribe", "channels": ["collection:docs"], "include": ["payload"]})
    fill(desk)
    desk.served.services.keys.revoke(desk.call, key.record.key_id)
    eventually(lambda: desk.live.count == 0)
    assert client.end() is None


# ---------------------------------------------------------------- going on with a connection


def test_a_reconnection_token_restores_channels_and_positions_once(desk: Desk) -> None:
    before = desk.client("metrics", "signals")
    before.ask(
        {
            "type": "subscribe",
            "channels": ["collection:docs"],
            "filter": {"path": "colour", "eq": "red"},
            "include": ["payload"],
        }
    )
    before.ask({"type": "unsubscribe", "channels": ["signals"]})
    desk.write("seen", colour="red")
    assert before.next_event()["data"]["id"] == "seen"
    token = before.ask({"type": "get_reconnection_token"})["token"]
    before.close()
    desk.write("missed", colour="red")
    desk.write("other", colour="blue")
    after = desk.socket(f"?reconnection_token={token}", credential=None)
    connected = after.next()
    assert (connected["user_id"], connected["reconnected"]) == ("developer", True)
    assert set(connected["channels"]) == {"metrics", "collection:docs"}
    event = after.next_event()
    assert (event["data"]["id"], event["data"]["point"]["payload"]) == ("missed", {"colour": "red"})
    desk.write("last", colour="red")
    assert after.next_event()["data"]["id"] == "last"
    again = desk.socket(f"?reconnection_token={token}", credential=None)
    assert (again.status, again.error["code"]) == (401, "INVALID_TOKEN")


def test_a_client_that_knows_more_than_its_token_says_so(desk: Desk) -> None:
    before = desk.client("collection:docs")
    token = before.ask({"type": "get_reconnection_token"})["token"]
    desk.write("a", "b")
    seen = before.next_event()
    assert seen["data"]["id"] == "a"
    before.close()
    after = desk.socket(f"?reconnection_token={token}&since={seen['id']}", credential=None)
    assert after.next()["reconnected"] is True
    assert after.next_event()["data"]["id"] == "b"


def test_a_new_token_replaces_the_one_before(desk: Desk) -> None:
    client = desk.client()
    first, second = (client.ask({"type": "get_reconnection_token"})["token"] for _ in range(2))
    assert desk.socket(f"?reconnection_token={first}", credential=None).status == 401
    assert desk.socket(f"?reconnection_token={second}", credential=None).status == 101


def test_a_token_ends_with_time_and_with_its_credential(desk: Desk) -> None:
    at = [desk.live.monotonic()]
    desk.live.monotonic = lambda: at[0]
    key = desk.key()
    tokens = []
    for _ in range(3):
        client = desk.client("metrics", credential=key.secret)
        tokens.append(client.ask({"type": "get_reconnection_token"})["token"])
    at[0] += RESUMPTION_SECONDS - 1
    assert desk.socket(f"?reconnection_token={tokens[0]}", credential=None).status == 101
    desk.served.services.keys.revoke(desk.call, key.record.key_id)
    assert desk.socket(f"?reconnection_token={tokens[1]}", credential=None).error["code"] == "INVALID_API_KEY"
    at[0] += 1
    late = desk.socket(f"?reconnection_token={tokens[2]}", credential=None)
    assert late.error["code"] == "INVALID_TOKEN"
    assert len(desk.live.resumptions) == 0


def test_new_credentials_of_the_same_account_take_over_what_old_ones_left(desk: Desk) -> None:
    key = desk.key()
    client = desk.client("metrics", credential=key.secret)
    mine, stolen = client.ask({"type": "get_reconnection_token"})["token"], ""
    desk.served.services.keys.revoke(desk.call, key.record.key_id)
    connected = desk.socket(f"?reconnection_token={mine}").next()
    assert (connected["reconnected"], connected["channels"]) == (True, ["metrics"])
    other = desk.served.login("admin")
    key = desk.key()
    stolen = desk.client("metrics", credential=key.secret).ask({"type": "get_reconnection_token"})["token"]
    desk.served.services.keys.revoke(desk.call, key.record.key_id)
    connected = desk.socket(f"?reconnection_token={stolen}", credential=other).next()
    assert (connected["reconnected"], connected["user_id"]) == (False, "admin")
    assert "channels" not in connected


def test_a_token_that_is_no_more_is_a_fresh_start_with_other_credentials(desk: Desk) -> None:
    connected = desk.socket("?reconnection_token=long-gone").next()
    assert (connected["reconnected"], connected["user_id"]) == (False, "developer")


def test_channels_that_are_no_more_are_told_at_the_reconnection(desk: Desk) -> None:
    client = desk.client("collection:docs", "metrics")
    token = client.ask({"type": "get_reconnection_token"})["token"]
    client.close()
    desk.served.services.catalog.drop(desk.call, "docs")
    connected = desk.socket(f"?reconnection_token={token}").next()
    assert (connected["channels"], connected["denied"]) == (["metrics"], ["collection:docs"])
    assert connected["errors"][0]["code"] == "COLLECTION_NOT_FOUND"


def test_tokens_of_an_account_are_bounded(desk: Desk) -> None:
    desk.live._live_limits = LiveLimits(per_account=1_000)
    clients = [desk.client() for _ in range(3)]
    for number in range(MAX_RESUMPTIONS_OF_ACCOUNT - 2):
        desk.live.resumptions.issue("developer", number)  # type: ignore[arg-type]
    for client in clients[:2]:
        assert client.ask({"type": "get_reconnection_token"})["type"] == "reconnection_token"
    answer = clients[2].ask({"type": "get_reconnection_token"})
    assert (answer["type"], answer["code"]) == ("error", "RATE_LIMIT_EXCEEDED")
    # One that replaces its own is no more than there were.
    assert clients[0].ask({"type": "get_reconnection_token"})["type"] == "reconnection_token"


# ---------------------------------------------------------------- clients that behave badly


MALFORMED = [
    "",
    " ",
    "{",
    "null",
    "3",
    '"subscribe"',
    "[]",
    "{}",
    '{"type":null}',
    '{"type":3}',
    '{"type":["subscribe"]}',
    '{"type":"nothing"}',
    '{"type":"' + "x" * 60_000 + '"}',
    '{"type":"subscribe"}',
    '{"type":"subscribe","channels":3}',
    "[" * 60_000,
    '{"type":"ping","x":' + "[" * 30_000 + "]" * 30_000 + "}",
    '{"type":"ping","x":[' + "{}," * 15_000 + "{}]}",
    '{"type":"ping"}garbage',
    "\x00",
    '{"type":"\\ud800"}',
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:30])
def test_a_malformed_message_is_an_error_and_the_connection_stays(desk: Desk, text: str) -> None:
    client = desk.client()
    answer = client.ask(text)
    assert answer["type"] == "error"
    assert answer["code"] in ("VALIDATION_ERROR", "REQUEST_TOO_LARGE")
    assert len(json.dumps(answer)) < 2_000
    assert client.ask({"type": "ping"})["type"] == "pong"


def test_a_binary_frame_is_an_error_and_the_connection_stays(desk: Desk) -> None:
    """At the official server the connection stayed open and said nothing any more."""
    client = desk.client()
    for payload in (b"", b"\0\1\2", b'{"type":"ping"}', b"x" * MAX_MESSAGE_BYTES):
        client.send_bytes(frame_of(payload, BINARY))
        answer = client.next()
        assert (answer["type"], "binary" in answer["message"]) == ("error", True)
    assert client.ask({"type": "ping"})["type"] == "pong"


def test_a_message_that_is_too_large_closes_the_connection(desk: Desk) -> None:
    client = desk.client()
    client.send({"type": "ping", "x": "x" * MAX_MESSAGE_BYTES})
    closed = client.end()
    assert closed is not None
    assert closed[0] == 1009
    eventually(lambda: desk.live.count == 0)


@pytest.fixture
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing flow back into the buckets of messages, however long a test takes."""
    monkeypatch.setattr(websocket, "MessageRates", lambda _: MessageRates(lambda: 0.0))


@pytest.mark.usefixtures("time_stands_still")
def test_the_rates_are_the_official_ones(desk: Desk) -> None:
    client = desk.client()
    for kind, (burst, per_second) in RATES.items():
        more: dict[str, Any] = {"channels": []} if "subscribe" in kind else {}
        answers = [client.ask({"type": kind, **more}) for _ in range(burst)]
        assert {answer["type"] for answer in answers} & {"error"} == set() or kind == "get_reconnection_token"
        refused = client.ask({"type": kind, **more})
        assert refused["type"] == "error"
        if kind != "get_reconnection_token":
            assert kind in refused["message"]
            assert 0 < refused["retry_after"] <= 1 / per_second


@pytest.mark.usefixtures("time_stands_still")
def test_types_that_nobody_knows_share_a_bucket(desk: Desk) -> None:
    """At the official server each name made a new one."""
    client = desk.client()
    answers = [client.ask({"type": f"type{n}"}) for n in range(100)]
    refused = [answer for answer in answers if "retry_after" in answer]
    assert len(refused) == 20
    assert "retry_after" in client.ask("malformed")
    assert client.ask({"type": "ping"})["type"] == "pong"


def test_ten_thousand_channels_are_refused(desk: Desk) -> None:
    client = desk.client("metrics")
    for start in (0, 5_000):
        names = [f"c{n}" for n in range(start, start + 5_000)]
        answer = client.ask({"type": "subscribe", "channels": names})
        assert (answer["type"], str(MAX_CHANNELS) in answer["message"]) == ("error", True)
    assert client.ask({"type": "get_subscriptions"})["channels"] == ["metrics"]


def test_a_connection_has_so_many_channels_however_they_come(desk: Desk) -> None:
    for n in range(MAX_CHANNELS + 3):
        desk.served.services.catalog.create(desk.call, f"c{n}", DIMENSION, "cosine")
    client = desk.client("metrics")
    first = client.ask({"type": "subscribe", "channels": [f"collection:c{n}" for n in range(40)]})
    assert len(first["channels"]) == 40
    second = client.ask({"type": "subscribe", "channels": [f"collection:c{n}" for n in range(40, MAX_CHANNELS + 3)]})
    assert len(second["channels"]) == MAX_CHANNELS - 41
    assert len(second["denied"]) == 4
    assert str(MAX_CHANNELS) in second["message"]
    assert len(client.ask({"type": "get_subscriptions"})["channels"]) == MAX_CHANNELS


def test_filters_of_a_connection_are_bounded_together(desk: Desk) -> None:
    for n in range(3):
        desk.served.services.catalog.create(desk.call, f"c{n}", DIMENSION, "cosine")
    client = desk.client()

    def subscribe(name: str, size: int) -> dict[str, Any]:
        condition = {"path": "a", "eq": "x" * size}
        return client.ask({"type": "subscribe", "channels": [f"collection:{name}"], "filter": condition})

    assert subscribe("c0", 9_000)["type"] == "subscribed"
    assert subscribe("c1", 9_000)["code"] == "REQUEST_TOO_LARGE"
    assert subscribe("c0", 9_000)["type"] == "subscribed", "it replaces the one before"
    client.ask({"type": "unsubscribe", "channels": ["collection:c0"]})
    assert subscribe("c1", 9_000)["type"] == "subscribed"


@pytest.mark.usefixtures("time_stands_still")
def test_a_flood_of_messages_is_answered_slowly_in_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest waits in the sockets; other connections are answered as before."""
    monkeypatch.setattr("vectrograph.live.message_rates.PAUSE_SECONDS", 1e6)
    flood, other = desk.client(), desk.client()
    for _ in range(10):
        flood.send_bytes(frame_of(b'{"type":"nothing"}') * 1_000)
    answered = 80 + FREE_REFUSALS + 1
    for _ in range(answered):
        assert flood.next()["type"] == "error"
    assert other.ask({"type": "ping"})["type"] == "pong"
    assert flood.rest_until_silence() == b""


def test_connections_are_limited_and_refused_before_they_are_accepted(desk: Desk) -> None:
    desk.live._live_limits = LiveLimits(in_all=6, per_account=2, per_address=4)
    clients = [desk.client() for _ in range(2)]
    refused = desk.socket()
    assert (refused.status, refused.error["details"]["setting"]) == (429, "max_live_streams_per_account")
    assert int(refused.headers["retry-after"]) >= 1
    nobodies = [desk.socket(credential=None) for _ in range(2)]
    assert [client.status for client in nobodies] == [101, 101]
    assert desk.socket(credential=None).error["details"]["setting"] == "max_live_streams_per_address"
    clients[0].close()
    eventually(lambda: desk.live.count == 3)
    desk.client()


def test_where_no_more_fit_in_nobody_is_asked_who_it_is(desk: Desk) -> None:
    """A burst of handshakes costs little more than the answers."""
    desk.live._live_limits = LiveLimits(in_all=1)
    with desk.client():
        refused = desk.socket(credential="nonsense")
        assert (refused.status, refused.error["details"]["setting"]) == (429, "max_live_streams")
    eventually(lambda: desk.live.count == 0)
    assert desk.socket(credential="nonsense").status == 401


def test_a_handshake_is_refused_where_too_many_requests_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "is_full", lambda _, workload: workload is Workload.THREADED)
    refused = desk.socket()
    assert (refused.status, refused.error["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert int(refused.headers["retry-after"]) >= 1
    monkeypatch.undo()
    assert desk.socket().status == 101


def test_a_rate_of_an_address_and_of_an_account_holds_for_handshakes(new_desk: NewDesk) -> None:
    desk = new_desk(rate_limits=RateLimits(address=3))
    statuses = [desk.socket(credential="nonsense").status for _ in range(5)]
    assert statuses[:1] == [401]
    assert 429 in statuses
    desk = new_desk(rate_limits=RateLimits(identity=3))
    statuses = [desk.socket().status for _ in range(6)]
    assert statuses[:1] == [101]
    assert 429 in statuses


def test_a_connection_takes_no_thread_and_no_turn(desk: Desk) -> None:
    desk.client("collection:docs")
    desk.write("a")
    before = threading.active_count()
    desk.live._live_limits = LiveLimits(per_account=200)
    clients = [desk.client("collection:docs") for _ in range(100)]
    desk.write("b")
    for client in clients:
        assert client.next_event()["data"]["id"] == "b"
    assert threading.active_count() <= before + 8, "worker threads, two for logs, two for streams"


def test_a_reader_that_does_not_read_costs_the_server_one_chunk(desk: Desk) -> None:
    slow, fast = desk.client(buffer_bytes=4096), desk.client("collection:docs")
    slow.ask({"type": "subscribe", "channels": ["collection:docs"], "include": ["payload"]})
    number = fill(desk)
    ids = [f"p{n}" for n in range(number)]
    assert [fast.next_event()["data"]["id"] for _ in range(number)] == ids
    (stream,) = [each for each in desk.live._streams if each._logs[0].parts.payload]
    assert stream._logs[0].cursor.seq < number
    assert len(stream._frames) <= 1
    # Its messages are answered when it reads again.
    slow.send({"type": "ping"})
    seen: list[str] = []
    has_pong = False
    while len(seen) < number or not has_pong:
        frame = slow.next()
        has_pong = has_pong or frame.get("type") == "pong"
        if "event_type" in frame:
            seen.append(frame["data"]["id"])
    assert seen == ids


def test_a_reader_that_takes_nothing_is_closed_after_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocketConnection, "look_seconds", 0.05)
    monkeypatch.setattr(WebSocketConnection, "stall_seconds", 0.3)
    client = desk.client(buffer_bytes=4096)
    client.ask({"type": "subscribe", "channels": ["collection:docs"], "include": ["payload"]})
    other = desk.client("collection:docs")
    number = fill(desk)
    eventually(lambda: desk.live.count == 1, "it was not closed")
    assert [other.next_event()["data"]["id"] for _ in range(number)] == [f"p{n}" for n in range(number)]


# ---------------------------------------------------------------- the end, and the log


def test_stopping_tells_everybody_to_come_back(desk: Desk) -> None:
    clients = [desk.client("status"), desk.client("collection:docs"), desk.client()]
    desk.live.close()
    for client in clients:
        events = []
        while (frame := client.next()).get("type") != "end":
            events.append(frame.get("event_type"))
        assert (frame["code"], frame["reconnect"]) == ("SERVER_STOPPING", True)
        assert client.end() == (1012, "SERVER_STOPPING")
        if client is clients[0]:
            assert events[-1] == "status.stopping"
    late = desk.socket()
    assert (late.status, late.error["code"]) == (503, "SERVICE_UNAVAILABLE")


def test_a_request_that_is_under_way_holds_up_no_end(desk: Desk) -> None:
    """No thread may be left to work on it."""
    client = desk.client()
    begun, go = threading.Event(), threading.Event()
    subscribe = next(iter(desk.live._streams)).subscribe

    def slow(*given: Any, **named: Any) -> None:
        begun.set()
        go.wait()
        subscribe(*given, **named)

    next(iter(desk.live._streams)).subscribe = slow  # type: ignore[method-assign]
    client.send({"type": "subscribe", "channels": ["metrics"]})
    assert begun.wait(30)
    desk.live.close()
    while client.next()["type"] != "end":
        continue
    assert client.end() == (1012, "SERVER_STOPPING")
    go.set()


def test_the_log_has_one_line_without_the_query(desk: Desk, log_lines: list[Any]) -> None:
    desk.served.services.traffic.watch("default", 1)
    secret = desk.key().secret
    client = desk.socket("?token=another-secret", credential=None, Sec_WebSocket_Protocol=f"bearer.{secret}")
    client.next()
    client.ask({"type": "subscribe", "channels": ["metrics"]})
    client.close()
    eventually(lambda: desk.live.count == 0)
    (line,) = [line for line in log_lines if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/ws", 101)
    assert line["log_level"] == "debug"
    assert secret not in repr(log_lines)
    assert "another-secret" not in repr(log_lines)
    counts = desk.served.services.traffic.of("default")
    assert (counts.requests, counts.failed, counts.broken) == (1, 0, 0)


def test_a_refused_handshake_leaves_a_line_of_its_own(desk: Desk, log_lines: list[Any]) -> None:
    assert desk.socket("?token=secret-of-nobody", credential=None).status == 401
    (line,) = [line for line in log_lines if line["event"] == "request"]
    assert (line["route"], line["status"], line["log_level"]) == ("/ws", 401, "info")
    assert "secret-of-nobody" not in repr(log_lines)


def test_connections_are_told_to_administrators(desk: Desk) -> None:
    admin = desk.client("connections", credential=desk.served.login("admin"))
    other = desk.socket()
    client_id = other.next()["client_id"]
    told = admin.next_event()
    assert told["event_type"] == "client.connected"
    assert told["data"] == {
        "client_id": client_id,
        "user_id": "developer",
        "total_connections": 2,
        "transport": "websocket",
    }
    other.close()
    assert admin.next_event()["event_type"] == "client.disconnected"


def test_every_event_of_a_batch_is_written_once_for_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    before = frames.WebSocketWire.event

    def counted(self: Any, event: Any) -> bytes:
        written.append(event)
        return before(self, event)

    monkeypatch.setattr(frames.WebSocketWire, "event", counted)
    clients = [desk.client("collection:docs") for _ in range(10)]
    desk.served.engine.write(DOCS, [Put(id=f"p{n}", vector=np.ones(DIMENSION, np.float32)) for n in range(20)])
    desk.live.wrote(DOCS)
    for client in clients:
        for n in range(20):
            assert client.next_event()["data"]["id"] == f"p{n}"
    assert len(written) == 20
