"""Every method of VectronService does what the contract says, over a real connection."""

import json
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from vectrograph.control.store import ControlStore
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.rpc._pb import auth_pb
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.services import Services
from vectrograph.services.call import Call, Principal

Send = Callable[..., Any]
names = (f"collection-{number}" for number in count())


@pytest.fixture
def docs(send: Send) -> Iterator[str]:
    """Provide a cosine collection of three points."""
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2, distance="cosine"))
    points = [
        pb.Point(id="east", vector=[1, 0], payload={"side": "right"}),
        pb.Point(id="north", vector=[0, 2], payload={"side": "top"}),
        pb.Point(id="west", vector=[-3, 0]),
    ]
    assert send("Upsert", pb.UpsertRequest(collection=name, points=points)).upserted == 3
    yield name
    send("DeleteCollection", pb.DeleteCollectionRequest(name=name))


def search(send: Send, collection: str, **fields: Any) -> list[pb.SearchResult]:
    return list(send("Search", pb.SearchRequest(collection=collection, **fields)).results)


def test_a_collection_from_creation_to_deletion(send: Send) -> None:
    for name in ("b-docs", "a-docs"):
        assert send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=3, distance="dot")).success
    listed = list(send("ListCollections").collections)
    assert listed == sorted(listed)
    assert {"a-docs", "b-docs", "tokens"} <= set(listed)
    status = send("GetCollectionStatus", pb.GetCollectionStatusRequest(name="a-docs"))
    assert status == pb.GetCollectionStatusResponse(
        name="a-docs",
        dimension=3,
        distance="dot",
        shards=[pb.ShardStatus(shard_id=1, replicas=[1], leader_id=1, ready=True)],
    )
    for name in ("b-docs", "a-docs"):
        assert send("DeleteCollection", pb.DeleteCollectionRequest(name=name)).success
    assert not {"a-docs", "b-docs"} & set(send("ListCollections").collections)


def test_no_distance_means_euclidean(send: Send) -> None:
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2))
    assert send("GetCollectionStatus", pb.GetCollectionStatusRequest(name=name)).distance == "euclidean"


@pytest.mark.parametrize(
    ("distance", "scores"),
    [("cosine", [0.0, 1.0, 2.0]), ("euclidean", [4.0, 13.0, 36.0]), ("dot", [-3.0, 0.0, 9.0])],
)
def test_score_is_a_distance_and_results_ascend(send: Send, distance: str, scores: list[float]) -> None:
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2, distance=distance))
    vectors = {"east": [1.0, 0.0], "north": [0.0, 2.0], "west": [-3.0, 0.0]}
    points = [pb.Point(id=i, vector=vector) for i, vector in vectors.items()]
    send("Upsert", pb.UpsertRequest(collection=name, points=points))
    results = search(send, name, vector=[3, 0])
    assert [result.id for result in results] == ["east", "north", "west"]
    assert [result.score for result in results] == pytest.approx(scores)


def test_search_sends_payload_always_and_vectors_when_asked(send: Send, docs: str) -> None:
    plain = search(send, docs, vector=[1, 0], top_k=1)
    assert plain == [pb.SearchResult(id="east", score=0, payload={"side": "right"})]
    with_vectors = search(send, docs, vector=[1, 0], top_k=1, include_vectors=True, include_metadata=True)
    assert with_vectors == [pb.SearchResult(id="east", score=0, payload={"side": "right"}, vector=[1, 0])]
    without = search(send, docs, vector=[1, 0], top_k=1, omit_payload=True)
    assert without == [pb.SearchResult(id="east", score=0)]


def test_top_k_of_zero_means_ten(send: Send) -> None:
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=1))
    points = [pb.Point(id=str(number), vector=[number]) for number in range(12)]
    send("Upsert", pb.UpsertRequest(collection=name, points=points))
    assert [hit.id for hit in search(send, name, vector=[0])] == [str(number) for number in range(10)]
    assert len(search(send, name, vector=[0], top_k=12)) == 12
    assert len(search(send, name, vector=[0], top_k=100)) == 12


def test_an_empty_collection_has_no_results(send: Send) -> None:
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=2))
    assert search(send, name, vector=[1, 2]) == []


def test_a_stream_ends_with_the_exact_result(send: Send, docs: str) -> None:
    request = pb.SearchRequest(collection=docs, vector=[0, 1], top_k=2, include_vectors=True)
    snapshots = send("SearchStream", request)
    assert snapshots[-1] == send("Search", request)
    assert [result.id for result in snapshots[-1].results] == ["north", "west"]
    assert list(snapshots[-1].results[0].vector) == [0, 2]


def test_get_gives_the_stored_values(send: Send, docs: str) -> None:
    point = send("Get", pb.GetRequest(collection=docs, id="north")).point
    assert point == pb.Point(id="north", vector=[0, 2], payload={"side": "top"})


def test_upsert_replaces_whole_points_and_counts_repeated_ids(send: Send, docs: str) -> None:
    points = [
        pb.Point(id="east", vector=[5, 5], payload={"lost": "yes"}),
        pb.Point(id="east", vector=[7, 7]),
        pb.Point(id="new", vector=[1, 1]),
    ]
    assert send("Upsert", pb.UpsertRequest(collection=docs, points=points)).upserted == 3
    assert send("Get", pb.GetRequest(collection=docs, id="east")).point == pb.Point(id="east", vector=[7, 7])


def test_delete_is_idempotent_and_takes_effect_at_once(send: Send, docs: str) -> None:
    for _ in range(2):
        send("Delete", pb.DeleteRequest(collection=docs, id="east"))
    assert [hit.id for hit in search(send, docs, vector=[1, 0])] == ["north", "west"]
    send("Upsert", pb.UpsertRequest(collection=docs, points=[pb.Point(id="east", vector=[1, 0])]))
    assert search(send, docs, vector=[1, 0], top_k=1)[0].id == "east"


def test_json_payloads_travel_in_the_extension_and_show_in_the_map(send: Send, docs: str) -> None:
    payload = {"title": "x", "pages": 3, "tags": ["a", None], "deep": {"π": 1.5}, "on": True}
    point = pb.Point(id="rich", vector=[1, 0], payload={"ignored": "1"}, payload_json=json.dumps(payload).encode())
    send("Upsert", pb.UpsertRequest(collection=docs, points=[point]))
    got = send("Get", pb.GetRequest(collection=docs, id="rich")).point
    assert json.loads(got.payload_json) == payload
    assert dict(got.payload) == {
        "title": "x", "pages": "3", "tags": '["a",null]', "deep": '{"π":1.5}', "on": "true",
    }  # fmt: skip


def test_unpacked_vectors_are_stored_whole(send: Send, docs: str) -> None:
    floats = b"".join(b"\x15" + struct.pack("<f", value) for value in (3.0, 4.0))
    point = b"\x0a\x01u" + floats
    name = docs.encode()
    send("Upsert", b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(point)]) + point)
    assert send("Get", pb.GetRequest(collection=docs, id="u")).point == pb.Point(id="u", vector=[3, 4])


def test_a_token_made_elsewhere_is_found_here_and_the_reverse(send: Send, services: Services) -> None:
    me = Call(Principal("developer", "developer", Role.DEVELOPER, ROLE_SCOPES[Role.DEVELOPER]), "test")
    token = services.tokens.create(me, "hello world", {"lang": "en", "n": 1})
    [hit] = search(send, "tokens", vector=services.embeddings.embed(me, ["hello world"])[0].tolist(), top_k=1)
    assert (hit.id, dict(hit.payload)) == (token.id, {"lang": "en", "n": "1"})
    vector = [1.0] + [0.0] * 25
    send("Upsert", pb.UpsertRequest(collection="tokens", points=[pb.Point(id="77", vector=vector)]))
    assert services.tokens.get(me, 77).id == "77"


def test_a_plan_is_stored_and_the_profile_comes_back(send: Send) -> None:
    answer = send("UpdateUserProfile", pb.UpdateUserProfileRequest(plan=auth_pb.Plan.PAID))
    assert (answer.user.id, answer.user.email) == ("developer", "dev@neurograph.dev")
    assert answer.user.plan == auth_pb.Plan.PAID
    assert answer.user.subscription_status == auth_pb.SubscriptionStatus.ACTIVE
    assert 1_600_000_000 < answer.user.created_at < 10_000_000_000
    assert send("UpdateUserProfile", pb.UpdateUserProfileRequest()).user.plan == auth_pb.Plan.PLAN_UNSPECIFIED


def test_feedback_is_stored(send: Send, store: ControlStore) -> None:
    item = pb.FeedbackItem(result_id="r", relevance_score=5, clicked=True, position=2, comment="good")
    answer = send(
        "SubmitFeedback",
        pb.SubmitFeedbackRequest(collection="tokens", query="q", feedback_items=[item], context={"session_id": "s"}),
    )
    assert answer.success
    record = store.feedback.get(answer.feedback_id)
    assert record is not None
    assert (record.collection, record.query, record.context) == ("tokens", "q", {"session_id": "s"})
    [stored] = record.items
    assert (stored.result_id, stored.relevance_score, stored.clicked, stored.position, stored.comment) == (
        "r", 5, True, 2, "good",
    )  # fmt: skip


def test_every_kind_of_credential_works(channel: Any, services: Services, key: str) -> None:
    login = services.sessions.login("viewer", "viewer123").access_token
    stub = channel.unary_unary(
        "/vectron.v1.VectronService/ListCollections", response_deserializer=pb.ListCollectionsResponse.FromString
    )
    for header, value in [
        ("authorization", f"Bearer {login}"),
        ("authorization", f"bearer {key}"),
        ("authorization", key),
        ("x-api-key", key),
    ]:
        assert "tokens" in stub(b"", metadata=((header, value),), timeout=20).collections
