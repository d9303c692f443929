"""A token is created once, whatever breaks on the way; asynchronous, through a proxy that really cuts connections."""

from collections.abc import Iterator

import pytest
from faulty_proxy import FaultyProxy

from neurograph import AsyncNeuroGraphClient, ConflictError
from vectrograph import RunningServer, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def client_of(proxy: FaultyProxy, house: RunningServer) -> AsyncNeuroGraphClient:
    return AsyncNeuroGraphClient(proxy.url, api_key=house.api_key, timeout=20, max_retries=3)


@pytest.mark.parametrize("faults", [["before"], ["after"], ["before", "after"], ["after", "after", "before"]])
async def test_one_token_however_often_the_connection_is_cut(house: RunningServer, faults: list[str]) -> None:
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens ") as proxy:
        async with client_of(proxy, house) as client:
            before = (await client.tokens.list(limit=1)).total or 0
            proxy.faults = [*faults]
            token = await client.tokens.create("once", metadata={"faults": len(faults)})
            assert proxy.cut == len(faults)
            assert (await client.tokens.list(limit=1)).total == before + 1
            assert (await client.tokens.get(token.id)) == token


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_one_batch_however_the_connection_is_cut(house: RunningServer, fault: str) -> None:
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens/batch ") as proxy:
        async with client_of(proxy, house) as client:
            before = (await client.tokens.list(limit=1)).total or 0
            proxy.faults = [fault]
            tokens = await client.tokens.create_many(["a", "b", "c"])
            assert proxy.cut == 1
            assert (await client.tokens.list(limit=1)).total == before + 3
            assert [token.text for token in tokens] == ["a", "b", "c"]


async def test_a_deletion_tells_what_it_deleted_even_when_its_answer_was_lost(house: RunningServer) -> None:
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens/delete ") as proxy:
        async with client_of(proxy, house) as client:
            token = await client.tokens.create("doomed")
            proxy.faults = ["after"]
            assert (await client.tokens.delete_many([token.id])).deleted == 1


async def test_a_key_of_ones_own_holds_over_calls(house: RunningServer) -> None:
    async with house.async_neurograph() as client:
        first = await client.tokens.create("mine", idempotency_key="order-1")
        assert await client.tokens.create("mine", idempotency_key="order-1") == first
        with pytest.raises(ConflictError) as caught:
            await client.tokens.create("other", idempotency_key="order-1")
        assert caught.value.error_code == "IDEMPOTENCY_KEY_REUSED"
