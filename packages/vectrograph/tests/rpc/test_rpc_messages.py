"""Protobuf bytes to domain values and back, with the encodings that other libraries may legally send."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import InvalidArgument, TooLarge
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import KEEP, Payload, Point, Put
from vectrograph.domain.queries import Hit, Include
from vectrograph.rpc._pb import bytesview_pb, vectrograph_pb, vectron_pb
from vectrograph.rpc.codec import messages
from vectrograph.rpc.codec.fragments import encode_hits
from vectrograph.vectron.points import include_of

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.lists(floats, max_size=8)
words = st.text(max_size=6)
numbers = st.integers(min_value=-(2**53), max_value=2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def packed(number: int, values: list[float]) -> bytes:
    return field(number, struct.pack(f"<{len(values)}f", *values))


def unpacked(number: int, values: list[float]) -> bytes:
    return b"".join(varint(number << 3 | 5) + struct.pack("<f", value) for value in values)


def puts_of(body: bytes, limits: Limits | None = None) -> list[Put]:
    """Return the points of an UpsertRequest as they are stored."""
    return messages.decode_upsert(body).puts(limits or Limits())


def rows(body: bytes) -> list[tuple[str | None, list[float], dict[str, Any]]]:
    found = []
    for put in puts_of(body):
        assert put.payload is not KEEP
        found.append((put.id, put.vector.tolist(), dict(put.payload)))
    return found


@given(st.lists(st.tuples(words, vectors, st.dictionaries(words, words, max_size=3)), max_size=5), words)
def test_upsert_arrives_as_it_was_sent(points: list[tuple[str, list[float], dict[str, str]]], collection: str) -> None:
    request = vectron_pb.UpsertRequest(
        collection=collection,
        points=[vectron_pb.Point(id=i, vector=vector, payload=payload) for i, vector, payload in points],
    )
    body = request.SerializeToString()
    assert messages.decode_upsert(body).collection == collection
    assert rows(body) == points


def test_vectors_are_read_without_copying_them_into_python_floats() -> None:
    body = vectron_pb.UpsertRequest(points=[vectron_pb.Point(id="a", vector=[1.5, 2.5])]).SerializeToString()
    [put] = puts_of(body)
    assert put.vector.dtype == np.float32
    assert put.vector.flags.c_contiguous
    assert not put.vector.flags.owndata


@pytest.mark.parametrize(
    "vector",
    [
        unpacked(2, [1.0, 2.0, 3.0]),
        packed(2, [1.0]) + packed(2, [2.0, 3.0]),
        packed(2, [1.0, 2.0]) + unpacked(2, [3.0]),
        unpacked(2, [1.0]) + packed(2, [2.0, 3.0]),
        packed(2, [1.0, 2.0, 3.0]) + packed(2, []),
        packed(2, [1.0, 2.0, 3.0]) + field(77, b"from the future"),
    ],
    ids=["unpacked", "split", "packed then unpacked", "unpacked then packed", "empty tail", "unknown field"],
)
def test_unusual_encodings_lose_nothing(vector: bytes) -> None:
    ordinary = packed(2, [4.0, 5.0, 6.0])
    body = field(1, b"docs") + field(2, field(1, b"a") + vector) + field(2, field(1, b"b") + ordinary)
    assert rows(body) == [("a", [1.0, 2.0, 3.0], {}), ("b", [4.0, 5.0, 6.0], {})]
    query = messages.decode_search(field(1, b"docs") + vector + b"\x18\x05")
    assert (query.collection, query.vector.tolist(), query.message.top_k) == ("docs", [[1.0, 2.0, 3.0]], 5)


@given(st.lists(st.tuples(st.booleans(), vectors), max_size=6))
def test_any_mix_of_packed_and_unpacked_pieces_is_one_vector(pieces: list[tuple[bool, list[float]]]) -> None:
    encoded = b"".join((packed if is_packed else unpacked)(2, values) for is_packed, values in pieces)
    whole = [value for _, values in pieces for value in values]
    assert rows(field(2, encoded)) == [("", whole, {})]
    assert messages.decode_search(encoded).vector.tolist() == [whole]


def test_map_entries_without_a_value_are_empty_strings() -> None:
    """Some encoders leave out empty keys and values."""
    body = field(2, field(1, b"a") + field(3, field(1, b"key")) + field(3, field(2, b"value")))
    assert rows(body) == [("a", [], {"key": "", "": "value"})]


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff\xff", field(2, b"\x08"), field(1, b"\xff"), b"\x0a\x7fshort", field(2, field(2, b"\0\0\0"))],
    ids=["tag", "point", "utf-8", "length", "three bytes of a float"],
)
def test_malformed_messages_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"not a valid vectron\.v1\.UpsertRequest"):
        puts_of(body)


def test_a_vector_cut_in_a_float_is_refused_in_a_search() -> None:
    with pytest.raises(InvalidArgument, match=r"not a valid vectron\.v1\.SearchRequest"):
        messages.decode_search(field(2, b"\0\0\0"))


def test_payload_json_wins_over_the_map() -> None:
    point = vectron_pb.Point(id="a", payload={"n": "3", "x": "y"}, payload_json=b'{"n": 3, "deep": [1, {"k": null}]}')
    body = vectron_pb.UpsertRequest(points=[point]).SerializeToString()
    assert rows(body) == [("a", [], {"n": 3, "deep": [1, {"k": None}]})]


@pytest.mark.parametrize("text", [b"{", b"[1]", b"3", b'{"a": NaN}', b'{"a": "\xff"}', b"[" * 100_000])
def test_a_bad_payload_json_names_its_point(text: bytes) -> None:
    points = [vectron_pb.Point(id="a"), vectron_pb.Point(id="b", payload_json=text)]
    with pytest.raises(InvalidArgument) as caught:
        puts_of(vectron_pb.UpsertRequest(points=points).SerializeToString())
    assert caught.value.details["errors"][0]["field"] == "points[1].payload_json"


def stored(point_id: str, vector: list[float] | None, payload: Payload | None) -> Point:
    array = None if vector is None else np.array(vector, np.float32)
    return Point(
        id=point_id, vector=array, payload=payload, text=None, created_at=0, updated_at=0, version=1, created_seq=1
    )


@given(words, vectors, st.dictionaries(words, json_values, max_size=4), floats)
def test_answers_carry_payload_and_vector(i: str, vector: list[float], payload: Payload, score: float) -> None:
    point = stored(i, vector, payload)
    [result] = vectron_pb.SearchResponse.FromString(encode_hits([Hit(point, score)])).results
    got = vectron_pb.GetResponse.FromString(messages.encode_point(point)).point
    assert (result.id, result.score, list(result.vector)) == (i, score, vector)
    assert (got.id, list(got.vector)) == (i, vector)
    for message in (result, got):
        assert {key: text for key, text in message.payload.items() if isinstance(payload[key], str)} == {
            key: value for key, value in payload.items() if isinstance(value, str)
        }
        assert all(json.loads(message.payload[k]) == v for k, v in payload.items() if not isinstance(v, str))
        assert set(message.payload) == set(payload)
        plain = all(isinstance(value, str) for value in payload.values())
        assert message.payload_json == b"" if plain else json.loads(message.payload_json) == payload


def test_parts_that_were_not_asked_for_are_absent() -> None:
    body = encode_hits([Hit(stored("a", None, None), 0.5)])
    assert vectron_pb.SearchResponse.FromString(body).results[0] == vectron_pb.SearchResult(id="a", score=0.5)
    assert encode_hits([]) == b""


@pytest.mark.parametrize("size", [1, 2, 119, 120, 121, 122, 127, 128, 512])
@pytest.mark.parametrize("distance", [None, 0.25])
def test_ids_of_every_length_have_the_lengths_of_their_messages_right(size: int, distance: float | None) -> None:
    hits = [Hit(stored("é" * (size // 2) + "x" * (size % 2), None, {}), 0.5, distance) for _ in range(2)]
    expected = [vectron_pb.SearchResult(id=hit.point.id, score=0.5, distance=distance) for hit in hits]
    assert encode_hits(hits) == vectron_pb.SearchResponse(results=expected).SerializeToString()


@pytest.mark.parametrize(
    ("request_", "include"),
    [
        (vectron_pb.SearchRequest(), Include(vector=False, payload=True, text=False)),
        (vectron_pb.SearchRequest(include_metadata=False), Include(vector=False, payload=True, text=False)),
        (vectron_pb.SearchRequest(include_vectors=True), Include(vector=True, payload=True, text=False)),
        (vectron_pb.SearchRequest(omit_payload=True), Include(vector=False, payload=False, text=False)),
    ],
)
def test_which_parts_a_search_asks_for(request_: vectron_pb.SearchRequest, include: Include) -> None:
    assert include_of(messages.decode_search(request_.SerializeToString()).message) == include


def test_the_two_views_are_the_same_on_the_wire() -> None:
    ordinary = vectron_pb.Point(id="a", vector=[1.0, -2.5], payload={"k": "v"}, payload_json=b"{}")
    view = bytesview_pb.Point(id="a", vector=struct.pack("<2f", 1.0, -2.5), payload={"k": "v"}, payload_json=b"{}")
    assert ordinary.SerializeToString() == view.SerializeToString()


def test_payloads_are_counted_by_the_limits_of_the_server() -> None:
    """FINDINGS D3: those of a default server were taken, whatever its operator had set."""
    lists = b'{"a":[' + b",".join([b"[]"] * 600) + b"]}"
    body = vectron_pb.UpsertRequest(points=[vectron_pb.Point(id="a", vector=[1.0], payload_json=lists)])
    assert len(puts_of(body.SerializeToString())) == 1
    small = Limits(max_batch=1, max_payload_bytes=1_000)
    with pytest.raises(TooLarge, match="more than 500 texts, lists and objects"):
        puts_of(body.SerializeToString(), small)
    with pytest.raises(TooLarge, match="more than 500 texts, lists and objects"):
        messages.decode_upsert_if(vectrograph_pb.UpsertIfRequest(points=body.points).SerializeToString()).puts(small)
