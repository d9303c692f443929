"""Items that arrive while they are sent: asynchronous iterables in the asynchronous client."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from async_client_setup import TOKENS, scripted, with_key
from scripted_server import Arrived, Reply, ScriptedServer, token_body

from neurograph import ValidationError

pytestmark = pytest.mark.anyio

server = pytest.fixture(scripted)
BATCH = f"{TOKENS}/batch"


@pytest.fixture(autouse=True)
def pairs(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Provide two items make a batch."""
    numbers = iter(range(1, 1000))

    def create(seen: Arrived) -> Reply:
        return Reply(201, {"tokens": [token_body(next(numbers), **row) for row in seen.json["tokens"]]})

    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 2)
    server.on("POST", BATCH, create)
    return iter(())


class Enough(Exception):
    """The test has seen what it wanted."""


class Source:
    """An endless asynchronous iterable that counts what was taken, and knows whether it was closed."""

    def __init__(self, end: int | None = None) -> None:
        self.taken = 0
        self._end = end

    async def items(self) -> AsyncIterator[str]:
        while self._end is None or self.taken < self._end:
            self.taken += 1
            await asyncio.sleep(0)
            yield f"item {self.taken}"


@pytest.mark.parametrize("at_once", [1, 3])
async def test_all_arrive_in_their_order(server: ScriptedServer, at_once: int) -> None:
    source = Source(7)
    async with with_key(server) as client:
        created = await client.tokens.create_many(source.items(), max_in_flight=at_once)
    assert [token.text for token in created] == [f"item {n}" for n in range(1, 8)]
    assert server.count("POST", BATCH) == 4


async def test_an_endless_source_is_read_no_faster_than_it_is_sent(server: ScriptedServer) -> None:
    source, most = Source(), 0

    def told(done: int, total: int | None) -> None:
        nonlocal most
        most = max(most, source.taken - done)
        if done >= 20:
            raise Enough

    async with with_key(server) as client:
        with pytest.raises(Enough):
            await client.tokens.create_many(source.items(), progress=told, max_in_flight=2)
    assert most <= 7  # two batches under way, one in the making, one item read ahead
    assert source.taken < 40


async def test_a_wrong_item_is_named(server: ScriptedServer) -> None:
    async def items() -> AsyncIterator[object]:
        yield "a"
        yield 5

    async with with_key(server) as client:
        with pytest.raises(ValidationError, match=r"tokens\.1"):
            await client.tokens.create_many(items())  # type: ignore[arg-type]
