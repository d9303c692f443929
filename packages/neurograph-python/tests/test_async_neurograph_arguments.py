"""Arguments of calls to the asynchronous client: the same types everywhere; mistakes never leave the program."""

import array
import pickle
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from async_client_setup import QUERY, TOKEN, TOKENS, scripted, with_key
from scripted_server import Arrived, Reply, ScriptedServer, token_body

from neurograph import AsyncNeuroGraphClient, CDNAConfig, CDNAUpdate, ValidationError, everything

pytestmark = pytest.mark.anyio
server = pytest.fixture(scripted)

DELETE = "/api/v1/tokens/delete"
MASKED: Any = np.ma.masked_greater(np.array([1.0, 2.0]), 1.5)
Call = Callable[[AsyncNeuroGraphClient], Awaitable[Any]]


# FINDINGS D2
@pytest.mark.parametrize("key", ["line\nbreak", "line\rbreak", "\x00", "ä", "", " a", "a ", 5, b"key", "tab\tbed"])
async def test_an_idempotency_key_that_no_header_carries(server: ScriptedServer, key: Any) -> None:
    server.on("POST", TOKENS, Reply(201, token_body()))
    async with AsyncNeuroGraphClient(server.url, api_key="k", circuit_threshold=2) as client:
        for _ in range(5):
            with pytest.raises(ValidationError, match="idempotency_key must be") as caught:
                await client.tokens.create("a", idempotency_key=key)
            assert caught.value.retryable is False
            assert caught.value.request_sent is False
        assert client.metrics.snapshot().retries == 0
        assert (await client.tokens.create("a")).id == 7
    assert server.count("POST", TOKENS) == 1


WRONG: dict[str, Call] = {
    "text": lambda client: client.tokens.create(b"bytes"),  # type: ignore[arg-type]
    "metadata.a": lambda client: client.tokens.create("x", {"a": b"bytes"}),
    "metadata": lambda client: client.tokens.create("x", {1: "a"}),  # type: ignore[dict-item]
    "embedding": lambda client: client.tokens.create("x", embedding=MASKED),
    "tokens.1.text": lambda client: client.tokens.create_many(["a", {"text": b"b"}]),
    "tokens.0.embedding": lambda client: client.tokens.create_many([{"text": "a", "embedding": MASKED}]),
    "items": lambda client: client.tokens.create_many(7),  # type: ignore[arg-type]
    "max_in_flight": lambda client: client.tokens.create_many(["a"], max_in_flight=0),
    "on_error": lambda client: client.tokens.create_many(["a"], on_error="ignore"),  # type: ignore[arg-type]
    "token_id": lambda client: client.tokens.get(1.5),  # type: ignore[arg-type]
    "token_id ": lambda client: client.tokens.delete(True),
    "token_id  ": lambda client: client.tokens.get(None),  # type: ignore[arg-type]
    "token_ids.1": lambda client: client.tokens.delete_many([1, 2.0]),  # type: ignore[list-item]
    "token_ids": lambda client: client.tokens.delete_many("12"),  # type: ignore[arg-type]
    "token_ids ": lambda client: client.tokens.delete_many(MASKED),
    "top_k": lambda client: client.tokens.query(text="a", top_k=1.5),  # type: ignore[arg-type]
    "top_k ": lambda client: client.tokens.query(text="a", top_k=True),
    "threshold": lambda client: client.tokens.query(text="a", threshold="0.5"),  # type: ignore[arg-type]
    "threshold ": lambda client: client.tokens.query(text="a", threshold=float("nan")),
    "offset": lambda client: client.tokens.query(text="a", offset="1"),  # type: ignore[arg-type]
    "text ": lambda client: client.tokens.query(text=b"a"),  # type: ignore[arg-type]
    "query_vector": lambda client: client.tokens.query(MASKED),
    "query_vectors": lambda client: client.tokens.query_many(MASKED),
    "texts.1": lambda client: client.tokens.query_many(texts=["a", b"b"]),  # type: ignore[list-item]
    "include.0": lambda client: client.tokens.list(include=[b"text"]),  # type: ignore[list-item]
    "limit": lambda client: client.tokens.list(limit="10"),  # type: ignore[arg-type]
    "filter.eq": lambda client: client.tokens.list(filter={"path": "a", "eq": b"x"}),
    "texts.0": lambda client: client.embeddings.create([b"a"]),  # type: ignore[list-item]
    "name": lambda client: client.api_keys.create(b"k"),  # type: ignore[arg-type]
    "scopes.0": lambda client: client.api_keys.create("k", scopes=[1]),  # type: ignore[list-item]
    "expires_in_days": lambda client: client.api_keys.create("k", expires_in_days="7"),  # type: ignore[arg-type]
    "key_id": lambda client: client.api_keys.get(b"k"),  # type: ignore[arg-type]
    "overlap_seconds": lambda client: client.api_keys.rotate("k", 1.5),  # type: ignore[arg-type]
    "config": lambda client: client.cdna.configure({"profile": "explorer"}),  # type: ignore[arg-type]
    "change": lambda client: client.cdna.update({"novelty_scale": 1}),  # type: ignore[arg-type]
    "change ": lambda client: client.cdna.update(CDNAUpdate()),
    "novelty_scale": lambda client: client.cdna.update(CDNAUpdate(novelty_scale=float("nan"))),
    "affinity_scale": lambda client: client.cdna.configure(CDNAConfig(affinity_scale=float("inf"))),
    "scales.1": lambda client: client.cdna.set_scales([1.0, float("nan")]),
    "scales": lambda client: client.cdna.validate("1"),  # type: ignore[arg-type]
    "profile_id": lambda client: client.cdna.switch(b"explorer"),  # type: ignore[arg-type]
    "profile_id ": lambda client: client.cdna.profile(".."),
    "duration": lambda client: client.cdna.start_quarantine("300"),  # type: ignore[arg-type]
    "apply": lambda client: client.cdna.stop_quarantine("yes"),  # type: ignore[arg-type]
    "limit ": lambda client: client.cdna.history(2.5),  # type: ignore[arg-type]
    "old_password": lambda client: client.auth.change_password(b"old-s3cret", "new"),  # type: ignore[arg-type]
    "new_password": lambda client: client.auth.change_password("old-s3cret", "\ud800"),
    "timeout": lambda client: client.tokens.get(7, timeout="5"),  # type: ignore[arg-type]
    "filter": lambda client: client.tokens.delete_many(filter={"and": []}),
    "filter ": lambda client: client.tokens.delete_many(filter={"not": {"or": []}}),
    "filter  ": lambda client: client.tokens.delete_many(filter={"not": {"path": "a", "in": []}}),
}


# FINDINGS D8
@pytest.mark.parametrize("place", WRONG)
async def test_a_wrong_argument_is_named_and_never_sent(server: ScriptedServer, place: str) -> None:
    async with with_key(server) as client:
        with pytest.raises(ValidationError) as caught:
            await WRONG[place](client)
    assert caught.value.details["errors"][0]["field"] == place.strip()
    assert caught.value.status_code is None
    assert "s3cret" not in str(caught.value)
    assert server.arrived == []


# FINDINGS D8
async def test_numpy_scalars_are_numbers(server: ScriptedServer) -> None:
    server.on("POST", TOKENS, Reply(201, token_body()))
    server.on("POST", QUERY, Reply(body={"results": []}))
    server.on("POST", DELETE, Reply(body={"deleted": 2, "missing": []}))
    async with with_key(server) as client:
        await client.tokens.create("a", {"n": np.int64(3), "x": [np.float32(0.5)], "b": np.bool_(True)})
        assert server.arrived[-1].json["metadata"] == {"n": 3, "x": [0.5], "b": True}
        await client.tokens.query(text="a", top_k=np.int32(5), threshold=np.float32(0.5), offset=np.uint8(1))  # type: ignore[arg-type]
        assert {"top_k": 5, "threshold": 0.5, "offset": 1}.items() <= server.arrived[-1].json.items()
        await client.tokens.delete_many(np.array([1, 2, 1]))
        assert server.arrived[-1].json == {"ids": [1, 2]}
        assert (await client.tokens.get(np.int64(7))).id == 7  # type: ignore[arg-type]


# FINDINGS D8
async def test_any_iterable_of_numbers_is_a_vector(server: ScriptedServer) -> None:
    server.on("POST", QUERY, Reply(body={"results": []}))
    vectors: list[Any] = [(0.5, 1.0), iter([0.5, 1.0]), (x / 2 for x in (1, 2)), array.array("d", [0.5, 1.0])]
    async with with_key(server) as client:
        for vector in vectors:
            await client.tokens.query(vector)
        server.on("POST", f"{QUERY}/many", Reply(body={"results": [[], []]}))
        await client.tokens.query_many([iter([0.5, 1.0]), [0.5, 1.0]])
    bodies = [seen.json for seen in server.arrived if seen.headers["content-type"] == "application/json"]
    assert [body["query_vector"] for body in bodies if "query_vector" in body] == [[0.5, 1.0]] * len(vectors)
    assert bodies[-1]["query_vectors"] == [[0.5, 1.0], [0.5, 1.0]]


# FINDINGS D8
async def test_updated_at_is_a_moment(server: ScriptedServer) -> None:
    server.on("GET", TOKEN, Reply(body=token_body(updated_at="2026-01-02T03:04:05Z")))
    async with with_key(server) as client:
        token = await client.tokens.get(7)
    assert token.updated_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert pickle.loads(pickle.dumps(token)) == token  # noqa: S301 - our own


# FINDINGS D11
async def test_delete_many_splits(server: ScriptedServer) -> None:
    server.on("GET", "/api/v1/limits", Reply(body={"max_batch": 1_500, "max_body_bytes": 10**7}))

    def deleted(seen: Arrived) -> Reply:
        return Reply(body={"deleted": len(seen.json["ids"]) - 1, "missing": seen.json["ids"][:1]})

    server.on("POST", DELETE, deleted)
    async with with_key(server) as client:
        gone = await client.tokens.delete_many([*range(1, 4_001), 1, 2])
    assert (gone.deleted, gone.missing) == (3_997, [1, 1501, 3001])
    assert server.count("POST", DELETE) == 3
    assert len({seen.headers["idempotency-key"] for seen in server.arrived if seen.path == DELETE}) == 3


# FINDINGS D11
async def test_a_failure_in_between_tells_what_is_gone(server: ScriptedServer) -> None:
    server.on("GET", "/api/v1/limits", Reply(body={"max_batch": 1_000, "max_body_bytes": 10**7}))
    server.on("POST", DELETE, Reply(body={"deleted": 1_000, "missing": []}), Reply(403, {"error": {"message": "no"}}))
    async with with_key(server) as client:
        with pytest.raises(Exception, match="no") as caught:
            await client.tokens.delete_many(range(1, 2_001))
    assert caught.value.details["deleted"] == 1_000  # type: ignore[attr-defined]


# FINDINGS D11
async def test_everything_is_asked_for_by_name(server: ScriptedServer) -> None:
    server.on("POST", DELETE, Reply(body={"deleted": 9, "missing": []}))
    async with with_key(server) as client:
        assert (await client.tokens.delete_many(filter=everything())).deleted == 9
    assert server.arrived[-1].json == {"filter": {"everything": True}}


@pytest.mark.parametrize("value", ["line\nbreak", "ä", 5, "\x7f"])
async def test_a_header_of_a_middleware_that_cannot_be_sent(server: ScriptedServer, value: Any) -> None:
    async def branded(request: Any, call_next: Any) -> Any:
        return await call_next(request.with_header("X-Brand", value))

    async with AsyncNeuroGraphClient(server.url, api_key="k", middleware=[branded]) as client:
        with pytest.raises(ValidationError, match=r"headers.X-Brand must be"):
            await client.tokens.get(7)
    assert server.arrived == []
