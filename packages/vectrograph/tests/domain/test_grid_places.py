"""Places of tokens: the derivation is a linear map that keeps distances, and given numbers come back bit for bit."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.grid import (
    COMPONENTS,
    DERIVED_SCALE,
    GRID_KEY,
    LEVELS,
    MAX_COORDINATE,
    UNPLACED,
    PlacementChange,
    derive,
    joined_payload,
    placed,
    refuse_reserved_key,
    split_payload,
)
from vectrograph.domain.payloads import decode_payload, encode_payload

DIMENSIONS = st.sampled_from([1, 2, 3, 8, 23, 24, 25, 64, 256])
COORDINATES = st.floats(-MAX_COORDINATE, MAX_COORDINATE)
AXES = st.tuples(COORDINATES, COORDINATES, COORDINATES)


def transformed(vector: NDArray[np.float32]) -> list[float]:
    """Return the DCT-II as its definition says, a component at a time."""
    d = len(vector)
    return [
        math.sqrt((1 if k == 0 else 2) / d)
        * math.fsum(float(vector[n]) * math.cos(math.pi * (2 * n + 1) * k / (2 * d)) for n in range(d))
        for k in range(min(d, COMPONENTS))
    ]


@given(DIMENSIONS, st.integers(0, 2**32))
def test_derived_coordinates_are_the_first_24_components_of_the_cosine_transform(dimension: int, seed: int) -> None:
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    derived = derive(vector[np.newaxis])[0]
    kept = min(dimension, COMPONENTS)
    assert derived[:kept] == pytest.approx([DERIVED_SCALE * x for x in transformed(vector)], rel=1e-9, abs=1e-9)
    assert derived[kept:].tolist() == [0.0] * (COMPONENTS - kept)


@given(DIMENSIONS, st.integers(0, 2**32), st.floats(-4, 4), st.floats(-4, 4))
def test_the_derivation_is_linear_and_keeps_the_distance_of_these_components(
    dimension: int, seed: int, a: float, b: float
) -> None:
    x, y = np.random.default_rng(seed).standard_normal((2, dimension))
    derived = derive(np.stack([x, y, a * x + b * y]))
    assert derived[2] == pytest.approx(a * derived[0] + b * derived[1], rel=1e-9, abs=1e-6)
    distance = float(np.linalg.norm(derived[0] - derived[1])) / DERIVED_SCALE
    assert distance <= float(np.linalg.norm(x - y)) * (1 + 1e-12)
    if dimension <= COMPONENTS:
        assert distance == pytest.approx(float(np.linalg.norm(x - y)), rel=1e-9)


@pytest.mark.parametrize("dimension", [1, 7, 24, 256, 1_000])
def test_an_embedding_has_the_same_coordinates_whatever_is_derived_beside_it(dimension: int) -> None:
    vectors = np.random.default_rng(5).standard_normal((41, dimension)).astype(np.float32)
    together = derive(vectors)
    for first in range(41):
        part = derive(vectors[first : first + 1 + first % 5])
        assert part.tobytes() == together[first : first + len(part)].tobytes()


@given(
    st.dictionaries(st.sampled_from(LEVELS), AXES),
    st.floats(0, 1),
    st.floats(0, MAX_COORDINATE),
    st.floats(0, 1),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
def test_what_is_given_comes_back_bit_for_bit_from_a_stored_payload(
    coordinates: dict[str, Any], weight: float, radius: float, strength: float, metadata: dict[str, Any]
) -> None:
    metadata.pop(GRID_KEY, None)
    change = PlacementChange(coordinates=coordinates, weight=weight, field_radius=radius, field_strength=strength)
    placement = change.applied(UNPLACED)
    stored = decode_payload(encode_payload(joined_payload(metadata, placement), "payload", 10_000))
    read, back = split_payload(stored)
    assert read == metadata
    for name, axes in coordinates.items():
        assert struct.pack("3d", *back.coordinates[name]) == struct.pack("3d", *axes)
    assert back.coordinates.keys() == coordinates.keys()
    assert (back.weight, back.field_radius, back.field_strength) == (weight, radius, strength)


def test_given_levels_win_and_the_others_are_derived() -> None:
    vector = np.arange(24, dtype=np.float32)[np.newaxis]
    placement = PlacementChange(coordinates={"L4Emotional": [1, 2, 3]}).applied(UNPLACED)
    row = placed(derive(vector), [placement])[0]
    assert row[9:12].tolist() == [1, 2, 3]
    assert np.delete(row, [9, 10, 11]).tolist() == np.delete(derive(vector)[0], [9, 10, 11]).tolist()


def test_levels_merge_null_takes_one_back_and_none_takes_all_back() -> None:
    first = PlacementChange(coordinates={"L1Physical": [1, 2, 3], "L2Sensory": [4, 5, 6]}, weight=1.0).applied(UNPLACED)
    second = PlacementChange(coordinates={"L2Sensory": None, "L3Motor": [7, 8, 9]}).applied(first)
    assert second.coordinates == {"L1Physical": (1, 2, 3), "L3Motor": (7, 8, 9)}
    assert second.weight == 1.0
    assert PlacementChange(coordinates=None, weight=None).applied(second) == UNPLACED


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (PlacementChange(coordinates={"L9": [1, 2, 3]}), "coordinates.L9"),
        (PlacementChange(coordinates={"L1Physical": [1, 2]}), "coordinates.L1Physical"),
        (PlacementChange(coordinates={"L1Physical": [1, 2, 3, 4]}), "coordinates.L1Physical"),
        (PlacementChange(coordinates={"L1Physical": [1, 2, math.nan]}), "coordinates.L1Physical[2]"),
        (PlacementChange(coordinates={"L1Physical": [1, math.inf, 2]}), "coordinates.L1Physical[1]"),
        (PlacementChange(coordinates={"L1Physical": [1e101, 1, 2]}), "coordinates.L1Physical[0]"),
        (PlacementChange(coordinates={"L1Physical": [True, 1, 2]}), "coordinates.L1Physical[0]"),
        (PlacementChange(weight=1.01), "weight"),
        (PlacementChange(weight=-0.1), "weight"),
        (PlacementChange(field_radius=-1.0), "field_radius"),
        (PlacementChange(field_radius=10**400), "field_radius"),
        (PlacementChange(field_strength=math.nan), "field_strength"),
    ],
)
def test_numbers_and_levels_that_are_not_acceptable_are_named(change: PlacementChange, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        change.applied(UNPLACED)
    assert caught.value.details["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "value", [None, 1, {}, {"x": 1}, {"weight": 2}, {"weight": None}, {"coordinates": {"L1Physical": None}}, "{}"]
)
def test_a_value_that_is_no_placement_is_metadata(value: Any) -> None:
    assert split_payload({GRID_KEY: value}) == ({GRID_KEY: value}, UNPLACED)


def test_metadata_may_not_have_the_reserved_key() -> None:
    refuse_reserved_key({"grid": 1}, ("metadata",))
    with pytest.raises(InvalidArgument, match="coordinates"):
        refuse_reserved_key({GRID_KEY: 1}, ("metadata",))
