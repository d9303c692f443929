"""Checks of values: what comes out is what JSON brings back, and what it would change is refused with its place."""

import enum
import json
import math
import pickle
import uuid
from collections import OrderedDict, UserDict, namedtuple
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirekit.values import MAX_BITS, MAX_DEPTH, WrongValueError, json_object, json_value, moment, real, text, whole
from wirekit.vectors import VectorError, floats, pack


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Plain(enum.Enum):
    A = 1


Pair = namedtuple("Pair", "a b")

any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aäß€😀\0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé"), inner, max_size=3),
    max_leaves=20,
)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# FINDINGS D4
@given(st.dictionaries(st.text("aé"), any_value, max_size=4))
def test_what_json_carries_comes_out_equal_and_as_json_brings_it_back(value: dict[str, Any]) -> None:
    plain = json_object(value, "payload")
    assert plain == value
    assert json.loads(json.dumps(plain)) == value
    assert plain is not value


# FINDINGS D8
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        (Pair(1, 2), [1, 2]),
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(1.5), 1.5),
        (np.array(["a"]), ["a"]),
        (OrderedDict(a=1), {"a": 1}),
        (UserDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (2**64, 2**64),
        (-0.0, -0.0),
        ("", ""),
        ({}, {}),
    ],
)
def test_kin_of_json_values_becomes_plain(value: Any, plain: Any) -> None:
    found = json_value(value, "v")
    assert found == plain
    assert type(found) is type(plain)
    assert type(json_object({"a": [value]}, "v")["a"][0]) is type(plain)


# FINDINGS D4
@pytest.mark.parametrize(
    ("value", "part"),
    [
        (math.nan, "is nan"),
        (-math.inf, "is -inf"),
        (np.float32("nan"), "is nan"),
        (np.array([1.0, math.inf]), "is inf"),
        (b"x", "bytes"),
        (bytearray(b"x"), "bytearray"),
        (memoryview(b"x"), "memoryview"),
        (np.bytes_(b"x"), "bytes_"),
        (datetime(2026, 1, 1), "isoformat()"),
        (date(2026, 1, 1), "isoformat()"),
        (timedelta(1), "total_seconds()"),
        (np.datetime64("2026-01-01"), "isoformat()"),
        (Decimal(1), "Decimal"),
        (Plain.A, "value"),
        ({1}, "set"),
        (1j, "complex"),
        (np.complex64(1), "complex"),
        (uuid.UUID(int=1), "UUID"),
        (object(), "object"),
        (int, "type"),
        (range(3), "range"),
        (iter([1]), "list_iterator"),
        ("\ud800", "half a surrogate pair"),
        (Colour("red").value + "\udfff", "half a surrogate pair"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "masked"),
        (np.ma.masked, "masked"),
        (1 << MAX_BITS, "bits"),
        ({1: "int", "1": "text"}, "has the key 1; keys must be text"),
        ({None: 1}, "has the key None"),
        ({(1, 2): 1}, "of type tuple"),
        ({"\ud800": 1}, "half a surrogate pair"),
        (nested(MAX_DEPTH), "nested deeper"),
    ],
)
def test_what_json_would_change_is_refused_with_its_place(value: Any, part: str) -> None:
    with pytest.raises(WrongValueError) as caught:
        json_object({"a": ["x", value]}, "payload")
    assert caught.value.place.startswith("payload.a.1")
    assert part in str(caught.value)
    assert caught.value.__cause__ is None
    json.dumps(str(caught.value)).encode()  # the message itself is Unicode text
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - its own
    assert str(again) == str(caught.value)


def test_depth_and_cycles_have_a_limit() -> None:
    assert json_value(nested(MAX_DEPTH), "v") == nested(MAX_DEPTH)
    cycle: dict[str, Any] = {}
    cycle["a"] = [cycle]
    with pytest.raises(WrongValueError, match="contains itself"):
        json_object(cycle, "payload")
    with pytest.raises(WrongValueError, match="nested deeper"):
        json_value(nested(100_000), "v")


def test_a_long_key_is_cut_in_the_place() -> None:
    with pytest.raises(WrongValueError) as caught:
        json_object({"k" * 100_000: math.nan}, "payload")
    assert len(str(caught.value)) < 200


class Endless:
    def tolist(self) -> Any:
        return [Endless()]


def test_a_class_whose_list_never_ends_is_refused() -> None:
    with pytest.raises(WrongValueError, match="nested deeper"):
        json_value(Endless(), "v")


# FINDINGS D8
@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), Level(1)])
def test_whole_numbers_become_plain(value: Any) -> None:
    assert type(whole(value, "top_k", 0, 10)) is int
    assert whole(value, "top_k", 0, 10) == value


@pytest.mark.parametrize("value", [True, np.bool_(True), 3.0, np.float64(3), "3", None, b"3", Decimal(3), [3], -1, 11])
def test_what_is_no_whole_number_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(WrongValueError, match=r"^top_k must be"):
        whole(value, "top_k", 0, 10)


@pytest.mark.parametrize("value", [3, 0.5, np.int8(3), np.float32(0.5), np.float64(0.5), np.longdouble(0.5)])
def test_real_numbers_become_plain(value: Any) -> None:
    assert type(real(value, "threshold", 0, 10)) is float
    assert real(value, "threshold") == value


@pytest.mark.parametrize("value", [True, np.bool_(1), "3", None, 1j, Decimal(1), math.nan, math.inf, 10**400, -1, 11])
def test_what_is_no_real_number_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(WrongValueError, match=r"^threshold must be"):
        real(value, "threshold", 0, 10)


def test_text_becomes_plain() -> None:
    assert type(text(Colour.RED, "name")) is str
    assert text(Colour.RED, "name") == "red"
    assert text("", "name", empty=True) == ""


@pytest.mark.parametrize("value", [b"x", None, 3, "", "a\udc00", ["x"]])
def test_what_is_no_text_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(WrongValueError, match=r"^name "):
        text(value, "name")


def test_moments_have_a_time_zone() -> None:
    assert moment(datetime(2026, 1, 1, tzinfo=timezone.utc), "since") == "2026-01-01T00:00:00+00:00"
    for value in (datetime(2026, 1, 1), date(2026, 1, 1), "2026-01-01", 5):
        with pytest.raises(WrongValueError, match=r"^since must"):
            moment(value, "since")


# FINDINGS D8
def test_iterators_are_vectors_and_masked_arrays_are_not() -> None:
    assert pack(float(n) for n in range(3)) == pack([0.0, 1.0, 2.0])
    assert floats(iter((1, 2))) == [1.0, 2.0]
    for masked in (np.ma.masked_array([1.0, 2.0], [False, True]), np.ma.masked_array([1.0, 2.0])):
        for convert in (pack, floats):
            with pytest.raises(VectorError, match="masked"):
                convert(masked)


def test_an_iterator_that_never_ends_is_refused() -> None:
    with pytest.raises(VectorError, match="more than"):
        pack(iter(lambda: 1.0, None))
