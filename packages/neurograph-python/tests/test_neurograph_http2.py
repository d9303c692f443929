# Generated from test_async_neurograph_http2.py by tools/unasync.py; do not edit.
"""HTTP/2 of the synchronous client: spoken when it is asked for and the server knows it, and only then."""

from functools import partial
from pathlib import Path

import pytest
from concurrently import gather
from http2_server import Http2Server

from neurograph import ConfigurationError, NeuroGraphClient

CERTIFICATE = Path(__file__).parent / "untrusted.pem"


def client_of(server: Http2Server, http2: bool, timeout: float = 10) -> NeuroGraphClient:
    return NeuroGraphClient(
        server.url, api_key="ng_key", verify_ssl=str(CERTIFICATE), http2=http2, timeout=timeout, max_retries=0
    )


def test_it_is_spoken_when_it_is_asked_for() -> None:
    with Http2Server(CERTIFICATE) as server:
        with client_of(server, http2=True) as client:
            assert (client.tokens.get(7)).id == 7
            created = client.tokens.create("hello", metadata={"a": 1}, idempotency_key="mine")
            assert (created.text, created.metadata) == ("hello", {"a": 1})
    assert server.spoken == ["h2"]
    first, second = server.requests
    assert (first[":method"], first[":path"], first[":scheme"]) == ("GET", "/api/v1/tokens/7", "https")
    assert first["authorization"] == "Bearer ng_key"
    assert 0 < int(first["x-request-timeout-ms"]) <= 10_000
    assert (second[":method"], second["idempotency-key"]) == ("POST", "mine")


def test_without_the_switch_it_is_not() -> None:
    with Http2Server(CERTIFICATE) as server:
        with client_of(server, http2=False) as client:
            assert (client.tokens.get(7)).id == 7
    assert server.requests == []
    assert server.spoken in ([None], ["http/1.1"])


def test_many_calls_share_one_connection() -> None:
    with Http2Server(CERTIFICATE, gather=8) as server:
        with client_of(server, http2=True) as client:
            tokens = gather(partial(client.tokens.get, number) for number in range(1, 9))
    assert [token.id for token in tokens] == list(range(1, 9))
    assert server.most == 8
    assert server.spoken == ["h2"]


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurograph._options.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install \"neurograph-python\[http2\]\""):
        NeuroGraphClient("https://localhost", api_key="k", http2=True)
