"""Time and memory that a hostile or broken server can make the asynchronous client spend: both limited."""

import gzip
import io
import time
from collections.abc import Awaitable, Callable
from typing import Any

import hostile_server
import pytest
from hostile_server import Handler, HostileServer
from scripted_server import Reply, ScriptedServer, token_body

from neurograph import AsyncNeuroGraphClient, InvalidResponseError, TimeoutError

pytestmark = pytest.mark.anyio

LIMIT = 0.5
LATEST = 30.0  # seconds: the drips never end, and a busy machine needs far less
Call = Callable[[AsyncNeuroGraphClient], Awaitable[Any]]


def a_client(url: str, **more: Any) -> AsyncNeuroGraphClient:
    return AsyncNeuroGraphClient(url, api_key="k", max_retries=0, **{"timeout": LIMIT, **more})


async def drained(client: AsyncNeuroGraphClient) -> list[Any]:
    return [token async for token in client.tokens.stream()]


CALLS: dict[str, tuple[Handler, Call]] = {
    "headers": (hostile_server.drip_headers, lambda client: client.tokens.get(7)),
    "body": (hostile_server.drip_body, lambda client: client.tokens.get(7)),
    "line": (hostile_server.drip_line, drained),
    "export": (hostile_server.drip_line, lambda client: client.tokens.export(io.BytesIO())),
    "upload": (hostile_server.read_slowly, lambda client: client.embeddings.create(["x" * 5_000_000])),
}


# FINDINGS D7
@pytest.mark.parametrize("name", CALLS)
async def test_the_deadline_covers_every_byte(name: str) -> None:
    handler, call = CALLS[name]
    with HostileServer(handler) as server:
        async with a_client(server.url) as client:
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                await call(client)
            assert time.monotonic() - begun < LATEST


# FINDINGS D7
async def test_the_deadline_covers_a_tls_handshake() -> None:
    with HostileServer(hostile_server.drip_handshake) as server:
        async with a_client(server.url.replace("http:", "https:"), verify_ssl=False) as client:
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                await client.tokens.get(7)
            assert time.monotonic() - begun < LATEST


# FINDINGS D7
async def test_the_deadline_covers_the_way_through_a_proxy() -> None:
    with HostileServer(hostile_server.drip_proxy) as proxy:
        async with a_client("https://nowhere.invalid", verify_ssl=False, proxy=proxy.url) as client:
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                await client.tokens.get(7)
            assert time.monotonic() - begun < LATEST


# FINDINGS D7
async def test_the_deadline_covers_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer(hostile_server.drip_proxy) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with a_client("https://nowhere.invalid", verify_ssl=False) as client:
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                await client.tokens.get(7)
            assert time.monotonic() - begun < LATEST


# FINDINGS D7
@pytest.mark.parametrize(
    ("handler", "call"),
    [
        (hostile_server.endless_body, lambda client: client.tokens.get(7)),
        (hostile_server.endless_line, drained),
        (hostile_server.endless_line, lambda client: client.tokens.export(io.BytesIO())),
    ],
)
async def test_an_answer_without_end_is_left(handler: Handler, call: Call) -> None:
    with HostileServer(handler) as server:
        async with a_client(server.url, timeout=60, max_response_bytes=1_000_000) as client:
            with pytest.raises(InvalidResponseError, match="than 1000000 bytes, the max_response_bytes") as caught:
                await call(client)
            assert caught.value.error_code == "RESPONSE_TOO_LARGE"
            assert caught.value.retryable is False


# FINDINGS D7
async def test_the_limit_counts_what_a_compressed_answer_becomes() -> None:
    packed = gzip.compress(b" " * 50_000_000)
    with ScriptedServer() as server:
        server.on("GET", "/api/v1/tokens/7", Reply(raw=packed, headers={"Content-Encoding": "gzip"}))
        async with a_client(server.url, timeout=60, max_response_bytes=1_000_000) as client:
            with pytest.raises(InvalidResponseError, match="larger than 1000000 bytes"):
                await client.tokens.get(7)


async def test_an_answer_of_exactly_the_limit_is_read() -> None:
    reply = Reply(body=token_body())
    size = len(reply.encoded().partition(b"\r\n\r\n")[2])
    with ScriptedServer() as server:
        server.on("GET", "/api/v1/tokens/7", reply)
        async with a_client(server.url, timeout=60, max_response_bytes=size) as client:
            assert (await client.tokens.get(7)).id == 7
        async with a_client(server.url, timeout=60, max_response_bytes=size - 1) as client:
            with pytest.raises(InvalidResponseError, match="larger"):
                await client.tokens.get(7)


# FINDINGS D2: neither a time-out before anything was sent, nor a wrong argument, speaks against the server.
async def test_what_fails_here_does_not_open_the_circuit() -> None:
    with ScriptedServer() as server:
        server.on("GET", "/api/v1/tokens/7", Reply(body=token_body()))
        async with a_client(server.url, timeout=30, circuit_threshold=2) as client:
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await client.tokens.get(7, timeout=1e-9)
            assert (await client.tokens.get(7)).id == 7
