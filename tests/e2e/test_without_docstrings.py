"""Server, command lines and clients without docstrings and assertions: `python -OO`. FINDINGS A3."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import serve

OPTIMISED = {**os.environ, "PYTHONOPTIMIZE": "2"}
CLIENTS = """
import asyncio, sys
from neurograph import AsyncNeuroGraphClient, NeuroGraphClient
from vectron_client import AsyncVectronClient, Point, VectronClient
http, grpc = sys.argv[1:]
if __debug__ or NeuroGraphClient.__doc__ or VectronClient.__doc__:
    sys.exit("not optimised")
with NeuroGraphClient(http, username="developer", password="developer123") as client:
    token = client.tokens.create(text="without docstrings")
    print([hit.token.id == token.id for hit in client.tokens.query(text="docstrings", top_k=1)])
    key = client.api_keys.create("optimised").api_key
with VectronClient(grpc, api_key=key) as client:
    client.create_collection("docs", 2, "cosine")
    client.upsert("docs", [Point(id="a", vector=[1.0, 0.0])])
    print([hit.id for hit in client.search("docs", [1.0, 0.0], top_k=1)])
async def asynchronously():
    async with AsyncNeuroGraphClient(http, api_key=key) as client:
        print((await client.tokens.list()).total)
    async with AsyncVectronClient(grpc, api_key=key) as client:
        print((await client.get("docs", "a")).id)
asyncio.run(asynchronously())
"""


@pytest.mark.parametrize("command", ["vectrograph", "neurograph-cli"])
def test_command_lines_show_their_help(command: str) -> None:
    path = Path(sys.executable).with_name(command)
    shown = subprocess.run([path, "--help"], env=OPTIMISED, capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout


def test_server_and_clients_work(tmp_path: Path) -> None:
    with serve(tmp_path / "data", PYTHONOPTIMIZE="2") as process:
        serving = process.serving()
        document = httpx2.get(f"{serving['http']}/openapi.json").json()
        assert {"/api/v1/tokens", "/v1/limits"} <= document["paths"].keys()
        assert httpx2.get(f"{serving['http']}/docs").status_code == 200
        done = subprocess.run(
            [sys.executable, "-c", CLIENTS, serving["http"], serving["grpc"]],
            env=OPTIMISED, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split("\n") == ["[True]", "['a']", "1", "a", ""]
        assert process.terminate() == 0
