"""`vectrograph serve` as a process: what it logs, how it stops, and what it refuses to start on."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest

from neurograph import NeuroGraphClient
from tests.e2e.processes import VECTROGRAPH, serve
from vectrograph import VERSION


def test_every_request_is_logged_with_the_id_that_it_returns(tmp_path: Path) -> None:
    with serve(tmp_path / "data", "--log-level", "debug") as server:
        url = server.serving()["http"]
        response = httpx2.get(f"{url}/api/v1/health", headers={"X-Request-ID": "my-own-id.1"})
        assert response.headers["X-Request-ID"] == "my-own-id.1"
        line = json.loads(server.read_until("my-own-id.1"))
        assert line["request_id"] == "my-own-id.1"
        assert line["status"] == 200
        made_up = httpx2.get(f"{url}/api/v1/tokens?secret=in-the-query").headers["X-Request-ID"]
        line = json.loads(server.read_until(made_up))
        assert line["status"] == 401
        assert "in-the-query" not in json.dumps(line)


def test_both_http_ports_answer_and_development_mode_is_said(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        started = server.serving()
        for url in (started["http"], started["vectron_http"]):
            assert httpx2.get(f"{url}/livez").status_code == 200
        assert "development mode" in server.read_until("development mode")


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
        print(gc.get_freeze_count())
        super().stop()

app.Server = Started
commands.app(["serve", "--data", sys.argv[1], "--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0"])
"""


def test_garbage_collections_do_not_go_through_what_was_there_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SERVES, str(tmp_path / "data")], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) > 50_000, done.stderr


def test_knobs_come_from_the_environment(tmp_path: Path) -> None:
    with serve(tmp_path / "data", VECTROGRAPH_MAX_TOP_K="3") as server:
        url = server.serving()["http"]
        with NeuroGraphClient(url, username="viewer", password="viewer123") as client:
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


def test_a_locked_directory_is_refused_in_one_line_that_names_its_holder(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        server.serving()
        refused = _refused(tmp_path / "data")
        assert str(server.process.pid) in refused
        assert str(tmp_path / "data") in refused


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


def test_secrets_on_disk_are_for_the_owner_only(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        server.serving()
        mode = stat.S_IMODE((tmp_path / "data" / "signing.key").stat().st_mode)
        assert mode == 0o600


def test_the_version_is_told() -> None:
    result = subprocess.run([VECTROGRAPH, "--version"], capture_output=True, text=True, timeout=60)
    assert result.stdout == f"vectrograph {VERSION}\n"
