"""Counting fields without parsing them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import TooLarge
from vectrograph.domain.limits import Limits
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc.codec.framing import limit_fields, max_fields

GROUP = b"\x4b" + b"\x08\x01" + b"\x4c"


def admitted(body: bytes, limit: int) -> bool:
    try:
        limit_fields(body, limit)
    except TooLarge as error:
        assert error.details == {"limit": limit, "unit": "fields"}
        return False
    return True


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 25))
def test_points_are_counted_whatever_is_in_them(ids: list[bytes], limit: int) -> None:
    points = [pb.Point(payload_json=i, vector=[1.5]) for i in ids]
    body = pb.UpsertRequest(points=points).SerializeToString()
    assert admitted(body, limit) == (len(ids) <= limit)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans()), max_size=8))
def test_numbers_of_any_length_are_one_field(numbers: list[tuple[int, bool]]) -> None:
    body = b"".join(pb.UpsertResponse(upserted=number >> 33).SerializeToString() for number, _ in numbers)
    count = sum(1 for number, _ in numbers if number >> 33)
    assert admitted(body, count)
    assert not count or not admitted(body, count - 1)


def test_floats_sent_one_by_one_and_groups_are_counted() -> None:
    floats = b"".join(b"\x15" + struct.pack("<f", number) for number in range(5))
    assert admitted(floats, 5)
    assert not admitted(floats, 4)
    assert admitted(b"\x11" + bytes(8), 1)
    assert not admitted(GROUP * 3, 6)


@given(st.binary(max_size=80))
def test_no_bytes_are_too_strange_to_count(body: bytes) -> None:
    assert admitted(body, 80)


def test_a_full_batch_and_the_longest_vector_sent_one_by_one_fit() -> None:
    limits = Limits(max_batch=3, max_dimension=5)
    points = pb.UpsertRequest(collection="c", points=[pb.Point()] * 3).SerializeToString()
    floats = b"\x0a\x01c" + b"\x15\0\0\0\0" * 5 + b"\x18\x05"
    assert admitted(points, max_fields(limits))
    assert admitted(floats, max_fields(limits))
    with pytest.raises(TooLarge, match="send fewer points at once"):
        limit_fields(points * 50, max_fields(limits))
