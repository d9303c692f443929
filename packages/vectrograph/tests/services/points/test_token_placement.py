"""Coordinates of tokens: kept beside the metadata, shown only when asked for, and never lost by another change."""

from typing import Any

import numpy as np
import pytest
from services.house import DIMENSION, LIMITS, House

from vectrograph.domain.errors import InvalidArgument, TooLarge
from vectrograph.domain.grid import GRID_KEY, LEVELS, PlacementChange, derive
from vectrograph.domain.points import KEEP, Put
from vectrograph.domain.queries import Include
from vectrograph.services.call import Call
from vectrograph.services.points.stored_tokens import Parts, Token
from vectrograph.services.points.tokens import NewToken, Tokens
from vectrograph.services.points.tokens_collection import TOKENS

SAD = PlacementChange(coordinates={"L4Emotional": [-1.5, 0.1, 1 / 3]}, field_radius=7.0)
ALL = Parts(text=True, metadata=True, embedding=True, coordinates=True)
FULL = {"note": "y" * (LIMITS.max_payload_bytes - len('{"note":""}'))}


@pytest.fixture
def tokens(house: House) -> Tokens:
    return house.services.tokens


def given(token: Token) -> dict[str, Any]:
    return {name: axes for name, (axes, derived) in token.coordinates.items() if not derived}


def test_given_levels_win_others_are_derived_and_metadata_show_nothing_of_it(tokens: Tokens, call: Call) -> None:
    made = tokens.create(call, "hello", {"a": 1}, placement=SAD)
    read = tokens.get(call, 1, include=ALL)
    assert made.payload == read.payload == {"a": 1}
    assert list(read.coordinates) == list(LEVELS)
    assert read.coordinates == made.coordinates
    assert given(read) == {"L4Emotional": (-1.5, 0.1, 1 / 3)}
    assert read.vector is not None
    assert read.coordinates["L1Physical"][0] == tuple(derive(read.vector[np.newaxis])[0, :3])
    assert (read.placement.weight, read.placement.field_radius, read.placement.field_strength) == (0.5, 7.0, 1.0)
    assert [hit.token.payload for hit in tokens.query(call, read.vector)] == [{"a": 1}]
    assert [token.payload for page in tokens.walk(call) for token in page] == [{"a": 1}]
    assert [token.payload for token in tokens.list(call, 10, 0).tokens] == [{"a": 1}]


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"b": 2}},
        {"metadata": None},
        {"text": "another"},
        {"text": None},
        {"embedding": np.ones(DIMENSION, np.float32)},
        {"text": "third", "metadata": {"b": 2}},
    ],
)
def test_a_change_of_something_else_keeps_the_coordinates(tokens: Tokens, call: Call, change: dict[str, Any]) -> None:
    tokens.create(call, "hello", {"a": 1}, placement=SAD)
    changed = tokens.update(call, 1, **change)
    assert given(changed) == {"L4Emotional": (-1.5, 0.1, 1 / 3)}
    wanted = change.get("metadata", {"a": 1}) or {}
    assert changed.payload == tokens.get(call, 1).payload == wanted


def test_coordinates_change_level_by_level_and_keep_metadata_and_embedding(tokens: Tokens, call: Call) -> None:
    made = tokens.create(call, "hello", {"a": 1}, placement=SAD)
    added = tokens.update(call, 1, placement=PlacementChange(coordinates={"L1Physical": [1, 2, 3]}, weight=1.0))
    assert given(added) == {"L1Physical": (1, 2, 3), "L4Emotional": (-1.5, 0.1, 1 / 3)}
    assert (added.payload, added.text, added.placement.weight) == ({"a": 1}, "hello", 1.0)
    cleared = tokens.update(call, 1, placement=PlacementChange(coordinates=None, weight=None, field_radius=None))
    assert given(cleared) == {}
    assert np.array_equal(cleared.vector, made.vector)  # type: ignore[arg-type]
    stored = tokens._engine.get(TOKENS, ["1"], include=Include())[0]
    assert stored is not None
    assert stored.payload == {"a": 1}


def test_metadata_of_a_token_without_coordinates_are_replaced_without_a_look(
    house: House, tokens: Tokens, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.create(call, "hello", {"a": 1})
    monkeypatch.setattr(house.engine, "get", None)
    assert tokens.update(call, 1, metadata={"b": 2}).payload == {"b": 2}


def test_a_change_that_comes_between_is_not_overwritten(
    house: House, tokens: Tokens, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.create(call, "hello", {"a": 1}, placement=SAD)
    read = house.engine.get
    raced: list[int] = []

    def overtaken(*args: Any, **options: Any) -> Any:
        points = read(*args, **options)
        if not raced:
            raced.append(1)
            tokens.update(call, 1, metadata={"other": True})
        return points

    monkeypatch.setattr(house.engine, "get", overtaken)
    changed = tokens.update(call, 1, placement=PlacementChange(weight=0.25))
    assert (changed.payload, changed.placement.weight) == ({"other": True}, 0.25)


def test_coordinates_do_not_count_towards_the_limit_of_the_metadata(tokens: Tokens, call: Call) -> None:
    everywhere = PlacementChange(
        coordinates={name: [-1.2345678901234567e-89] * 3 for name in LEVELS},
        weight=0.12345678901234567,
        field_radius=1.2345678901234567e-89,
        field_strength=1.2345678901234567e-89,
    )
    assert tokens.create(call, "x", FULL, placement=everywhere).payload == FULL
    assert tokens.update(call, 1, metadata=FULL, placement=SAD).payload == FULL
    over = {"note": FULL["note"] + "y"}
    for refused in (
        lambda: tokens.create(call, "x", over, placement=SAD),
        lambda: tokens.create_many(call, [NewToken("x", None, None, SAD), NewToken("x", over)]),
        lambda: tokens.update(call, 1, metadata=over),
    ):
        with pytest.raises(TooLarge, match="metadata"):
            refused()


def test_faults_are_named_in_the_words_of_the_request(tokens: Tokens, call: Call) -> None:
    bad = PlacementChange(coordinates={"L4Emotional": [1, 2]})
    with pytest.raises(InvalidArgument, match=r"^tokens\[1\]\.coordinates\.L4Emotional:"):
        tokens.create_many(call, [NewToken("x"), NewToken("y", placement=bad)])
    with pytest.raises(InvalidArgument, match=r"^metadata:.*\$grid"):
        tokens.create(call, "x", {GRID_KEY: {}})
    tokens.create(call, "x")
    with pytest.raises(InvalidArgument, match=r"^metadata:.*\$grid"):
        tokens.update(call, 1, metadata={GRID_KEY: {}})
    with pytest.raises(InvalidArgument, match=r"^coordinates\.L4Emotional:"):
        tokens.update(call, 1, placement=bad)
    assert tokens.list(call, 10, 0).total == 1


def test_points_of_the_collection_carry_a_placement_that_is_checked(house: House, tokens: Tokens, call: Call) -> None:
    """A Vectron client reads and writes the placement as a part of the payload, also as text."""
    points, vector = house.services.points, np.ones(DIMENSION, np.float32)
    document = {"weight": 0.25}
    sent: list[Any] = [document, '{"weight":0.25}']
    for number, value in enumerate(sent, 1):
        points.upsert(call, "tokens", [Put(id=str(number), vector=vector, payload={"a": 1, GRID_KEY: value})])
        assert tokens.get(call, number).placement.weight == 0.25
        assert points.get(call, "tokens", str(number), Include()).payload == {"a": 1, GRID_KEY: document}
    points.upsert(call, "tokens", [Put(id="2", vector=vector, payload=KEEP)])
    assert tokens.get(call, 2).placement.weight == 0.25
    faults: list[Any] = [{"weight": 2}, "no JSON", None, []]
    for wrong in faults:
        with pytest.raises(InvalidArgument, match=r"points\[0\]\.payload\.\$grid"):
            points.upsert(call, "tokens", [Put(id="3", vector=vector, payload={GRID_KEY: wrong})])
    house.services.catalog.create(call, "docs", DIMENSION, "cosine")
    points.upsert(call, "docs", [Put(id="a", vector=vector, payload={GRID_KEY: "free"})])
    assert points.get(call, "docs", "a", Include()).payload == {GRID_KEY: "free"}
