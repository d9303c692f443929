"""A wrong request comes back as the right status, with a message that says what to do; nothing is half-written."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from vectrograph.domain.access import Role
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTRON_SERVICE_METHODS
from vectrograph.services import Services
from vectrograph.services.call import Call, Principal

Send = Callable[..., Any]
NAMES = sorted(VECTRON_SERVICE_METHODS)
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def docs(send: Send) -> str:
    send("CreateCollection", pb.CreateCollectionRequest(name="docs", dimension=2, distance="cosine"))
    send("Upsert", pb.UpsertRequest(collection="docs", points=[pb.Point(id="a", vector=[1, 0])]))
    return "docs"


@pytest.fixture(scope="module")
def refused(send: Send) -> Callable[..., Any]:
    """Provide the error that a call ends with; its trailers are complete and its text is ours."""

    def call(name: str, request: Any = b"", **options: Any) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            send(name, request, **options)
        error: Any = caught.value
        trailers = dict(error.trailing_metadata())
        assert trailers["x-request-id"]
        assert trailers["x-error-code"]
        assert "Traceback" not in error.details()
        return error

    return call


def code_of(error: Any) -> tuple[str, str]:
    return error.code().name, dict(error.trailing_metadata())["x-error-code"]


def upsert(*points: pb.Point) -> pb.UpsertRequest:
    return pb.UpsertRequest(collection="docs", points=points)


# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"\xff\xff\xff\xff"])
def test_credentials_come_before_the_message(channel: Any, name: str, body: bytes) -> None:
    path = VECTRON_SERVICE_METHODS[name].path
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(path)(body, timeout=20))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "missing Authorization header" in error.details()
    assert dict(error.trailing_metadata())["x-error-code"] == "AUTHENTICATION_REQUIRED"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_credentials_come_before_the_message(refused: Send, name: str) -> None:
    error = refused(name, b"\xff\xff", credential="ng_0123456789abcdef_wrong")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "0123456789abcdef_wrong" not in error.details()


@pytest.mark.parametrize("credential", ["", "ng_x", "vkey-x", "a.b.c", "x" * 4000])
def test_whatever_is_no_credential_is_unauthenticated(refused: Send, credential: str) -> None:
    assert refused("ListCollections", credential=credential).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_revoked_key_ceases_to_work_at_once(send: Send, refused: Send, services: Services) -> None:
    owner = Principal("developer", "developer", Role.DEVELOPER, frozenset({"api_keys:write", "api_keys:delete"}))
    call = Call(owner, "test")
    created = services.keys.create(call, "short-lived", [], None)
    assert refused("ListCollections", credential=created.secret).code() is grpc.StatusCode.PERMISSION_DENIED
    services.keys.revoke(call, created.record.key_id)
    assert code_of(refused("ListCollections", credential=created.secret)) == ("UNAUTHENTICATED", "INVALID_API_KEY")


@pytest.mark.parametrize(
    ("name", "request_", "scope"),
    [
        ("CreateCollection", pb.CreateCollectionRequest(name="v", dimension=2), "collections:write"),
        ("DeleteCollection", pb.DeleteCollectionRequest(name="docs"), "collections:delete"),
        ("Upsert", upsert(pb.Point(id="v", vector=[1, 0])), "collections:write"),
        ("Delete", pb.DeleteRequest(collection="docs", id="a"), "collections:delete"),
        ("Delete", pb.DeleteRequest(collection="tokens", id="1"), "tokens:delete"),
    ],
)
def test_a_viewer_may_not_change_anything(
    refused: Send, send: Send, docs: str, key_of: Callable[..., str], name: str, request_: Any, scope: str
) -> None:
    viewer = key_of(Role.VIEWER)
    error = refused(name, request_, credential=viewer)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert scope in error.details()
    details = json.loads(dict(error.trailing_metadata())["x-error-details-bin"])
    assert details["required_scope"] == scope
    assert send("Search", pb.SearchRequest(collection=docs, vector=[1, 0]), credential=viewer).results[0].id == "a"


# ---------------------------------------------------------------- things that are not there, or there already


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("DeleteCollection", pb.DeleteCollectionRequest(name="nowhere")),
        ("GetCollectionStatus", pb.GetCollectionStatusRequest(name="nowhere")),
        ("Upsert", pb.UpsertRequest(collection="nowhere", points=[pb.Point(id="a", vector=[1])])),
        ("Search", pb.SearchRequest(collection="nowhere", vector=[1])),
        ("SearchStream", pb.SearchRequest(collection="nowhere", vector=[1])),
        ("Get", pb.GetRequest(collection="nowhere", id="a")),
        ("Delete", pb.DeleteRequest(collection="nowhere", id="a")),
    ],
)
def test_an_unknown_collection_is_not_found(refused: Send, name: str, request_: Any) -> None:
    error = refused(name, request_)
    assert code_of(error) == ("NOT_FOUND", "COLLECTION_NOT_FOUND")
    assert "nowhere" in error.details()


def test_an_unknown_point_is_not_found(refused: Send, docs: str) -> None:
    error = refused("Get", pb.GetRequest(collection=docs, id="zzz"))
    assert code_of(error) == ("NOT_FOUND", "POINT_NOT_FOUND")
    assert "zzz" in error.details()


def test_a_duplicate_collection_exists_already(refused: Send, docs: str) -> None:
    error = refused("CreateCollection", pb.CreateCollectionRequest(name=docs, dimension=3))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    assert docs in error.details()


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("CreateCollection", pb.CreateCollectionRequest(name="tokens", dimension=26)),
        ("DeleteCollection", pb.DeleteCollectionRequest(name="tokens")),
    ],
)
def test_the_collection_of_tokens_is_reserved(refused: Send, name: str, request_: Any) -> None:
    assert code_of(refused(name, request_)) == ("FAILED_PRECONDITION", "COLLECTION_RESERVED")


# ---------------------------------------------------------------- values that are not acceptable


@pytest.mark.parametrize(
    ("name", "request_", "says"),
    [
        ("CreateCollection", pb.CreateCollectionRequest(dimension=2), "name"),
        ("CreateCollection", pb.CreateCollectionRequest(name="n"), "positive"),
        ("CreateCollection", pb.CreateCollectionRequest(name="n", dimension=-1), "positive"),
        ("CreateCollection", pb.CreateCollectionRequest(name="n", dimension=1_000_000), "8192"),
        (
            "CreateCollection",
            pb.CreateCollectionRequest(name="n", dimension=2, distance="l2"),
            "cosine, euclidean, dot",
        ),
        ("DeleteCollection", pb.DeleteCollectionRequest(), "collection name cannot be empty"),
        ("GetCollectionStatus", pb.GetCollectionStatusRequest(), "collection name cannot be empty"),
        ("Upsert", pb.UpsertRequest(points=[pb.Point(id="a", vector=[1])]), "collection name cannot be empty"),
        ("Upsert", upsert(), "at least one point"),
        ("Search", pb.SearchRequest(vector=[1, 0]), "collection name cannot be empty"),
        ("Search", pb.SearchRequest(collection="docs"), "vector"),
        ("Search", pb.SearchRequest(collection="docs", vector=[1, 0, 0]), "needs 2"),
        ("Search", pb.SearchRequest(collection="docs", vector=[1, NAN]), "vector"),
        ("Search", pb.SearchRequest(collection="docs", vector=[1, INF]), "vector"),
        ("Search", pb.SearchRequest(collection="docs", vector=[1, 0], top_k=101), "100"),
        ("Search", pb.SearchRequest(collection="docs", vector=[1, 0], top_k=2**32 - 1), "100"),
        ("SearchStream", pb.SearchRequest(collection="docs", vector=[1]), "needs 2"),
        ("Get", pb.GetRequest(id="a"), "collection name cannot be empty"),
        ("Get", pb.GetRequest(collection="docs"), "id"),
        ("Delete", pb.DeleteRequest(collection="docs"), "id"),
        ("Delete", pb.DeleteRequest(id="a"), "collection name cannot be empty"),
        ("UpdateUserProfile", pb.UpdateUserProfileRequest(plan=7), "PAID = 2"),
        ("SubmitFeedback", pb.SubmitFeedbackRequest(), "collection name cannot be empty"),
        ("SubmitFeedback", pb.SubmitFeedbackRequest(collection="docs"), "feedback items cannot be empty"),
        (
            "SubmitFeedback",
            pb.SubmitFeedbackRequest(collection="docs", feedback_items=[pb.FeedbackItem(relevance_score=6)]),
            "between 1 and 5",
        ),
        *((name, b"\xff\xff\xff", "not a valid") for name in NAMES),
    ],
)
def test_what_is_not_acceptable_is_named(refused: Send, docs: str, name: str, request_: Any, says: str) -> None:
    error = refused(name, request_)
    assert code_of(error) == ("INVALID_ARGUMENT", "VALIDATION_ERROR")
    assert says in error.details()


@pytest.mark.parametrize(
    "bad",
    [
        pb.Point(id="bad", vector=[1, 0, 0]),
        pb.Point(id="bad", vector=[1]),
        pb.Point(id="bad"),
        pb.Point(id="bad", vector=[NAN, 0]),
        pb.Point(id="bad", vector=[0, INF]),
        pb.Point(id="", vector=[1, 0]),
        pb.Point(id="x" * 513, vector=[1, 0]),
        pb.Point(id="bad", vector=[1, 0], payload_json=b"[]"),
    ],
    ids=["long", "short", "empty", "nan", "infinity", "no id", "long id", "payload"],
)
def test_one_bad_point_stops_the_batch_and_its_position_is_named(
    send: Send, refused: Send, docs: str, bad: pb.Point
) -> None:
    error = refused("Upsert", upsert(pb.Point(id="good", vector=[1, 1]), bad))
    assert code_of(error) == ("INVALID_ARGUMENT", "VALIDATION_ERROR")
    details = json.loads(dict(error.trailing_metadata())["x-error-details-bin"])
    assert "1" in details["errors"][0]["field"]
    assert code_of(refused("Get", pb.GetRequest(collection=docs, id="good"))) == ("NOT_FOUND", "POINT_NOT_FOUND")


@pytest.mark.parametrize("point_id", ["abc", "0", "01", "-1", "9007199254740992"])
def test_ids_of_tokens_are_canonical_decimals(refused: Send, point_id: str) -> None:
    request = pb.UpsertRequest(collection="tokens", points=[pb.Point(id=point_id, vector=[1.0] + [0.0] * 25)])
    assert code_of(refused("Upsert", request)) == ("INVALID_ARGUMENT", "VALIDATION_ERROR")


def test_too_many_points_are_too_large(refused: Send, docs: str) -> None:
    error = refused("Upsert", upsert(*[pb.Point(id=str(i), vector=[1, 0]) for i in range(10_001)]))
    assert code_of(error) == ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE")
    assert json.loads(dict(error.trailing_metadata())["x-error-details-bin"])["limit"] == 10_000


@pytest.mark.parametrize("name", ["Upsert", "SubmitFeedback", "ListCollections"])
def test_a_swarm_of_tiny_fields_is_refused_before_it_is_parsed(refused: Send, name: str) -> None:
    """The end of the message is broken, which only a parser would notice."""
    error = refused(name, b"\x22\x00" * 20_000 + b"\xff")
    assert code_of(error) == ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE")


# ---------------------------------------------------------------- the wire itself


def sized(size: int) -> pb.UpsertRequest:
    """Return an upsert of exactly so many bytes."""
    request = upsert(pb.Point(id="big", vector=[1, 0], payload={"x": "y" * (size - 100)}))
    request.points[0].payload["x"] += "y" * (size - request.ByteSize())
    assert request.ByteSize() == size
    return request


def test_a_message_over_the_limit_is_refused_with_code_and_limit(
    send: Send, refused: Send, docs: str, services: Services
) -> None:
    most = services.limits.max_body_bytes
    for over in (1, 1 << 20):
        error = refused("Upsert", sized(most + over))
        assert code_of(error) == ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE")
        trailers = dict(error.trailing_metadata())
        assert json.loads(trailers["x-error-details-bin"]) == {"limit": most, "unit": "bytes"}
        assert str(most + over) in error.details()
    assert send("Upsert", sized(most)).upserted == 1
    assert docs in send("ListCollections").collections


def test_a_message_far_over_the_limit_is_refused_unread_and_the_server_goes_on(
    send: Send, docs: str, services: Services
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        send("Upsert", sized(8 * services.limits.max_body_bytes))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in error.details()
    assert docs in send("ListCollections").collections


def test_an_unknown_method_is_unimplemented(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/vectron.v1.VectronService/Improve")(b"", timeout=20)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_without_a_message_is_an_invalid_argument(channel: Any, key: str) -> None:
    stub = channel.stream_unary(VECTRON_SERVICE_METHODS["Upsert"].path)
    with pytest.raises(grpc.RpcError) as caught:
        stub(iter([]), metadata=(("authorization", f"Bearer {key}"),), timeout=20)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "exactly one request message" in error.details()
