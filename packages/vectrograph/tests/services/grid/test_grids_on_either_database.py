"""Grids keep their settings and members on each kind of account database, also one that servers share."""

import pytest
from services.house import House
from sqlalchemy import URL

from vectrograph.domain.errors import AlreadyExists, QuotaExceeded
from vectrograph.services.call import Call
from vectrograph.services.grid.grids import Ball


@pytest.fixture
def control_url(either_control_url: str | URL) -> str | URL:
    return either_control_url


def test_members_are_added_removed_and_follow_their_tokens(house: House, call: Call) -> None:
    grids, tokens, store = house.services.grids, house.services.tokens, house.store.grids
    for text in ("one", "two", "three", "four"):
        tokens.create(call, text)
    grids.create(call, 0.1, 1 / 3, 7)
    grids.create(call)
    assert grids.add_many(call, 1, [4, 3, 2, 2, 1]).added == (4, 3, 2, 1)
    with pytest.raises(AlreadyExists):
        grids.add(call, 1, 2)
    grids.remove(call, 1, 2)
    tokens.delete(call, 3)
    assert {each.token_id for each in grids.range(call, 1, Ball(radius=1e9)).results} == {1, 4}
    grid, size = grids.get(call, 1)
    assert (size, grid.bucket_size, grid.density_threshold, grid.min_field_nodes) == (2, 0.1, 1 / 3, 7)
    kept = store.get("default", 1)
    assert kept is not None
    # Where servers with other tokens use the same database, a token that is missing here stays a member.
    assert kept.members == (3 if house.store.shared else 2)
    grids.delete(call, 1)
    assert store.members(kept)[1].tolist() == []
    assert (grids.numbers(call), grids.create(call).grid_id) == ([2], 3)


def test_a_refused_addition_adds_nothing(house: House, call: Call) -> None:
    for text in ("one", "two"):
        house.services.tokens.create(call, text)
    house.services.grids.create(call)
    with pytest.raises(QuotaExceeded):
        house.store.grids.add("default", 1, [1, 2], most=1)
    assert house.services.grids.get(call, 1)[1] == 0
