"""Pools of clients, and the guide that every client carries."""

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from vectron_client import (
    AsyncVectronClient,
    AsyncVectronClientPool,
    ClientOptions,
    VectronClient,
    VectronClientPool,
    exceptions,
)
from vectron_client.exceptions import InvalidArgumentError, VectronError

if TYPE_CHECKING:
    from scripted.conftest import ScriptedServer


@pytest.fixture
def peers(server: "ScriptedServer") -> list[str]:
    """Provide the addresses that calls came from."""
    seen: list[str] = []

    def note(_request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(context.peer())
        return b""

    server.script("ListCollections", note)
    return seen


def test_clients_come_in_turn_and_have_a_connection_each(server: "ScriptedServer", peers: list[str]) -> None:
    with VectronClientPool(server.address, "key-1", ClientOptions(), size=3) as pool:
        clients = [pool.next() for _ in range(7)]
        assert len({id(client) for client in clients[:3]}) == 3
        assert clients[3:6] == clients[:3]
        assert clients[6] is clients[0]
        for client in clients[:6]:
            client.list_collections()
    assert len(set(peers[:3])) == 3
    assert peers[3:] == peers[:3]
    assert {seen.metadata["authorization"] for seen in server.seen} == {"Bearer key-1"}


def test_the_asynchronous_pool(server: "ScriptedServer", peers: list[str]) -> None:
    async def main() -> None:
        async with AsyncVectronClientPool(server.address, size=2) as pool:
            for _ in range(4):
                await pool.next().list_collections()
        with pytest.raises(VectronError, match="closed"):
            await pool.next().list_collections()

    asyncio.run(main())
    assert len(set(peers)) == 2
    assert peers[2:] == peers[:2]


def test_a_pool_has_one_client_unless_told_otherwise(server: "ScriptedServer") -> None:
    with VectronClientPool(server.address) as pool:
        assert pool.next() is pool.next()
        assert repr(pool) == f"VectronClientPool(host={server.address!r}, size=1)"


def test_closing_a_pool_closes_every_client_and_may_be_done_again(server: "ScriptedServer") -> None:
    pool = VectronClientPool(server.address, size=2)
    clients = [pool.next(), pool.next()]
    pool.close()
    pool.close()
    for client in (*clients, pool.next()):
        with pytest.raises(VectronError, match="closed"):
            client.list_collections()


def test_threads_draw_evenly(server: "ScriptedServer") -> None:
    with VectronClientPool(server.address, size=4) as pool, ThreadPoolExecutor(8) as threads:
        barrier = threading.Barrier(8)

        def draw() -> list[VectronClient]:
            barrier.wait(10)
            return [pool.next() for _ in range(500)]

        drawn = [client for future in [threads.submit(draw) for _ in range(8)] for client in future.result()]
    assert [drawn.count(client) for client in set(drawn)] == [1000] * 4


@pytest.mark.parametrize("kind", [VectronClientPool, AsyncVectronClientPool])
@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_a_pool_of_no_size(kind: Any, size: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="size must be"):
        kind("localhost:8081", size=size)


@pytest.mark.parametrize("kind", [VectronClient, AsyncVectronClient])
def test_the_guide_names_everything_there_is(kind: type[VectronClient]) -> None:
    text, facts = kind.help()
    public = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
    assert set(facts["operations"]) == public - {"help"}
    assert all(known["summary"].endswith(".") for known in facts["operations"].values())
    assert facts["options"] == vars(ClientOptions())
    assert {getattr(exceptions, name).__name__ for name in facts["errors"]} == set(facts["errors"])
    for name in [*facts["operations"], *facts["options"], *facts["errors"], kind.__name__]:
        assert name in text
    signature = (
        "search(collection, vector, top_k=10, *, include_vectors=False, include_payload=True, query='', "
        "filter=None, exact=False, ef=0, timeout=None)"
    )
    assert facts["operations"]["search"]["signature"] == signature
