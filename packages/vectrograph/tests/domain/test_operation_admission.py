"""Ids, vectors, payloads: what is accepted comes back, what is not is refused with its place."""

import json
import math
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance
from vectrograph.domain.errors import InvalidArgument, TooLarge
from vectrograph.domain.ids import encode_id, is_serial
from vectrograph.domain.payloads import MAX_DEPTH, QuickEncoder, decode_payload, encode_payload
from vectrograph.domain.points import MAX_SERIAL_ID
from vectrograph.domain.vectors import stack
from vectrograph.engines.contract.strategies import payloads
from vectrograph.engines.embedded.truth import records

MIB = 1 << 20


QUICK = msgspec.json.Encoder().encode


@given(payloads)
@pytest.mark.parametrize("quick", [None, QUICK])
def test_payloads_come_back(quick: QuickEncoder | None, payload: dict[str, Any]) -> None:
    encoded = encode_payload(payload, "payload", MIB, quick)
    assert repr(decode_payload(encoded)) == repr(payload)
    assert repr(records.decode_payload(encoded)) == repr(payload)
    assert b"\n" not in encoded


@given(payloads)
def test_the_quick_way_writes_what_the_other_writes(payload: dict[str, Any]) -> None:
    slowly, quickly = (encode_payload(payload, "payload", MIB, quick) for quick in (None, QUICK))
    assert repr(decode_payload(quickly)) == repr(decode_payload(slowly))


def test_the_quick_way_is_taken() -> None:
    """For scalars and lists of them; whatever is nested, or is more than JSON has, is looked at."""
    taken: list[Any] = []

    def quick(payload: Any) -> bytes:
        taken.append(payload)
        return QUICK(payload)

    plain: list[dict[str, Any]] = [{}, {"a": "b", "n": -1, "f": 0.5, "t": True, "z": None}, {"tags": ["a", 1, None]}]
    for payload in plain:
        encode_payload(payload, "payload", MIB, quick)
    for payload in ({"a": {"b": 1}}, {"a": [[1]]}):
        encode_payload(payload, "payload", MIB, quick)
    assert taken == plain


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
        {"k": [math.nan]},
        {"k": -math.inf, "z": None},
        {"k": "a", "\ud800": 1},
        {"k": datetime(2026, 1, 1, tzinfo=UTC)},
        {"k": [b"bytes"]},
        {"k": Distance.COSINE, "d": Decimal(1)},
        ["no object"],
        "text",
    ],
)
@pytest.mark.parametrize("quick", [None, QUICK])
def test_what_json_cannot_hold_is_refused(quick: QuickEncoder | None, payload: Any) -> None:
    with pytest.raises(InvalidArgument, match="payload"):
        encode_payload(payload, "payload", MIB, quick)


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
    matrix = stack(given_rows, 2, lambda nth: (f"v{nth}",))
    given_rows[0][:] = 9
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1, 2], [4, 3]]
    assert matrix.flags.c_contiguous
    assert stack([], 5, lambda nth: (nth,)).shape == (0, 5)


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        (np.zeros(3, np.float32), "v1", "has 3 components and this collection needs 2"),
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
        stack([np.zeros(2, np.float32), row], 2, lambda nth: (f"v{nth}",))
    assert raised.value.details["errors"][0]["field"] == field


def test_payload_text_is_json() -> None:
    assert json.loads(encode_payload({"ü": ["\x00", "\u2028"]}, "payload", MIB)) == {"ü": ["\x00", "\u2028"]}
