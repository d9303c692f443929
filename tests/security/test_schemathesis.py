"""schemathesis, as anyone would run it, over the document that the server serves: all checks, all phases."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from vectrograph import RunningServer, running
from vectron_client import Point

HERE = Path(__file__).parent
# Cases per operation and phase; `make fuzz` asks for more.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")


def a_key_that_may_do_everything(server: RunningServer) -> str:
    """Of an account of its own: a login could be ended by the cases themselves, and so could the account `admin`."""
    api = f"{server.http_url}/api/v1"

    def log_in(username: str, password: str) -> dict[str, str]:
        answer = httpx2.post(f"{api}/auth/login", json={"username": username, "password": password}).json()
        return {"Authorization": f"Bearer {answer['access_token']}"}

    body = {"username": "prober", "password": "a phrase to probe with", "role": "admin"}
    assert httpx2.post(f"{api}/users", json=body, headers=log_in("admin", "admin123")).status_code == 201
    prober = log_in("prober", body["password"])
    scopes = httpx2.get(f"{api}/auth/me", headers=prober).json()["scopes"]
    key = httpx2.post(f"{api}/api-keys", json={"name": "all", "scopes": scopes}, headers=prober).json()
    return str(key["api_key"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_served_document_keeps_its_word_under_every_check(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    with running() as server:
        key = a_key_that_may_do_everything(server)
        with server.vectron(api_key=key) as client:
            client.create_collection("docs", 3, "cosine")
            client.upsert("docs", [Point(id="point-1", vector=[1.0, 0.0, 0.0])])
        given = (
            "-H",
            f"Authorization: Bearer {key}",
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing,stateful",
        )
        how = ("--max-examples", EXAMPLES, "--generation-deterministic", "--no-color")
        done = subprocess.run(
            [*command, f"{server.http_url}/openapi.json", *given, *how],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)},
        )
    print(done.stdout[done.stdout.rfind("=== SUMMARY") :])
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout
