"""Bulk creation of the asynchronous client: what is sent, what fails, what can be passed again."""

import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from async_client_setup import error_reply, noted_pauses, scripted, with_key
from scripted_server import Arrived, Reply, ScriptedServer, token_body

from neurograph import AuthorizationError, ConfigurationError, ValidationError
from neurograph._protocol.operations import NewToken

pytestmark = pytest.mark.anyio

BATCH = "/api/v1/tokens/batch"
LIMITS = "/api/v1/limits"

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)


def taking(refuses: Callable[[list[dict[str, Any]]], Reply | None] = lambda tokens: None) -> Callable[[Arrived], Reply]:
    """Create what is sent, with rising ids, unless it is refused."""
    ids = itertools.count(1)

    def answer(seen: Arrived) -> Reply:
        tokens = seen.json["tokens"]
        return refuses(tokens) or Reply(201, {"tokens": [token_body(next(ids), **token) for token in tokens]})

    return answer


def sizes(server: ScriptedServer) -> list[int]:
    return [len(seen.json["tokens"]) for seen in server.arrived if seen.path == BATCH]


def bad_ones(tokens: list[dict[str, Any]]) -> Reply | None:
    """Refuse a batch with bad texts, naming them all."""
    bad = [n for n, token in enumerate(tokens) if token["text"].startswith("bad")]
    if not bad:
        return None
    errors = [{"field": f"tokens.{n}.text", "message": "is bad", "type": "value_error"} for n in bad]
    details = {"errors": errors, "count": len(errors)}
    return Reply(422, {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "bad", "details": details}})


async def test_batches_keep_to_the_limits_that_the_server_advertises(server: ScriptedServer) -> None:
    server.on("GET", LIMITS, Reply(body={"max_batch": 60, "max_body_bytes": 10**6}))
    server.on("POST", BATCH, taking())
    async with with_key(server) as client:
        created = await client.tokens.create_many(f"text {n}" for n in range(250))
        assert [token.text for token in created] == [f"text {n}" for n in range(250)]
        assert sizes(server) == [60, 60, 60, 60, 10]
        await client.tokens.create_many(f"text {n}" for n in range(101))
    assert server.count("GET", LIMITS) == 1


async def test_a_server_without_limits_is_served_all_the_same(server: ScriptedServer) -> None:
    server.on("POST", BATCH, taking())
    async with with_key(server) as client:
        assert len(await client.tokens.create_many(["x"] * 150)) == 150
    assert sizes(server) == [150]


async def test_few_items_cost_one_request(server: ScriptedServer) -> None:
    server.on("POST", BATCH, taking())
    async with with_key(server) as client:
        await client.tokens.create_many(["x"] * 100)
    assert len(server.arrived) == 1


async def test_what_is_too_large_is_halved(server: ScriptedServer) -> None:
    server.on("POST", BATCH, taking(lambda tokens: error_reply(413) if len(tokens) > 3 else None))
    async with with_key(server) as client:
        created = await client.tokens.create_many([f"{n}" for n in range(10)])
    assert [token.text for token in created] == [f"{n}" for n in range(10)]
    assert sizes(server) == [10, 5, 2, 3, 5, 2, 3]


async def test_failures_are_collected_by_item_and_can_be_passed_again(server: ScriptedServer) -> None:
    server.on("POST", BATCH, taking(bad_ones))
    items: list[NewToken] = ["a", "bad 1", {"text": "b", "metadata": {"x": float("nan")}}, "c", "bad 2"]
    async with with_key(server) as client:
        result = await client.tokens.create_many(items, on_error="collect")
        assert [token.text for token in result] == ["a", "c"]
        assert [(failure.index, failure.item) for failure in result.failed] == [
            (1, items[1]),
            (2, items[2]),
            (4, items[4]),
        ]
        assert all(isinstance(failure.error, ValidationError) for failure in result.failed)
        again = await client.tokens.create_many(result.failed_items, on_error="collect")
        assert (len(again), again.failed_items) == (0, result.failed_items)
        assert pickle.loads(pickle.dumps(result)).created_ids == result.created_ids == [1, 2]  # noqa: S301


async def test_a_batch_that_fails_does_not_stop_the_others(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 2)
    server.on("POST", BATCH, taking(lambda tokens: error_reply(500) if tokens[0]["text"] == "2" else None))
    async with with_key(server) as client:
        result = await client.tokens.create_many([f"{n}" for n in range(6)], on_error="collect")
    assert [token.text for token in result] == ["0", "1", "4", "5"]
    assert result.failed_items == ["2", "3"]


async def test_refused_credentials_stop_at_once(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 1)
    server.on("POST", BATCH, error_reply(403))
    async with with_key(server) as client:
        with pytest.raises(AuthorizationError):
            await client.tokens.create_many(["a", "b", "c"], on_error="collect")
    assert sizes(server) == [1]


async def test_items_are_read_no_faster_than_they_are_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 5)
    read, ahead = [], []

    def source() -> Iterator[str]:
        for n in range(50):
            read.append(n)
            yield f"{n}"

    def note(tokens: list[dict[str, Any]]) -> None:
        ahead.append(len(read) - sum(sizes(server)))

    server.on("POST", BATCH, taking(note))
    async with with_key(server) as client:
        result = await client.tokens.create_many(source(), keep_tokens=False, max_in_flight=2)
    assert (len(result), len(result.created_ids)) == (0, 50)
    assert max(ahead) <= 2 * 5 + 1


async def test_progress_is_told(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 2)
    server.on("POST", BATCH, taking())
    told: list[tuple[int, int | None]] = []
    async with with_key(server) as client:
        await client.tokens.create_many(["a", "b", "c"], progress=lambda done, total: told.append((done, total)))
        assert told == [(2, 3), (3, 3)]
        await client.tokens.create_many(iter(["a"]), progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (1, None)


async def test_a_bar_is_drawn_with_rich_or_said_to_need_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("POST", BATCH, taking())
    async with with_key(server) as client:
        await client.tokens.create_many(["a", "b"], progress=True)
        assert "2/2" in capsys.readouterr().out
        monkeypatch.setitem(__import__("sys").modules, "rich", None)
        with pytest.raises(ConfigurationError, match="pip install rich"):
            await client.tokens.create_many(["a"], progress=True)


async def test_each_batch_has_a_key_of_its_own_that_its_repeats_keep(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 1)
    refusals = iter([error_reply(503), None, None])
    server.on("POST", BATCH, taking(lambda tokens: next(refusals)))
    async with with_key(server) as client:
        await client.tokens.create_many(["a", "b"])
    keys = [seen.headers["idempotency-key"] for seen in server.arrived]
    assert keys[0] == keys[1] != keys[2]
