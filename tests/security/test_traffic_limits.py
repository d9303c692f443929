"""Too much, too fast or too slow: what is refused, how it is said, and who is not touched by it."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import httpx2
import pytest

from vectrograph import RunningServer, running
from vectrograph.http.timeouts import TimedHttpProtocol

LIST = "/vectron.v1.VectronService/ListCollections"
HEALTH = "/grpc.health.v1.Health/Check"


def status_of(call: Any) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def test_a_caller_over_its_rate_is_told_so_on_both_transports_and_probes_are_not() -> None:
    with running(rate_limit=5) as server, ExitStack() as stack:
        channel: Any = stack.enter_context(grpc.insecure_channel(server.grpc_address))
        client = stack.enter_context(httpx2.Client(base_url=server.http_url, headers={"X-API-Key": server.api_key}))
        answers = [client.get("/api/v1/tokens") for _ in range(12)]
        passed = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(passed) + len(refused) == 12
        assert len(refused) >= 2
        assert passed[0].headers["X-RateLimit-Limit"] == "5"
        assert int(passed[0].headers["X-RateLimit-Remaining"]) == 4
        assert refused[-1].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        assert int(refused[-1].headers["Retry-After"]) >= 1
        assert refused[-1].headers["X-RateLimit-Remaining"] == "0"
        metadata = (("x-api-key", server.api_key),)
        calls = [lambda: channel.unary_unary(LIST)(b"", metadata=metadata, timeout=5)] * 12
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in [status_of(call) for call in calls]
        for path in ("/livez", "/readyz", "/api/v1/health"):
            assert {client.get(path).status_code for _ in range(10)} == {200}
        assert {status_of(lambda: channel.unary_unary(HEALTH)(b"", timeout=5)) for _ in range(10)} == {
            grpc.StatusCode.OK
        }


def test_an_address_over_its_rate_is_refused_before_its_credentials_are_looked_at() -> None:
    with running(address_rate_limit=3) as server:
        codes = [httpx2.get(f"{server.http_url}/api/v1/auth/me").status_code for _ in range(9)]
        assert set(codes) == {401, 429}
        with httpx2.Client(base_url=server.http_url) as client:
            assert {client.get("/livez").status_code for _ in range(10)} == {200}


def test_a_key_is_held_to_its_own_rate() -> None:
    with running() as server, server.neurograph() as client:
        token = httpx2.post(
            f"{server.http_url}/api/v1/auth/login", json={"username": "developer", "password": "developer123"}
        ).json()["access_token"]
        made = httpx2.post(
            f"{server.http_url}/api/v1/api-keys",
            json={"name": "slow", "rate_limit": 2},
            headers={"Authorization": f"Bearer {token}"},
        ).json()
        with httpx2.Client(base_url=server.http_url, headers={"X-API-Key": made["api_key"]}) as slow:
            codes = [slow.get("/api/v1/tokens").status_code for _ in range(8)]
        assert codes[:2] == [200, 200]
        assert 429 in codes
        assert client.tokens.list().total == 0


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(grpc_threads=2) as started:
        yield started


def test_authenticated_callers_that_never_send_their_message_give_way(server: RunningServer) -> None:
    """Six of them take both threads; a caller with something to say is answered all the same."""
    metadata = (("x-api-key", server.api_key),)
    with grpc.insecure_channel(server.grpc_address) as opened, grpc.insecure_channel(server.grpc_address) as other:
        holder: Any = opened
        caller: Any = other

        def silence() -> Iterator[bytes]:
            time.sleep(30)
            yield b""

        held = [holder.stream_unary(LIST).future(silence(), metadata=metadata, timeout=60) for _ in range(6)]
        assert caller.unary_unary(LIST)(b"", metadata=metadata, timeout=15)
        for call in held:
            call.cancel()


def test_anonymous_callers_that_never_ask_do_not_hold_the_health_threads(server: RunningServer) -> None:
    with grpc.insecure_channel(server.grpc_address) as opened, grpc.insecure_channel(server.grpc_address) as other:
        holder: Any = opened
        caller: Any = other

        def silence() -> Iterator[bytes]:
            time.sleep(30)
            yield b""

        held = [holder.stream_unary(HEALTH).future(silence(), timeout=60) for _ in range(20)]
        assert caller.unary_unary(HEALTH)(b"", timeout=10) == b"\x08\x01"
        for call in held:
            call.cancel()


def test_a_connection_that_does_not_finish_its_headers_is_closed(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimedHttpProtocol, "header_seconds", 0.3)
    port = server.server.addresses.http_port
    for begun in (b"", b"GET /livez HTTP/1.1\r\nHost: loc"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(begun)
            assert connection.recv(100) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(2):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
