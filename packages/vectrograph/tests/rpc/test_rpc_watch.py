"""Watch over a real connection: what it sends, how it ends, and what callers that do not read cost."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from rpc.conftest import LetterEmbedder

from benchmarks.attack.http2_frames import Connection, grpc_headers, grpc_message, reset
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.collections import TOKENS_COLLECTION
from vectrograph.domain.limits import Limits, LiveLimits
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTROGRAPH_SERVICE_METHODS, VECTRON_SERVICE_METHODS
from vectrograph.rpc._pb.vectrograph_pb import ChangeEvent, WatchRequest, WatchResponse
from vectrograph.rpc.codec.events import WatchWire
from vectrograph.rpc.server import build_grpc_server
from vectrograph.services import Services
from vectrograph.services.call import Call, Principal
from vectrograph.services.wiring import build_services

WATCH: Final = VECTROGRAPH_SERVICE_METHODS["Watch"].path
PATIENCE: Final = 30.0
RED: Final = '{"path": "colour", "eq": "red"}'
PER_ACCOUNT: Final = 1_400
DEVELOPER: Final = Call(Principal("developer", "developer", Role.DEVELOPER, ROLE_SCOPES[Role.DEVELOPER]), "test")


class Place:
    """A server, a developer's key, and a connection."""

    def __init__(self, services: Services, server: grpc.Server, port: int) -> None:
        self.services = services
        self.server = server
        self.address = f"127.0.0.1:{port}"
        self.channel: Any = grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)])
        self.key = self.new_key()
        self.calls: list[Any] = []

    def new_key(self, *scopes: str, **given: Any) -> str:
        return self.services.keys.create(DEVELOPER, "test", list(scopes) or None, None, **given).secret

    def login_elsewhere(self) -> str:
        """Return the token of a developer of another tenant."""
        admin = Call(Principal("admin", "admin", Role.ADMIN, ROLE_SCOPES[Role.ADMIN]), "test")
        password = "a phrase of another house"
        self.services.users.create(admin, username="guest", password=password, role="developer", tenant="other")
        return self.services.sessions.login("guest", password).access_token

    def create(self, name: str = "docs") -> None:
        self.send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2))

    def write(self, *ids: str, name: str = "docs", **payload: Any) -> None:
        text = json.dumps(payload).encode()
        points = [pb.Point(id=each, vector=[1, 2], payload_json=text) for each in ids]
        self.send("Upsert", pb.UpsertRequest(collection=name, points=points))

    def delete(self, point: str, name: str = "docs") -> None:
        self.send("Delete", pb.DeleteRequest(collection=name, id=point))

    def send(self, method: str, request: Any) -> None:
        stub = self.channel.unary_unary(VECTRON_SERVICE_METHODS[method].path)
        stub(request.SerializeToString(), metadata=(("x-api-key", self.key),), timeout=PATIENCE)

    def watch(
        self,
        collection: str = "docs",
        *,
        credential: str | None = "",
        timeout: float | None = None,
        channel: Any = None,
        **given: Any,
    ) -> Any:
        """Begin to watch, and return the call."""
        secret = self.key if credential == "" else credential
        metadata = () if secret is None else (("authorization", f"Bearer {secret}"),)
        stub = (channel or self.channel).unary_stream(WATCH, response_deserializer=WatchResponse.FromString)
        body = WatchRequest(collection=collection, **given).SerializeToString()
        self.calls.append(stub(body, metadata=metadata, timeout=timeout))
        return self.calls[-1]

    def watching(self, *collection: str, **given: Any) -> Any:
        """Begin to watch, and return the call once it is under way."""
        call = self.watch(*collection, **given)
        first = next(call)
        assert (list(first.events), bool(first.position)) == ([], True)
        return call

    def close(self) -> None:
        for call in self.calls:
            call.cancel()
        self.channel.close()
        self.server.stop(0).wait()
        self.services.live.close()


@pytest.fixture
def make_place(control_template: Path, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    with ExitStack() as stack:

        def make(*, live_limits: LiveLimits | None = None, **given: Any) -> Place:
            path = tmp_path / "control.sqlite"
            ControlStore.copy_of(control_template, path)
            store = ControlStore.open(f"sqlite:///{path}")
            stack.callback(store.close)
            services = build_services(
                engine=ReferenceEngine(),
                store=store,
                embedder=LetterEmbedder(),
                secret_file=tmp_path / "signing.key",
                limits=Limits(),
                version="test",
                live_limits=live_limits or LiveLimits(per_account=PER_ACCOUNT, per_address=2_000),
            )
            services.tokens.ensure()
            server = build_grpc_server(services, threads=4, **given)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            place = Place(services, server, port)
            stack.callback(place.close)
            place.create()
            return place

        yield make


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()


def read(call: Any, number: int) -> list[ChangeEvent]:
    """Read until there are so many events."""
    events: list[ChangeEvent] = []
    while len(events) < number:
        events += next(call).events
    return events


def end_of(call: Any) -> tuple[str, str | None]:
    """Read to the end; return status and error code."""
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code().name, dict(call.trailing_metadata()).get("x-error-code")


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_every_change_comes_once_and_in_order(place: Place) -> None:
    before = time.time()
    call = place.watching()
    place.write("a", "b")
    place.write("a")
    place.delete("a")
    events = read(call, 4)
    assert [(each.type, each.id, each.version) for each in events] == [
        ("created", "a", 1),
        ("created", "b", 2),
        ("updated", "a", 3),
        ("deleted", "a", 4),
    ]
    assert len({each.position for each in events}) == 4
    assert all(before - 1 < each.time_us / 1e6 < time.time() + 1 for each in events)
    assert not any(each.HasField("matches") or each.HasField("point") for each in events)


def test_a_response_has_the_position_after_its_events(place: Place) -> None:
    call = place.watching()
    place.write("a", "b", "c")
    response = next(call)
    assert response.position == response.events[-1].position
    for place_in, event in enumerate(response.events):
        resumed = place.watching(since=event.position)
        place_left = [each.id for each in response.events[place_in + 1 :]]
        assert [each.id for each in read(resumed, len(place_left))] == place_left
    oldest = place.watch(since="oldest")
    assert [each.id for each in read(oldest, 3)] == ["a", "b", "c"]


def test_points_come_as_they_are_at_delivery(place: Place) -> None:
    place.write("a", colour="red")
    place.write("a", colour="blue")
    place.write("gone")
    place.delete("gone")
    call = place.watch(since="oldest", include_payload=True, include_text=True)
    points = [each.point if each.HasField("point") else None for each in read(call, 4)]
    assert points[2:] == [None, None]
    for point in points[:2]:
        assert point is not None
        assert (point.version, point.payload_json, point.HasField("text")) == (2, b'{"colour":"blue"}', False)
    bare = read(place.watch(since="oldest", include_text=True), 1)[0].point
    assert (bare.version, bare.payload_json) == (2, b"")


def test_tokens_are_points_with_their_number_as_id(place: Place) -> None:
    call = place.watching(TOKENS_COLLECTION, include_text=True)
    token = place.services.tokens.create(DEVELOPER, text="hello")
    [event] = read(call, 1)
    assert (event.id, event.type, event.point.text) == (str(token.id), "created", "hello")


def test_a_filter_tells_what_no_longer_matches(place: Place) -> None:
    call = place.watching(filter_json=RED)
    place.write("a", colour="red")
    assert [(each.type, each.matches) for each in read(call, 1)] == [("created", True)]
    place.write("never", colour="green")
    place.write("a", colour="blue")
    place.delete("never")
    events = read(call, 2)
    assert [(each.type, each.id, each.HasField("matches"), each.matches) for each in events] == [
        ("updated", "a", True, False),
        ("deleted", "never", False, False),
    ]


def test_heartbeats_have_the_position_of_a_filter_that_passes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WatchWire, "heartbeat_seconds", 0.1)
    call = place.watch(filter_json=RED)
    first = next(call).position
    assert not next(call).position, "nothing happened"
    place.write(*(f"blue{n}" for n in range(50)), colour="blue")
    moved = ""
    while not moved:
        response = next(call)
        assert list(response.events) == []
        moved = response.position
    assert moved != first
    place.write("red", colour="red")
    assert [each.id for each in read(place.watch(since=moved), 1)] == ["red"]


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"since": "nonsense"}, "INVALID_ARGUMENT", "since"),
        ({"filter_json": "{"}, "INVALID_ARGUMENT", "filter_json"),
        ({"collection": ""}, "INVALID_ARGUMENT", "collection"),
        ({"collection": "nowhere"}, "NOT_FOUND", "nowhere"),
        ({"credential": None}, "UNAUTHENTICATED", "Authorization"),
        ({"credential": "ng_live_wrong"}, "UNAUTHENTICATED", "key"),
    ],
)
def test_bad_calls_are_refused_with_what_is_wrong(place: Place, given: dict[str, Any], code: str, words: str) -> None:
    call = place.watch(**given)
    assert end_of(call)[0] == code
    assert words in call.details()
    assert place.services.live.count == 0


def test_a_position_of_a_dropped_collection_is_refused(place: Place) -> None:
    call = place.watching()
    place.write("a")
    position = next(call).position
    place.send("DeleteCollection", pb.DeleteCollectionRequest(name="docs"))
    assert end_of(call) == ("NOT_FOUND", "COLLECTION_NOT_FOUND")
    assert "'docs' was dropped" in call.details()
    place.create()
    refused = place.watch(since=position)
    assert end_of(refused) == ("INVALID_ARGUMENT", "VALIDATION_ERROR")
    assert "dropped" in refused.details()


def test_rights_are_those_of_reading_the_collection(place: Place) -> None:
    place.create("other")
    assert end_of(place.watch(credential=place.new_key("tokens:read")))[0] == "PERMISSION_DENIED"
    one = place.new_key(collections=["docs"])
    place.watching("docs", credential=one)
    assert end_of(place.watch("other", credential=one))[0] == "PERMISSION_DENIED"
    # A collection of another tenant is none at all.
    assert end_of(place.watch("docs", credential=place.login_elsewhere())) == ("NOT_FOUND", "COLLECTION_NOT_FOUND")


def test_the_stream_of_a_revoked_key_ends_at_once(place: Place) -> None:
    secret = place.new_key()
    revoked, other = place.watching(credential=secret), place.watching()
    [key] = [each for each in place.services.keys.list(DEVELOPER) if each.key_prefix == secret[:16]]
    place.services.keys.revoke(DEVELOPER, key.key_id)
    place.write("a")
    assert end_of(revoked)[0] == "UNAUTHENTICATED"
    assert [each.id for each in read(other, 1)] == ["a"]
    eventually(lambda: place.services.live.count == 1)


def test_streams_are_limited(make_place: Callable[..., Place]) -> None:
    place = make_place(live_limits=LiveLimits(per_account=2))
    calls = [place.watching() for _ in range(2)]
    refused = place.watch()
    assert end_of(refused) == ("RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")
    assert "max_live_streams_per_account" in refused.details()
    assert dict(refused.trailing_metadata())["retry-after"] == "5"
    calls[0].cancel()
    eventually(lambda: place.services.live.count == 1)
    place.watching()


def test_a_deadline_is_one_of_the_whole_stream(place: Place) -> None:
    call = place.watching(timeout=1.0)
    place.write("a")
    assert read(call, 1)
    assert end_of(call) == ("DEADLINE_EXCEEDED", None)
    eventually(lambda: place.services.live.count == 0)


def test_the_end_of_a_stream_is_one_line(place: Place, log_lines: list[MutableMapping[str, Any]]) -> None:
    """An error makes it one of level info; a long life does not."""

    def lines() -> set[tuple[str, str]]:
        return {(line["code"], line["log_level"]) for line in log_lines if line.get("method") == "Watch"}

    left, dropped = place.watching(), place.watching()
    left.cancel()
    eventually(lambda: place.services.live.count == 1)
    place.send("DeleteCollection", pb.DeleteCollectionRequest(name="docs"))
    end_of(dropped)
    eventually(lambda: len(lines()) == 2)
    assert lines() == {("CANCELLED", "debug"), ("NOT_FOUND", "info")}


def test_many_writers_and_readers(place: Place) -> None:
    """Every reader sees the whole log in its order, whatever it is woken by."""
    calls = [place.watching() for _ in range(12)]

    def write(writer: int) -> None:
        for n in range(40):
            place.write(*(f"{writer}.{n}.{k}" for k in range(7)))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for call in calls:
        assert [each.version for each in read(call, 840)] == list(range(1, 841))
    for thread in threads:
        thread.join()


def test_streams_opened_and_given_up_stop_nobody(place: Place) -> None:
    """Fifty streams of health once stopped the server, which held a lock while it sent."""
    headers = ("x-api-key", place.key)
    body = WatchRequest(collection="docs", since="oldest").SerializeToString()
    place.write(*(f"p{n}" for n in range(100)))
    other = place.watching()
    with Connection(place.address) as attacker:
        for first in range(1, 800, 8):
            streams = range(first, first + 8, 2)
            attacker.send(*(grpc_headers(WATCH, stream, headers) + grpc_message(stream, body) for stream in streams))
            attacker.send(*(reset(stream) for stream in streams))
    place.write("after")
    assert [each.id for each in read(other, 1)] == ["after"]
    eventually(lambda: place.services.live.count == 1)
    assert not place.services.live.tails._tails or len(place.services.live.tails._tails) == 1


class Deaf:
    """Callers that open streams and take nothing of them; their connection is one that answers pings."""

    def __init__(self, place: Place, number: int) -> None:
        self._place = place
        self._connection = Connection(place.address, window=0)
        self._reading = threading.Thread(target=self._answer_pings)
        self._reading.start()
        body = WatchRequest(collection="docs").SerializeToString()
        headers = ("x-api-key", place.key)
        before = place.services.live.count
        for first in range(0, number, 50):
            streams = range(2 * first + 1, 2 * (first + 50) + 1, 2)
            self._connection.send(
                *(grpc_headers(WATCH, stream, headers) + grpc_message(stream, body) for stream in streams)
            )
            eventually(lambda f=first: place.services.live.count == before + f + 50)  # type: ignore[misc]

    def _answer_pings(self) -> None:
        # The server may end the connection first.
        with suppress(OSError):
            for _ in self._connection.frames():
                pass

    def __enter__(self) -> "Deaf":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)
        self._reading.join(PATIENCE)
        self._connection.socket.close()


def open_many(place: Place, channel: Any, number: int) -> list[Any]:
    """Open streams, some at once; those that a busy machine refuses are opened again."""
    calls: list[Any] = []
    while len(calls) < number:
        for call in [place.watch(channel=channel) for _ in range(min(25, number - len(calls)))]:
            try:
                next(call)
            except grpc.RpcError:
                assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            else:
                calls.append(call)
    return calls


@pytest.mark.slow
def test_a_thousand_watchers_of_whom_200_do_not_read_hold_no_thread(place: Place) -> None:
    with ExitStack() as stack:
        own = [("grpc.use_local_subchannel_pool", 1)]
        channels = [stack.enter_context(grpc.insecure_channel(place.address, own)) for _ in range(4)]
        warm = place.watching()
        place.write("warm")
        read(warm, 1)
        stack.enter_context(Deaf(place, 200))
        # Threads of the server: those that answer calls are started as calls come, up to a number of their own.
        before = server_threads()
        calls = [call for channel in channels for call in open_many(place, channel, 200)]
        assert place.services.live.count == 1_001
        place.write("a", "b")
        for call in calls:
            assert [each.id for each in read(call, 2)] == ["a", "b"]
        assert len(server_threads()) <= len(before) + 4, server_threads() - before
        assert sum(name.startswith("rpc-watch") for name in server_threads()) <= 2
        # Others are answered meanwhile, and so is a stream that is opened now.
        assert read(place.watch(since="oldest"), 3)
        for call in calls:
            call.cancel()
    eventually(lambda: place.services.live.count <= 2)


def server_threads() -> set[str]:
    """Return the names of threads that serve; those of this process's clients have none."""
    return {each.name for each in threading.enumerate() if each.name.startswith(("rpc-", "live-", "tick of"))}


def test_a_caller_that_takes_nothing_is_ended_and_others_go_on(make_place: Callable[..., Place]) -> None:
    place = make_place(reader_seconds=1.0)
    with Deaf(place, 50):
        call = place.watching()
        # A caller that is sent nothing is not one that takes nothing.
        quiet = place.watching("tokens")
        eventually(lambda: place.services.live.count == 2)
        place.write("a")
        assert [each.id for each in read(call, 1)] == ["a"]
        quiet.cancel()
        assert quiet.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("deaf", [0, 50])
def test_stopping_asks_to_come_back(make_place: Callable[..., Place], deaf: int) -> None:
    place = make_place()
    with Deaf(place, deaf) if deaf else ExitStack():
        calls = [place.watching() for _ in range(10)]
        stopped = place.server.stop(120)
        for call in calls:
            assert end_of(call) == ("UNAVAILABLE", "SERVER_STOPPING")
            assert "open the stream again" in call.details()
        # Those who do not read are not waited for.
        assert stopped.wait(PATIENCE)
    eventually(lambda: place.services.live.count == 0)


def test_streams_end_when_all_live_events_do(place: Place) -> None:
    calls: Sequence[Any] = [place.watching() for _ in range(3)]
    place.services.live.close()
    assert {end_of(call) for call in calls} == {("UNAVAILABLE", "SERVER_STOPPING")}
    assert end_of(place.watch())[0] == "UNAVAILABLE"


def test_a_message_that_does_not_come_is_waited_for_as_elsewhere(make_place: Callable[..., Place]) -> None:
    place = make_place(body_seconds=0.5)
    with Connection(place.address) as silent:
        silent.send(*(grpc_headers(WATCH, stream, ("x-api-key", place.key)) for stream in range(1, 40, 2)))
        place.watching()
    assert place.services.live.count == 1


def test_what_fails_while_it_is_sent_ends_one_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = place.watching(), place.watching()
    [stream, *_] = list(place.services.live._streams)
    original = type(stream).take
    monkeypatch.setattr(type(stream), "take", lambda self: _fail() if self is stream else original(self))
    place.write("a")
    assert end_of(bad)[0] == "CANCELLED"
    assert [each.id for each in read(good, 1)] == ["a"]
    eventually(lambda: place.services.live.count == 1)


def _fail() -> None:
    raise RuntimeError("as if there were a defect")
