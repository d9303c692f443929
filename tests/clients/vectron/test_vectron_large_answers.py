"""Answers beyond one message of the default options, and payloads that travel once, on a real server."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from vectrograph import RunningServer, running
from vectron_client import (
    ClientOptions,
    MessageTooLargeError,
    Point,
    VectronClient,
    field,
)
from vectron_client._execution.call import Call
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb import vectron_pb as wire
from vectron_client._protocol import extensions as additions
from vectron_client._protocol import operations, searches
from vectron_client._protocol.payloads import ServerForms

COUNT = 300
TEXT = 90_000


def payload(number: int) -> dict[str, Any]:
    return {"text": f"{number:05}" * (TEXT // 5), "year": number, "tags": ["a", None]}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        with server.vectron() as client:
            client.create_collection("texts", 2, "euclidean")
            points = (Point(f"{n:03}", [float(n), 0.0], payload(n)) for n in range(COUNT))
            assert client.upsert_batch("texts", points, batch_size=100) == COUNT
        yield server


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[VectronClient]:
    with server.vectron() as client:
        yield client


def ids(found: Any) -> list[str]:
    return [result.id for result in found]


def raw(client: VectronClient, call: Call[Any], body: bytes | None = None) -> bytes:
    answer: bytes = client._run(Call(call.method, call.body if body is None else body, lambda answer: answer), None)
    return answer


# FINDINGS D3
def test_a_hundred_long_texts_fit_into_the_default_message(client: VectronClient) -> None:
    call = searches.search("texts", [0.0, 0.0], 100, ClientOptions())
    assert len(raw(client, call)) < 100 * (TEXT + 200)
    results = client.search("texts", [0.0, 0.0], top_k=100)
    assert [result.payload for result in results] == [payload(n) for n in range(100)]


# FINDINGS D3
def test_answers_beyond_a_message_come_in_pieces_of_one_search(client: VectronClient) -> None:
    call = searches.search("texts", [0.0, 0.0], COUNT, ClientOptions())
    with pytest.raises(MessageTooLargeError):
        client._run(call, None)
    everything = [f"{n:03}" for n in range(COUNT)]
    found = client.search("texts", [0.0, 0.0], top_k=COUNT, include_vectors=True)
    assert ids(found) == everything
    assert [result.payload for result in found] == [payload(n) for n in range(COUNT)]
    assert list(found[7].vector) == [7.0, 0.0]
    told = client.explain_search("texts", [0.0, 0.0], top_k=COUNT, filter=field("year") >= 20)
    assert (ids(told.results), told.complete, told.plan.matches) == (everything[20:], True, COUNT - 20)
    assert [ids(hits) for hits in client.search_many("texts", [[0.0, 0.0]] * 2, top_k=COUNT)] == [everything] * 2
    assert ids(list(client.search_stream("texts", [0.0, 0.0], top_k=COUNT))[-1]) == everything
    assert ids(client.scroll("texts", page_size=COUNT)) == everything


# FINDINGS D3
def test_the_asynchronous_client_does_the_same(server: RunningServer) -> None:
    async def search() -> None:
        async with server.async_vectron() as client:
            found = await client.search("texts", [0.0, 0.0], top_k=COUNT)
            assert [result.payload for result in found] == [payload(n) for n in range(COUNT)]
            many = await client.search_many("texts", [[0.0, 0.0]], top_k=COUNT)
            assert len(many[0]) == COUNT
            last = [results async for results in client.search_stream("texts", [0.0, 0.0], top_k=COUNT)][-1]
            assert len(last) == COUNT

    asyncio.run(search())


# FINDINGS D3
def test_what_a_client_puts_together_has_an_end(server: RunningServer) -> None:
    with server.vectron(options=ClientOptions(max_recv_message_length=200_000)) as client:
        assert len(client.search("texts", [0.0, 0.0], top_k=30)) == 30
        with pytest.raises(MessageTooLargeError, match="longer than 3200000 bytes"):
            client.search("texts", [0.0, 0.0], top_k=100)
        assert client.get("texts", "001").payload == payload(1), "the connection goes on"


# FINDINGS D3
def test_no_payload_travels_twice_to_a_client_that_reads_json(client: VectronClient) -> None:
    requests: list[Call[Any]] = [
        searches.search("texts", [0.0, 0.0], 3, ClientOptions()),
        operations.get("texts", "001"),
        searches.search_batch(
            "texts",
            bytes(8),
            1,
            3,
            ClientOptions(),
            include_vectors=False,
            include_payload=True,
            filter=None,
            exact=False,
            ef=0,
            budget=None,
        ),
    ]
    kinds: list[Any] = [wire.SearchRequest, wire.GetRequest, extensions.SearchBatchRequest, extensions.ScrollRequest]
    requests.append(
        additions.scroll(
            "texts",
            filter=None,
            order_by="id",
            descending=False,
            include_vectors=False,
            include_payload=True,
            page_size=3,
        )("", 3)
    )
    for call, kind in zip(requests, kinds, strict=True):
        official = kind.FromString(call.body)
        assert official.json_payload
        official.json_payload = False
        once, twice = raw(client, call), raw(client, call, official.SerializeToString())
        assert 1.9 < len(twice) / len(once) < 2.1, call.method


# FINDINGS D3
def test_official_clients_get_the_map_as_before(client: VectronClient) -> None:
    body = wire.GetRequest(collection="texts", id="001").SerializeToString()
    point = wire.GetResponse.FromString(raw(client, operations.get("texts", "001"), body)).point
    assert dict(point.payload) == {"text": payload(1)["text"], "year": "1", "tags": '["a",null]'}
    assert json.loads(point.payload_json) == payload(1)


# FINDINGS D3
def test_after_one_answer_a_client_sends_each_payload_once(server: RunningServer) -> None:
    with server.vectron() as client:
        client.create_collection("writes", 1, "euclidean")
        client.upsert("writes", [Point("plain", [1.0], {"text": "only"})])
        assert client._forms == ServerForms(), "a payload of text is in the map alone, which every server reads"
        client.upsert("writes", [Point("a", [1.0], payload(1))])
        assert client._forms == ServerForms(json_alone=True)
        twin = client.with_options(timeout_seconds=20.0)
        points = [Point("b", [1.0], payload(2))]
        first, later = (
            operations.upsert("writes", points, ClientOptions(), forms) for forms in (ServerForms(), twin._forms)
        )
        assert first is not None
        assert later is not None
        assert 1.9 < len(first.body) / len(later.body) < 2.1
        assert twin.upsert("writes", points) == 1
        assert [outcome.status for outcome in client.upsert_if("writes", points, if_absent=True)] == ["skipped"]
        assert [client.get("writes", name).payload for name in ("plain", "a", "b")] == [
            {"text": "only"},
            payload(1),
            payload(2),
        ]
