"""Streams over the reference engine: order, resuming, filters, parts, limits, and their end."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.house import DIMENSION, House
from services.live.listening import PATIENCE, LineWire, Reader

from vectrograph.domain.access import Role
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import (
    CollectionNotFound,
    InvalidArgument,
    InvalidToken,
    PermissionDenied,
    PositionExpired,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from vectrograph.domain.filters.evaluation import Compare, Comparison, Filter, Substring
from vectrograph.domain.filters.nodes import Or
from vectrograph.domain.limits import LiveLimits
from vectrograph.domain.points import NOW, Delete, Op, Patch, Put
from vectrograph.services.call import Call, Origin, Principal
from vectrograph.services.live import batches, tails
from vectrograph.services.live.batches import PAGE
from vectrograph.services.live.bus import QUEUE
from vectrograph.services.live.events import Parts
from vectrograph.services.live.live import MAX_TICKETS_OF_ACCOUNT, Live

DOCS = CollectionRef("default", "docs")
RED = Compare(("colour",), Comparison.EQ, "red")
BOTH = Parts(payload=True, text=True)
ALL = "tokens collection:docs collections metrics status signals actions logs connections"


def vector(seed: int = 0) -> Any:
    return np.full(DIMENSION, seed + 1, np.float32)


def puts(*ids: str, **payload: Any) -> list[Op]:
    return [Put(id=each, vector=vector(), payload=payload) for each in ids]


class Place:
    """A house with collections, whose writes are announced, and credentials of real accounts."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.live: Live = house.services.live
        self.admin = house.login("admin")
        self.developer = house.login("developer")
        self.readers: list[Reader] = []
        for name in ("docs", "notes"):
            house.services.catalog.create(self.developer, name, DIMENSION, "cosine")

    def key(self, call: Call | None = None, *scopes: str, **given: Any) -> str:
        keys = self.house.services.keys
        return keys.create(call or self.developer, "a key", list(scopes) or None, None, **given).secret

    def write(self, ops: list[Op], name: str = "docs", tenant: str = "default") -> None:
        self.house.services.points._engine.write(CollectionRef(tenant, name), ops)

    def reader(self, *channels: str, credential: str | None = "", **given: Any) -> Reader:
        secret = self.key() if credential == "" else credential
        reader = Reader(self.live, secret, *(channels or ("collection:docs",)), **given)
        self.readers.append(reader)
        return reader

    def opening(self, *channels: str, **given: Any) -> Callable[[], object]:
        return lambda: self.reader(*channels, **given)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def place(house: House) -> Iterator[Place]:
    made = Place(house)
    yield made
    for reader in made.readers:
        reader.close()
    made.live.close()


def test_events_tell_what_happened_in_order(place: Place) -> None:
    place.write(puts("before"))
    reader = place.reader()
    place.write(puts("a", "b"))
    place.write([Patch(id="a", text="x"), Put(id="b", vector=vector(1)), Delete(id="a"), Delete(id="nothing")])
    events = reader.read(5)
    assert [(e["type"], e["data"]["id"], e["data"]["version"]) for e in events] == [
        ("created", "a", 2),
        ("created", "b", 3),
        ("updated", "a", 4),
        ("updated", "b", 5),
        ("deleted", "a", 6),
    ]
    assert {event["channel"] for event in events} == {"collection:docs"}
    assert reader.seen[0]["control"] == "position"
    assert reader.seen[0]["id"]


def test_ids_of_tokens_are_numbers_and_metadata_have_no_placement(place: Place) -> None:
    reader = place.reader("tokens", parts=BOTH)
    place.write([Put(id=None, vector=vector(), payload={"a": 1, "$grid": {"weight": 0.5}}, text="hello")], "tokens")
    (event,) = reader.read(1)
    assert event["channel"] == "tokens"
    assert event["data"] == {
        "id": 1,
        "version": 1,
        "point": {"version": 1, "payload": {"a": 1}, "text": "hello"},
    }


def test_parts_are_those_at_delivery_with_their_own_version(place: Place) -> None:
    place.write([Put(id="a", vector=vector(), payload={"n": 1}, text="one"), Put(id="gone", vector=vector())])
    place.write([Put(id="a", vector=vector(), payload={"n": 2}), Delete(id="gone")])
    whole, payloads, texts = (
        place.reader(parts=parts, since="oldest") for parts in (BOTH, Parts(payload=True), Parts(text=True))
    )
    points = [event["data"].get("point") for event in whole.read(4)]
    now = {"version": 3, "payload": {"n": 2}, "text": None}
    assert points == [now, None, now, None]
    assert payloads.read(4)[0]["data"]["point"] == {"version": 3, "payload": {"n": 2}}
    assert texts.read(4)[0]["data"]["point"] == {"version": 3, "text": None}


def test_a_filter_tests_the_point_at_delivery(place: Place) -> None:
    reader = place.reader(filter=RED)
    place.write(puts("red", colour="red") + puts("blue", colour="blue"))
    place.write(puts("blue", colour="green") + puts("other", colour="red"))
    place.write([Patch(id="red", payload={"colour": "blue"}), Delete(id="other"), Delete(id="blue")])
    place.write(puts("end", colour="red"))
    reader.until(lambda: "end" in reader.ids)
    events = [(e["type"], e["data"]["id"], e["data"].get("matches")) for e in reader.events]
    passed = [event for event in events if event[:2] not in (("created", "red"), ("created", "other"))]
    assert passed == [
        ("updated", "blue", False),
        ("updated", "red", False),
        ("deleted", "other", None),
        ("deleted", "blue", None),
        ("created", "end", True),
    ]


def test_what_does_not_match_moves_the_position(place: Place) -> None:
    """A filtered reader that is sent nothing does not begin at the beginning again."""
    reader = place.reader(filter=RED)
    reader.step()
    first = reader.last_id
    place.write(puts(*(f"p{n}" for n in range(3 * PAGE)), colour="blue"))
    live = place.live
    beat = [live.monotonic()]
    live.monotonic = lambda: beat[0]
    reader.until(lambda: reader.stream._logs[0].cursor.seq == 3 * PAGE)
    beat[0] += 100
    reader.until(lambda: reader.controls[-1]["control"] == "heartbeat")
    assert reader.last_id != first
    place.write(puts("red", colour="red"))
    resumed = place.reader(filter=RED, since=reader.last_id)
    page = place.house.engine.changes(DOCS, resumed.stream._logs[0].cursor.position)
    assert [change.id for change in page.changes] == ["red"]
    reader.read(1)
    beat[0] += 100
    beats = len(reader.controls)
    reader.until(lambda: len(reader.controls) > beats)
    assert reader.controls[-1]["id"] == "", "nothing moved since the last event"


@pytest.mark.parametrize("channels", [("collection:docs",), ("collection:docs", "collection:notes")])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_reader_that_resumes_anywhere_misses_and_repeats_nothing(
    place: Place, channels: tuple[str, ...], data: st.DataObject
) -> None:
    """Random writes, before and after random cuts; each part begins with the last position of the one before."""
    since, seen = "", list[tuple[str, str]]()
    written: list[tuple[str, str]] = []
    for part in range(data.draw(st.integers(1, 4))):
        reader = place.reader(*channels, since=since or None)
        began = len(seen)
        sizes = data.draw(st.lists(st.sampled_from([1, 2, 7, PAGE, PAGE + 3]), max_size=4))
        for number, size in enumerate(sizes):
            name = data.draw(st.sampled_from([channel.removeprefix("collection:") for channel in channels]))
            ids = [f"{part}.{number}.{n}" for n in range(size)]
            place.write(puts(*ids), name)
            written += [(f"collection:{name}", each) for each in ids]
        cut = round(data.draw(st.floats(0, 1)) * (len(written) - began))
        reader.until(lambda r=reader, c=cut: len(r.events) >= c and bool(r.seen))  # type: ignore[misc]
        # A client may be cut within a chunk.
        frames = reader.seen[: max(1, round(data.draw(st.floats(0, 1)) * len(reader.seen)))]
        seen += [(each["channel"], each["data"]["id"]) for each in frames if "control" not in each]
        since = next(each["id"] for each in reversed(frames) if each["id"])
        reader.close()
    last = place.reader(*channels, since=since)
    last.read(len(written) - len(seen))
    seen += [(each["channel"], each["data"]["id"]) for each in last.events]
    last.close()
    for channel in channels:
        expected = [point for name, point in written if name == channel]
        assert [point for name, point in seen if name == channel] == expected


def test_a_reader_begins_where_it_says(place: Place) -> None:
    place.write(puts("a", "b"))
    oldest, now = place.reader(since="oldest"), place.reader()
    place.write(puts("c"))
    assert [event["data"]["id"] for event in oldest.read(3)] == ["a", "b", "c"]
    assert [event["data"]["id"] for event in now.read(1)] == ["c"]


def test_the_last_position_outlives_the_changes_before_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log may lose all its changes while nothing happens; a reader that has seen the last one misses nothing."""
    plain, both, payloads = place.reader(), place.reader("collection:docs", "tokens"), place.reader(parts=BOTH)
    place.write(puts("a", "b"))
    engine, changes = place.live.engine, place.live.engine.changes
    end = changes(DOCS, NOW).position
    for reader in (plain, both, payloads):
        reader.read(2)

    def forgetful(ref: CollectionRef, since: Any = None, *, limit: int = 1000) -> Any:
        if ref == DOCS and since not in (None, NOW, end):
            raise PositionExpired.of(end)
        return changes(ref, since, limit=limit)

    monkeypatch.setattr(engine, "changes", forgetful)
    for reader in (plain, both, payloads):
        resumed = place.reader(*reader.stream.channels, since=reader.last_id)
        resumed.step()
        with pytest.raises(PositionExpired) as caught:
            place.reader(*reader.stream.channels, since=reader.events[0]["id"])
        place.reader(*reader.stream.channels, since=caught.value.details["oldest"])


def test_channels_that_a_position_does_not_name_begin_now(place: Place) -> None:
    first = place.reader()
    place.write(puts("a"))
    first.read(1)
    place.write(puts("b"))
    place.write(puts("x"), "notes")
    both = place.reader("collection:docs", "collection:notes", since=first.last_id)
    place.write(puts("y"), "notes")
    both.read(2)
    assert {(event["channel"], event["data"]["id"]) for event in both.events} == {
        ("collection:docs", "b"),
        ("collection:notes", "y"),
    }
    place.write(puts("z"), "notes")
    both.read(3)
    only = place.reader("collection:notes", since=both.last_id)
    place.write(puts("w"), "notes")
    assert [event["data"]["id"] for event in only.read(1)] == ["w"], "what is named and not asked for is ignored"


def test_a_position_of_a_dropped_collection_is_refused(place: Place) -> None:
    reader = place.reader()
    place.write(puts("a"))
    reader.read(1)
    position = reader.last_id
    place.house.services.catalog.drop(place.developer, "docs")
    with pytest.raises(CollectionNotFound):
        place.reader(since=position)
    place.house.services.catalog.create(place.developer, "docs", DIMENSION, "cosine")
    with pytest.raises(InvalidArgument, match="dropped"):
        place.reader(since=position)
    assert place.live.tails._tails == {} or reader.stream.ended is not None


def test_dropping_ends_streams_and_is_an_event(place: Place) -> None:
    reader, both, other = place.reader(), place.reader("collection:docs", "tokens"), place.reader("collection:notes")
    news = place.reader("collections")
    place.house.services.catalog.drop(place.developer, "docs")
    for each in (reader, both):
        ended = each.read_end()
        assert (ended.code, ended.reconnect) == ("COLLECTION_NOT_FOUND", False)
        assert "'docs' was dropped" in ended.message
    place.house.services.catalog.create(place.developer, "docs", DIMENSION, "dot")
    events = news.read(2)
    assert [(event["type"], event["data"]) for event in events] == [
        ("dropped", {"name": "docs"}),
        ("created", {"name": "docs", "dimension": DIMENSION, "distance": "dot"}),
    ]
    assert {event["id"] for event in events} == {""}
    assert other.stream.ended is None


def test_news_of_collections_reach_those_who_may_read_them(place: Place) -> None:
    tokens_only = place.reader("collections", credential=place.key(None, "tokens:read"))
    reaching = place.reader("collections", credential=place.key(collections=["mine"]))
    all_of_them = place.reader("collections")
    for name in ("other", "mine"):
        place.house.services.catalog.create(place.developer, name, DIMENSION, "cosine")
    assert [event["data"]["name"] for event in all_of_them.read(2)] == ["other", "mine"]
    assert [event["data"]["name"] for event in reaching.read(1)] == ["mine"]
    assert tokens_only.rest().events == []


def test_order_holds_while_many_write(place: Place) -> None:
    """Every reader sees each collection in the order of its log, whole."""
    readers = [place.reader(), place.reader("collection:docs", "collection:notes"), place.reader(parts=BOTH)]

    def write(name: str, writer: int) -> None:
        for n in range(40):
            place.write(puts(*(f"{writer}.{n}.{k}" for k in range(7))), name)

    threads = [threading.Thread(target=write, args=(name, n)) for name in ("docs", "notes") for n in range(3)]
    for thread in threads:
        thread.start()
    for reader in readers:
        reader.until(lambda r=reader: sum(e["channel"] == "collection:docs" for e in r.events) >= 840)  # type: ignore[misc]
    for thread in threads:
        thread.join()
    readers[1].until(lambda: len(readers[1].events) >= 1680)
    for reader in readers:
        for channel in reader.stream.channels:
            versions = [e["data"]["version"] for e in reader.events if e["channel"] == channel]
            assert versions == list(range(1, 841))


def test_an_event_is_written_once_for_all_who_may_see_it(place: Place) -> None:
    readers = [place.reader() for _ in range(20)]
    LineWire.written = 0
    place.write(puts(*(f"p{n}" for n in range(50))))
    for reader in readers:
        reader.read(50)
    assert LineWire.written == 50


def test_points_are_read_once_for_all_who_want_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = [place.reader(parts=BOTH) for _ in range(5)]
    readers += [place.reader(filter=RED) for _ in range(5)]
    asked: list[list[str]] = []
    engine, get = place.live.engine, place.live.engine.get

    def counted(ref: CollectionRef, ids: list[str], **given: Any) -> Any:
        asked.append(list(ids))
        return get(ref, ids, **given)

    monkeypatch.setattr(engine, "get", counted)
    place.write(puts(*(f"p{n}" for n in range(5)), colour="red"))
    for reader in readers:
        reader.read(5)
    assert [name for names in asked for name in names] == [f"p{n}" for n in range(5)]


def test_a_reader_behind_the_ring_reads_the_log(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "RING_BYTES", 100_000)
    fast, slow = place.reader(), place.reader()
    number = 20 * PAGE
    for n in range(20):
        place.write(puts(*(f"{n}.{k}" for k in range(PAGE))))
        fast.read((n + 1) * PAGE)
        (tail,) = place.live.tails._tails.values()
        assert tail.held <= 100_000
    assert tail.after(0) is tails.BEHIND
    assert [event["data"]["version"] for event in slow.read(number)] == list(range(1, number + 1))


def test_all_rings_together_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "RINGS_BYTES", 250_000)
    readers = {name: place.reader(f"collection:{name}") for name in ("docs", "notes")}
    for n in range(5):
        for name, reader in readers.items():
            place.write(puts(*(f"{n}.{k}" for k in range(PAGE))), name)
            reader.read((n + 1) * PAGE)
            held = [tail.held for tail in place.live.tails._tails.values()]
            assert sum(held) <= 250_000
            assert place.live.tails._held == sum(held)
    for reader in readers.values():
        reader.close()
    eventually(lambda: (place.live.tails._held, place.live.tails._tails) == (0, {}))


def test_large_points_are_read_and_sent_a_few_at_a_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_BYTES", 2_000)
    monkeypatch.setattr("vectrograph.services.live.streams.CHUNK_BYTES", 2_000)
    reader, plain = place.reader(parts=BOTH), place.reader()
    ids = [f"p{n}" for n in range(64)]
    place.write([Put(id=each, vector=vector(), payload={"x": "y" * 1_900}) for each in ids])
    plain.read(64)
    reader.read(1)
    assert len(reader.events) == 1, "one event is more than a chunk with another"
    assert reader.read(64) == reader.events
    assert reader.ids == plain.ids == ids


def test_a_revoked_key_ends_its_stream_before_anything_else(place: Place) -> None:
    """Also when the write comes right after the revocation, and the stream was never looked at in between."""
    created = place.house.services.keys.create(place.developer, "k", None, None)
    reader, other = place.reader(credential=created.secret), place.reader()
    reader.step()
    place.house.services.keys.revoke(place.developer, created.record.key_id)
    place.write(puts("secret"))
    other.read(1)
    ended = reader.read_end()
    assert (ended.code, ended.reconnect) == ("INVALID_API_KEY", False)
    assert reader.events == []


def test_nothing_is_sent_while_credentials_are_checked_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when they are in doubt once more before the check has ended."""
    reader = place.reader().rest()
    entered, go_on, checks = threading.Semaphore(0), threading.Semaphore(0), list[str]()
    authenticate = place.live._credentials.authenticate

    def slow(credential: str) -> Principal:
        entered.release()
        assert go_on.acquire(timeout=PATIENCE)
        checks.append(credential)
        return authenticate(credential)

    monkeypatch.setattr(place.live._credentials, "authenticate", slow)
    place.write(puts("a"))
    reader.stream.doubt()
    assert entered.acquire(timeout=PATIENCE)
    eventually(lambda: reader.stream._logs[0].tail.head == 1)
    assert not reader.step()
    reader.stream.doubt()
    go_on.release()
    assert entered.acquire(timeout=PATIENCE)
    assert len(checks) == 1
    assert not reader.step()
    go_on.release()
    assert reader.read(1)
    assert len(checks) == 2


def test_streams_of_other_accounts_are_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = place.reader(), place.reader(credential=place.key(place.admin))
    for reader in (mine, theirs):
        reader.step()
        assert not reader.step()
    checks: list[str] = []
    authenticate = place.live._credentials.authenticate

    def noted(credential: str) -> Principal:
        checks.append(credential)
        return authenticate(credential)

    monkeypatch.setattr(place.live._credentials, "authenticate", noted)
    key = place.house.services.keys.create(place.developer, "k", None, None).record
    place.house.services.keys.revoke(place.developer, key.key_id)
    place.write(puts("a"))
    mine.read(1)
    theirs.read(1)
    assert set(checks) == {mine.stream.caller.credential}


@pytest.mark.parametrize("change", ["role", "disabled", "deleted", "password", "logout"])
def test_a_changed_account_ends_its_streams(place: Place, change: str) -> None:
    users = place.house.services.users
    user = users.create(place.admin, username="zoe", password="Correct-horse-7", role="developer")
    pair = place.house.services.sessions.login("zoe", "Correct-horse-7")
    reader = place.reader("actions", "collection:docs", credential=pair.access_token)
    code = "INVALID_TOKEN"
    if change == "role":
        users.set_role(place.admin, user.user_id, "viewer")
        code = "PERMISSION_DENIED"
    elif change == "disabled":
        users.set_disabled(place.admin, user.user_id, True)
    elif change == "deleted":
        users.delete(place.admin, user.user_id)
    elif change == "password":
        users.set_password(place.admin, user.user_id, "Another-horse-8")
    else:
        place.house.services.sessions.logout(place.house.as_bearer(pair.access_token))
    ended = reader.read_end()
    assert (ended.code, ended.reconnect) == (code, False)


def test_an_expired_token_ends_its_stream(place: Place) -> None:
    pair = place.house.services.sessions.login("developer", "developer123")
    reader = place.reader(credential=pair.access_token)
    reader.step()
    place.house.clock.advance(3600)
    place.live._look()
    assert reader.read_end().code == "TOKEN_EXPIRED"


def test_a_revocation_by_another_process_is_seen(place: Place) -> None:
    created = place.house.services.keys.create(place.developer, "k", None, None)
    reader = place.reader(credential=created.secret)
    reader.step()
    elsewhere = type(place.house.store).open(place.house.store._database.url, place.house.directory, operator=True)
    elsewhere.api_keys.revoke(created.record.key_id, None)
    elsewhere.close()
    place.live._look()
    assert reader.read_end().code == "INVALID_API_KEY"


def test_writes_and_drops_of_other_servers_are_seen_where_there_are_some(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are announced to nobody here."""
    reader, engine = place.reader(), place.live.engine
    reader.step()
    engine.write(DOCS, puts("theirs"))
    place.live._look()
    assert place.live._tail_pool._started == []
    capabilities = dataclasses.replace(engine.capabilities, shared=True)
    monkeypatch.setattr(type(engine), "capabilities", property(lambda _: capabilities))
    place.live._look()
    assert reader.read(1)[0]["data"]["id"] == "theirs"
    engine.drop(DOCS)
    place.live._look()
    assert reader.read_end().code == "COLLECTION_NOT_FOUND"


def test_other_tenants_see_nothing(place: Place) -> None:
    services = place.house.services
    services.users.create(place.admin, username="eve", password="Correct-horse-7", role="admin", tenant="evil")
    pair = services.sessions.login("eve", "Correct-horse-7")
    eve = place.house.as_bearer(pair.access_token)
    services.catalog.create(eve, "docs", DIMENSION, "cosine")
    spying = place.reader("collection:docs", "tokens", "collections", credential=pair.access_token)
    mine = place.reader("collection:docs", "collections")
    place.write(puts("secret"))
    services.catalog.create(place.developer, "hidden", DIMENSION, "cosine")
    mine.read(2)
    place.write(puts("hers"), tenant="evil")
    services.catalog.create(eve, "open", DIMENSION, "cosine")
    spying.read(2)
    assert {event["data"].get("id") or event["data"]["name"] for event in spying.events} == {"hers", "open"}
    with pytest.raises(InvalidArgument, match="since"):
        place.reader("collection:docs", credential=pair.access_token, since=mine.last_id)
    with pytest.raises(CollectionNotFound):
        place.reader("collection:notes", credential=pair.access_token)


@pytest.mark.parametrize(
    ("channels", "error", "word"),
    [
        (["nonsense"], InvalidArgument, "tokens, collection:NAME"),
        (["collection:"], InvalidArgument, "no channel"),
        (["collection:tokens"], InvalidArgument, "use that name"),
        ([f"collection:{n}" for n in range(65)], InvalidArgument, "64"),
        (["collection:missing"], CollectionNotFound, "missing"),
        (["metrics", "x" * 10_000], InvalidArgument, "…"),
    ],
)
def test_channels_that_are_none(place: Place, channels: list[str], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word) as caught:
        place.reader(*channels)
    assert len(str(caught.value)) < 2_000
    assert place.live.count == 0


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.ADMIN, ALL),
        (Role.DEVELOPER, "tokens collection:docs collections metrics status signals actions"),
        (Role.VIEWER, "tokens collection:docs collections metrics status"),
    ],
)
def test_who_may_read_which_channel(place: Place, role: Role, may: str) -> None:
    pair = place.house.services.sessions.login(role.value, f"{role.value}123")
    channels = [
        "tokens",
        "collection:docs",
        "collections",
        "metrics",
        "status",
        "signals",
        "actions",
        "logs",
        "connections",
    ]
    allowed = []
    for channel in channels:
        try:
            place.reader(channel, credential=pair.access_token)
            allowed.append(channel)
        except PermissionDenied as error:
            assert channel in error.message
    assert allowed == may.split()


def test_a_key_needs_scope_and_reach(place: Place) -> None:
    narrow = place.key(None, "tokens:read")
    place.reader("tokens", "collections", credential=narrow)
    for channel in ("collection:docs", "metrics", "status", "actions", "logs"):
        with pytest.raises(PermissionDenied):
            place.reader(channel, credential=narrow)
    reaching = place.key(collections=["notes"])
    place.reader("collection:notes", credential=reaching)
    with pytest.raises(PermissionDenied, match="docs"):
        place.reader("collection:docs", credential=reaching)


def test_nobody_is_let_in_without_credentials_but_in_development_mode(place: Place) -> None:
    nobody = place.reader("metrics", "status", credential=None)
    place.live.bus.publish("metrics", "system_metrics", {"a": 1})
    place.live.bus.publish("metrics", "system_metrics", {"a": 2}, tenant="other")
    place.live.bus.publish("status", "status.up", {"a": 3})
    assert [event["data"].get("a") for event in nobody.read(3)] == [None, 1, 3]
    for channel in ("tokens", "collections", "logs", "collection:docs"):
        with pytest.raises(Unauthenticated):
            place.reader(channel, credential=None)
    place.house.services.development.end("a test")
    assert nobody.read_end().code == "AUTHENTICATION_REQUIRED"
    with pytest.raises(Unauthenticated):
        place.reader("metrics", credential=None)


def test_the_bus_reaches_its_audience(place: Place) -> None:
    developer, admin = place.reader("signals"), place.reader("signals", credential=place.key(place.admin))
    bus = place.live.bus
    bus.publish("signals", "a", {"n": 1}, tenant="default", account="developer")
    bus.publish("signals", "a", {"n": 2}, tenant="default", account="admin")
    bus.publish("signals", "a", {"n": 3}, tenant="other")
    bus.publish("signals", "a", {"n": 4}, tenant="default")
    assert [event["data"]["n"] for event in developer.read(2)] == [1, 4]
    assert [event["data"]["n"] for event in admin.read(2)] == [2, 4]
    assert (bus.has_listeners("signals"), bus.has_listeners("actions")) == (True, False)


def test_a_slow_reader_of_the_bus_is_told_what_was_dropped(place: Place) -> None:
    reader = place.reader("metrics")
    for n in range(QUEUE + 12):
        place.live.bus.publish("metrics", "s", {"n": n})
    assert [event["data"]["n"] for event in reader.read(QUEUE)] == list(range(12, QUEUE + 12))
    assert reader.controls == [{"control": "dropped", "channel": "metrics", "count": 12}]


def test_neither_log_nor_bus_starves_the_other(place: Place) -> None:
    reader = place.reader("metrics", "collection:docs")
    for n in range(100):
        place.live.bus.publish("metrics", "s", {"n": n})
        place.write(puts(f"p{n}"))
    reader.read(200)
    assert {event["channel"] for event in reader.events} == {"metrics", "collection:docs"}


def test_channels_come_and_go(place: Place) -> None:
    reader = place.reader("metrics")
    reader.stream.subscribe(["collection:docs"])
    place.write(puts("a"))
    reader.read(1)
    position = reader.stream.position
    reader.stream.unsubscribe(["collection:docs", "status", "metrics"])
    assert not reader.stream.channels
    assert place.live.tails._tails == {}
    place.write(puts("b"))
    place.live.bus.publish("metrics", "s", {})
    reader.stream.subscribe(["collection:docs"], since=position)
    place.write(puts("c"))
    assert [event["data"]["id"] for event in reader.read(3)] == ["a", "b", "c"]
    with pytest.raises(InvalidArgument, match="64"):
        reader.stream.subscribe([f"collection:{n}" for n in range(64)])
    with pytest.raises(CollectionNotFound):
        reader.stream.subscribe(["metrics", "collection:missing"])
    assert set(reader.stream.channels) == {"collection:docs"}


def test_a_channel_can_begin_anew_with_another_filter(place: Place) -> None:
    reader = place.reader()
    selection = place.live.selection(reader.stream, ["collection:docs"], RED)
    reader.stream.subscribe(["collection:docs"], selection=selection)
    place.write(puts("blue", colour="blue"))
    place.write(puts("red", colour="red"))
    assert reader.read(1)[0]["data"] == {"id": "red", "version": 2, "matches": True}
    assert len(place.live.tails._tails) == 1


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (LiveLimits(in_all=2), "max_live_streams "),
        (LiveLimits(per_account=2), "max_live_streams_per_account"),
        (LiveLimits(per_address=2), "max_live_streams_per_address"),
    ],
)
def test_streams_are_limited(place: Place, limits: LiveLimits, setting: str) -> None:
    place.live._live_limits = limits
    here = Origin("2001:db8::1"), Origin("2001:db8::2")
    first, _ = (place.reader(origin=origin) for origin in here)
    with pytest.raises(RateLimited, match=setting) as caught:
        place.reader(origin=here[0])
    assert caught.value.details["limit"] == 2
    assert caught.value.retry_after
    elsewhere = place.opening(credential=place.key(place.admin), origin=Origin("192.0.2.1"))
    if limits.in_all == 2:
        with pytest.raises(RateLimited):
            elsewhere()
    else:
        elsewhere()
    first.close()
    first.close()
    place.reader(origin=here[0])


def test_nobody_counts_for_the_address_alone(place: Place) -> None:
    place.live._live_limits = LiveLimits(per_account=1, per_address=2)
    for _ in range(2):
        place.reader("status", credential=None, origin=Origin("192.0.2.1"))
    with pytest.raises(RateLimited, match="address"):
        place.reader("status", credential=None, origin=Origin("192.0.2.1"))
    place.reader("status", credential=None, origin=Origin("192.0.2.2"))


def test_refused_openings_leave_nothing(place: Place) -> None:
    with pytest.raises(InvalidArgument, match="since"):
        place.reader("collection:docs", "status", since="nonsense")
    with pytest.raises(TooLarge, match="filter"):
        place.reader("collection:docs", "status", filter=Substring(("a",), "x" * 5_000))
    with pytest.raises(InvalidArgument, match="filter"):
        place.reader("status", filter=RED)
    assert place.live.count == 0
    eventually(lambda: place.live.tails._tails == {} and not place.live.bus.has_listeners("status"))


def test_filters_of_an_account_are_bounded_together(place: Place) -> None:
    costly: Filter = Or(tuple(Substring(("a",), f"x{n}") for n in range(400)))
    place.reader(filter=costly)
    with pytest.raises(RateLimited, match="filters of this account's event streams"):
        place.reader(filter=costly)
    place.reader(filter=RED)
    place.reader(filter=costly, credential=place.key(place.admin))


def test_a_ticket_stands_for_a_credential_once(place: Place) -> None:
    ticket = place.live.ticket(place.developer, "the credential")
    assert place.live.redeem(ticket) == "the credential"
    for text in (ticket, "", "nonsense", "\ud800"):
        with pytest.raises(InvalidToken, match="ticket"):
            place.live.redeem(text)


def test_tickets_end_and_are_bounded(place: Place) -> None:
    at = [0.0]
    place.live.monotonic = lambda: at[0]
    tickets = [place.live.ticket(place.developer, "c") for _ in range(MAX_TICKETS_OF_ACCOUNT)]
    with pytest.raises(RateLimited, match="tickets"):
        place.live.ticket(place.developer, "c")
    place.live.ticket(place.admin, "c")
    at[0] = 30.0
    with pytest.raises(InvalidToken):
        place.live.redeem(tickets[0])
    place.live.ticket(place.developer, "c")
    assert len(place.live._tickets) == 1


def test_stopping_ends_all_streams_and_opens_no_more(place: Place) -> None:
    readers = [place.reader(), place.reader("status")]
    place.live.close()
    for reader in readers:
        ended = reader.read_end()
        assert (ended.code, ended.reconnect) == ("SERVER_STOPPING", True)
        reader.close()
    place.write(puts("a"))
    with pytest.raises(Unavailable, match="stopping"):
        place.reader()


def test_a_log_that_cannot_be_read_ends_the_streams(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = place.reader()

    def fail(*_: Any, **__: Any) -> Any:
        raise Unavailable("The disk is gone.", retry_after=1.0)

    monkeypatch.setattr(place.live.engine, "changes", fail)
    place.write(puts("a"))
    ended = reader.read_end()
    assert (ended.code, ended.reconnect, ended.message) == ("SERVICE_UNAVAILABLE", True, "The disk is gone.")


def test_a_defect_ends_the_stream_and_says_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = place.reader()
    monkeypatch.setattr(place.live.engine, "changes", lambda *_, **__: 1 / 0)
    place.write(puts("a"))
    ended = reader.read_end()
    assert ended.code == "INTERNAL_ERROR"
    assert "zero" not in ended.message
    assert "ZeroDivisionError" in caplog.text


def test_a_write_without_readers_reads_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.live.engine, "changes", lambda *_, **__: pytest.fail("nobody reads"))
    place.write(puts("a"))
    assert place.live._tail_pool._started == []
    assert place.live._ticker._thread is None


def test_many_streams_share_a_few_threads(place: Place) -> None:
    place.live._live_limits = LiveLimits(in_all=500, per_account=500)
    credential = place.key()
    readers = [place.reader(credential=credential) for _ in range(300)]
    place.write(puts("a"))
    for reader in readers:
        reader.read(1)
    started = [*place.live._tail_pool._started, *place.live._stream_pool._started]
    assert len(started) <= 4
