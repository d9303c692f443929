"""Vectors of every kind become the same bytes; every bad component is found and named."""

import math
import os
import struct
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wirekit
from wirekit.vectors import VectorError, floats, pack, to_array, to_list

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.lists(float32s, max_size=40)

KINDS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "array f": lambda values: array("f", values),
    "array d": lambda values: array("d", values),
    "memoryview": lambda values: memoryview(array("f", values)),
    "numpy float32": lambda values: np.array(values, dtype="float32"),
    "numpy float64": lambda values: np.array(values, dtype="float64"),
    "numpy big-endian": lambda values: np.array(values, dtype=">f4"),
    "numpy strided": lambda values: np.repeat(np.array(values, dtype="float32"), 2)[::2],
    "list of numpy scalars": lambda values: [np.float32(value) for value in values],
}

WITHOUT_NUMPY = """
import sys
from array import array
from wirekit.vectors import VectorError, floats, pack

values = [1.5, -0.25, 3.0]
kinds = [values, tuple(values), array("f", values), array("d", values), memoryview(array("f", values))]
assert {pack(kind) for kind in kinds} == {bytes.fromhex("0000c03f000080be00004040")}, "bytes differ"
assert all(floats(kind) == values for kind in kinds), "floats differ"
for bad in (array("f", [1, float("inf")]), array("d", [1, float("nan")]), [1, float("nan")]):
    try:
        pack(bad)
    except VectorError as error:
        assert error.position == 1
    else:
        raise AssertionError(f"{bad} was accepted")
assert "numpy" not in sys.modules, "numpy was imported"
"""


@pytest.mark.parametrize("kind", KINDS)
@given(values=vectors)
def test_every_kind_packs_to_the_same_bytes(kind: str, values: list[float]) -> None:
    expected = struct.pack(f"<{len(values)}f", *values)
    assert pack(KINDS[kind](values)) == expected


@pytest.mark.parametrize("kind", KINDS)
@given(values=vectors)
def test_every_kind_reads_as_the_same_floats(kind: str, values: list[float]) -> None:
    result = floats(KINDS[kind](values))
    assert result == values
    assert all(type(component) is float for component in result)


@given(vectors)
def test_bytes_come_back(values: list[float]) -> None:
    assert to_list(pack(values)) == values
    assert to_array(pack(values)).tolist() == values


@pytest.mark.parametrize("kind", KINDS)
@given(
    values=st.lists(float32s, min_size=1, max_size=20),
    bad=st.sampled_from([math.nan, math.inf, -math.inf]),
    data=st.data(),
)
def test_the_first_bad_component_is_named(kind: str, values: list[float], bad: float, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(values) - 1))
    values[position] = bad
    for convert in (pack, floats):
        with pytest.raises(VectorError) as caught:
            convert(KINDS[kind](values), label="points[3].vector")
        assert caught.value.position == position
        assert str(caught.value).startswith(f"points[3].vector[{position}] is {bad}")


@pytest.mark.parametrize("kind", ["list", "array d", "numpy float64"])
def test_a_number_beyond_float32_is_not_packed_as_infinity(kind: str) -> None:
    with pytest.raises(VectorError, match=r"vector\[1\] is inf"):
        pack(KINDS[kind]([1.0, 1e39]))


def test_floats_keep_the_precision_of_a_list() -> None:
    assert floats([0.1]) == [0.1]


def test_doubles_whose_sum_overflows_are_fine() -> None:
    assert floats([1e308, 1e308]) == [1e308, 1e308]


@pytest.mark.parametrize("kind", KINDS)
def test_the_dimension_is_checked(kind: str) -> None:
    vector = KINDS[kind]([1.0, 2.0])
    assert len(pack(vector, dimension=2)) == 8
    with pytest.raises(VectorError, match="has 2 components; 3 are required"):
        pack(vector, dimension=3)
    with pytest.raises(VectorError, match="has 2 components; 3 are required"):
        floats(vector, dimension=3)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ("0.1", "is str"),
        (b"\0\0\0\0", "is bytes"),
        ({1.0: 2.0}, "is dict"),
        (7, "vector"),
        (None, "vector"),
        ([1.0, "2"], r"vector\[1\] is str"),
        ([1.0, None], r"vector\[1\] is NoneType"),
        ([[1.0], [2.0]], r"vector\[0\] is list"),
        ([10**400], r"vector\[0\] is too large"),
        (np.zeros((2, 2)), "has 2 dimensions"),
        (np.array(["1.5"]), "type <U3"),
        (np.array([1j]), "type complex128"),
        (np.array([True]), "type bool"),
        (np.array([object()]), "vector"),
    ],
)
def test_what_is_no_vector_is_refused(vector: Any, message: str) -> None:
    for convert in (pack, floats):
        with pytest.raises(VectorError, match=message):
            convert(vector)


def test_numpy_is_neither_needed_nor_imported() -> None:
    source = str(Path(wirekit.__file__).parents[1])
    subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], check=True, env={**os.environ, "PYTHONPATH": source})


def test_bytes_of_half_a_float_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        to_list(b"\0\0\0")
