"""Every operation: what the server receives, byte for byte, and what the caller gets back."""

import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vectron_client import CollectionStatus, Point, SearchResult, ShardStatus
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import InternalServerError, MessageTooLargeError, NotFoundError, VectronError

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer


def test_create_collection(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("CreateCollection", wire.CreateCollectionResponse(success=True))
    connect().create_collection("docs", 4)
    dimension: Any = np.int64(4)
    connect().create_collection(name="docs", dimension=dimension, distance="cosine")
    assert [seen.body for seen in server.seen] == [
        wire.CreateCollectionRequest(name="docs", dimension=4, distance="euclidean").SerializeToString(),
        wire.CreateCollectionRequest(name="docs", dimension=4, distance="cosine").SerializeToString(),
    ]


@pytest.mark.parametrize("method", ["CreateCollection", "DeleteCollection"])
def test_an_answer_without_success_is_an_error(server: "ScriptedServer", connect: "Connect", method: str) -> None:
    server.answers(method, b"")
    client = connect()
    with pytest.raises(InternalServerError, match=f"{method} without an error but without success"):
        client.create_collection("docs", 4) if method == "CreateCollection" else client.delete_collection("docs")


def test_delete_collection(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("DeleteCollection", wire.DeleteCollectionResponse(success=True))
    connect().delete_collection("docs")
    assert server.seen[0].body == wire.DeleteCollectionRequest(name="docs").SerializeToString()


def test_list_collections(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("ListCollections", wire.ListCollectionsResponse(collections=["a", "b"]))
    names = connect().list_collections()
    assert type(names) is list
    assert names == ["a", "b"]


def test_get_collection_status(server: "ScriptedServer", connect: "Connect") -> None:
    shard = wire.ShardStatus(shard_id=1, replicas=[2**64 - 1], leader_id=2**63, ready=True)
    server.answers(
        "GetCollectionStatus",
        wire.GetCollectionStatusResponse(name="docs", dimension=4, distance="cosine", shards=[shard]),
    )
    status = connect().get_collection_status("docs")
    assert status == CollectionStatus("docs", 4, "cosine", [ShardStatus(1, [2**64 - 1], 2**63, True)])
    assert status.ready
    assert server.seen[0].body == wire.GetCollectionStatusRequest(name="docs").SerializeToString()


FLOATS = [0.5, -1.25, 3.0]


@pytest.mark.parametrize(
    "vector",
    [
        FLOATS,
        tuple(FLOATS),
        array.array("f", FLOATS),
        array.array("d", FLOATS),
        memoryview(array.array("f", FLOATS)),
        np.array(FLOATS, dtype=np.float16),
        np.array(FLOATS, dtype=np.float32),
        np.array(FLOATS, dtype=np.float64),
        np.array(FLOATS, dtype=">f4"),
        np.array([[x, 9.0] for x in FLOATS])[:, 0],
        [np.float32(x) for x in FLOATS],
    ],
    ids=lambda vector: f"{type(vector).__name__}-{getattr(vector, 'dtype', getattr(vector, 'typecode', ''))}",
)
def test_upsert_sends_any_vector_as_plain_protobuf_would(
    server: "ScriptedServer", connect: "Connect", vector: Any
) -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=2))
    points = [Point("a", vector), Point("b" * 300, vector, {"title": "zwölf"})]
    assert connect().upsert("docs", points) == 2
    expected = wire.UpsertRequest(
        collection="docs",
        points=[
            wire.Point(id="a", vector=FLOATS),
            wire.Point(id="b" * 300, vector=FLOATS, payload={"title": "zwölf"}),
        ],
    )
    assert server.seen[0].body == expected.SerializeToString()


def test_whole_numbers_become_floats(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    for vector in ([1, 2], np.array([1, 2], dtype=np.int8), array.array("B", [1, 2])):
        connect().upsert("docs", [Point("a", vector)])
    expected = wire.UpsertRequest(collection="docs", points=[wire.Point(id="a", vector=[1.0, 2.0])])
    assert {seen.body for seen in server.seen} == {expected.SerializeToString()}


def test_values_that_are_not_text_travel_as_json(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    payload = {"title": "ä", "year": 2024, "tags": ["a", None], "score": np.float32(0.5), "ok": True}
    connect().upsert("docs", [Point("a", [1.0], payload)])
    point = wire.UpsertRequest.FromString(server.seen[0].body).points[0]
    assert point.payload_json == '{"title":"ä","year":2024,"tags":["a",null],"score":0.5,"ok":true}'.encode()
    assert dict(point.payload) == {
        "title": "ä",
        "year": "2024",
        "tags": '["a",null]',
        "score": "0.5",
        "ok": "true",
    }


def test_no_points_send_nothing(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect()
    assert client.upsert("docs", []) == 0
    assert client.upsert_batch("docs", iter([])) == 0
    assert server.seen == []


def test_an_upsert_over_the_limit_names_upsert_batch(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect(max_send_message_length=4096)
    points = [Point(str(number), [0.5] * 100) for number in range(20)]
    with pytest.raises(MessageTooLargeError, match="use upsert_batch") as caught:
        client.upsert("docs", points)
    assert caught.value.details["limit"] == 4096
    assert not caught.value.retryable
    assert server.seen == []


def test_an_upsert_of_exactly_the_limit_is_sent(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=2))
    points = [Point("a", [0.5] * 100), Point("b", [0.5] * 100)]
    size = len(
        wire.UpsertRequest(
            collection="docs", points=[wire.Point(id=point.id, vector=point.vector) for point in points]
        ).SerializeToString()
    )
    assert connect(max_send_message_length=size).upsert("docs", points) == 2
    with pytest.raises(MessageTooLargeError):
        connect(max_send_message_length=size - 1).upsert("docs", points)


def test_search_asks_for_payload_by_default(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Search", wire.SearchResponse())
    client = connect()
    assert client.search("docs", [1.0, 2.0]) == []
    client.search("docs", np.array([1, 2]), top_k=3, include_vectors=True, include_payload=False, query="zip")
    expected = [
        wire.SearchRequest(collection="docs", vector=[1.0, 2.0], top_k=10, include_metadata=True, json_payload=True),
        wire.SearchRequest(
            collection="docs",
            vector=[1.0, 2.0],
            top_k=3,
            include_vectors=True,
            omit_payload=True,
            query="zip",
            json_payload=True,
        ),
    ]
    assert [seen.body for seen in server.seen] == [message.SerializeToString() for message in expected]


def test_search_gives_lists_and_dictionaries(server: "ScriptedServer", connect: "Connect") -> None:
    answer = wire.SearchResponse(
        results=[
            wire.SearchResult(id="a", score=0.25, payload={"title": "first"}, vector=[1.0, 2.0]),
            wire.SearchResult(id="b", score=0.5, payload={"n": "1"}, payload_json=b'{"n":1}', vector=[3.0, 4.0]),
        ]
    )
    server.answers("Search", answer)
    results = connect().search("docs", [1.0, 2.0], include_vectors=True)
    assert results == [
        SearchResult("a", 0.25, {"title": "first"}, [1.0, 2.0]),
        SearchResult("b", 0.5, {"n": 1}, [3.0, 4.0]),
    ]
    assert type(results[0].payload) is dict
    assert type(results[0].vector) is list


def test_vectors_of_answers_are_shared_with_numpy(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Get", wire.GetResponse(point=wire.Point(id="a", vector=FLOATS)))
    point = connect().get("docs", "a")
    assert point.vector_array.dtype == np.float32
    assert point.vector_array.tolist() == FLOATS
    assert not point.vector_array.flags.writeable
    point.vector.append(7.0)
    assert point.vector_array.tolist() == [*FLOATS, 7.0]


def test_get_gives_a_point_that_can_be_stored_again(server: "ScriptedServer", connect: "Connect") -> None:
    stored = wire.Point(id="a", vector=FLOATS, payload={"n": "1"}, payload_json=b'{"n":1}')
    server.answers("Get", wire.GetResponse(point=stored))
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    client = connect()
    point = client.get("docs", "a")
    client.upsert("docs", [point])
    assert point == Point("a", FLOATS, {"n": 1})
    assert server.seen[0].body == wire.GetRequest(collection="docs", id="a", json_payload=True).SerializeToString()
    assert wire.UpsertRequest.FromString(server.seen[1].body).points[0] == stored


def test_get_without_a_point_is_not_found(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Get", wire.GetResponse())
    with pytest.raises(NotFoundError, match="collection 'docs' has no point 'a'"):
        connect().get("docs", "a")


def test_delete(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Delete", wire.DeleteResponse())
    connect().delete("docs", "a")
    assert server.seen[0].body == wire.DeleteRequest(collection="docs", id="a").SerializeToString()


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff",
        wire.GetResponse(point=wire.Point(id="a", payload_json=b"{")).SerializeToString(),
        wire.GetResponse(point=wire.Point(id="a", payload_json=b"[1]")).SerializeToString(),
        wire.GetResponse(point=wire.Point(id="a", payload_json=b"[" * 100_000)).SerializeToString(),
    ],
    ids=["no protobuf", "broken json", "json list", "deep json"],
)
def test_an_answer_that_makes_no_sense_is_a_server_error(
    server: "ScriptedServer", connect: "Connect", answer: bytes
) -> None:
    server.answers("Get", answer)
    with pytest.raises(InternalServerError, match="the response to Get cannot be decoded"):
        connect().get("docs", "a")


def test_an_answer_over_the_limit_says_so(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Get", wire.GetResponse(point=wire.Point(id="a", vector=[0.0] * 1000)))
    with pytest.raises(MessageTooLargeError, match="max_recv_message_length") as caught:
        connect(max_recv_message_length=1000).get("docs", "a")
    assert not caught.value.retryable
    assert server.methods() == ["Get"]


def test_the_key_travels_as_bearer(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("ListCollections", wire.ListCollectionsResponse())
    connect("vkey-1").list_collections()
    connect(None).list_collections()
    assert server.seen[0].metadata["authorization"] == "Bearer vkey-1"
    assert "authorization" not in server.seen[1].metadata
    assert str(server.seen[0].metadata["user-agent"]).startswith("vectron-python")


def test_gzip_is_used_when_asked_for(start: "Callable[..., ScriptedServer]", connect: "Connect") -> None:
    plain_only = start(compression_enabled_algorithms_bitset=1)
    plain_only.answers("Upsert", wire.UpsertResponse(upserted=1))
    points = [Point("a", [0.0] * 1000)]
    assert connect(address=plain_only.address).upsert("docs", points) == 1
    with pytest.raises(VectronError, match="gzip"):
        connect(address=plain_only.address, compression="gzip").upsert("docs", points)


def test_compression_can_be_chosen_for_single_calls(start: "Callable[..., ScriptedServer]", connect: "Connect") -> None:
    plain_only = start(compression_enabled_algorithms_bitset=1)
    plain_only.answers("Upsert", wire.UpsertResponse(upserted=1))
    points = [Point("a", [0.0] * 1000)]
    client = connect(address=plain_only.address, compression="gzip")
    assert client.with_options(compression=None).upsert("docs", points) == 1
    with pytest.raises(VectronError, match="gzip"):
        client.upsert("docs", points)


def test_a_gzipped_request_arrives_whole(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    points = [Point("a", [0.0] * 1000)]
    connect(compression="gzip").upsert("docs", points)
    connect().upsert("docs", points)
    assert server.seen[0].body == server.seen[1].body
