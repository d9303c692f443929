"""The mock clients behave as documented, are the real clients otherwise, and fail by script."""

import io
import json

import pytest

from neurograph import ConflictError, ConnectionError, NotFoundError, ServerError, ValidationError, field
from neurograph.testing import (
    AsyncFailureScript,
    AsyncMockNeuroGraphClient,
    FailureScript,
    MockNeuroGraphClient,
    mock_api_key,
    mock_neurograph_client,
    mock_token,
)

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
