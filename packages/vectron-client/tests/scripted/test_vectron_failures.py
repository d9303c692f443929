"""Exceptions of failed calls: one exception per status, with everything the server said."""

import json
import pickle
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from vectron_client import AsyncVectronClient, ClientOptions, FeedbackItem, Point, VectronClient, exceptions
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import (
    DeadlineExceededError,
    MessageTooLargeError,
    NotFoundError,
    RateLimitError,
    UnavailableError,
    VectronError,
)

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [
        ("CANCELLED", "VectronError", False),
        ("UNKNOWN", "InternalServerError", False),
        ("INVALID_ARGUMENT", "InvalidArgumentError", False),
        ("DEADLINE_EXCEEDED", "DeadlineExceededError", True),
        ("NOT_FOUND", "NotFoundError", False),
        ("ALREADY_EXISTS", "AlreadyExistsError", False),
        ("PERMISSION_DENIED", "PermissionDeniedError", False),
        ("UNAUTHENTICATED", "AuthenticationError", False),
        ("RESOURCE_EXHAUSTED", "RateLimitError", True),
        ("FAILED_PRECONDITION", "FailedPreconditionError", False),
        ("ABORTED", "FailedPreconditionError", False),
        ("OUT_OF_RANGE", "InvalidArgumentError", False),
        ("UNIMPLEMENTED", "VectronError", False),
        ("INTERNAL", "InternalServerError", False),
        ("UNAVAILABLE", "UnavailableError", True),
        ("DATA_LOSS", "InternalServerError", False),
    ],
)
def test_each_status_has_one_exception(
    server: "ScriptedServer", connect: "Connect", status: str, expected: str, retryable: bool
) -> None:
    server.fails("Upsert", status, "the message", x_request_id="r-1")
    with pytest.raises(VectronError) as caught:
        connect().upsert("docs", [Point("a", [1.0])])
    error = caught.value
    assert type(error) is getattr(exceptions, expected)
    assert (error.code, error.message, error.request_id) == (status, "the message", "r-1")
    assert error.retryable is retryable
    assert isinstance(error.__cause__, grpc.RpcError)


def test_everything_the_server_said_is_there_and_survives_pickling(
    server: "ScriptedServer", connect: "Connect"
) -> None:
    server.fails(
        "Get",
        "NOT_FOUND",
        "no collection 'docs'",
        x_error_code="COLLECTION_NOT_FOUND",
        x_request_id="r-7",
        retry_after="2.5",
        x_error_details_bin=json.dumps({"collection": "docs", "near": ["döcs"]}).encode(),
    )
    with pytest.raises(NotFoundError) as caught:
        connect().get("docs", "a")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301 - our own
        assert type(error) is NotFoundError
        assert vars(error) == {
            "message": "no collection 'docs'",
            "code": "NOT_FOUND",
            "error_code": "COLLECTION_NOT_FOUND",
            "details": {"collection": "docs", "near": ["döcs"]},
            "request_id": "r-7",
            "retry_after": 2.5,
            "retryable": False,
        }
        assert str(error) == "no collection 'docs' (COLLECTION_NOT_FOUND, request r-7)"


@pytest.mark.parametrize(
    ("error_code", "expected", "retryable"),
    [
        ("RATE_LIMIT_EXCEEDED", RateLimitError, True),
        ("REQUEST_TOO_LARGE", MessageTooLargeError, False),
        ("OUT_OF_SPACE", UnavailableError, False),
        (None, RateLimitError, True),
    ],
)
def test_the_error_code_tells_exhausted_resources_apart(
    server: "ScriptedServer",
    connect: "Connect",
    error_code: str | None,
    expected: type[VectronError],
    retryable: bool,
) -> None:
    server.fails("Upsert", "RESOURCE_EXHAUSTED", x_error_code=error_code or "")
    with pytest.raises(VectronError) as caught:
        connect().upsert("docs", [Point("a", [1.0])])
    assert type(caught.value) is expected
    assert caught.value.retryable is retryable


def test_a_limit_of_the_server_itself_is_a_message_too_large(
    start: "Callable[..., ScriptedServer]", connect: "Connect"
) -> None:
    small = start(max_receive_message_length=100)
    with pytest.raises(MessageTooLargeError, match="upsert_batch splits"):
        connect(address=small.address, retry_on_writes=True).upsert("docs", [Point("a", [1.0] * 100)])
    assert small.seen == []


def test_odd_trailers_do_not_hide_the_error(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Get", "NOT_FOUND", retry_after="soon", x_error_details_bin=b"{", x_error_code="")
    with pytest.raises(NotFoundError) as caught:
        connect().get("docs", "a")
    assert (caught.value.retry_after, caught.value.details, caught.value.error_code) == (None, {}, None)


def test_a_server_that_is_not_there(connect: "Connect") -> None:
    with socket.socket() as taken:  # bound but not listening: nobody else gets the port, connecting is refused
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"the server at {address} cannot be reached") as caught:
            connect(address=address).list_collections()
    assert caught.value.code == "UNAVAILABLE"
    assert caught.value.request_id is None


def test_the_deadline_reaches_the_server(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("ListCollections", wire.ListCollectionsResponse())
    connect(timeout_seconds=7).list_collections()
    connect().list_collections(timeout=30)
    connect(timeout_seconds=0).list_collections()
    connect().list_collections(timeout=float("inf"))
    connect().list_collections(timeout=1e300)
    remaining = [seen.time_remaining for seen in server.seen]
    assert remaining[0] is not None
    assert 6 < remaining[0] <= 7.1  # gRPC rounds up on the wire
    assert remaining[1] is not None
    assert 29 < remaining[1] <= 30.1
    # Without a deadline the server counts from the end of time.
    assert all(seconds is None or seconds > 1e8 for seconds in remaining[2:])


def test_every_operation_takes_a_timeout(server: "ScriptedServer", connect: "Connect") -> None:
    client = connect()
    point = Point("a", [1.0])
    for operation in (
        lambda: client.create_collection("docs", 4, timeout=30),
        lambda: client.delete_collection("docs", timeout=30),
        lambda: client.list_collections(timeout=30),
        lambda: client.get_collection_status("docs", timeout=30),
        lambda: client.upsert("docs", [point], timeout=30),
        lambda: client.upsert_batch("docs", [point], timeout=30),
        lambda: client.search("docs", [1.0], timeout=30),
        lambda: client.get("docs", "a", timeout=30),
        lambda: client.delete("docs", "a", timeout=30),
        lambda: list(client.search_stream("docs", [1.0], timeout=30)),
        lambda: client.submit_feedback("docs", [FeedbackItem("a", 5)], timeout=30),
        lambda: client.update_user_profile("PAID", timeout=30),
    ):
        with pytest.raises(VectronError, match="nothing scripted"):
            operation()
    assert len(server.seen) == 12
    assert all(seen.time_remaining is not None and 20 < seen.time_remaining <= 30.1 for seen in server.seen)


def test_a_slow_server(server: "ScriptedServer", connect: "Connect") -> None:
    release = server.hangs("Search")
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"Search did not finish within 0\.2 s") as caught:
        connect().search("docs", [1.0], timeout=0.2)
    release.set()
    assert time.monotonic() - begun < 20
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert server.methods() == ["Search"], "a call whose time is over must not be sent again"


def test_no_secret_in_any_text(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Get", "UNAUTHENTICATED", "invalid API key")
    with pytest.raises(VectronError) as caught:
        connect("vkey-secret").get("docs", "a")
    clients = [VectronClient("h:1", "vkey-secret"), AsyncVectronClient("h:1", "vkey-secret")]
    shown = [*map(repr, clients), repr(vars(clients[0])), str(caught.value), repr(caught.value)]
    assert not [text for text in shown if "secret" in text]
    with pytest.raises(VectronError) as refused:
        VectronClient("h:1", "vkey-secret\n", ClientOptions())
    assert "secret" not in str(refused.value)
