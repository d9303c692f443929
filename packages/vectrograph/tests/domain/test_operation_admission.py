"""Ids, vectors, payloads: what is accepted comes back, what is not is refused with its place."""

import json
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import InvalidArgument, TooLarge
from vectrograph.domain.ids import encode_id, is_serial
from vectrograph.domain.payloads import MAX_DEPTH, decode_payload, encode_payload
from vectrograph.domain.points import MAX_SERIAL_ID
from vectrograph.domain.vectors import stack
from vectrograph.engines.contract.strategies import payloads
from vectrograph.engines.embedded.truth import records

MIB = 1 << 20


@given(payloads)
def test_payloads_come_back(payload: dict[str, Any]) -> None:
    encoded = encode_payload(payload, "payload", MIB)
    assert repr(decode_payload(encoded)) == repr(payload)
    assert repr(records.decode_payload(encoded)) == repr(payload)
    assert b"\n" not in encoded


def test_what_json_can_hold_is_accepted() -> None:
    assert encode_payload(MappingProxyType({"t": (1, 2)}), "payload", MIB) == b'{"t":[1,2]}'
    assert encode_payload(OrderedDict(b=1, a=2), "payload", MIB) == b'{"b":1,"a":2}'
    assert decode_payload(encode_payload({"n": 10**400}, "payload", MIB)) == {"n": 10**400}
    assert records.decode_payload(encode_payload({"n": 10**400}, "payload", MIB)) == {"n": 10**400}


@pytest.mark.parametrize(
    "payload",
    [
        {"k": math.nan},
        {"k": [math.inf]},
        {1: "one"},
        {"k": {None: 1}},
        {"k": [{True: 1}]},
        {"k": b"bytes"},
        {"k": {1, 2}},
        {"k": np.float32(1)},
        {"k": "\ud800"},
        ["no object"],
        "text",
    ],
)
def test_what_json_cannot_hold_is_refused(payload: Any) -> None:
    with pytest.raises(InvalidArgument, match="payload"):
        encode_payload(payload, "payload", MIB)


def test_depth_and_size_of_payloads() -> None:
    deep: Any = "{[" * 100
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert decode_payload(encode_payload({"k": deep}, "payload", MIB)) == {"k": deep}
    with pytest.raises(InvalidArgument, match="nested"):
        encode_payload({"k": [deep]}, "payload", MIB)
    bottomless: list[Any] = []
    bottomless.append(bottomless)
    with pytest.raises(InvalidArgument, match="not JSON"):
        encode_payload({"k": bottomless}, "payload", MIB)
    assert len(encode_payload({"k": "é" * 10}, "payload", 28)) == 28
    with pytest.raises(TooLarge):
        encode_payload({"k": "é" * 10}, "payload", 27)


@given(st.integers(-(10**18), 10**18))
def test_serial_ids_are_canonical_decimals(number: int) -> None:
    assert is_serial(str(number)) == (1 <= number <= MAX_SERIAL_ID)
    assert not is_serial(f"0{number}")
    assert not is_serial(f"+{number}")


@given(st.text(min_size=1, max_size=600))
def test_ids_are_bounded_in_bytes(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    valid = not any("\ud800" <= character <= "\udfff" for character in text)
    if valid and size <= 512:
        assert encode_id(text, "id", 512).decode() == text
    else:
        with pytest.raises(InvalidArgument):
            encode_id(text, "id", 512)


def test_vectors_are_copied_and_converted() -> None:
    given_rows: list[Any] = [np.array([1, 2], np.float64), np.array([3, 4], np.int8)[::-1]]
    matrix = stack(given_rows, 2, "v{}".format)
    given_rows[0][:] = 9
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1, 2], [4, 3]]
    assert matrix.flags.c_contiguous
    assert stack([], 5, str).shape == (0, 5)


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        (np.zeros(3, np.float32), "v1", "has 3 components and this collection takes 2"),
        (np.zeros(0, np.float32), "v1", "has 0 components"),
        (np.zeros((2, 1), np.float32), "v1", "list of 2 numbers"),
        (np.array(["a", "b"]), "v1", "list of 2 numbers"),
        (np.array([True, False]), "v1", "list of 2 numbers"),
        (np.array([0, np.nan], np.float32), "v1[1]", "NaN"),
        (np.array([1e300, 0]), "v1[0]", "beyond float32"),
    ],
)
def test_bad_vectors_are_named(row: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as raised:
        stack([np.zeros(2, np.float32), row], 2, "v{}".format)
    assert raised.value.details["errors"][0]["field"] == field


def test_payload_text_is_json() -> None:
    assert json.loads(encode_payload({"ü": ["\x00", "\u2028"]}, "payload", MIB)) == {"ü": ["\x00", "\u2028"]}
