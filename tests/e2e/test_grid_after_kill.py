"""kill -9: grids, members and coordinates are there after the restart, and what was deleted is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.processes import ServerProcess, serve

API = "/api/v1"


@contextmanager
def developer(server: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.serving()["http"], timeout=60, verify=False) as client:
        body = {"username": "developer", "password": "developer123"}
        token = client.post(f"{API}/auth/login", json=body).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def near(client: httpx2.Client) -> Any:
    answer = client.get(f"{API}/grid/1/range", params={"space": 3, "radius": 100})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.slow
def test_a_grid_outlives_its_server(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server, developer(server) as client:
        tokens = [{"text": f"text {n}", "coordinates": {"L4Emotional": [n / 3, 0.1, -n]}} for n in range(40)]
        made = client.post(f"{API}/tokens/batch", json={"tokens": tokens, "include": []}).json()["tokens"]
        ids = [token["id"] for token in made]
        assert client.post(f"{API}/grid/create").status_code == 201
        assert client.post(f"{API}/grid/1/tokens", json={"ids": ids}).json()["added"] == 40
        before = near(client)
        assert len(before) == 40
        server.kill()
    with serve(tmp_path / "data") as server, developer(server) as client:
        assert near(client) == before
        assert client.delete(f"{API}/tokens/{ids[0]}").status_code == 204
        assert (
            client.put(f"{API}/tokens/{ids[1]}", json={"coordinates": {"L4Emotional": [90, 0, 0]}}).status_code == 200
        )
        assert client.delete(f"{API}/grid/1/tokens/{ids[2]}").status_code == 204
        server.kill()
    with serve(tmp_path / "data") as server, developer(server) as client:
        after = near(client)
        assert [each["token_id"] for each in after if each["token_id"] in ids[:3]] == [ids[1]]
        assert after[-1] == {"token_id": ids[1], "distance": 90.0, "position": [90.0, 0.0, 0.0]}
        assert client.get(f"{API}/grid/1").json()["token_count"] == 38
