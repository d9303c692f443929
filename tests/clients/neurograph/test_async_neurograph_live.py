"""Streams of events of the asynchronous client, from the real server."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from cutting_proxy import CuttingProxy

from benchmarks.attack.authorities import Authority
from neurograph import (
    AsyncEventStream,
    AsyncNeuroGraphClient,
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    Event,
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
pytestmark = pytest.mark.anyio


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


async def taken(events: AsyncEventStream, count: int) -> list[Event]:
    return [await anext(events) for _ in range(count)]


async def test_changes_of_tokens(house: RunningServer, transport: Transport) -> None:
    async with house.async_neurograph() as client:
        async with client.events.subscribe("tokens", include=["payload", "text"], transport=transport) as events:
            token = await client.tokens.create("hello", metadata={"n": 1})
            created = await anext(events)
            await client.tokens.update(token.id, text="bye")
            updated = await anext(events)
            await client.tokens.delete(token.id)
            deleted = await anext(events)
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


async def test_a_filter(house: RunningServer, transport: Transport) -> None:
    async with house.async_neurograph() as client:
        async with client.events.subscribe("tokens", filter=field("lang") == "fr", transport=transport) as events:
            other = await client.tokens.create("hello", metadata={"lang": "en"})
            token = await client.tokens.create("bonjour", metadata={"lang": "fr"})
            created = await anext(events)
            await client.tokens.update(token.id, metadata={"lang": "en"})
            left = await anext(events)
            await client.tokens.delete(other.id)
            deleted = await anext(events)
    assert [(event.type, event.point_id, event.matches) for event in (created, left, deleted)] == [
        ("created", token.id, True),
        ("updated", token.id, False),
        ("deleted", other.id, None),
    ]


async def test_a_collection_and_its_end(house: RunningServer, docs: str, transport: Transport) -> None:
    async with house.async_neurograph() as client:
        async with client.events.subscribe(
            [f"collection:{docs}", "collections"], since=None, transport=transport
        ) as events:
            with house.vectron() as vectron:
                vectron.upsert(docs, [Point("a", [1.0, 0.0]), Point("b", [0.0, 1.0])])
                assert [event.point_id for event in await taken(events, 2)] == ["a", "b"]
                vectron.delete_collection(docs)
            heard: list[Event] = []
            with pytest.raises(NotFoundError) as caught:
                await heard_of(events, heard)
        assert caught.value.error_code == "COLLECTION_NOT_FOUND"
        assert [(event.channel, event.type, event.data["name"]) for event in heard] in (
            [],
            [("collections", "dropped", docs)],
        )


async def heard_of(events: AsyncEventStream, heard: list[Event]) -> None:
    """Read to the end; what comes is there even when the end is an error."""
    while not events.closed:
        heard.append(await anext(events))


async def test_refusals(house: RunningServer, transport: Transport) -> None:
    async with house.async_neurograph() as client:
        with pytest.raises(NotFoundError, match="no collection 'nowhere'"):
            await client.events.subscribe("collection:nowhere", transport=transport)
        with pytest.raises(ValidationError, match="no channel"):
            await client.events.subscribe("pigeons", transport=transport)
        with pytest.raises(ValidationError, match="no position"):
            await client.events.subscribe("tokens", since="AAAA", transport=transport)
        with pytest.raises(ValidationError, match="use that name"):
            await client.events.subscribe("collection:tokens", transport=transport)
        with pytest.raises(AuthorizationError):
            await client.events.subscribe("connections", transport=transport)
    async with house.async_neurograph(api_key="ng_wrong_key_of_nobody", username=None) as nobody:
        with pytest.raises(AuthenticationError):
            await nobody.events.subscribe("tokens", transport=transport)


async def test_a_revoked_key_ends_its_streams(house: RunningServer, transport: Transport) -> None:
    async with house.async_neurograph() as client:
        key = await client.api_keys.create("reader", scopes=["tokens:read"])
        async with house.async_neurograph(api_key=key.api_key) as reader:
            events = await reader.events.subscribe("tokens", transport=transport)
            await client.tokens.create("before")
            assert (await anext(events)).type == "created"
            await client.api_keys.revoke(key.key_id)
            await client.tokens.create("after")
            with pytest.raises(AuthenticationError) as caught:
                await anext(events)
            assert caught.value.error_code == "INVALID_API_KEY"
            assert events.closed


async def test_a_login_that_ended_is_made_anew(house: RunningServer, transport: Transport) -> None:
    async with house.async_neurograph() as writer:
        async with house.async_neurograph() as client:
            async with client.events.subscribe("tokens", transport=transport) as events:
                await writer.tokens.create("before")
                await anext(events)
                await client.auth.logout()
                token = await writer.tokens.create("after")
                assert (await anext(events)).point_id == token.id


async def test_a_position_that_left_the_log(
    house: RunningServer, docs: str, monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    engine = house.server.services.live.engine
    changes = engine.changes
    began: list[object] = []

    def watched(ref: Any, since: Any = None, **more: Any) -> Any:
        began.append(since)
        return changes(ref, since, **more)

    monkeypatch.setattr(engine, "changes", watched)
    async with house.async_neurograph() as client:
        async with client.events.subscribe(f"collection:{docs}", transport=transport) as events:
            position, gone = events.position, [since for since in began if since != "now"]
            with house.vectron() as vectron:
                vectron.upsert(docs, [Point("a", [1.0, 0.0])])
                vectron.upsert(docs, [Point("b", [1.0, 0.0])])
            await taken(events, 2)

        def forgetful(ref: Any, since: Any = None, **more: Any) -> Any:
            if since in gone:
                raise PositionExpired.of(changes(ref, None, limit=1).position)
            return changes(ref, since, **more)

        monkeypatch.setattr(engine, "changes", forgetful)
        with pytest.raises(PositionExpiredError) as caught:
            await client.events.subscribe(f"collection:{docs}", since=position, transport=transport)
        assert caught.value.error_code == "POSITION_EXPIRED"
        monkeypatch.undo()
        async with client.events.subscribe(
            f"collection:{docs}", since=caught.value.oldest, transport=transport
        ) as events:
            assert (await anext(events)).point_id == "b"


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_doubled_wherever_connections_are_cut(
    house: RunningServer, seed: int, monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    async def hurry(_: Any, seconds: float) -> None:
        assert seconds < 40

    monkeypatch.setattr("neurograph._execution.pulling.AsyncPuller.sleep", hurry)
    dice = random.Random(seed)
    with CuttingProxy(house.http_url) as proxy:
        async with house.async_neurograph() as writer:
            async with AsyncNeuroGraphClient(proxy.url, api_key=house.api_key, max_retries=10) as reader:
                proxy.cuts = [dice.randrange(3000) for _ in range(8)]
                async with reader.events.subscribe("tokens", include="text", transport=transport) as events:
                    expected = []
                    for batch in range(12):
                        texts = [f"{seed} {batch} {n}" for n in range(dice.randrange(1, 9))]
                        made = await writer.tokens.create_many(texts)
                        expected += [token.id for token in made]
                        if dice.random() < 0.5:
                            found = await taken(events, len(made))
                            assert [event.point_id for event in found] == expected[: len(found)]
                            expected = expected[len(found) :]
                    assert [event.point_id for event in await taken(events, len(expected))] == expected
    assert proxy.cuts == [] or proxy.count > 3


async def test_a_slow_reader_gets_everything(house: RunningServer, transport: Transport) -> None:
    """More than the buffers of both sides and the memory of the server hold."""
    async with house.async_neurograph() as client:
        async with client.events.subscribe("tokens", include="payload", transport=transport) as events:
            expected = []
            for _ in range(6):
                made = await client.tokens.create_many(
                    [{"text": "t", "metadata": {"filling": "x" * 10_000}} for _ in range(200)]
                )
                expected += [token.id for token in made]
            found = await taken(events, len(expected))
    assert [event.point_id for event in found] == expected
    assert all(event.payload == {"filling": "x" * 10_000} for event in found)


async def test_over_tls(tmp_path: Path, transport: Transport) -> None:
    """Also a slow reader, and none that does not trust the certificate."""
    authority = Authority(tmp_path / "ca")
    chain, key = authority.issue("server")
    with running(tls_cert=chain, tls_key=key) as server:
        options: Any = {"base_url": server.http_url, "api_key": server.api_key, "max_retries": 0}
        async with AsyncNeuroGraphClient(**options, verify_ssl=authority.certificate) as client:
            async with client.events.subscribe("tokens", include="payload", transport=transport) as events:
                token = await client.tokens.create("hello")
                first = await taken(events, 1)
                made = await client.tokens.create_many(
                    [{"text": "t", "metadata": {"filling": "x" * 10_000}} for _ in range(500)]
                )
                others = await taken(events, 500)
        async with AsyncNeuroGraphClient(**options) as client:
            with pytest.raises(ConnectionError, match="certificate"):
                await client.events.subscribe("tokens", transport=transport)
    assert [event.point_id for event in first + others] == [token.id, *(each.id for each in made)]


async def test_as_many_streams_as_allowed(house: RunningServer, transport: Transport) -> None:
    async with house.async_neurograph(max_retries=0, timeout=60) as client:
        streams = [await client.events.subscribe("status", transport=transport) for _ in range(100)]
        with pytest.raises(RateLimitError, match="max_live_streams_per_account"):
            await client.events.subscribe("status", transport=transport)
        assert (await client.health.check()).status == "healthy"
        await client.events.close()
        assert [stream.closed for stream in streams] == [True] * 100


async def test_every_ticket_is_another(house: RunningServer) -> None:
    async with house.async_neurograph() as client:
        first, second = await client.events.ticket(), await client.events.ticket()
    assert first.ticket != second.ticket
    assert first.expires_in == 30
