"""Behind every error that another one caused stands that one, in the synchronous and in the asynchronous client."""

from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.message import DecodeError

from vectron_client import Point
from vectron_client.exceptions import (
    DeadlineExceededError,
    InternalServerError,
    InvalidArgumentError,
    UnavailableError,
    VectronError,
)

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer


def test_a_failed_status_also_after_repeats(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Get", "UNAVAILABLE", times=5)
    with pytest.raises(UnavailableError) as caught:
        connect(retry_initial_backoff_ms=1).get("docs", "a")
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert len(server.methods()) == 3


def test_no_answer_in_time(server: "ScriptedServer", connect: "Connect") -> None:
    done = server.hangs("Get")
    try:
        with pytest.raises(DeadlineExceededError) as caught:
            connect().get("docs", "a", timeout=0.2)
    finally:
        done.set()
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_no_server(connect: "Connect") -> None:
    with pytest.raises(UnavailableError) as caught:
        connect(address="127.0.0.1:1", retry_max_attempts=1).list_collections()
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_an_answer_that_cannot_be_read(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Get", b"\xff\xff")
    with pytest.raises(InternalServerError) as caught:
        connect().get("docs", "a")
    assert isinstance(caught.value.__cause__, DecodeError)


def test_an_argument_that_cannot_be_sent(connect: "Connect") -> None:
    client = connect()
    with pytest.raises(InvalidArgumentError) as caught:
        client.upsert("docs", [Point("a", [float("nan")])])
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(InvalidArgumentError) as caught:
        client.search("docs", ["x"])  # type: ignore[list-item]
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_stream_that_fails(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("SearchStream", "INTERNAL", times=5)
    with pytest.raises(VectronError) as caught:
        list(connect().search_stream("docs", [1.0]))
    assert isinstance(caught.value.__cause__, grpc.RpcError)
