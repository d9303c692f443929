"""Requests of the asynchronous client, call by call and in bulk, and its use of the answers."""

from functools import partial

import pytest
from async_client_setup import QUERY, TOKEN, TOKENS, error_reply, scripted, with_key
from scripted_server import Arrived, Reply, ScriptedServer, token_body

from neurograph import (
    UNSET,
    APIKey,
    AsyncNeuroGraphClient,
    InvalidResponseError,
    NotFoundError,
    PayloadTooLargeError,
    Token,
    TokenCreate,
    ValidationError,
)
from neurograph._protocol.operations import NewToken

pytestmark = pytest.mark.anyio

BATCH = "/api/v1/tokens/batch"
KEYS = "/api/v1/api-keys"
KEY = {"key_id": "k/1", "name": "mine", "key_prefix": "ng_live_ab", "created_at": "2025-12-28T10:00:00Z"}

server = pytest.fixture(scripted)


def connected(server: ScriptedServer, max_response_bytes: int) -> AsyncNeuroGraphClient:
    return AsyncNeuroGraphClient(server.url, api_key="ng_live_key", max_response_bytes=max_response_bytes)


async def test_create_token(server: ScriptedServer) -> None:
    server.on("POST", TOKENS, Reply(201, token_body(text="hi")))
    async with with_key(server) as client:
        token = await client.tokens.create(text="hi", metadata={"category": "greeting"})
    assert isinstance(token, Token)
    assert (token.id, token.text, token.embedding, token.metadata) == (7, "hi", [0.5, -1.0], {"a": 1})
    assert server.arrived[-1].json == {"text": "hi", "metadata": {"category": "greeting"}}


async def test_get_token(server: ScriptedServer) -> None:
    async with with_key(server) as client:
        assert (await client.tokens.get(token_id=7)).id == 7


async def test_list_tokens(server: ScriptedServer) -> None:
    server.on("GET", TOKENS, Reply(body={"tokens": [token_body(1), token_body(2)], "total": 12}))
    async with with_key(server) as client:
        page = await client.tokens.list(limit=2, offset=3)
        assert [found.id for found in page] == [1, 2]
        assert (page.total, page.limit, page.offset) == (12, 2, 3)
        assert server.arrived[-1].target == f"{TOKENS}?limit=2&offset=3"
        await client.tokens.list()
        assert server.arrived[-1].target == f"{TOKENS}?limit=100&offset=0"


async def test_delete_token(server: ScriptedServer) -> None:
    server.on("DELETE", TOKEN, Reply(204))
    async with with_key(server) as client:
        assert await client.tokens.delete(token_id=7) is True


async def test_query_tokens(server: ScriptedServer) -> None:
    server.on("POST", QUERY, Reply(body={"results": [{"token": token_body(), "similarity": 0.9, "distance": 0.1}]}))
    async with with_key(server) as client:
        hits = await client.tokens.query(query_vector=[0.5, -1], top_k=3, threshold=0.8)
    assert server.arrived[-1].json == {"query_vector": [0.5, -1.0], "top_k": 3, "threshold": 0.8}
    assert [(hit.token.id, hit.similarity, hit.distance) for hit in hits] == [(7, 0.9, 0.1)]


async def test_update_token_tells_leaving_from_clearing(server: ScriptedServer) -> None:
    server.on("PUT", TOKEN, Reply(body=token_body()))
    async with with_key(server) as client:
        await client.tokens.update(7, text="new", metadata={"updated": True})
        assert server.arrived[-1].json == {"text": "new", "metadata": {"updated": True}}
        await client.tokens.update(7, text=None, metadata=None)
        assert server.arrived[-1].json == {"text": None, "metadata": None}
        await client.tokens.update(7, UNSET, (1, 2))
        assert server.arrived[-1].json == {"embedding": [1.0, 2.0]}
        with pytest.raises(ValidationError, match="changes nothing"):
            await client.tokens.update(7)
    assert server.count("PUT", TOKEN) == 3


async def test_api_keys(server: ScriptedServer) -> None:
    server.on("POST", KEYS, Reply(201, {**KEY, "api_key": "ng_live_secret", "scopes": ["tokens:read"]}))
    server.on("GET", KEYS, Reply(body={"api_keys": [KEY], "total": 1}))
    server.on("GET", f"{KEYS}/k%2F1", Reply(body=KEY))
    server.on("POST", f"{KEYS}/k%2F1/revoke", Reply(body={"success": True, "message": "revoked"}))
    server.on("DELETE", f"{KEYS}/k%2F1", Reply(204))
    async with with_key(server) as client:
        created = await client.api_keys.create(name="mine", scopes=["tokens:read"], expires_in_days=30)
        assert server.arrived[-1].json == {"name": "mine", "scopes": ["tokens:read"], "expires_in_days": 30}
        assert created.api_key == "ng_live_secret"
        assert "ng_live_secret" not in repr(created)
        await client.api_keys.create("mine", scopes=[])
        assert server.arrived[-1].json == {"name": "mine", "scopes": []}
        keys = await client.api_keys.list()
        assert all(isinstance(key, APIKey) for key in keys)
        assert (await client.api_keys.get(key_id="k/1")).is_active
        assert await client.api_keys.revoke(key_id="k/1") is True
        assert await client.api_keys.delete(key_id="k/1") is True


async def test_ids_stay_inside_their_path(server: ScriptedServer) -> None:
    async with with_key(server) as client:
        for evil in ("", ".", ".."):
            with pytest.raises(ValidationError, match="key_id"):
                await client.api_keys.delete(evil)
        with pytest.raises(NotFoundError):
            await client.api_keys.get("../tokens?x=1#y")
    assert [seen.target for seen in server.arrived] == [f"{KEYS}/..%2Ftokens%3Fx%3D1%23y"]


async def test_health(server: ScriptedServer) -> None:
    server.on("GET", "/api/v1/health", Reply(body={"status": "healthy", "version": "1.2"}))
    server.on("GET", "/api/v1/status", Reply(body={"api_version": "1", "tokens_count": 3, "uptime_seconds": 1.5}))
    async with with_key(server) as client:
        assert (await client.health.check()).status == "healthy"
        status = await client.health.status()
        assert (status.api_version, status.tokens_count, status.uptime_seconds) == ("1", 3, 1.5)
        assert status.memory_usage_mb is None


async def test_every_request_says_who_asks(server: ScriptedServer) -> None:
    async with with_key(server) as client:
        await client.tokens.get(7)
    [seen] = server.arrived
    assert seen.headers["user-agent"].startswith("neurograph-python/")
    assert seen.headers["accept"] == "application/vnd.neurograph.vectors, application/json;q=0.9"
    assert seen.headers["authorization"] == "Bearer ng_live_key"


async def test_a_path_in_the_base_url_is_kept(server: ScriptedServer) -> None:
    server.on("GET", f"/behind/a/proxy{TOKEN}", Reply(body=token_body()))
    async with AsyncNeuroGraphClient(f"{server.url}/behind/a/proxy/", api_key="k") as client:
        assert (await client.tokens.get(7)).id == 7


async def test_wrong_arguments_are_refused_before_anything_is_sent(server: ScriptedServer) -> None:
    async with with_key(server) as client:
        for call, field in (
            (lambda: client.tokens.query([1.0, float("nan")]), "query_vector.1"),
            (lambda: client.tokens.query("0.5"), "query_vector"),
            (lambda: client.tokens.create("x", metadata={"a": {"b": [float("inf")]}}), "metadata.a.b.0"),
            (lambda: client.tokens.create("\ud800"), "text"),
            (lambda: client.tokens.create_many("abc"), "items"),
            (lambda: client.tokens.create_many(["a", {"txt": "b"}]), "tokens.1"),
            (lambda: client.embeddings.create("abc"), "texts"),
        ):
            with pytest.raises(ValidationError) as caught:
                await call()
            assert caught.value.details["errors"][0]["field"] == field
            assert caught.value.status_code is None
    assert server.arrived == []


class TestMany:
    async def test_batches_are_cut_and_keep_their_order(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 2)
        numbers = iter(range(1, 10))
        server.on(
            "POST",
            BATCH,
            lambda seen: Reply(201, {"tokens": [token_body(next(numbers), **t) for t in seen.json["tokens"]]}),
        )
        items: list[NewToken] = ["a", {"text": "b", "metadata": {"n": 2}}, TokenCreate(text="c", embedding=[1, 2])]
        async with with_key(server) as client:
            tokens = await client.tokens.create_many(iter(items))
            assert [(token.id, token.text) for token in tokens] == [(1, "a"), (2, "b"), (3, "c")]
            assert [seen.json for seen in server.arrived] == [
                {"tokens": [{"text": "a"}, {"text": "b", "metadata": {"n": 2}}]},
                {"tokens": [{"text": "c", "embedding": [1.0, 2.0]}]},
            ]
            assert await client.tokens.create_many([]) == []

    async def test_batches_are_cut_by_bytes(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_BYTES", 1000)
        server.on("POST", BATCH, lambda seen: Reply(201, {"tokens": [token_body() for _ in seen.json["tokens"]]}))
        async with with_key(server) as client:
            assert len(await client.tokens.create_many("é" * 200 for _ in range(7))) == 7
        assert server.count("POST", BATCH) == 4
        assert all(len(seen.body) < 1100 for seen in server.arrived)

    async def test_a_failure_tells_what_was_created_before_it(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 1)
        server.on("POST", BATCH, Reply(201, {"tokens": [token_body(41)]}), error_reply(422))
        async with with_key(server) as client:
            with pytest.raises(ValidationError) as caught:
                await client.tokens.create_many(["good", "bad", "never sent"])
        assert caught.value.details["created_ids"] == [41]
        assert server.count("POST", BATCH) == 2

    async def test_iterate_walks_over_all_pages(self, server: ScriptedServer) -> None:
        rows = [token_body(number) for number in range(1, 8)]

        def page(seen: Arrived) -> Reply:
            query = dict(pair.split("=") for pair in seen.target.partition("?")[2].split("&"))
            offset, limit = int(query["offset"]), int(query["limit"])
            return Reply(body={"tokens": rows[offset : offset + limit], "total": len(rows)})

        server.on("GET", TOKENS, page)
        async with with_key(server) as client:
            assert [token.id async for token in client.tokens.iterate(page_size=3)] == [1, 2, 3, 4, 5, 6, 7]
        assert server.count("GET", TOKENS) == 3

    @pytest.mark.parametrize("most", [1, 2, 3])
    async def test_iterate_shrinks_pages_that_are_too_large(self, server: ScriptedServer, most: int) -> None:
        """FINDINGS D3: by the limit of the client, and by that of the server."""
        rows = [token_body(number, text="x" * 1000) for number in range(1, 8)]

        def page(refuse: bool, seen: Arrived) -> Reply:
            query = dict(pair.split("=") for pair in seen.target.partition("?")[2].split("&"))
            offset, limit = int(query["offset"]), int(query["limit"])
            found = rows[offset : offset + limit]
            if refuse and len(found) > most:
                error = {"code": "REQUEST_TOO_LARGE", "message": "too large", "details": {"field": "limit"}}
                return Reply(413, {"success": False, "error": error})
            return Reply(body={"tokens": found, "total": len(rows)})

        for refuse in (True, False):
            server.on("GET", TOKENS, partial(page, refuse))
            async with connected(server, 2**20 if refuse else 1200 * most) as client:
                assert [token.id async for token in client.tokens.iterate()] == [1, 2, 3, 4, 5, 6, 7]

    async def test_a_token_that_is_too_large_alone_ends_iterate(self, server: ScriptedServer) -> None:
        """FINDINGS D3: an answer that no shorter page makes smaller is told, and nothing else is asked again."""
        server.on("GET", TOKENS, Reply(body={"tokens": [token_body(1, text="x" * 1000)], "total": 1}))
        async with connected(server, 500) as client:
            with pytest.raises(InvalidResponseError, match="max_response_bytes"):
                _ = [token async for token in client.tokens.iterate(page_size=4)]
        assert [seen.target.rpartition("limit=")[2][:1] for seen in server.arrived] == ["4", "2", "1"]
        server.on("GET", TOKENS, error_reply(413))
        async with with_key(server) as client:
            with pytest.raises(PayloadTooLargeError):
                _ = [token async for token in client.tokens.iterate()]
        assert server.count("GET", TOKENS) == 4

    async def test_embeddings_come_in_order(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 2)
        server.on(
            "POST",
            "/api/v1/embeddings",
            lambda seen: Reply(
                body={"embeddings": [[float(len(text))] for text in seen.json["texts"]], "dimension": 1}
            ),
        )
        async with with_key(server) as client:
            assert await client.embeddings.create(["a", "bb", "ccc"]) == [[1.0], [2.0], [3.0]]
