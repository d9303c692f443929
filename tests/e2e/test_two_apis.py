"""One database behind both APIs: what one client writes, the other finds, with the same numbers."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from neurograph import NeuroGraphClient
from vectrograph import RunningServer, running
from vectron_client import Point, VectronClient


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running() as server:
        yield server


@pytest.fixture
def rest(server: RunningServer) -> Iterator[NeuroGraphClient]:
    with server.neurograph() as client:
        yield client


@pytest.fixture
def grpc(server: RunningServer) -> Iterator[VectronClient]:
    with server.vectron() as client:
        yield client


def test_a_token_is_a_point_of_the_collection_tokens(rest: NeuroGraphClient, grpc: VectronClient) -> None:
    token = rest.tokens.create(text="hello world", metadata={"category": "greeting", "rank": 3})
    point = grpc.get("tokens", str(token.id))
    np.testing.assert_array_equal(np.asarray(point.vector, np.float32), np.asarray(token.embedding, np.float32))
    assert point.payload == {"category": "greeting", "rank": 3}
    [hit] = grpc.search("tokens", token.embedding, top_k=5)
    assert hit.id == str(token.id)
    assert hit.score == pytest.approx(0, abs=1e-6)


def test_a_point_upserted_into_tokens_is_a_token_and_moves_the_counter(
    rest: NeuroGraphClient, grpc: VectronClient
) -> None:
    grpc.upsert("tokens", [Point("41", [1.0] + [0.0] * 255, {"from": "grpc"})])
    token = rest.tokens.get(41)
    assert token.text is None
    assert token.metadata == {"from": "grpc"}
    assert rest.tokens.create(text="next").id == 42
    grpc.delete("tokens", "42")
    assert rest.tokens.create(text="never reused").id == 43


def test_similarity_is_one_minus_score(rest: NeuroGraphClient, grpc: VectronClient) -> None:
    tokens = rest.tokens.create_many(f"a text about the number {n}" for n in range(50))
    by_rest = rest.tokens.query(tokens[7].embedding, top_k=20)
    by_grpc = grpc.search("tokens", tokens[7].embedding, top_k=20)
    assert [str(hit.token.id) for hit in by_rest] == [hit.id for hit in by_grpc]
    for ours, theirs in zip(by_rest, by_grpc, strict=True):
        assert ours.similarity == pytest.approx(1 - theirs.score, abs=1e-6)


def test_of_equal_texts_the_newest_comes_first(rest: NeuroGraphClient) -> None:
    tokens = rest.tokens.create_many(["the same text"] * 30)
    hits = rest.tokens.query(tokens[0].embedding, top_k=10)
    assert [hit.token.id for hit in hits] == [token.id for token in reversed(tokens)][:10]
    assert all(hit.similarity > 0.99 for hit in hits)


def test_update_follows_the_rules_for_absent_and_null(rest: NeuroGraphClient) -> None:
    token = rest.tokens.create(text="before", metadata={"a": 1, "b": 2})
    assert rest.tokens.update(token.id, metadata={"c": 3}).metadata == {"c": 3}
    cleared = rest.tokens.update(token.id, text=None)
    assert (cleared.text, cleared.embedding, cleared.metadata) == (None, token.embedding, {"c": 3})
    after = rest.tokens.update(token.id, text="after")
    assert after.embedding == rest.tokens.create(text="after").embedding
    kept = rest.tokens.update(token.id, text="own vector", embedding=token.embedding)
    assert kept.embedding == token.embedding
    assert rest.tokens.get(token.id) == kept


def test_a_threshold_is_inclusive(rest: NeuroGraphClient) -> None:
    token = rest.tokens.create(text="exactly here")
    [best] = rest.tokens.query(token.embedding, top_k=1)
    assert [hit.token.id for hit in rest.tokens.query(token.embedding, threshold=best.similarity)] == [token.id]
    assert rest.tokens.query(token.embedding, threshold=min(1.0, best.similarity + 1e-3)) == [] or best.similarity >= 1


def test_both_asynchronous_clients_at_once(server: RunningServer) -> None:
    async def main() -> None:
        async with server.async_neurograph() as rest, server.async_vectron() as grpc:
            tokens = await asyncio.gather(*(rest.tokens.create(text=f"async {n}") for n in range(20)))
            answers = await asyncio.gather(*(grpc.search("tokens", t.embedding, top_k=1) for t in tokens))
            assert [hits[0].id for hits in answers] == [str(token.id) for token in tokens]

    asyncio.run(main())


def test_a_zero_vector_is_at_distance_one_from_everything(grpc: VectronClient) -> None:
    grpc.create_collection("zeros", dimension=2, distance="cosine")
    grpc.upsert("zeros", [Point("zero", [0, 0]), Point("near", [1, 0]), Point("far", [-1, 0])])
    scores = {hit.id: hit.score for hit in grpc.search("zeros", [1, 0])}
    assert scores == pytest.approx({"near": 0, "zero": 1, "far": 2}, abs=1e-6)
    assert {hit.score for hit in grpc.search("zeros", [0, 0])} == {1.0}


@pytest.mark.parametrize(
    ("distance", "expected"), [("cosine", 0.4), ("euclidean", 4.0), ("", 4.0), ("dot", -12.0)], ids=str
)
def test_scores_mean_what_is_documented(grpc: VectronClient, distance: str, expected: float) -> None:
    grpc.create_collection("scores", dimension=2, distance=distance)
    grpc.upsert("scores", [Point("p", [3, 4])])
    query = {"cosine": [1, 0], "dot": [0, 3]}.get(distance, [3, 2])
    [hit] = grpc.search("scores", query)
    assert hit.score == pytest.approx(expected, abs=1e-6)
