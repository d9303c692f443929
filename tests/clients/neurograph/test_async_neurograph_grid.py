"""Grids and coordinates by the asynchronous client against the real server, and the same by the mock client."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from neurograph import AsyncNeuroGraphClient, ConflictError, GridQuery, NotFoundError, TokenCreate, ValidationError
from neurograph.testing import AsyncMockNeuroGraphClient
from vectrograph import RunningServer, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def client_of(kind: str, house: RunningServer) -> AsyncNeuroGraphClient:
    return house.async_neurograph() if kind == "server" else AsyncMockNeuroGraphClient(dimension=256)


@pytest.mark.parametrize("kind", ["server", "mock"])
class TestGrid:
    async def test_life_of_a_grid(self, house: RunningServer, kind: str) -> None:
        async with client_of(kind, house) as client:
            made = await client.tokens.create_many(
                [
                    {"text": "joy", "coordinates": {"L4Emotional": [1, 0.5, 0]}, "field_radius": 4.0},
                    TokenCreate(text="calm", coordinates={"L4Emotional": [3.0, 0.5, 0.0]}, weight=1.0),
                    {"text": "far", "coordinates": {"L4Emotional": np.array([25.0, 0, 0])}},
                ]
            )
            joy, calm, far = (token.id for token in made)
            grid = await client.grid.create(bucket_size=2)
            assert grid.config.bucket_size == 2.0
            assert (await client.grid.add(grid.grid_id, joy)).grid_size == 1
            with pytest.raises(ConflictError):
                await client.grid.add(grid.grid_id, joy)
            with pytest.raises(NotFoundError):
                await client.grid.add(grid.grid_id, 10**9)
            outcome = await client.grid.add_many(grid.grid_id, [joy, calm, far, 10**9])
            assert (outcome.added, outcome.present, outcome.missing, outcome.grid_size) == (2, [joy], [10**9], 3)
            assert grid.grid_id in (await client.grid.status()).grid_ids

            near = await client.grid.neighbors(grid.grid_id, joy, space=3)
            assert [(each.token_id, each.distance) for each in near] == [(calm, 2.0)]
            found = await client.grid.range(grid.grid_id, (0, 0.5, 0), 30, 3, limit=1, offset=1)
            assert [(each.token_id, each.distance, each.position) for each in found.results] == [
                (calm, 3.0, [3.0, 0.5, 0.0])
            ]
            assert found.total == 3
            assert await client.grid.influence(grid.grid_id, [0, 0.5, 0], space=3) == pytest.approx(0.75)
            dense = await client.grid.density(grid.grid_id, [0, 0, 0], 10, 3)
            assert dense.tokens_in_range == 2
            assert dense.density == pytest.approx(2 / (4 / 3 * math.pi * 1000))
            cells = await client.grid.query(grid.grid_id, GridQuery(center=[0, 0, 0], radius=40, max_results=2), 3)
            assert [(cell.x, cell.y, cell.z, cell.token_ids, cell.density) for cell in cells.cells] == [
                (0, 0, 0, [joy], 0.125),
                (1, 0, 0, [calm], 0.125),
            ]
            assert cells.total_count == 3
            assert cells.query_time_ms > 0

            await client.tokens.update(calm, coordinates={"L4Emotional": [90, 0, 0]})
            assert await client.grid.neighbors(grid.grid_id, joy, space=3) == []
            await client.tokens.delete(far)
            assert (await client.grid.get(grid.grid_id)).token_count == 2
            assert await client.grid.remove(grid.grid_id, calm) is True
            with pytest.raises(NotFoundError):
                await client.grid.remove(grid.grid_id, calm)
            assert await client.grid.delete(grid.grid_id) is True
            with pytest.raises(NotFoundError):
                await client.grid.get(grid.grid_id)

    async def test_across_all_levels(self, house: RunningServer, kind: str) -> None:
        async with client_of(kind, house) as client:
            one = await client.tokens.create("one", coordinates={"L8Abstract": [0, 0, 0]})
            two = await client.tokens.create("one", coordinates={"L8Abstract": [0, 0, 2]})
            grid = await client.grid.create()
            await client.grid.add_many(grid.grid_id, [one.id, two.id])
            near = await client.grid.neighbors(grid.grid_id, one.id, space="all", radius=1e6)
            assert [each.distance for each in near] == [10.0]
            placed = await client.tokens.get(two.id, include=["coordinates"])
            assert placed.coordinates is not None
            center = [axis for level in placed.coordinates.values() for axis in level.position]
            found = await client.grid.range(grid.grid_id, center, 0.1, "all")
            assert [(each.token_id, each.position) for each in found.results] == [(two.id, None)]

    async def test_coordinates_of_a_token(self, house: RunningServer, kind: str) -> None:
        async with client_of(kind, house) as client:
            token = await client.tokens.create("placed", coordinates={"L1Physical": (0.1, 2, 3)}, field_strength=0.25)
            assert token.coordinates is None
            assert "coordinates" not in token.model_dump()
            assert "coordinates" not in repr(token)
            got = await client.tokens.get(token.id, include=["text", "coordinates"])
            assert got.coordinates is not None
            assert (got.text, got.metadata, got.weight, got.field_radius, got.field_strength) == (
                "placed",
                {},
                0.5,
                1.0,
                0.25,
            )
            assert got.coordinates["L1Physical"].model_dump() == {"position": [0.1, 2.0, 3.0], "derived": False}
            assert all(level.derived for name, level in got.coordinates.items() if name != "L1Physical")
            await client.tokens.update(token.id, coordinates={"L1Physical": None}, field_strength=None)
            back = await client.tokens.get(token.id, include=["coordinates"])
            assert back.coordinates is not None
            assert back.coordinates["L1Physical"].derived is True
            assert back.field_strength == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"coordinates": [1, 2, 3]},
        {"coordinates": {"L1Physical": 1}},
        {"coordinates": {"L1Physical": [1, 2, float("nan")]}},
        {"coordinates": {"L1Physical": [1, 2]}},
        {"coordinates": {"nowhere": [1, 2, 3]}},
        {"weight": "heavy"},
        {"weight": 2.0},
    ],
)
async def test_what_is_no_place_is_refused(house: RunningServer, wrong: dict[str, Any]) -> None:
    async with house.async_neurograph() as client:
        with pytest.raises(ValidationError):
            await client.tokens.create("x", **wrong)
        with pytest.raises(ValidationError):
            await client.tokens.create_many([{"text": "x", **wrong}])


@pytest.mark.parametrize(
    "options",
    [{"center": [1, 2]}, {"center": "1,2,3"}, {"center": [0] * 24}, {"space": "every"}, {"space": 9}, {"radius": None}],
)
async def test_what_is_no_region_is_refused(house: RunningServer, options: dict[str, Any]) -> None:
    async with house.async_neurograph() as client:
        grid = await client.grid.create()
        with pytest.raises(ValidationError):
            await client.grid.range(grid.grid_id, **options)
        await client.grid.delete(grid.grid_id)


async def test_many_ids_go_in_several_requests(house: RunningServer) -> None:
    async with house.async_neurograph() as client:
        made = await client.tokens.create_many((f"text {n}" for n in range(1_500)), keep_tokens=False)
        grid = await client.grid.create()
        outcome = await client.grid.add_many(grid.grid_id, made.created_ids)
        assert (outcome.added, outcome.grid_size) == (1_500, 1_500)
        assert (await client.grid.range(grid.grid_id, radius=1e9, limit=10)).total == 1_500
