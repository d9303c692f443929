"""The mock clients behave as documented, are the real clients otherwise, and fail by script."""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

import pytest

from neurograph import (
    ConflictError,
    ConnectionError,
    Event,
    NeuroGraphError,
    NotFoundError,
    ServerError,
    ValidationError,
    field,
)
from neurograph.testing import (
    AsyncFailureScript,
    AsyncMockNeuroGraphClient,
    FailureScript,
    MockNeuroGraphClient,
    mock_api_key,
    mock_neurograph_client,
    mock_token,
)

Transport: TypeAlias = Literal["sse", "websocket"]
pytest_plugins = ["neurograph.pytest_plugin"]


def test_tokens(mock_neurograph: MockNeuroGraphClient) -> None:
    tokens = mock_neurograph.tokens
    first = tokens.create(text="one")
    assert (first.id, len(first.embedding), first.metadata) == (1, 768, {})
    assert [token.id for token in tokens.create_many(["two", "three"])] == [2, 3]
    assert tokens.get(1) == first
    page = tokens.list(limit=1, offset=1)
    assert ([token.id for token in page], page.total, page.has_more) == ([2], 3, True)
    assert tokens.update(1, metadata={"new": True}).metadata == {"new": True}
    assert tokens.update(1, text="changed").embedding != first.embedding
    assert tokens.delete(2) is True
    with pytest.raises(NotFoundError):
        tokens.get(2)
    assert tokens.delete_many([3, 9]).missing == [9]
    assert tokens.create("four").id == 4


def test_queries(mock_neurograph: MockNeuroGraphClient) -> None:
    tokens = mock_neurograph.tokens
    tokens.create_many([f"text {n}" for n in range(20)])
    hits = tokens.query(text="text 7", top_k=5)
    assert (len(hits), hits[0].token.text) == (5, "text 7")
    assert all(0 <= hit.similarity <= 1 for hit in hits)
    assert [hit.token.id for hit in tokens.query(tokens.get(8).embedding, top_k=5)] == [hit.token.id for hit in hits]
    assert 8 not in [hit.token.id for hit in tokens.query(token_id=8, top_k=20)]
    assert tokens.query_many(texts=["text 3"], top_k=1)[0][0].token.id == 4
    with pytest.raises(ValidationError, match="components"):
        tokens.query([1.0])
    with pytest.raises(ValidationError, match="filters"):
        tokens.query(text="x", filter=field("a") == 1)


def test_streams_and_parts(mock_neurograph: MockNeuroGraphClient) -> None:
    tokens = mock_neurograph.tokens
    tokens.create_many(["one", "two", "three"])
    assert [token.text for token in tokens.stream()] == ["one", "two", "three"]
    assert [hit.token.text for hit in tokens.query_stream(text="two", top_k=1)] == ["two"]
    file = io.BytesIO()
    assert tokens.export(file, include=["text"]) == 3
    assert [json.loads(line)["embedding"] for line in file.getvalue().splitlines()] == [[], [], []]
    [listed] = tokens.list(limit=1, include=["embedding"])
    assert (listed.text, len(listed.embedding)) == (None, 768)
    assert mock_neurograph.tokens.delete_many([1, 2, 3]).deleted == 3
    assert list(tokens.stream()) == []
    with pytest.raises(ValidationError, match="filters"):
        next(iter(tokens.stream(filter=field("a") == 1)))


def test_the_account_and_a_rotation(mock_neurograph: MockNeuroGraphClient) -> None:
    assert mock_neurograph.auth.me().username == "mock"
    assert mock_neurograph.auth.logout() is False
    assert mock_neurograph.health.ready() is True
    old = mock_neurograph.api_keys.create("mine", scopes=["tokens:read"])
    new = mock_neurograph.api_keys.rotate(old.key_id)
    assert (new.name, new.scopes) == ("mine", ["tokens:read"])
    assert [key.is_active for key in mock_neurograph.api_keys.iterate()] == [False, True]
    with pytest.raises(ConflictError):
        mock_neurograph.api_keys.rotate(old.key_id)


def test_keys_and_health(mock_neurograph: MockNeuroGraphClient) -> None:
    created = mock_neurograph.api_keys.create("mine", scopes=["tokens:read"])
    assert created.key_id == "key_00000001"
    assert created.api_key.startswith("ng_mock_")
    [listed] = mock_neurograph.api_keys.list()
    assert listed.model_extra == {"api_key": None}
    assert mock_neurograph.api_keys.revoke(created.key_id) is True
    assert not mock_neurograph.api_keys.get(created.key_id).is_active
    assert mock_neurograph.api_keys.delete(created.key_id) is True
    health = mock_neurograph.health.check()
    assert (health.status, health.version) == ("healthy", "0.59.0-mock")
    status = mock_neurograph.health.status()
    assert (status.tokens_count, (status.model_extra or {})["api_keys_count"]) == (0, 0)


def test_the_same_seed_gives_the_same_vectors() -> None:
    one, same, other = (MockNeuroGraphClient(seed=seed).tokens.create("x").embedding for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.anyio
async def test_the_asynchronous_twin(async_mock_neurograph: AsyncMockNeuroGraphClient) -> None:
    token = await async_mock_neurograph.tokens.create("hello")
    assert (await async_mock_neurograph.tokens.query(token.embedding))[0].token == token
    script = AsyncFailureScript(503)
    client = AsyncMockNeuroGraphClient(middleware=[script])
    assert (await client.tokens.create("repeated")).id == 1
    assert script.attempts == 2
    assert [token.text async for token in client.tokens.stream()] == ["repeated"]


def test_failures_by_script() -> None:
    script = FailureScript(503, ConnectionError("cut"), None, 500)
    client = mock_neurograph_client(middleware=[script])
    assert client.tokens.create("once").id == 1
    assert script.attempts == 3
    with pytest.raises(ServerError):
        client.tokens.create("twice")
    assert client.tokens.list().total == 1


def test_factories_take_overrides() -> None:
    assert (mock_token(id=9).id, len(mock_token().embedding)) == (9, 768)
    assert mock_api_key(is_active=False).key_prefix == "ng_mock_"


@pytest.mark.parametrize("transport", ["sse", "websocket"])
class TestEvents:
    def test_they_are_the_changes_made_through_the_mock(
        self, mock_neurograph: MockNeuroGraphClient, transport: Transport
    ) -> None:
        tokens = mock_neurograph.tokens
        with mock_neurograph.events.subscribe("tokens", include=["text", "payload"], transport=transport) as events:
            tokens.create_many(["one", "two"])
            tokens.update(1, metadata={"new": True})
            tokens.delete(2)
            tokens.delete_many([1, 9])
            found = [next(events) for _ in range(5)]
            position = found[2].id
        assert [(event.type, event.point_id) for event in found] == [
            ("created", 1),
            ("created", 2),
            ("updated", 1),
            ("deleted", 2),
            ("deleted", 1),
        ]
        assert [event.version for event in found] == [1, 2, 3, 4, 5]
        assert found[0].point_version is None, "the point was gone at delivery"
        with mock_neurograph.events.subscribe("tokens", since=position, transport=transport) as events:
            assert next(events).version == 4

    def test_parts_are_those_at_delivery(self, mock_neurograph: MockNeuroGraphClient, transport: Transport) -> None:
        with mock_neurograph.events.subscribe("tokens", include="text,payload", transport=transport) as events:
            mock_neurograph.tokens.create("old", metadata={"a": 1})
            mock_neurograph.tokens.update(1, text="new")
            event = next(events)
        assert (event.version, event.point_version, event.text, event.payload) == (1, 2, "new", {"a": 1})

    def test_listening_ends_from_the_handler(self, mock_neurograph: MockNeuroGraphClient, transport: Transport) -> None:
        mock_neurograph.tokens.create("one")
        heard: list[Event] = []

        def hear(event: Event) -> None:
            heard.append(event)
            mock_neurograph.events.close()

        position = mock_neurograph.events.listen(hear, "tokens", since="oldest", transport=transport)
        assert position == heard[0].id is not None

    def test_closing_ends_a_wait(self, mock_neurograph: MockNeuroGraphClient, transport: Transport) -> None:
        with ThreadPoolExecutor(1) as threads:
            events = mock_neurograph.events.subscribe("tokens, metrics", transport=transport)
            waiting = threads.submit(list, events)
            mock_neurograph.tokens.create("one")
            events.close()
            assert len(waiting.result(10)) in (0, 1)

    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [
            ({"channels": "collection:docs"}, NotFoundError),
            ({"channels": "pigeons"}, ValidationError),
            ({"channels": "tokens", "since": "mock-9"}, ValidationError),
            ({"channels": "tokens", "since": "p1"}, ValidationError),
            ({"channels": "tokens", "filter": {"path": "a", "eq": 1}}, ValidationError),
        ],
    )
    def test_refusals(
        self,
        mock_neurograph: MockNeuroGraphClient,
        transport: Transport,
        arguments: dict[str, Any],
        kind: type[NeuroGraphError],
    ) -> None:
        with pytest.raises(kind):
            mock_neurograph.events.subscribe(transport=transport, **arguments)

    def test_failures_come_by_script(self, transport: Transport) -> None:
        script = FailureScript(503, None, None)
        with MockNeuroGraphClient(middleware=[script]) as mock:
            with mock.events.subscribe("tokens", transport=transport) as events:
                mock.tokens.create("one")
                assert next(events).point_id == 1
        assert script.attempts == 3

    @pytest.mark.anyio
    async def test_the_asynchronous_ones(
        self, async_mock_neurograph: AsyncMockNeuroGraphClient, transport: Transport
    ) -> None:
        mock = async_mock_neurograph
        async with mock.events.subscribe("tokens", transport=transport) as events:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.02)
            await mock.tokens.create("one")
            assert (await anext(events)).point_id == 1
            waiting = asyncio.ensure_future(anext(events, None))
            await asyncio.sleep(0)
            await mock.events.close()
            assert await asyncio.wait_for(waiting, 10) is None
        with pytest.raises(NotFoundError):
            await mock.events.subscribe("collection:docs", transport=transport)


def test_tickets(mock_neurograph: MockNeuroGraphClient) -> None:
    assert mock_neurograph.events.ticket() != mock_neurograph.events.ticket()
