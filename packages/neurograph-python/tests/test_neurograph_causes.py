# Generated from test_async_neurograph_causes.py by tools/unasync.py; do not edit.
"""Behind every error of the synchronous client that another one caused stands that one, whatever the way it took."""

from typing import Any

import httpx2
import pydantic
import pytest
from client_setup import TOKEN, noted_pauses, scripted, with_key
from scripted_server import Cut, Reply, Script, ScriptedServer, Stall

from neurograph import (
    ConnectionError,
    InvalidResponseError,
    NeuroGraphClient,
    NeuroGraphError,
    TimeoutError,
    ValidationError,
)
from neurograph._wirekit.vectors import VectorError

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)

COMPRESSED = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize("max_retries", [0, 2])
@pytest.mark.parametrize(
    ("script", "kind", "cause"),
    [
        (Cut(), ConnectionError, httpx2.RequestError),
        (Cut(after=20), ConnectionError, httpx2.RequestError),
        (Reply(raw=b"{half"), InvalidResponseError, ValueError),
        (Reply(body={"id": "no number"}), InvalidResponseError, pydantic.ValidationError),
        (Reply(raw=b"no gzip", headers=COMPRESSED), InvalidResponseError, httpx2.DecodingError),
    ],
)
def test_a_broken_answer(
    server: ScriptedServer,
    pauses: list[float],
    script: Script,
    kind: type[NeuroGraphError],
    cause: type[Exception],
    max_retries: int,
) -> None:
    server.on("GET", TOKEN, script)
    with with_key(server, max_retries=max_retries) as client:
        with pytest.raises(NeuroGraphError) as caught:
            client.tokens.get(7)
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, cause)


def test_no_answer_in_time(server: ScriptedServer) -> None:
    server.on("GET", TOKEN, Stall())
    with with_key(server, timeout=0.2, max_retries=0) as client:
        with pytest.raises(TimeoutError) as caught:
            client.tokens.get(7)
    assert isinstance(caught.value.__cause__, httpx2.TimeoutException)


@pytest.mark.parametrize("credentials", [{"api_key": "k"}, {"username": "a", "password": "b"}])
def test_no_server_with_a_key_or_at_the_login(credentials: dict[str, Any]) -> None:
    with ScriptedServer() as gone:
        pass
    with NeuroGraphClient(gone.url, **credentials, max_retries=0) as client:
        with pytest.raises(ConnectionError) as caught:
            client.tokens.get(7)
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)


def test_a_stream_that_breaks_off(server: ScriptedServer) -> None:
    server.on("GET", "/api/v1/tokens/export", Cut(after=40))
    with with_key(server, max_retries=0) as client:
        with pytest.raises(ConnectionError) as caught:
            _ = list(client.tokens.stream())
    assert isinstance(caught.value.__cause__, httpx2.RequestError)


def test_an_argument_that_cannot_be_sent(server: ScriptedServer) -> None:
    with with_key(server) as client:
        with pytest.raises(ValidationError) as caught:
            client.tokens.query(query_vector=[1.0, float("nan")])
        assert isinstance(caught.value.__cause__, VectorError)
        with pytest.raises(ValidationError) as caught:
            client.tokens.create("\ud800")
        assert isinstance(caught.value.__cause__, ValueError)
