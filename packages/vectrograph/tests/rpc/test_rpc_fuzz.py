"""Fuzzing: any bytes are answered with a status of the contract, never a crash, and the server goes on."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vectrograph.rpc._pb import auth_pb as auth
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import AUTH_SERVICE_METHODS, VECTROGRAPH_SERVICE_METHODS, VECTRON_SERVICE_METHODS

pytestmark = pytest.mark.slow

SEEDS: dict[str, Message] = {
    "CreateCollection": pb.CreateCollectionRequest(name="fuzz", dimension=2, distance="dot"),
    "DeleteCollection": pb.DeleteCollectionRequest(name="fuzz"),
    "Upsert": pb.UpsertRequest(
        collection="kept",
        points=[
            pb.Point(id="a", vector=[1, 2], payload={"k": "v"}),
            pb.Point(id="b", vector=[3, 4], payload_json=b'{"n": [1, {"m": null}]}'),
        ],
    ),
    "Search": pb.SearchRequest(
        collection="kept",
        vector=[1, 0],
        top_k=5,
        query="q",
        timeout_ms=900,
        include_vectors=True,
        filter_json='{"path": "k", "eq": "v"}',
        rerank=pb.Rerank(keyword_weight=1, feedback_weight=1, field_boosts={"k": 2}, candidates=9),
    ),
    "SearchStream": pb.SearchRequest(collection="kept", vector=[1, 0], top_k=5, omit_payload=True),
    "Get": pb.GetRequest(collection="kept", id="a"),
    "Delete": pb.DeleteRequest(collection="kept", id="a"),
    "ListCollections": pb.ListCollectionsRequest(),
    "GetCollectionStatus": pb.GetCollectionStatusRequest(name="kept"),
    "UpdateUserProfile": pb.UpdateUserProfileRequest(plan=1),
    "SubmitFeedback": pb.SubmitFeedbackRequest(
        collection="kept", feedback_items=[pb.FeedbackItem(result_id="r", relevance_score=3)], context={"a": "b"}
    ),
    "SearchBatch": own.SearchBatchRequest(collection="kept", vectors=bytes(16), queries=2, top_k=3, ef=7),
    "Scroll": own.ScrollRequest(collection="kept", limit=1, order_by="created", descending=True, cursor="c"),
    "Count": own.CountRequest(collection="kept", filter_json='{"path": "k", "eq": "v"}'),
    "DeleteWhere": own.DeleteWhereRequest(collection="kept", filter_json='{"path": "k", "eq": "v"}'),
    "UpsertIf": own.UpsertIfRequest(
        collection="kept", points=[pb.Point(id="c", vector=[1, 2])], if_absent=True, if_version={"c": 7}
    ),
    "GetCollectionInfo": own.GetCollectionInfoRequest(name="kept"),
    "GetLimits": own.GetLimitsRequest(),
    "ListFeedback": own.ListFeedbackRequest(collection="kept", query="q", limit=3, cursor="17.x"),
    "Watch": own.WatchRequest(collection="kept", since="oldest", filter_json='{"path": "k"}', include_payload=True),
    "auth.RegisterUser": auth.RegisterUserRequest(email="a@b.example", password="x"),
    "auth.Login": auth.LoginRequest(email="a@b.example"),
    "auth.GetUserProfile": auth.GetUserProfileRequest(),
    "auth.UpdateUserProfile": auth.UpdateUserProfileRequest(plan=auth.Plan.PAID),
    "auth.DeleteUser": auth.DeleteUserRequest(password="x"),
    "auth.RefreshToken": auth.RefreshTokenRequest(),
    "auth.CreateAPIKey": auth.CreateAPIKeyRequest(name="k"),
    "auth.ListAPIKeys": auth.ListAPIKeysRequest(),
    "auth.DeleteAPIKey": auth.DeleteAPIKeyRequest(key_prefix="ng_live_00000000"),
    "auth.ValidateAPIKey": auth.ValidateAPIKeyRequest(full_key="ng_live_"),
    "auth.CreateSDKJWT": auth.CreateSDKJWTRequest(api_key_id="ng_live_00000000"),
    "auth.GetAuthDetailsForSDK": auth.GetAuthDetailsForSDKRequest(api_key_id="ng_live_00000000"),
}
FINE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    # A login with the wrong password.
    grpc.StatusCode.UNAUTHENTICATED,
}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a valid message of some method with a few bytes changed, dropped, doubled or put in."""
    name = draw(st.sampled_from(sorted(SEEDS)))
    body = bytearray(SEEDS[name].SerializeToString())
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 4)))
        body[start:stop] = draw(st.sampled_from([b"", bytes(body[start:stop]) * 2]) | st.binary(max_size=6))
    return name, bytes(body)


def anything() -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.sampled_from(sorted(SEEDS)), st.binary(max_size=64))


@pytest.fixture(scope="module")
def kept(send: Callable[..., Any]) -> Callable[..., Any]:
    send("CreateCollection", pb.CreateCollectionRequest(name="kept", dimension=2))
    return send


def test_every_method_has_a_seed() -> None:
    accounts = {f"auth.{name}" for name in AUTH_SERVICE_METHODS}
    assert set(SEEDS) == {*VECTRON_SERVICE_METHODS, *VECTROGRAPH_SERVICE_METHODS, *accounts}


@settings(max_examples=900, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated() | anything())
def test_any_message_gets_a_status_of_the_contract(kept: Callable[..., Any], message: tuple[str, bytes]) -> None:
    name, body = message
    try:
        # What Watch takes for good it answers until its caller has enough.
        kept(name, body, timeout=0.2 if name == "Watch" else 20)
    except grpc.RpcError as caught:
        error: Any = caught
        assert error.code() in FINE, (error.code(), error.details())
        is_enough = name == "Watch" and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert is_enough or "x-error-code" in dict(error.trailing_metadata())
    assert "tokens" in kept("ListCollections").collections
