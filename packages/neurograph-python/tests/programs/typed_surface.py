"""Public surface as a user's type checker sees it; checked by mypy, never run."""

from collections.abc import Iterator
from typing import Any, assert_type

from neurograph import (
    APIKey,
    APIKeyCreated,
    AsyncNeuroGraphClient,
    BulkResult,
    DeletedTokens,
    Filter,
    NeuroGraphClient,
    NotFoundError,
    Token,
    TokenPage,
    TokenQueryResult,
    User,
    each,
    field,
)


def synchronous(client: NeuroGraphClient) -> None:
    token = client.tokens.create(text="hello", metadata={"a": 1})
    assert_type(token, Token)
    assert_type(token.embedding, list[float])
    assert_type(token.text, str | None)
    page: TokenPage = client.tokens.list(limit=10, filter=field("year") >= 1990)
    assert_type(page.has_more, bool)
    assert_type(page.total, int | None)
    following: list[Token] = client.tokens.list().next_page()
    assert_type(following[0].metadata, dict[str, Any] | None)
    assert_type(client.tokens.query(text="hello", filter={"path": "year", "gt": 1990}), list[TokenQueryResult])
    assert_type(client.tokens.query_many(texts=["a", "b"]), list[list[TokenQueryResult]])
    assert_type(client.tokens.iterate(), Iterator[Token])
    assert_type(client.tokens.stream(include=["text"]), Iterator[Token])
    result = client.tokens.create_many(({"text": str(n)} for n in range(3)), on_error="collect")
    assert_type(result, BulkResult)
    client.tokens.create_many(result.failed_items)
    tokens: list[Token] = client.tokens.create_many(["a", "b"])
    assert_type(client.tokens.delete_many([token.id for token in tokens]), DeletedTokens)
    assert_type(client.auth.me(), User)
    assert_type(client.health.ready(), bool)
    assert_type(client.with_options(timeout=3), NeuroGraphClient)
    assert_type(client.metrics.snapshot().requests, int)


async def asynchronous(client: AsyncNeuroGraphClient) -> None:
    assert_type(await client.tokens.create("hello"), Token)
    async for token in client.tokens.stream():
        assert_type(token, Token)
    page = await client.tokens.list()
    following: TokenPage = await page.next_page()
    assert_type(following.has_more, bool)
    assert_type(await client.tokens.create_many(["a"], max_in_flight=4), BulkResult)
    assert_type(await client.api_keys.rotate("key"), APIKeyCreated)
    assert_type([key async for key in client.api_keys.iterate()], list[APIKey])


def filters() -> Filter:
    condition = (field("year").between(1990, 2000) & field("tags").any(each() == "red")) | ~field("draft").exists()
    assert_type(condition, Filter)
    return condition


def errors(client: NeuroGraphClient) -> str | None:
    try:
        client.tokens.get(1)
    except NotFoundError as error:
        assert_type(error.status_code, int | None)
        assert_type(error.hint, str | None)
        return error.request_id
    return None
