"""Grids over the wire: paths, statuses and shapes of the contract, and the refusals."""

import math
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import LIMITS, Served, Start

GRID = "/api/v1/grid"
CONFIG = {"bucket_size": 10.0, "density_threshold": 0.5, "min_field_nodes": 3}


@pytest.fixture(scope="module")
def line(developer: httpx2.Client) -> tuple[str, list[int]]:
    """Provide the path of a grid with five tokens on a line, 3 apart, and their ids."""
    grid = developer.post(f"{GRID}/create").json()["grid_id"]
    tokens = [
        {"text": f"at {3 * n}", "coordinates": {"L4Emotional": [3 * n, 0, 0]}, "field_radius": 6} for n in range(5)
    ]
    made = developer.post("/api/v1/tokens/batch", json={"tokens": tokens}).json()["tokens"]
    ids = [token["id"] for token in made]
    for number in ids:
        assert developer.post(f"{GRID}/{grid}/tokens/{number}").status_code == 200
    return f"{GRID}/{grid}", ids


@pytest.fixture
def fresh(start: Start) -> Iterator[httpx2.Client]:
    """Provide a developer's client of a server without grids."""
    served = start()
    with served.client(served.login("developer")) as client:
        yield client


def test_life_of_a_grid(fresh: httpx2.Client) -> None:
    empty = fresh.get(f"{GRID}/status").json()
    assert empty == {"available": True, "grids_count": 0, "grid_ids": [], "message": "0 of at most 100 grids."}
    made = fresh.post(f"{GRID}/create")
    assert made.status_code == 201
    assert made.json() == {"grid_id": 1, "config": CONFIG, "status": "created"}
    own = {"bucket_size": 2.5, "density_threshold": 0.1, "min_field_nodes": 9}
    assert fresh.post(f"{GRID}/create", json=own).json() == {"grid_id": 2, "config": own, "status": "created"}
    assert fresh.get(f"{GRID}/2").json() == {"grid_id": 2, "token_count": 0, "config": own}
    assert fresh.get(f"{GRID}/status").json()["grid_ids"] == [1, 2]
    deleted = fresh.delete(f"{GRID}/2")
    assert (deleted.status_code, deleted.content) == (204, b"")
    error_of(fresh.get(f"{GRID}/2"), 404, "RESOURCE_NOT_FOUND")
    error_of(fresh.delete(f"{GRID}/2"), 404, "RESOURCE_NOT_FOUND")
    assert fresh.post(f"{GRID}/create", json={}).json()["grid_id"] == 3


def test_tokens_come_and_go(fresh: httpx2.Client) -> None:
    fresh.post(f"{GRID}/create")
    for text in ("one", "two", "three"):
        fresh.post("/api/v1/tokens", json={"text": text})
    added = fresh.post(f"{GRID}/1/tokens/2")
    assert added.status_code == 200
    assert added.json() == {"grid_id": 1, "token_id": 2, "status": "added", "grid_size": 1}
    error_of(fresh.post(f"{GRID}/1/tokens/2"), 409, "RESOURCE_ALREADY_EXISTS")
    error_of(fresh.post(f"{GRID}/1/tokens/9"), 404, "POINT_NOT_FOUND")
    error_of(fresh.post(f"{GRID}/7/tokens/1"), 404, "RESOURCE_NOT_FOUND")
    many = fresh.post(f"{GRID}/1/tokens", json={"ids": [1, 2, 9, 3, 1]}).json()
    assert many == {"grid_id": 1, "added": 2, "present": [2], "missing": [9], "grid_size": 3}
    removed = fresh.delete(f"{GRID}/1/tokens/1")
    assert (removed.status_code, removed.content) == (204, b"")
    error_of(fresh.delete(f"{GRID}/1/tokens/1"), 404, "POINT_NOT_FOUND")
    assert fresh.delete("/api/v1/tokens/3").status_code == 204
    assert fresh.get(f"{GRID}/1").json()["token_count"] == 1
    error_of(fresh.post(f"{GRID}/1/tokens", json={"ids": [1] * (LIMITS.max_batch + 1)}), 413, "REQUEST_TOO_LARGE")


def test_neighbors(developer: httpx2.Client, line: tuple[str, list[int]]) -> None:
    path, ids = line
    near = developer.get(f"{path}/neighbors/{ids[1]}", params={"space": 3, "radius": 6}).json()
    assert near == {
        "center_token_id": ids[1],
        "space": 3,
        "radius": 6.0,
        "neighbors": [
            {"token_id": ids[0], "distance": 3.0},
            {"token_id": ids[2], "distance": 3.0},
            {"token_id": ids[3], "distance": 6.0},
        ],
        "count": 3,
    }
    few = developer.get(f"{path}/neighbors/{ids[1]}", params={"space": 3, "max_results": 1}).json()
    assert [each["token_id"] for each in few["neighbors"]] == [ids[0]]
    across = developer.get(f"{path}/neighbors/{ids[1]}", params={"space": "all", "radius": 1e9}).json()
    assert (across["space"], across["count"]) == ("all", 4)


def test_range_in_pages(developer: httpx2.Client, line: tuple[str, list[int]]) -> None:
    path, ids = line
    whole = developer.get(f"{path}/range", params={"space": 3, "radius": 9}).json()
    assert whole["results"] == [
        {"token_id": ids[n], "distance": 3.0 * n, "position": [3.0 * n, 0.0, 0.0]} for n in range(4)
    ]
    assert {name: whole[name] for name in ("center", "radius", "space", "count", "total", "limit", "offset")} == {
        "center": [0.0, 0.0, 0.0],
        "radius": 9.0,
        "space": 3,
        "count": 4,
        "total": 4,
        "limit": 1000,
        "offset": 0,
    }
    assert whole["bucket_size"] == 10.0
    page = developer.get(f"{path}/range", params={"space": 3, "radius": 9, "limit": 2, "offset": 1}).json()
    assert (page["results"], page["count"], page["total"]) == (whole["results"][1:3], 2, 4)
    place = developer.get(f"/api/v1/tokens/{ids[2]}", params={"include": "coordinates"}).json()["coordinates"]
    center = ",".join(str(axis) for level in place.values() for axis in level["position"])
    across = developer.get(f"{path}/range", params={"space": "all", "center": center, "radius": 0.1}).json()
    assert across["results"] == [{"token_id": ids[2], "distance": 0.0, "position": None}]
    assert len(across["center"]) == 24


def test_influence_and_density(developer: httpx2.Client, line: tuple[str, list[int]]) -> None:
    path, _ = line
    place = {"space": 3, "x": 3, "radius": 6}
    influence = developer.get(f"{path}/influence", params=place).json()
    assert influence == {"position": [3.0, 0.0, 0.0], "radius": 6.0, "influence": pytest.approx(1 + 0.5 + 0.5)}
    density = developer.get(f"{path}/density", params=place).json()
    assert density["tokens_in_range"] == 4
    assert density["density"] == pytest.approx(4 / (4 / 3 * math.pi * 6**3))


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("range", {"space": "9"}, "space"),
        ("range", {"radius": "0.01"}, "radius"),
        ("range", {"radius": "nan"}, "radius"),
        ("range", {"x": "inf"}, "x"),
        ("range", {"limit": "10001"}, "limit"),
        ("influence", {"x": "far"}, "x"),
        ("density", {"space": "all", "center": "1,2"}, "center"),
        ("density", {"space": "all", "center": "a,b"}, "center"),
        ("density", {"space": "all", "center": "1" * 2_000}, "center"),
        ("neighbors/1", {"max_results": "0"}, "max_results"),
        ("neighbors/first", {}, "token_id"),
    ],
)
def test_values_out_of_range(
    developer: httpx2.Client, line: tuple[str, list[int]], path: str, params: dict[str, Any], field: str
) -> None:
    field_error(developer.get(f"{line[0]}/{path}", params=params), field)


def test_bodies_out_of_range(developer: httpx2.Client) -> None:
    field_error(developer.post(f"{GRID}/create", json={"bucket_size": 0}), "bucket_size")
    field_error(developer.post(f"{GRID}/create", json={"min_field_nodes": 101}), "min_field_nodes")
    field_error(developer.post(f"{GRID}/create", json={"cell_size": 1}), "cell_size", "extra_forbidden")
    field_error(developer.get(f"{GRID}/first"), "grid_id", "type_error")


def test_a_viewer_asks_and_changes_nothing(served: Served, line: tuple[str, list[int]]) -> None:
    path, ids = line
    with served.client(served.login("viewer")) as viewer:
        assert viewer.get(f"{path}/range", params={"space": 3}).status_code == 200
        for refused in (
            viewer.post(f"{GRID}/create"),
            viewer.delete(path),
            viewer.post(f"{path}/tokens", json={"ids": [1]}),
            viewer.delete(f"{path}/tokens/{ids[0]}"),
        ):
            assert error_of(refused, 403, "PERMISSION_DENIED")["details"]["required_scope"] == "grid:write"
