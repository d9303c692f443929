# Generated from test_async_neurograph_live.py by tools/unasync.py; do not edit.
"""Streams of events of the synchronous client, from the real server."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from cutting_proxy import CuttingProxy

from benchmarks.attack.authorities import Authority
from neurograph import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    Event,
    EventStream,
    NeuroGraphClient,
    NotFoundError,
    PositionExpiredError,
    RateLimitError,
    ValidationError,
    field,
)
from vectrograph import RunningServer, running
from vectrograph.domain.errors import PositionExpired
from vectron_client import Point

Transport: TypeAlias = Literal["sse", "websocket"]


@pytest.fixture(params=["sse", "websocket"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


@pytest.fixture
def docs(house: RunningServer) -> Iterator[str]:
    """Yield the name of a new collection."""
    with house.vectron() as vectron:
        name = f"docs-{random.getrandbits(40):x}"
        vectron.create_collection(name, dimension=2, distance="cosine")
        yield name
        if name in vectron.list_collections():
            vectron.delete_collection(name)


def taken(events: EventStream, count: int) -> list[Event]:
    return [next(events) for _ in range(count)]


def test_changes_of_tokens(house: RunningServer, transport: Transport) -> None:
    with house.neurograph() as client:
        with client.events.subscribe("tokens", include=["payload", "text"], transport=transport) as events:
            token = client.tokens.create("hello", metadata={"n": 1})
            created = next(events)
            client.tokens.update(token.id, text="bye")
            updated = next(events)
            client.tokens.delete(token.id)
            deleted = next(events)
    assert [event.type for event in (created, updated, deleted)] == ["created", "updated", "deleted"]
    assert {event.point_id for event in (created, updated, deleted)} == {token.id}
    assert (created.channel, created.text, created.payload) == ("tokens", "hello", {"n": 1})
    assert created.point_version == created.version
    assert (updated.text, deleted.text, deleted.point_version) == ("bye", None, None)
    assert token.created_at is not None
    assert created.time == token.created_at
    assert created.version is not None
    assert updated.version is not None
    assert created.version < updated.version


def test_a_filter(house: RunningServer, transport: Transport) -> None:
    with house.neurograph() as client:
        with client.events.subscribe("tokens", filter=field("lang") == "fr", transport=transport) as events:
            other = client.tokens.create("hello", metadata={"lang": "en"})
            token = client.tokens.create("bonjour", metadata={"lang": "fr"})
            created = next(events)
            client.tokens.update(token.id, metadata={"lang": "en"})
            left = next(events)
            client.tokens.delete(other.id)
            deleted = next(events)
    assert [(event.type, event.point_id, event.matches) for event in (created, left, deleted)] == [
        ("created", token.id, True),
        ("updated", token.id, False),
        ("deleted", other.id, None),
    ]


def test_a_collection_and_its_end(house: RunningServer, docs: str, transport: Transport) -> None:
    with house.neurograph() as client:
        with client.events.subscribe([f"collection:{docs}", "collections"], since=None, transport=transport) as events:
            with house.vectron() as vectron:
                vectron.upsert(docs, [Point("a", [1.0, 0.0]), Point("b", [0.0, 1.0])])
                assert [event.point_id for event in taken(events, 2)] == ["a", "b"]
                vectron.delete_collection(docs)
            heard: list[Event] = []
            with pytest.raises(NotFoundError) as caught:
                heard_of(events, heard)
        assert caught.value.error_code == "COLLECTION_NOT_FOUND"
        assert [(event.channel, event.type, event.data["name"]) for event in heard] in (
            [],
            [("collections", "dropped", docs)],
        )


def heard_of(events: EventStream, heard: list[Event]) -> None:
    """Read to the end; what comes is there even when the end is an error."""
    while not events.closed:
        heard.append(next(events))


def test_refusals(house: RunningServer, transport: Transport) -> None:
    with house.neurograph() as client:
        with pytest.raises(NotFoundError, match="no collection 'nowhere'"):
            client.events.subscribe("collection:nowhere", transport=transport)
        with pytest.raises(ValidationError, match="no channel"):
            client.events.subscribe("pigeons", transport=transport)
        with pytest.raises(ValidationError, match="no position"):
            client.events.subscribe("tokens", since="AAAA", transport=transport)
        with pytest.raises(ValidationError, match="use that name"):
            client.events.subscribe("collection:tokens", transport=transport)
        with pytest.raises(AuthorizationError):
            client.events.subscribe("connections", transport=transport)
    with house.neurograph(api_key="ng_wrong_key_of_nobody", username=None) as nobody:
        with pytest.raises(AuthenticationError):
            nobody.events.subscribe("tokens", transport=transport)


def test_a_revoked_key_ends_its_streams(house: RunningServer, transport: Transport) -> None:
    with house.neurograph() as client:
        key = client.api_keys.create("reader", scopes=["tokens:read"])
        with house.neurograph(api_key=key.api_key) as reader:
            events = reader.events.subscribe("tokens", transport=transport)
            client.tokens.create("before")
            assert (next(events)).type == "created"
            client.api_keys.revoke(key.key_id)
            client.tokens.create("after")
            with pytest.raises(AuthenticationError) as caught:
                next(events)
            assert caught.value.error_code == "INVALID_API_KEY"
            assert events.closed


def test_a_login_that_ended_is_made_anew(house: RunningServer, transport: Transport) -> None:
    with house.neurograph() as writer:
        with house.neurograph() as client:
            with client.events.subscribe("tokens", transport=transport) as events:
                writer.tokens.create("before")
                next(events)
                client.auth.logout()
                token = writer.tokens.create("after")
                assert (next(events)).point_id == token.id


def test_a_position_that_left_the_log(
    house: RunningServer, docs: str, monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    engine = house.server.services.live.engine
    changes = engine.changes
    began: list[object] = []

    def watched(ref: Any, since: Any = None, **more: Any) -> Any:
        began.append(since)
        return changes(ref, since, **more)

    monkeypatch.setattr(engine, "changes", watched)
    with house.neurograph() as client:
        with client.events.subscribe(f"collection:{docs}", transport=transport) as events:
            position, gone = events.position, [since for since in began if since != "now"]
            with house.vectron() as vectron:
                vectron.upsert(docs, [Point("a", [1.0, 0.0])])
                vectron.upsert(docs, [Point("b", [1.0, 0.0])])
            taken(events, 2)

        def forgetful(ref: Any, since: Any = None, **more: Any) -> Any:
            if since in gone:
                raise PositionExpired.of(changes(ref, None, limit=1).position)
            return changes(ref, since, **more)

        monkeypatch.setattr(engine, "changes", forgetful)
        with pytest.raises(PositionExpiredError) as caught:
            client.events.subscribe(f"collection:{docs}", since=position, transport=transport)
        assert caught.value.error_code == "POSITION_EXPIRED"
        monkeypatch.undo()
        with client.events.subscribe(f"collection:{docs}", since=caught.value.oldest, transport=transport) as events:
            assert (next(events)).point_id == "b"


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_doubled_wherever_connections_are_cut(
    house: RunningServer, seed: int, monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    def hurry(_: Any, seconds: float) -> None:
        assert seconds < 40

    monkeypatch.setattr("neurograph._execution.pulling.Puller.sleep", hurry)
    dice = random.Random(seed)
    with CuttingProxy(house.http_url) as proxy:
        with house.neurograph() as writer:
            with NeuroGraphClient(proxy.url, api_key=house.api_key, max_retries=10) as reader:
                proxy.cuts = [dice.randrange(3000) for _ in range(8)]
                with reader.events.subscribe("tokens", include="text", transport=transport) as events:
                    expected = []
                    for batch in range(12):
                        texts = [f"{seed} {batch} {n}" for n in range(dice.randrange(1, 9))]
                        made = writer.tokens.create_many(texts)
                        expected += [token.id for token in made]
                        if dice.random() < 0.5:
                            found = taken(events, len(made))
                            assert [event.point_id for event in found] == expected[: len(found)]
                            expected = expected[len(found) :]
                    assert [event.point_id for event in taken(events, len(expected))] == expected
    assert proxy.cuts == [] or proxy.count > 3


def test_a_slow_reader_gets_everything(house: RunningServer, transport: Transport) -> None:
    """More than the buffers of both sides and the memory of the server hold."""
    with house.neurograph() as client:
        with client.events.subscribe("tokens", include="payload", transport=transport) as events:
            expected = []
            for _ in range(6):
                made = client.tokens.create_many(
                    [{"text": "t", "metadata": {"filling": "x" * 10_000}} for _ in range(200)]
                )
                expected += [token.id for token in made]
            found = taken(events, len(expected))
    assert [event.point_id for event in found] == expected
    assert all(event.payload == {"filling": "x" * 10_000} for event in found)


def test_over_tls(tmp_path: Path, transport: Transport) -> None:
    """Also a slow reader, and none that does not trust the certificate."""
    authority = Authority(tmp_path / "ca")
    chain, key = authority.issue("server")
    with running(tls_cert=chain, tls_key=key) as server:
        options: Any = {"base_url": server.http_url, "api_key": server.api_key, "max_retries": 0}
        with NeuroGraphClient(**options, verify_ssl=authority.certificate) as client:
            with client.events.subscribe("tokens", include="payload", transport=transport) as events:
                token = client.tokens.create("hello")
                first = taken(events, 1)
                made = client.tokens.create_many(
                    [{"text": "t", "metadata": {"filling": "x" * 10_000}} for _ in range(500)]
                )
                others = taken(events, 500)
        with NeuroGraphClient(**options) as client:
            with pytest.raises(ConnectionError, match="certificate"):
                client.events.subscribe("tokens", transport=transport)
    assert [event.point_id for event in first + others] == [token.id, *(each.id for each in made)]


def test_as_many_streams_as_allowed(house: RunningServer, transport: Transport) -> None:
    with house.neurograph(max_retries=0, timeout=60) as client:
        streams = [client.events.subscribe("status", transport=transport) for _ in range(100)]
        with pytest.raises(RateLimitError, match="max_live_streams_per_account"):
            client.events.subscribe("status", transport=transport)
        assert (client.health.check()).status == "healthy"
        client.events.close()
        assert [stream.closed for stream in streams] == [True] * 100


def test_every_ticket_is_another(house: RunningServer) -> None:
    with house.neurograph() as client:
        first, second = client.events.ticket(), client.events.ticket()
    assert first.ticket != second.ticket
    assert first.expires_in == 30
