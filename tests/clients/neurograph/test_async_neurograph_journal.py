"""Bulk loads of the asynchronous client that go on where an earlier one ended, and items of every kind of iterable."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from async_client_setup import TOKENS, error_reply, scripted, with_key
from faulty_proxy import FaultyProxy
from scripted_server import Arrived, Cut, Reply, ScriptedServer, token_body

from neurograph import AsyncNeuroGraphClient, ConfigurationError, ConnectionError, ServerError, ValidationError
from neurograph._bulk.journal import Journal
from vectrograph import RunningServer, running

pytestmark = pytest.mark.anyio

server = pytest.fixture(scripted)
BATCH = f"{TOKENS}/batch"


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide two items make a batch."""
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 2)


def creating(server: ScriptedServer, *answers: Any) -> None:
    """Serve what is sent, after these answers."""
    numbers = iter(range(1, 1000))

    def create(seen: Arrived) -> Reply:
        return Reply(201, {"tokens": [token_body(next(numbers), **row) for row in seen.json["tokens"]]})

    server.on("POST", BATCH, *answers, create)


def created(server: ScriptedServer) -> list[str]:
    return [row["text"] for seen in server.arrived if seen.path == BATCH for row in seen.json["tokens"]]


@pytest.mark.usefixtures("pairs")
class TestGoingOn:
    async def test_what_is_done_is_not_sent_again(self, server: ScriptedServer, tmp_path: Path) -> None:
        journal, told = tmp_path / "load.journal", list[tuple[int, int | None]]()
        creating(server, Reply(201, {"tokens": [token_body(1), token_body(2)]}), error_reply(500))
        async with with_key(server) as client:
            with pytest.raises(ServerError) as caught:
                await client.tokens.create_many(list("abcde"), journal=journal)
            assert caught.value.details["created_ids"] == [1, 2]
            first = [seen.headers["idempotency-key"] for seen in server.arrived]
            server.arrived.clear()
            creating(server)
            result = await client.tokens.create_many(
                list("abcde"), journal=journal, progress=lambda done, total: told.append((done, total))
            )
        assert created(server) == ["c", "d", "e"]
        assert server.arrived[0].headers["idempotency-key"] == first[1]
        assert (result.resumed, result.created_ids, len(result)) == (2, [1, 2, 1, 2, 3], 3)
        assert told == [(2, 5), (4, 5), (5, 5)]

    async def test_a_load_that_is_done_sends_nothing(self, server: ScriptedServer, tmp_path: Path) -> None:
        creating(server)
        async with with_key(server) as client:
            once = await client.tokens.create_many(list("abc"), journal=tmp_path / "j")
            server.arrived.clear()
            twice = await client.tokens.create_many(list("abc"), journal=tmp_path / "j")
        assert server.arrived == []
        assert (twice, twice.resumed, twice.created_ids) == ([], 3, once.created_ids)

    async def test_other_items_are_refused(self, server: ScriptedServer, tmp_path: Path) -> None:
        creating(server)
        async with with_key(server) as client:
            await client.tokens.create_many(list("abcd"), journal=tmp_path / "j")
            for items, why in ((list("abXd"), "items 2 to 3 differ"), (list("abc"), "end after 3")):
                with pytest.raises(ValidationError, match=why):
                    await client.tokens.create_many(items, journal=tmp_path / "j")
            with pytest.raises(ValidationError, match="items 2 to 3 differ"):
                await client.tokens.create_many(["a", "b", 5, "d"], journal=tmp_path / "j", on_error="collect")  # type: ignore[list-item]
            more = await client.tokens.create_many(list("abcde"), journal=tmp_path / "j")
        assert (more.resumed, [token.text for token in more]) == (4, ["e"])

    async def test_vectors_count_among_what_must_be_the_same(self, server: ScriptedServer, tmp_path: Path) -> None:
        creating(server)
        async with with_key(server) as client:
            await client.tokens.get(7)  # a server that speaks JSON
            await client.tokens.create_many([{"text": "a", "embedding": [0.5]}], journal=tmp_path / "j")
            same = [{"text": "a", "embedding": np.array([0.5], np.float32)}]
            assert (await client.tokens.create_many(same, journal=tmp_path / "j")).resumed == 1
            with pytest.raises(ValidationError, match="items 0 to 0 differ"):
                await client.tokens.create_many([{"text": "a", "embedding": [0.25]}], journal=tmp_path / "j")

    async def test_what_was_refused_is_planned_anew(self, server: ScriptedServer, tmp_path: Path) -> None:
        creating(server, error_reply(413))
        async with with_key(server) as client:
            result = await client.tokens.create_many(list("ab"), journal=tmp_path / "j")
            assert len(result) == 2
            keys = [seen.headers["idempotency-key"] for seen in server.arrived]
            assert len(set(keys)) == 3
            assert (await client.tokens.create_many(list("ab"), journal=tmp_path / "j")).resumed == 2

    async def test_failed_items_are_tried_again(self, server: ScriptedServer, tmp_path: Path) -> None:
        details = {"errors": [{"field": "tokens.1.text", "message": "empty", "type": "value_error"}]}
        body = {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "no", "details": details}}
        creating(server, Reply(422, body))
        async with with_key(server) as client:
            first = await client.tokens.create_many(["a", "b"], journal=tmp_path / "j", on_error="collect")
            assert first.failed_items == ["b"]
            second = await client.tokens.create_many(["a", "b"], journal=tmp_path / "j", on_error="collect")
        assert (second.resumed, [token.text for token in second], second.failed) == (1, ["b"], [])

    @pytest.mark.parametrize("fault", ["before", "after"])
    async def test_each_item_once_when_the_answer_is_lost(
        self, house: RunningServer, tmp_path: Path, fault: str
    ) -> None:
        items = [{"text": f"{fault} {n}", "embedding": np.full(256, n + 1, np.float32)} for n in range(7)]
        with FaultyProxy(house.http_url, b"POST /api/v1/tokens/batch") as proxy:
            proxy.faults = ["pass", fault, "pass", fault]
            async with AsyncNeuroGraphClient(proxy.url, api_key=house.api_key, max_retries=0) as client:
                runs = 0
                while runs < 9:
                    runs += 1
                    try:
                        result = await client.tokens.create_many(items, journal=tmp_path / "j")
                    except ConnectionError:
                        continue
                    break
                assert (runs, proxy.cut) == (3, 2)
                texts = [token.text async for token in client.tokens.iterate()]
        assert sorted(text for text in texts if text and text.startswith(fault)) == [item["text"] for item in items]
        assert len(set(result.created_ids)) == 7


class TestJournals:
    async def test_one_load_at_a_time(self, server: ScriptedServer, tmp_path: Path) -> None:
        held = Journal(tmp_path / "j", server.url)
        async with with_key(server) as client:
            with pytest.raises(ConfigurationError, match="in use by another load"):
                await client.tokens.create_many(["a"], journal=tmp_path / "j")
        held.close()

    async def test_one_server_for_each(self, server: ScriptedServer, tmp_path: Path) -> None:
        Journal(tmp_path / "j", "http://elsewhere").close()
        async with with_key(server) as client:
            with pytest.raises(ConfigurationError, match="http://elsewhere, not"):
                await client.tokens.create_many(["a"], journal=tmp_path / "j")

    @pytest.mark.parametrize("text", ["a,b\n1,2\n", '{"journal": "other", "version": 1}\n', "[1]\n", '{"done": "x"}\n'])
    async def test_other_files_are_left_alone(self, server: ScriptedServer, tmp_path: Path, text: str) -> None:
        (tmp_path / "j").write_text(text)
        async with with_key(server) as client:
            with pytest.raises(ConfigurationError, match="not a journal"):
                await client.tokens.create_many(["a"], journal=tmp_path / "j")
        assert (tmp_path / "j").read_text() == text

    async def test_a_line_that_was_cut_off_says_nothing(self, server: ScriptedServer, tmp_path: Path) -> None:
        creating(server)
        async with with_key(server) as client:
            await client.tokens.create_many(["a"], journal=tmp_path / "j")
            whole = (tmp_path / "j").read_bytes()
            (tmp_path / "j").write_bytes(whole[:-5])  # the outcome is lost, the plan is there
            key = server.arrived[-1].headers["idempotency-key"]
            await client.tokens.create_many(["a"], journal=tmp_path / "j")
        assert server.arrived[-1].headers["idempotency-key"] == key

    async def test_after_a_day_nobody_knows(self, server: ScriptedServer, tmp_path: Path) -> None:
        creating(server, Cut())
        async with with_key(server, max_retries=0) as client:
            with pytest.raises(ConnectionError):
                await client.tokens.create_many(["a"], journal=tmp_path / "j")
            lines = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
            lines[1]["at"] -= 24 * 3600
            (tmp_path / "j").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
            with pytest.raises(ConfigurationError, match="items 0 to 0 were created cannot be told"):
                await client.tokens.create_many(["a"], journal=tmp_path / "j")
        assert server.count("POST", BATCH) == 1


async def test_a_timeout_of_its_own_for_each_batch(server: ScriptedServer) -> None:
    creating(server)
    async with AsyncNeuroGraphClient(server.url, api_key="k", timeout=50) as client:
        await client.tokens.create_many(["a"], timeout=3)
    assert 2000 < int(server.arrived[-1].headers["x-request-timeout-ms"]) <= 3000
