"""Floods of headers, chunks, requests and frames: the server's memory stays as it was, and others are answered."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from web_socket import WebSocket

from benchmarks.attack import websocket_floods
from benchmarks.attack.http_floods import FLOODS, HEAD, body_of_empty_things, opening_and_block
from tests.e2e.processes import ServerProcess, serve

FLOOD_BYTES = 24_000_000
# What a server may grow by while it is flooded. It grew by gigabytes.
SPARE_KIB = 64 * 1024


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, int, str]]:
    """Provide a server, its HTTP port, and an access token of a developer."""
    with serve(tmp_path_factory.mktemp("flooded") / "data") as started:
        port = int(started.serving()["http"].rpartition(":")[2])
        login = {"username": "developer", "password": "developer123"}
        answer = httpx2.post(f"http://127.0.0.1:{port}/api/v1/auth/login", json=login)
        yield started, port, answer.json()["access_token"]


def peak_kib(process: ServerProcess) -> int:
    """Return the most memory that the process ever had."""
    text = Path(f"/proc/{process.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found
    return int(found[1])


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_takes_no_memory_and_stops_nobody(process: tuple[ServerProcess, int, str], name: str) -> None:
    """FINDINGS B2."""
    started, port, token = process
    flood_takes_no_memory(started, port, *opening_and_block(name, token))


@pytest.mark.parametrize("name", websocket_floods.FLOODS)
def test_a_flood_of_frames_takes_no_memory_and_stops_nobody(process: tuple[ServerProcess, int, str], name: str) -> None:
    started, port, token = process
    with WebSocket(port, Authorization=f"Bearer {token}") as other:
        assert other.next()["type"] == "connected"
        flood_takes_no_memory(started, port, *websocket_floods.opening_and_block(name, token))
        assert other.ask({"type": "ping"})["type"] == "pong"


@pytest.mark.parametrize("name", websocket_floods.MALFORMED)
def test_a_malformed_frame_ends_its_connection_with_a_reason(
    process: tuple[ServerProcess, int, str], name: str
) -> None:
    _, port, token = process
    with WebSocket(port, Authorization=f"Bearer {token}", after=websocket_floods.MALFORMED[name]) as client:
        closed = client.end()
        assert closed is not None
        assert closed[0] in (1002, 1007, 1009)


def flood_takes_no_memory(started: ServerProcess, port: int, begin: bytes, block: bytes) -> None:
    """Send a flood, until the server stops reading it or ends it, while another caller asks."""
    before = peak_kib(started)
    answered = 0
    with socket.create_connection(("127.0.0.1", port)) as flood, socket.create_connection(("127.0.0.1", port)) as other:
        flood.settimeout(0.2)  # it is never read from: a server that waits for that stops reading
        other.settimeout(60)
        for part in (begin, *[block] * (FLOOD_BYTES // len(block))):
            try:
                flood.sendall(part)
            except OSError:  # closed, or nobody reads on
                break
            answered += is_answered(other)
        answered += is_answered(other)
    assert answered >= 1
    assert peak_kib(started) - before < SPARE_KIB


@pytest.mark.parametrize("element", [b"[]", b"{}", b'{"a":"b"}'])
@pytest.mark.parametrize("path", ["/api/v1/tokens/batch", "/v1/collections/docs/points"])
def test_a_body_of_empty_things_takes_no_more_than_itself(
    process: tuple[ServerProcess, int, str], path: str, element: bytes
) -> None:
    """FINDINGS B6: 18 MB took up to 150 seconds and gigabytes, and nobody else was answered."""
    started, port, token = process
    body = body_of_empty_things("points" if "docs" in path else "tokens", element, 18_000_000)
    before = peak_kib(started)
    with (
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
        socket.create_connection(("127.0.0.1", port)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.settimeout(60)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        sent = pool.submit(client.post, path, content=body, headers=headers)
        answered = int(is_answered(other))
        while not sent.done():
            answered += is_answered(other)
        answer = sent.result()
    assert answer.status_code == 413
    assert "2000000" in answer.text
    assert answered >= 1
    # The body itself is there twice while its parts are put together.
    assert peak_kib(started) - before < SPARE_KIB + 2 * len(body) // 1024


def is_answered(other: socket.socket) -> bool:
    """Return whether a caller who asks for nothing special is answered."""
    other.sendall(HEAD + b"\r\n")
    received = b""
    while not received.endswith(b'{"status":"alive"}'):
        chunk = other.recv(4096)
        assert chunk
        received += chunk
    return received.startswith(b"HTTP/1.1 200")
