"""Events that are in no log: what they say, who sees them, and what they cost when nobody listens."""

import io
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import structlog
from services.house import DIMENSION, House
from services.live.listening import Reader
from services.live.test_streams import Place, eventually, puts, vector

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import PermissionDenied
from vectrograph.process import logs
from vectrograph.services.call import Call
from vectrograph.services.health import HealthReport, Wellness
from vectrograph.services.live import bus as bus_module
from vectrograph.services.live.bus import QUEUE, BusEvent
from vectrograph.services.live.producers import (
    MAX_CHARACTERS,
    MAX_FIELDS,
    METRICS_SECONDS,
    Metrics,
)
from vectrograph.services.points.token_queries import TokenQuestion
from vectrograph.settings import LogFormat, LogLevel


@pytest.fixture
def place(house: House) -> Iterator[Place]:
    made = Place(house)
    yield made
    for reader in made.readers:
        reader.close()
    made.live.close()


class Counted:
    """Numbers of streams that a test sets."""

    def __init__(self) -> None:
        self.numbers = {"connections": 3, "channels": 4, "subscriptions": 7, "buffered": 5, "sent": 100}

    def counts(self) -> Mapping[str, int]:
        return dict(self.numbers)


class Seconds:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def tenant_of(place: Place, name: str, role: str = "admin") -> Call:
    """Return a call of somebody of another tenant."""
    username = f"{role}-of-{name}"
    place.house.services.users.create(
        place.admin, username=username, password="Correct-horse-7", role=role, tenant=name
    )
    token = place.house.services.sessions.login(username, "Correct-horse-7").access_token
    return place.house.as_bearer(token)


def whole_key(place: Place, call: Call) -> str:
    """Return a key with all scopes that its owner may give away."""
    return place.key(call, *sorted(call.principal.scopes))


def data_of(reader: Reader, number: int = 1) -> list[dict[str, Any]]:
    return [event["data"] for event in reader.read(number)]


def test_producers_make_nothing_while_nobody_listens(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    before = BusEvent.__init__

    def counted(self: BusEvent, *given: Any) -> None:
        made.append(given)
        before(self, *given)

    monkeypatch.setattr(bus_module.BusEvent, "__init__", counted)
    monkeypatch.setattr(place.house.services.health, "check", lambda: pytest.fail("nobody asked"))
    place.reader("collection:docs")
    place.house.services.tokens.create(place.developer, "a text")
    place.house.services.tokens.queries.by_texts(place.developer, ["a text"], TokenQuestion())
    place.house.services.catalog.drop(place.developer, "notes")
    place.live.logs.line("x", "info", {"event": "a line"})
    for _ in range(3):
        place.live._look()
    assert made == []


def test_metrics_are_numbers_of_the_last_seconds(place: Place) -> None:
    seconds, readers = Seconds(), Counted()
    metrics = Metrics(place.live.bus, place.house.services.health, readers, seconds)
    seconds.at += 3600
    assert not metrics.is_due()
    place.house.services.tokens.create(place.developer, "a text")
    reader = place.reader("metrics")
    # An hour without listeners says nothing about now.
    assert not metrics.is_due()
    seconds.at += METRICS_SECONDS - 1
    assert not metrics.is_due()
    seconds.at += 1
    assert metrics.is_due()
    readers.numbers["sent"] += 50
    metrics.publish()
    (event,) = reader.read(1)
    assert (event["channel"], event["type"]) == ("metrics", "system_metrics")
    data = event["data"]
    assert data.pop("cpu_percent") >= 0
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    assert 0.5 * resident < data.pop("memory_mb") < 2 * resident
    assert data == {
        "events_per_sec": 10.0,
        "total_tokens": 1,
        "total_connections": 3,
        "total_channels": 4,
        "total_subscriptions": 7,
        "buffered_events": 5,
    }
    assert not metrics.is_due()


def test_streams_are_counted(place: Place) -> None:
    before = place.live.counts()
    assert before["connections"] == before["channels"] == before["buffered"] == 0
    one, two = place.reader("metrics", "collection:docs"), place.reader("metrics")
    for n in range(3):
        place.live.bus.publish("metrics", "x", {"n": n})
    counts = place.live.counts()
    assert (counts["connections"], counts["channels"], counts["subscriptions"]) == (2, 2, 3)
    assert counts["buffered"] == 6
    place.write(puts("a", "b"))
    one.read(5)
    two.read(3)
    assert place.live.counts()["sent"] == before["sent"] + 8
    one.close()
    counts = place.live.counts()
    assert (counts["connections"], counts["buffered"], counts["sent"]) == (1, 0, before["sent"] + 8)


def test_each_tenant_gets_the_number_of_its_own_tokens(place: Place) -> None:
    other = tenant_of(place, "other")
    for text in ("one", "two"):
        place.house.services.tokens.create(place.developer, text)
    place.house.services.tokens.create(other, "three")
    ours = place.reader("metrics")
    theirs = place.reader("metrics", credential=place.key(other, "metrics:read"))
    place.live._metrics.publish()
    place.live.bus.publish("metrics", "last", {"total_tokens": "last"})
    assert [data["total_tokens"] for data in data_of(ours, 2)] == [2, "last"]
    assert [data["total_tokens"] for data in data_of(theirs, 2)] == [1, "last"]


def test_nobody_in_development_mode_gets_the_metrics_of_the_default_tenant(place: Place) -> None:
    place.house.services.tokens.create(place.developer, "one")
    nobody = place.reader("metrics", credential=None)
    place.live._metrics.publish()
    assert data_of(nobody)[0]["total_tokens"] == 1


def test_each_look_sends_what_is_due(place: Place) -> None:
    seconds = Seconds()
    place.live._metrics = Metrics(place.live.bus, place.house.services.health, place.live, seconds)
    reader = place.reader("metrics", "status")
    for n in range(2):
        seconds.at += METRICS_SECONDS
        place.live._look()
        place.live._look()
        eventually(lambda n=n: len([e for e in reader.rest().events if e["channel"] == "metrics"]) == n + 1)  # type: ignore[misc]


def test_status_is_told_at_once_and_when_it_changes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = place.reader("status")
    (event,) = reader.read(1)
    assert (event["type"], event["data"]["status"], event["data"]["version"]) == ("status.healthy", "healthy", "1.2.3")
    assert event["data"]["uptime_seconds"] >= 0
    place.live._status.publish()
    report = HealthReport(status=Wellness.DEGRADED, version="1.2.3", uptime_seconds=1.0, quarantined=1)
    monkeypatch.setattr(place.house.services.health, "check", lambda: report)
    place.live._look()
    assert [each["type"] for each in reader.read(2)] == ["status.healthy", "status.degraded"]
    late = place.reader("status")
    assert data_of(late)[0]["status"] == "degraded"
    place.live._status.publish()
    place.live.close()
    for each in (reader, late):
        assert each.read_end().code == "SERVER_STOPPING"
        assert each.events[-1]["type"] == "status.stopping"
    assert [each["type"] for each in late.events] == ["status.degraded", "status.stopping"]


def test_a_reader_that_is_not_trusted_any_more_hears_no_last_words(place: Place) -> None:
    created = place.house.services.keys.create(place.developer, "k", None, None)
    reader = place.reader("status", credential=created.secret)
    reader.read(1)
    place.live._stream_pool.shutdown()  # nobody checks it again
    place.house.services.keys.revoke(place.developer, created.record.key_id)
    place.live.close()
    reader.read_end()
    assert [each["type"] for each in reader.events] == ["status.healthy"]


def test_each_answered_query_for_tokens_is_a_signal(place: Place) -> None:
    tokens = place.house.services.tokens
    token = tokens.create(place.developer, "red apple")
    tokens.create(place.developer, "green pear")
    bot = place.reader("signals", credential=place.key(None, "tokens:write"))
    other = place.reader("signals", credential=place.key(tenant_of(place, "other"), "tokens:write"))
    queries = tokens.queries
    queries.by_texts(place.developer, ["red apple", "zebra"], TokenQuestion(threshold=0.9))
    queries.by_vectors(place.developer, vector()[None], TokenQuestion(top_k=1))
    queries.by_token(place.developer, int(token.id), TokenQuestion())
    with pytest.raises(PermissionDenied):
        queries.by_texts(place.house.as_bearer(place.key(None, "tokens:write")), ["red apple"], TokenQuestion())
    events = bot.read(4)
    assert {(event["channel"], event["type"]) for event in events} == {("signals", "token.query")}
    alike, novel, vectored, nearby = (event["data"] for event in events)
    assert alike == {
        "event_id": "request",
        "event_type": "token.query",
        "is_novel": False,
        "priority": 128,
        "resonance_score": pytest.approx(1.0),
        "neighbors_count": 1,
    }
    assert (novel["is_novel"], novel["resonance_score"], novel["neighbors_count"]) == (True, 0.0, 0)
    assert vectored["neighbors_count"] == nearby["neighbors_count"] == 1
    assert "apple" not in json.dumps([event["data"] for event in events])
    place.live.bus.publish("signals", "last", {})
    assert [event["type"] for event in other.read(1)] == ["last"]


def test_a_key_for_other_collections_hears_no_signals(place: Place) -> None:
    with pytest.raises(PermissionDenied, match="tokens"):
        place.reader("signals", credential=place.key(collections=["docs"]))


def test_audited_operations_are_actions_of_their_account(place: Place) -> None:
    services = place.house.services
    mine = place.reader("actions")
    admin = place.reader("actions", credential=whole_key(place, place.admin))
    foreign_admin = tenant_of(place, "other")
    theirs = place.reader("actions", credential=whole_key(place, foreign_admin))
    place.live.bus.publish("actions", "begin", {})
    services.catalog.drop(place.developer, "notes")
    with pytest.raises(PermissionDenied):
        services.audit.list(place.developer)
    services.catalog.create(foreign_admin, "theirs", DIMENSION, "cosine")
    services.catalog.drop(foreign_admin, "theirs")
    place.live.bus.publish("actions", "last", {})

    def told(reader: Reader) -> list[tuple[str, str, Any, Any]]:
        reader.until(lambda: any(event["type"] == "last" for event in reader.events))
        names = [event["type"] for event in reader.events]
        since = reader.events[names.index("begin") + 1 : -1]
        assert {event["type"] for event in since} <= {"action.executed"}
        for event in since:
            assert int(event["data"]["action_id"], 16) > 0
            assert event["data"]["execution_time_ms"] >= 0
        return [tuple(event["data"][k] for k in ("action_type", "status", "result", "error")) for event in since]

    dropped = ("collection.delete", "completed", {"target": "notes"}, None)
    refused = ("audit.read", "failed", None, "PERMISSION_DENIED")
    assert told(mine) == [dropped, refused]
    foreign = [act for act in told(theirs) if act[0] == "collection.delete"]
    assert [act[2] for act in foreign] == [{"target": "theirs"}]
    assert [act for act in told(theirs) if act in (dropped, refused)] == []
    assert [act for act in told(admin) if act in (dropped, refused, *foreign)] == [dropped, refused, *foreign]


@pytest.fixture
def configured() -> Iterator[io.StringIO]:
    """Provide what the process logs, as the command line sets it up."""
    was_configured = structlog.is_configured()
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    out = io.StringIO()
    logs.configure(LogLevel.INFO, LogFormat.JSON, out)
    yield out
    structlog.configure(**before)
    if not was_configured:
        # Else a server of a later test would leave the log as it is: on standard output.
        structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_log_lines_reach_administrators(place: Place, configured: io.StringIO) -> None:
    end = logs.listen(place.live.logs.line)
    try:
        reader = place.reader("logs", credential=whole_key(place, place.admin))
        log = structlog.get_logger("vectrograph.rest")
        log.debug("below the level")
        log.info("request", route="/x", status=200, request_id="r-1", odd={1})
        logging.getLogger("some.library").warning("a %s", "warning")
        try:
            raise ValueError("inside")
        except ValueError:
            log.exception("internal error")
        logging.getLogger("vectrograph.services.live.streams").warning("about a stream")
    finally:
        end()
    log.info("after the end")
    place.live.bus.publish("logs", "last", {})
    reader.until(lambda: any(event["type"] == "last" for event in reader.events))
    info, warning, error = reader.events[-4:-1]
    assert (info["channel"], info["type"]) == ("logs", "log.info")
    assert info["data"] == {
        "level": "info",
        "message": "request",
        "service": "vectrograph.rest",
        "correlation_id": "r-1",
        "route": "/x",
        "status": 200,
        "odd": "{1}",
    }
    assert warning["type"] == "log.warning"
    assert (warning["data"]["service"], warning["data"]["message"]) == ("some.library", "a warning")
    assert error["type"] == "log.error"
    assert "ValueError: inside" in error["data"]["exception"]
    assert not any("stream" in event["data"].get("message", "") for event in reader.events)
    assert "about a stream" in configured.getvalue()


def test_a_line_that_is_written_while_one_is_handed_out_is_not_an_event(place: Place) -> None:
    reader = place.reader("logs", credential=whole_key(place, place.admin))
    publish = place.live.bus.publish

    def noisy(*given: Any, **named: Any) -> None:
        place.live.logs.line("anything", "info", {"event": "again"})
        publish(*given, **named)

    place.live.bus.publish = noisy  # type: ignore[method-assign]
    for n in range(3):
        place.live.logs.line("anything", "info", {"event": f"line {n}"})
    assert [data["message"] for data in data_of(reader, 3)] == ["line 0", "line 1", "line 2"]


def test_log_events_are_bounded_in_size_and_number(place: Place) -> None:
    reader = place.reader("logs", credential=whole_key(place, place.admin))
    large = {f"field{n}": "x" * 100_000 for n in range(200)}
    for _ in range(QUEUE + 10):
        place.live.logs.line("a", "info", {"event": "y" * 100_000, **large})
    assert reader.stream.waiting == QUEUE
    (data, *_) = data_of(reader, 1)
    assert len(data) == MAX_FIELDS + 4
    assert max(len(str(value)) for value in data.values()) == MAX_CHARACTERS + 1
    assert reader.controls[0] == {"control": "dropped", "channel": "logs", "count": 10}


def test_only_administrators_of_the_default_tenant_read_the_log(place: Place) -> None:
    foreign = whole_key(place, tenant_of(place, "other"))
    for credential in (foreign, whole_key(place, place.developer)):
        with pytest.raises(PermissionDenied, match="logs"):
            place.reader("logs", credential=credential)
    place.reader("connections", credential=foreign)


def test_connections_are_told_to_who_governs_them(place: Place) -> None:
    admin = place.reader("connections", credential=whole_key(place, place.admin))
    foreign_admin = tenant_of(place, "other")
    theirs = place.reader("connections", credential=whole_key(place, foreign_admin))
    joined = place.reader("collection:docs")
    foreign = place.reader("metrics", credential=place.key(foreign_admin, "metrics:read"))
    joined.close()
    events = [(e["type"], e["data"]["user_id"], e["data"]["total_connections"]) for e in admin.read(5)]
    them, us, alien = (call.principal.user_id for call in (foreign_admin, place.developer, foreign_admin))
    assert events[1:] == [
        ("client.connected", them, 2),
        ("client.connected", us, 3),
        ("client.connected", alien, 4),
        ("client.disconnected", us, 3),
    ]
    assert admin.events[2]["data"]["client_id"] == joined.stream.client_id
    assert admin.events[2]["data"]["transport"] == "lines"
    foreign.close()
    assert [(e["type"], e["data"]["user_id"]) for e in theirs.read(3)] == [
        ("client.connected", them),
        ("client.connected", alien),
        ("client.disconnected", alien),
    ]


def test_nobody_has_no_account(place: Place) -> None:
    admin = place.reader("connections", credential=whole_key(place, place.admin))
    place.reader("metrics", credential=None)
    assert [data["user_id"] for data in data_of(admin, 2)] == [place.admin.principal.user_id, None]


def test_a_refused_stream_was_no_connection(place: Place) -> None:
    admin = place.reader("connections", credential=whole_key(place, place.admin))
    admin.read(1)
    with pytest.raises(PermissionDenied):
        place.reader("connections")
    place.live.bus.publish("connections", "last", {})
    assert [event["type"] for event in admin.read(2)] == ["client.connected", "last"]


def test_the_engine_is_asked_in_another_thread_and_not_twice_at_once(place: Place) -> None:
    asked, go = threading.Semaphore(0), threading.Event()
    check = place.house.services.health.check
    reader = place.reader("status")

    def slow() -> HealthReport:
        asked.release()
        go.wait()
        return check()

    place.house.services.health.check = slow  # type: ignore[method-assign]
    place.live._look()
    asked.acquire()
    for _ in range(5):
        place.live._look()
    assert not asked.acquire(blocking=False)
    go.set()
    eventually(lambda: not place.live._is_producing)
    assert reader.stream.channels == ("status",)


def test_the_collection_of_tokens_may_be_missing(place: Place) -> None:
    place.house.engine.drop(CollectionRef("default", "tokens"))
    assert place.house.services.health.tokens_count("default") == 0
