"""`vectrograph serve` as a process: what it logs, how it stops, and what it refuses to start on."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from neurograph import NeuroGraphClient
from tests.e2e.processes import VECTROGRAPH, ServerProcess, serve
from vectrograph import VERSION


class Serving(NamedTuple):
    """A server process, its directory, and the lines that it began with."""

    process: ServerProcess
    data: Path
    addresses: dict[str, Any]
    development: str


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Provide a server for all tests that only look at one."""
    data = tmp_path_factory.mktemp("serve") / "data"
    with serve(data, "--log-level", "debug", VECTROGRAPH_MAX_TOP_K="3") as process:
        yield Serving(process, data, process.serving(), process.read_until("development mode"))


def test_every_request_is_logged_with_the_id_that_it_returns(serving: Serving) -> None:
    server, url = serving.process, serving.addresses["http"]
    response = httpx2.get(f"{url}/api/v1/health", headers={"X-Request-ID": "my-own-id.1"})
    assert response.headers["X-Request-ID"] == "my-own-id.1"
    line = json.loads(server.read_until("my-own-id.1"))
    assert line["request_id"] == "my-own-id.1"
    assert line["status"] == 200
    made_up = httpx2.get(f"{url}/api/v1/tokens?secret=in-the-query").headers["X-Request-ID"]
    line = json.loads(server.read_until(made_up))
    assert line["status"] == 401
    assert "in-the-query" not in json.dumps(line)


def test_both_http_ports_answer_and_development_mode_is_said(serving: Serving) -> None:
    for name in ("http", "vectron_http"):
        assert httpx2.get(f"{serving.addresses[name]}/livez").status_code == 200
    assert "development mode" in serving.development


_SERVES = """
import gc, signal, sys
from vectrograph import app
from vectrograph.cli import commands

class Started(app.Server):
    @property
    def default_passwords(self):
        signal.raise_signal(signal.SIGTERM)
        return ()

    def stop(self):
        before = gc.get_stats()[0]["collections"]
        made = [[] for _ in range(20_000)]
        print(gc.get_freeze_count(), gc.get_stats()[0]["collections"] - before)
        super().stop()

app.Server = Started
commands.app(["serve", "--data", sys.argv[1], "--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0"])
"""


def test_garbage_collections_are_rare_and_do_not_go_through_what_was_there_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SERVES, str(tmp_path / "data")], capture_output=True, text=True, timeout=60, check=True
    )
    frozen, collections = map(int, done.stdout.split())
    assert frozen > 50_000, done.stderr
    assert collections <= 1, "young objects are looked at too often"


def test_knobs_come_from_the_environment(serving: Serving) -> None:
    with NeuroGraphClient(serving.addresses["http"], username="viewer", password="viewer123") as client:
        with pytest.raises(Exception, match="3"):
            client.tokens.query([1.0] * 256, top_k=4)


def test_sigterm_lets_a_request_in_flight_finish(tmp_path: Path) -> None:
    """The body is half sent when the signal comes; the answer still arrives, then the process ends with status 0."""
    with serve(tmp_path / "data") as server:
        url = server.serving()["http"]
        with NeuroGraphClient(url, username="developer", password="developer123") as client:
            key = client.api_keys.create(name="slow").api_key
        body = json.dumps({"text": "written while stopping"}).encode()
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=15) as raw:
            head = (
                f"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            raw.sendall(head.encode() + body[:10])
            # A second connection's answer shows that the server has taken up the first one's bytes.
            httpx2.get(f"{url}/livez")
            status: list[int] = []
            stopper = threading.Thread(target=lambda: status.append(server.terminate()))
            stopper.start()
            server.read_until('"stopping"')
            raw.sendall(body[10:])
            answer = raw.recv(65536)
        assert b" 201 " in answer.partition(b"\r\n")[0]
        stopper.join(20)
        assert status == [0]
    with serve(tmp_path / "data") as again:
        with NeuroGraphClient(again.serving()["http"], api_key=key) as client:
            assert [token.text for token in client.tokens.list()] == ["written while stopping"]


def test_a_port_in_use_is_refused_in_one_line_that_names_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        for option in ("--http-port", "--vectron-http-port", "--grpc-port"):
            refused = _refused(tmp_path / option, option, port)
            assert f"Port {port} on 127.0.0.1 is in use" in refused
            assert f"(pid {os.getpid()})" in refused
            assert option in refused


def test_a_locked_directory_is_refused_in_one_line_that_names_its_holder(serving: Serving) -> None:
    refused = _refused(serving.data)
    assert str(serving.process.process.pid) in refused
    assert str(serving.data) in refused


def test_an_address_others_can_reach_is_refused_while_default_passwords_hold(tmp_path: Path) -> None:
    fresh = _refused(tmp_path / "fresh", "--host", "0.0.0.0")  # noqa: S104
    assert "no account" in fresh
    with serve(tmp_path / "used") as server:
        server.serving()
        assert server.terminate() == 0
    used = _refused(tmp_path / "used", "--host", "0.0.0.0")  # noqa: S104
    assert "admin, developer, viewer" in used


def _refused(data: Path, *options: str) -> str:
    free = ["--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0"]
    result = subprocess.run(
        [VECTROGRAPH, "serve", "--data", str(data), *free, *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("vectrograph: ")
    return line


def test_secrets_on_disk_are_for_the_owner_only(serving: Serving) -> None:
    mode = stat.S_IMODE((serving.data / "signing.key").stat().st_mode)
    assert mode == 0o600


def test_the_version_is_told() -> None:
    result = subprocess.run([VECTROGRAPH, "--version"], capture_output=True, text=True, timeout=60)
    assert result.stdout == f"vectrograph {VERSION}\n"


def test_the_command_line_reads_its_arguments_without_the_server() -> None:
    """A mistake in them is told at once."""
    loaded = "import sys, vectrograph.cli.commands; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True)
    modules = set(result.stdout.split())
    assert "vectrograph.settings" in modules
    assert not modules & {"sqlalchemy", "grpc", "starlette", "uvicorn", "faiss", "apsw", "vectrograph.services"}
