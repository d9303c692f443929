"""`GET /api/v1/events` over real sockets: its form, its place among the other routes, and readers that do not read."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from event_socket import PATIENCE, EventSocket
from rest.serving import DIMENSION, LIMITS, Served, Start, listening

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import PositionExpired
from vectrograph.domain.limits import LiveLimits
from vectrograph.domain.points import Delete, Put
from vectrograph.http import stalls, timeouts
from vectrograph.http.timeouts import TimedHttpProtocol
from vectrograph.http_app import build_http_app
from vectrograph.services.call import Call
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.live.tails import RING_BYTES

DOCS = CollectionRef("default", "docs")


class Site:
    """A server with a collection, an account, and readers that are closed at the end."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.live = served.services.live
        self.token = served.login("developer")
        self.call = Call(served.services.sessions.authenticate(self.token), "r")
        served.services.catalog.create(self.call, "docs", DIMENSION, "cosine")
        self.readers: list[EventSocket] = []

    def write(self, *ids: str, **payload: Any) -> None:
        points = [Put(id=each, vector=np.ones(DIMENSION, np.float32), payload=payload) for each in ids]
        self.served.services.points.upsert(self.call, "docs", points[:20])
        for start in range(20, len(points), 20):
            self.served.services.points.upsert(self.call, "docs", points[start : start + 20])

    def reader(
        self, channels: str = "collection:docs", *, credential: str | None = "", headers: Any = None, **query: Any
    ) -> EventSocket:
        buffer_bytes, method = query.pop("buffer_bytes", 0), query.pop("method", "GET")
        reader = EventSocket(
            self.served.port,
            {"channels": channels, **query},
            self.token if credential == "" else credential,
            headers or {},
            buffer_bytes,
            method,
        )
        self.readers.append(reader)
        return reader


NewSite = Callable[..., Site]


@pytest.fixture
def new_site(start: Start) -> Iterator[NewSite]:
    """Make sites whose readers are closed at the end."""
    sites: list[Site] = []

    def make(**given: Any) -> Site:
        sites.append(Site(start(**given)))
        return sites[-1]

    yield make
    for site in sites:
        for reader in site.readers:
            reader.close()


@pytest.fixture
def site(new_site: NewSite) -> Site:
    return new_site()


def eventually(holds: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def test_the_form_of_the_answer(site: Site) -> None:
    reader = site.reader(include="payload,text")
    assert reader.status == 200
    headers = reader.answer_headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    first = reader.next()
    assert first is not None
    assert (first.retry, first.event, first.data, bool(first.id)) == (2000, "", None, True)
    site.write("a", n=1)
    event = reader.next()
    assert event is not None
    assert (event.event, event.retry) == ("", None)
    assert event.id not in (None, first.id)
    at = event.data.pop("time")
    assert event.data == {
        "channel": "collection:docs",
        "type": "created",
        "data": {"id": "a", "version": 1, "point": {"version": 1, "payload": {"n": 1}, "text": None}},
    }
    assert len(at) == len("2026-12-01T12:00:00.123456Z")
    assert at.endswith("Z")


def test_control_frames_have_no_id_and_events_no_type_of_their_own(site: Site) -> None:
    reader = site.reader("collection:docs,collections,status")
    site.write("a")
    site.live.bus.publish("status", "status.up", {"n": 1})
    site.served.services.catalog.drop(site.call, "docs")
    site.live.close()
    assert reader.read_end()["code"] in ("COLLECTION_NOT_FOUND", "SERVER_STOPPING")
    for frame in reader.frames:
        is_control = frame.event != ""
        assert not (is_control and frame.id is not None)
        if not is_control and frame.data is not None:
            is_of_a_log = frame.data["channel"] == "collection:docs"
            assert (frame.id is not None) is is_of_a_log


def test_a_stream_without_logs_has_no_ids(site: Site) -> None:
    reader = site.reader("metrics")
    first = reader.next()
    assert first is not None
    assert (first.retry, first.id) == (2000, None)
    site.live.bus.publish("metrics", "m", {"n": 1})
    event = reader.next()
    assert event is not None
    assert (event.id, event.data["data"]) == (None, {"n": 1})


def test_the_header_comes_before_the_query(site: Site) -> None:
    """A browser repeats the address of its first request, with `since` in it, and adds the header."""
    site.write("a", "b", "c")
    whole = site.reader(since="oldest", follow="false")
    whole.read_end()
    assert whole.ids == ["a", "b", "c"]
    ids = [frame.id for frame in whole.frames if frame.id and frame.data]
    again = site.reader(since="oldest", follow="false", headers={"Last-Event-ID": ids[1]})
    again.read_end()
    assert again.ids == ["c"]
    only = site.reader(since=ids[0], follow="false", headers={"Last-Event-ID": ""})
    only.read_end()
    assert only.ids == ["b", "c"]


def test_an_answer_that_does_not_follow_ends_with_what_there_is(site: Site) -> None:
    site.write(*(f"p{n}" for n in range(700)))
    reader = site.reader(since="oldest", follow="false")
    end = reader.read_end()
    assert end == {"code": "END_OF_LOG", "message": "Everything that had happened was sent.", "reconnect": False}
    assert reader.ids == [f"p{n}" for n in range(700)]
    both = site.reader("metrics,collection:docs", since=reader.last_id, follow="false")
    both.read_end()
    assert both.ids == []
    filtered = site.reader(since="oldest", follow="false", filter='{"path": "n", "eq": 1}')
    filtered.read_end()
    assert filtered.ids == []


def test_filters_and_parts_are_heeded(site: Site) -> None:
    reader = site.reader(filter='{"path": "colour", "eq": "red"}', include="payload")
    site.write("a", colour="red")
    site.write("b", colour="blue")
    site.write("a", colour="blue")
    site.served.engine.write(DOCS, [Delete(id="b")])
    site.live.wrote(DOCS)
    site.write("c", colour="red")
    while "c" not in reader.ids:
        reader.next()
    told = [(e["type"], e["data"]["id"], e["data"].get("matches")) for e in reader.events]
    assert [each for each in told if each != ("created", "a", True)] == [
        ("updated", "a", False),
        ("deleted", "b", None),
        ("created", "c", True),
    ]
    assert reader.events[-1]["data"]["point"] == {"version": 5, "payload": {"colour": "red"}}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"channels": "collection:nothing"}, 404, "COLLECTION_NOT_FOUND"),
        ({"channels": ""}, 422, "VALIDATION_ERROR"),
        ({"channels": "nonsense"}, 422, "VALIDATION_ERROR"),
        ({"channels": "collection:tokens"}, 422, "VALIDATION_ERROR"),
        ({"channels": "[1]"}, 422, "VALIDATION_ERROR"),
        ({"channels": "["}, 422, "VALIDATION_ERROR"),
        ({"channels": "connections"}, 403, "PERMISSION_DENIED"),
        ({"channels": "collection:docs", "filter": "{"}, 422, "VALIDATION_ERROR"),
        ({"channels": "collection:docs", "filter": '{"path": "a"}'}, 422, "VALIDATION_ERROR"),
        ({"channels": "status", "filter": '{"path": "a", "eq": 1}'}, 422, "VALIDATION_ERROR"),
        ({"channels": "collection:docs", "include": "vector"}, 422, "VALIDATION_ERROR"),
        ({"channels": "collection:docs", "since": "nonsense"}, 422, "VALIDATION_ERROR"),
        ({"channels": "collection:docs", "follow": "perhaps"}, 422, "VALIDATION_ERROR"),
        ({"channels": ",".join(f"collection:{n}" for n in range(65))}, 422, "VALIDATION_ERROR"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_stream_begins(
    site: Site, query: dict[str, str], status: int, code: str
) -> None:
    given = dict(query)
    reader = site.reader(given.pop("channels"), **given)
    assert (reader.status, reader.error["code"]) == (status, code)
    assert reader.answer_headers["content-type"] == "application/json"
    eventually(lambda: site.live.count == 0)


def test_a_missing_parameter_is_named(site: Site) -> None:
    with site.served.client(site.token) as client:
        answer = client.get("/api/v1/events")
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["errors"][0]["field"] == "channels"


def test_credentials_are_needed(site: Site) -> None:
    assert site.reader(credential=None).status == 401
    assert site.reader(credential="ng_nonsense").error["code"] == "INVALID_API_KEY"


def test_a_name_with_a_comma(site: Site) -> None:
    site.served.services.catalog.create(site.call, "a,b", DIMENSION, "cosine")
    reader = site.reader(json.dumps(["collection:a,b", "status"]), follow="false")
    assert reader.read_end()["code"] == "END_OF_LOG"


def test_a_position_that_has_left_the_log_is_410_with_the_oldest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write("a", "b", "c")
    engine, changes = site.served.engine, site.served.engine.changes
    after_a = changes(DOCS, limit=1).position
    after_b = changes(DOCS, limit=2).position
    reader = site.reader("collection:docs,tokens")
    reader.next()
    position = reader.last_id
    early = site.reader("collection:docs", since="oldest", follow="false")
    early.read_end()
    first = next(frame.id for frame in early.frames if frame.data and frame.id)

    def forgetful(ref: CollectionRef, since: Any = None, *, limit: int = 1000) -> Any:
        if ref == DOCS and since == after_a:
            raise PositionExpired.of(after_b)
        return changes(ref, since, limit=limit)

    monkeypatch.setattr(engine, "changes", forgetful)
    expired = site.reader("tokens,collection:docs", since=first)
    assert (expired.status, expired.error["code"]) == (410, "POSITION_EXPIRED")
    details = expired.error["details"]
    assert details["channel"] == "collection:docs"
    gone_on = site.reader("tokens,collection:docs", since=details["oldest"], follow="false")
    gone_on.read_end()
    assert gone_on.ids == ["c"]
    assert position


def test_head_tells_the_headers_and_opens_nothing(site: Site) -> None:
    reader = site.reader(method="HEAD")
    assert (reader.status, reader.answer_headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    eventually(lambda: site.live.count == 0)
    assert site.reader("nonsense", method="HEAD").status == 422


def test_a_ticket_opens_one_stream(site: Site) -> None:
    with site.served.client(site.token) as client:
        answer = client.post("/api/v1/events/ticket")
    assert answer.status_code == 201
    ticket = answer.json()
    assert ticket.keys() == {"ticket", "expires_in"}
    assert ticket["expires_in"] == 30
    reader = site.reader(credential=None, ticket=ticket["ticket"])
    site.write("a")
    reader.read(1)
    again = site.reader(credential=None, ticket=ticket["ticket"])
    assert (again.status, again.error["code"]) == (401, "INVALID_TOKEN")
    with site.served.client() as client:
        assert client.get("/api/v1/tokens", params={"ticket": ticket["ticket"]}).status_code == 401


def test_a_ticket_ends_with_its_credential(site: Site) -> None:
    key = site.served.services.keys.create(site.call, "k", None, None)
    with site.served.client(key.secret) as client:
        tickets = [client.post("/api/v1/events/ticket").json()["ticket"] for _ in range(2)]
    reader = site.reader(credential=None, ticket=tickets[0])
    reader.next()
    site.served.services.keys.revoke(site.call, key.record.key_id)
    assert reader.read_end()["code"] == "INVALID_API_KEY"
    assert site.reader(credential=None, ticket=tickets[1]).error["code"] == "INVALID_API_KEY"


def test_a_reader_that_leaves_frees_its_place(site: Site) -> None:
    site.live._live_limits = LiveLimits(per_account=2)
    readers = [site.reader() for _ in range(2)]
    refused = site.reader()
    assert (refused.status, refused.error["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert int(refused.answer_headers["retry-after"]) >= 1
    readers[0].close()
    eventually(lambda: site.live.count == 1)
    assert site.reader().status == 200


def test_a_stream_holds_no_turn_of_the_requests(new_site: NewSite) -> None:
    site = new_site(concurrency=Concurrency(requests=1, streams=1))
    readers = [site.reader() for _ in range(3)]
    with site.served.client(site.token) as client:
        assert client.get("/api/v1/tokens").status_code == 200
    site.write("a")
    for reader in readers:
        reader.read(1)


def test_streams_take_no_threads(site: Site) -> None:
    site.reader().next()
    site.write("a")
    before = threading.active_count()
    site.live._live_limits = LiveLimits(per_account=200)
    readers = [site.reader() for _ in range(100)]
    site.write("b")
    for reader in readers:
        reader.read(1)
    assert threading.active_count() <= before + 8, "worker threads, two for logs, two for streams"


def test_the_log_has_an_opened_stream_as_the_quick_request_that_it_was(site: Site, log_lines: list[Any]) -> None:
    """At once, not when it ends; and a reader that leaves is no broken request."""
    site.served.services.traffic.watch("default", 1)
    reader = site.reader(ticket="a-secret-in-the-query")
    reader.next()
    (line,) = [line for line in log_lines if line["event"] == "request"]
    assert (line["route"], line["status"], line["log_level"]) == ("/api/v1/events", 200, "debug")
    assert line["milliseconds"] < 1000
    reader.close()
    eventually(lambda: site.live.count == 0)
    counts = site.served.services.traffic.of("default")
    assert (counts.requests, counts.failed, counts.broken) == (1, 0, 0)
    assert len([line for line in log_lines if line["event"] == "request"]) == 1
    assert "a-secret" not in repr(log_lines)


def test_stopping_tells_readers_to_come_back(site: Site) -> None:
    readers = [site.reader(), site.reader("status")]
    for reader in readers:
        reader.next()
    site.live.close()
    for reader in readers:
        end = reader.read_end()
        assert (end["code"], end["reconnect"]) == ("SERVER_STOPPING", True)
    late = site.reader()
    assert (late.status, late.error["code"]) == (503, "SERVICE_UNAVAILABLE")


def test_the_connection_serves_the_next_request_after_a_stream(site: Site) -> None:
    """Also when the stream ended long enough ago for its connection to have been cut."""
    reader = site.reader(follow="false", headers={"Connection": "keep-alive"})
    reader.read_end()
    reader._socket.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reader._until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_heartbeats_are_comments(site: Site) -> None:
    at = [site.live.monotonic()]
    site.live.monotonic = lambda: at[0]
    reader = site.reader()
    reader.next()
    for _ in range(2):
        at[0] += 15
        site.live._look()
        beat = reader.next()
        assert beat is not None
        assert (beat.comment, beat.data, beat.id) == ("heartbeat", None, None)


def fill(site: Site, bytes_to_write: int = 8 << 20) -> int:
    """Write more than all buffers between server and reader hold. Return the number of points."""
    text = "x" * 60_000
    number = bytes_to_write // 60_000
    for n in range(number):
        point = Put(id=f"p{n}", vector=np.ones(DIMENSION, np.float32), payload={"text": text})
        site.served.engine.write(DOCS, [point])
        site.live.wrote(DOCS)
    return number


def test_a_reader_that_takes_nothing_is_closed_after_a_while(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedHttpProtocol, "look_seconds", 0.05)
    monkeypatch.setattr(TimedHttpProtocol, "stall_seconds", 0.3)
    site.reader(include="payload", buffer_bytes=4096)
    other = site.reader()
    number = fill(site)
    eventually(lambda: site.live.count == 1, "the stream was not closed")
    assert len(other.read(number)) == number


def test_a_reader_that_takes_little_is_waited_for_and_gets_everything(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far less than the 16 KiB a second that other answers must be taken at, on the clock of this server."""
    monkeypatch.setattr(TimedHttpProtocol, "look_seconds", 0.05)
    monkeypatch.setattr(TimedHttpProtocol, "stall_seconds", 1e9)
    reader = site.reader(include="payload", buffer_bytes=4096)
    reader.next()
    number = fill(site, 4 << 20)
    pause = threading.Event()
    for _ in range(10):
        # Several looks in which little or nothing was taken: an ordinary answer would have been given up.
        pause.wait(0.15)
        reader._more()
    assert [event["data"]["id"] for event in reader.read(number)] == [f"p{n}" for n in range(number)]


def test_a_reader_that_empties_the_buffer_of_the_system_takes_something(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may hold megabytes, so that for minutes nothing leaves the buffer of the server."""
    monkeypatch.setattr(TimedHttpProtocol, "look_seconds", 0.02)
    monkeypatch.setattr(TimedHttpProtocol, "stall_seconds", 0.1)
    looks, is_moving = itertools.count(), threading.Event()
    is_moving.set()
    seen: list[int] = []

    def held(_: Any) -> int:
        seen.append(next(looks) if is_moving.is_set() else -1)
        return seen[-1]

    monkeypatch.setattr(timeouts, "bytes_in_system", held)
    site.reader(include="payload", buffer_bytes=4096)
    fill(site)
    eventually(lambda: len(seen) > 100)
    assert site.live.count == 1
    is_moving.clear()
    eventually(lambda: site.live.count == 0)


def test_the_system_tells_what_it_holds_for_a_reader() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        theirs, _ = listener.accept()
        transport = SimpleNamespace(get_extra_info=lambda _: ours)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        full = stalls.bytes_in_system(cast(Any, transport))
        assert full > 4096
        with theirs:
            taken = 0
            while taken < 65536:
                taken += len(theirs.recv(65536))
            eventually(lambda: stalls.bytes_in_system(cast(Any, transport)) < full)
    assert stalls.bytes_in_system(cast(Any, transport)) == 0
    assert stalls.bytes_in_system(cast(Any, SimpleNamespace(get_extra_info=lambda _: None))) == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_system_gives_up_a_machine_that_has_vanished(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    before = TimedHttpProtocol.begin_stream

    def begin(self: TimedHttpProtocol) -> None:
        before(self)
        connection = self.transport.get_extra_info("socket")
        begun.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    monkeypatch.setattr(TimedHttpProtocol, "begin_stream", begin)
    site.reader().next()
    assert begun == [60_000]


def test_an_ordinary_answer_must_still_be_taken(new_site: NewSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a connection that had a stream before."""
    site = new_site(limits=replace(LIMITS, max_page=1_000))
    monkeypatch.setattr(TimedHttpProtocol, "look_seconds", 0.05)
    monkeypatch.setattr(TimedHttpProtocol, "stall_seconds", 1e9)
    reader = site.reader(follow="false", buffer_bytes=4096)
    reader.read_end()
    fill(site)
    body = json.dumps({"limit": 1000})
    reader._socket.sendall(
        b"POST /v1/collections/docs/points/scroll HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        + site.token.encode()
        + f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    head = reader._until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    threading.Event().wait(0.5)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert len(reader.rest_of_connection()) < length, "the connection was not cut"


def test_a_reader_that_takes_nothing_is_cut_soon_after_its_key_was_revoked(site: Site) -> None:
    key = site.served.services.keys.create(site.call, "k", None, None)
    reader = site.reader(include="payload", buffer_bytes=4096, credential=key.secret)
    fill(site)
    site.served.services.keys.revoke(site.call, key.record.key_id)
    eventually(lambda: site.live.count == 0)
    received = reader.rest_of_connection()
    assert b"INVALID_API_KEY" not in received[-10:]


def test_a_reader_that_does_not_read_costs_the_server_one_chunk(site: Site) -> None:
    """The events that it has missed are read from the log when it reads, in order, each once."""
    slow, fast = site.reader(include="payload", buffer_bytes=4096), site.reader()
    number = fill(site)
    ids = [f"p{n}" for n in range(number)]
    assert [event["data"]["id"] for event in fast.read(number)] == ids
    (stream,) = [each for each in site.live._streams if each._logs[0].parts.payload]
    assert stream._logs[0].cursor.seq < number
    assert len(stream._frames) <= 1
    assert site.live.tails._tails[DOCS].held <= RING_BYTES
    assert [event["data"]["id"] for event in slow.read(number)] == ids


def test_pages_of_named_origins_may_read_and_say_where_they_were(site: Site) -> None:
    app = build_http_app(
        site.served.services, allowed_hosts=["localhost"], version="1", cors_origins=["https://app.example"]
    )
    with listening(app) as port:
        reader = EventSocket(port, {"channels": "collection:docs"}, site.token, {"Origin": "https://app.example"})
        assert reader.answer_headers["access-control-allow-origin"] == "https://app.example"
        site.write("a")
        reader.read(1)
        reader.close()
        eventually(lambda: site.live.count == 0)
