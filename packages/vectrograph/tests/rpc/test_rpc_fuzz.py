"""Whatever bytes arrive, the answer is a status of the contract, never a crash, and the server goes on."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTRON_SERVICE_METHODS

SEEDS = {
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
        collection="kept", vector=[1, 0], top_k=5, query="q", timeout_ms=900, include_vectors=True
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
}
FINE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid message of some method with a few bytes changed, dropped, doubled or put in."""
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
    assert set(SEEDS) == set(VECTRON_SERVICE_METHODS)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated() | anything())
def test_any_message_gets_a_status_of_the_contract(kept: Callable[..., Any], message: tuple[str, bytes]) -> None:
    name, body = message
    try:
        kept(name, body)
    except grpc.RpcError as caught:
        error: Any = caught
        assert error.code() in FINE, (error.code(), error.details())
        assert "x-error-code" in dict(error.trailing_metadata())
    assert "tokens" in kept("ListCollections").collections
