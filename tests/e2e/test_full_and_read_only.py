"""FINDINGS C6: a server on a disk that is full, and then read-only, does what docs/trust.md promises."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from tests.e2e.processes import ServerProcess, serve
from vectrograph.cli import app

DISK = "size=32m"


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", DISK, "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


class Caller:
    """The REST API of one server."""

    def __init__(self, server: ServerProcess) -> None:
        self.http = httpx2.Client(base_url=server.serving()["http"], timeout=60)

    def login(self, username: str = "admin") -> httpx2.Response:
        return self.http.post("/api/v1/auth/login", json={"username": username, "password": f"{username}123"})

    def close(self) -> None:
        self.http.close()

    def send_json(self, method: str, path: str, credential: str, json: object = None) -> dict[str, Any]:
        answer = self.http.request(method, path, headers={"Authorization": f"Bearer {credential}"}, json=json)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def send(self, method: str, path: str, credential: str, json: object = None) -> tuple[int, str]:
        answer = self.http.request(method, path, headers={"Authorization": f"Bearer {credential}"}, json=json)
        body = answer.json() if answer.content else {}
        return answer.status_code, body.get("error", {}).get("code", "") if isinstance(body, dict) else ""


def flood(api: Caller, key: str) -> None:
    """Store feedback and texts until the server refuses more of them: what a caller can do to the disk."""
    viewer = api.login("viewer").json()["access_token"]
    item = {"resultId": "1", "relevanceScore": 3, "comment": "x" * 60_000}
    body = {"collection": "tokens", "query": "q", "feedbackItems": [item] * 10}
    for path, credential, sent in (
        ("/v1/feedback", viewer, body),
        ("/api/v1/tokens", key, {"text": "word " * 12_000}),
    ):
        for _ in range(2_000):
            answer = api.http.post(path, headers={"Authorization": f"Bearer {credential}"}, json=sent)
            if not answer.is_success:
                break
        assert "OUT_OF_SPACE" in answer.headers.get("x-error-code", "") + answer.text, (path, answer.text)


def stops_well(server: ServerProcess) -> None:
    assert server.terminate(60) == 0
    rest = server._rest + server._stderr.read()
    assert b"Traceback" not in rest
    assert not any("Traceback" in line for line in server.lines)


@pytest.mark.timeout(600)
def test_a_full_disk_and_then_a_read_only_one(disk: Path) -> None:
    data = disk / "data"
    with serve(data, "--ballast-bytes", str(1 << 20)) as server:
        api = Caller(server)
        admin = api.login().json()["access_token"]
        made = api.http.post(
            "/api/v1/api-keys", json={"name": "k"}, headers={"Authorization": f"Bearer {admin}"}
        ).json()
        key = made["api_key"] if isinstance(made["api_key"], str) else made["api_key"]["api_key"]
        for n in range(6):
            assert api.send("POST", "/api/v1/tokens", key, {"text": f"text {n}"})[0] in (200, 201)
        spare = api.send_json("POST", "/api/v1/api-keys", admin, {"name": "spare"})
        fill(disk / "filler")

        texts = ({"text": f"more {n}"} for n in range(10_000))
        refused = next(answer for text in texts if (answer := api.send("POST", "/api/v1/tokens", key, text))[0] != 201)
        assert refused == (507, "OUT_OF_SPACE")
        # What is deleted is answered as deleted, and recorded.
        assert api.send("DELETE", "/api/v1/tokens/1", key)[0] in (200, 204)
        assert api.send("GET", "/api/v1/tokens/1", key)[0] == 404
        # Callers fill what is left of the disk themselves.
        os.truncate(disk / "filler", (disk / "filler").stat().st_size - (4 << 20))
        flood(api, key)
        fill(disk / "filler")
        again = api.login().json()["access_token"]
        assert api.send("POST", "/api/v1/auth/logout", again)[0] in (200, 204)
        assert api.send("GET", "/api/v1/auth/me", again)[0] == 401
        # A key that leaked can be revoked, however full others have made the disk.
        assert api.send("GET", "/api/v1/auth/me", spare["api_key"])[0] == 200
        assert api.send("POST", f"/api/v1/api-keys/{spare['key_id']}/revoke", admin)[0] == 200
        assert api.send("GET", "/api/v1/auth/me", spare["api_key"])[0] == 401
        # The operator's commands have their own journal.
        command = CliRunner().invoke(app, ["users", "disable", "viewer", "--data", str(data)])
        assert command.exit_code == 0, command.stderr
        assert api.login("viewer").status_code in (401, 403)
        api.close()
        stops_well(server)

    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with serve(data) as server:
        api = Caller(server)
        assert api.send("GET", "/api/v1/tokens/2", key)[0] == 200
        assert api.send("GET", "/api/v1/tokens/1", key)[0] == 404
        assert api.send("POST", "/api/v1/tokens", key, {"text": "new"}) == (503, "STORAGE_READ_ONLY")
        assert api.send("DELETE", "/api/v1/tokens/2", key) == (503, "STORAGE_READ_ONLY")
        turned_away = api.login()
        assert (turned_away.status_code, turned_away.json()["error"]["code"]) == (503, "STORAGE_READ_ONLY")
        assert "API key" in turned_away.json()["error"]["message"]
        api.close()
        stops_well(server)

    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    (disk / "filler").unlink()
    listed = CliRunner().invoke(app, ["audit", "--data", str(data)])
    assert f"key.revoke\t{spare['key_id']}\tok" in listed.stdout
    for action, outcome in (
        ("point.delete\ttokens/1", "ok"),
        ("session.logout\tadmin", "ok"),
        ("user.disable\tviewer", "ok"),
    ):
        assert f"{action}\t{outcome}" in listed.stdout
