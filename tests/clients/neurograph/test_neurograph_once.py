# Generated from test_async_neurograph_once.py by tools/unasync.py; do not edit.
"""A token is created once, whatever breaks on the way; synchronous, through a proxy that really cuts connections."""

from collections.abc import Iterator

import pytest
from faulty_proxy import FaultyProxy

from neurograph import ConflictError, NeuroGraphClient
from vectrograph import RunningServer, running


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def client_of(proxy: FaultyProxy, house: RunningServer) -> NeuroGraphClient:
    return NeuroGraphClient(proxy.url, api_key=house.api_key, timeout=20, max_retries=3)


@pytest.mark.parametrize("faults", [["before"], ["after"], ["before", "after"], ["after", "after", "before"]])
def test_one_token_however_often_the_connection_is_cut(house: RunningServer, faults: list[str]) -> None:
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens ") as proxy:
        with client_of(proxy, house) as client:
            before = (client.tokens.list(limit=1)).total or 0
            proxy.faults = [*faults]
            token = client.tokens.create("once", metadata={"faults": len(faults)})
            assert proxy.cut == len(faults)
            assert (client.tokens.list(limit=1)).total == before + 1
            assert (client.tokens.get(token.id)) == token


@pytest.mark.parametrize("fault", ["before", "after"])
def test_one_batch_however_the_connection_is_cut(house: RunningServer, fault: str) -> None:
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens/batch ") as proxy:
        with client_of(proxy, house) as client:
            before = (client.tokens.list(limit=1)).total or 0
            proxy.faults = [fault]
            tokens = client.tokens.create_many(["a", "b", "c"])
            assert proxy.cut == 1
            assert (client.tokens.list(limit=1)).total == before + 3
            assert [token.text for token in tokens] == ["a", "b", "c"]


def test_a_deletion_tells_what_it_deleted_even_when_its_answer_was_lost(house: RunningServer) -> None:
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens/delete ") as proxy:
        with client_of(proxy, house) as client:
            token = client.tokens.create("doomed")
            proxy.faults = ["after"]
            assert (client.tokens.delete_many([token.id])).deleted == 1


def test_a_key_of_ones_own_holds_over_calls(house: RunningServer) -> None:
    with house.neurograph() as client:
        first = client.tokens.create("mine", idempotency_key="order-1")
        assert client.tokens.create("mine", idempotency_key="order-1") == first
        with pytest.raises(ConflictError) as caught:
            client.tokens.create("other", idempotency_key="order-1")
        assert caught.value.error_code == "IDEMPOTENCY_KEY_REUSED"
