"""The vectron client's less common operations against the real server."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from vectrograph import RunningServer, running
from vectron_client import AsyncVectronClient, FeedbackItem, InvalidArgumentError, NotFoundError, Point, VectronClient


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        with server.vectron() as client:
            client.create_collection("docs", 2, "euclidean")
            client.upsert("docs", [Point(str(n), [float(n), 0.0], {"n": n}) for n in range(20)])
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[VectronClient]:
    with server.vectron() as client:
        yield client


def test_the_last_snapshot_is_what_search_answers(server: RunningServer, client: VectronClient) -> None:
    *_, last = client.search_stream("docs", [7.2, 0.0], 5, include_vectors=True)
    assert last == client.search("docs", [7.2, 0.0], 5, include_vectors=True)
    assert [hit.id for hit in last] == ["7", "8", "6", "9", "5"]
    with pytest.raises(NotFoundError):
        list(client.search_stream("nothing", [1.0]))

    async def main(client: AsyncVectronClient) -> None:
        async with client:
            snapshots = [hits async for hits in client.search_stream("docs", [7.2, 0.0], 5, include_vectors=True)]
            assert snapshots[-1] == last

    asyncio.run(main(server.async_vectron()))


def test_feedback_is_kept(client: VectronClient) -> None:
    hits = client.search("docs", [7.2, 0.0], 2)
    items = [FeedbackItem(hit.id, relevance_score=5, position=place) for place, hit in enumerate(hits)]
    feedback_id = client.submit_feedback("docs", items, query="seven", result_ids=[hit.id for hit in hits])
    assert uuid.UUID(feedback_id).version == 4


def test_the_plan_of_the_own_account(client: VectronClient) -> None:
    assert client.update_user_profile("PAID").plan == "PAID"
    profile = client.update_user_profile("free")
    assert profile.plan == "FREE"
    assert profile.created_at.year >= 2024
    with pytest.raises(InvalidArgumentError):
        client.update_user_profile("GOLD")
