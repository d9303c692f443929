"""Payloads, vectors, points and errors between their forms: what goes in comes out, whatever it is."""

import copy
import json
import math
import pickle
import struct
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectron_client import ClientOptions, Point, SearchResult, exceptions
from vectron_client._execution.call import Call, flow
from vectron_client._execution.retries import RetryPlan, spread
from vectron_client._pb import vectron_pb as wire
from vectron_client._protocol import operations, payloads, searches
from vectron_client._protocol.hits import read_results
from vectron_client._protocol.points import decode_point, encode_points, encode_vector
from vectron_client._transport.statuses import error_of
from vectron_client._wirekit.flow import run
from vectron_client._wirekit.values import WrongValueError
from vectron_client.exceptions import VectronError
from vectron_client.models import PackedVector, given_vector

#: A busy machine may take its time for an example.
unhurried = settings(deadline=None)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)
any_payload = st.dictionaries(text, json_values, max_size=4)
float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.lists(float32, min_size=1, max_size=20)
ids = text.filter(bool)


def sent(*points: Point) -> wire.UpsertRequest:
    """Return the points as a server reads them with the public messages."""
    return wire.UpsertRequest.FromString(b"".join(encode_points(points, dimension=0, max_bytes=10**9)))


@unhurried
@given(any_payload)
def test_a_payload_survives_the_wire(payload: dict[str, Any]) -> None:
    texts, whole = payloads.encode(payload)
    assert payloads.decode(texts, whole) == payload
    assert bool(whole) is not all(isinstance(value, str) for value in payload.values())


@unhurried
@given(any_payload)
def test_a_server_that_knows_only_text_loses_no_value(payload: dict[str, Any]) -> None:
    texts, _ = payloads.encode(payload)
    assert set(texts) == set(payload)
    for key, value in payload.items():
        assert texts[key] == value if isinstance(value, str) else json.loads(texts[key]) == value


def test_numpy_values_of_payloads_become_plain_ones() -> None:
    payload = {"a": np.int64(3), "b": np.array([[1, 2]]), "c": [np.float32(0.5), np.bool_(True)], "d": np.str_("x")}
    texts, whole = payloads.encode(payload)
    assert payloads.decode(texts, whole) == {"a": 3, "b": [[1, 2]], "c": [0.5, True], "d": "x"}


@pytest.mark.parametrize("payload", [{"title": "x"}, {"year": 2024}])
def test_any_mapping_is_a_payload(payload: dict[str, Any]) -> None:
    read_only: Any = MappingProxyType(payload)
    point = sent(Point("a", [1.0], read_only)).points[0]
    assert payloads.decode(point.payload, point.payload_json) == payload


def test_a_payload_that_is_nested_too_deeply_is_refused() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(WrongValueError, match="nested deeper than 64 levels"):
        payloads.encode({"a": value})


def test_a_payload_that_contains_itself_is_refused() -> None:
    payload: dict[str, Any] = {"a": []}
    payload["a"].append(payload["a"])
    with pytest.raises(WrongValueError, match=r"^payload\.a\..* contains itself"):
        payloads.encode(payload)


@unhurried
@given(ids, vectors, any_payload)
def test_a_point_is_read_by_the_public_messages(id_: str, vector: list[float], payload: dict[str, Any]) -> None:
    point = sent(Point(id_, vector, payload)).points[0]
    assert point.id == id_
    assert list(point.vector) == vector
    assert payloads.decode(point.payload, point.payload_json) == payload


@unhurried
@given(st.lists(st.tuples(ids, st.lists(float32, min_size=3, max_size=3)), max_size=5))
def test_points_are_encoded_byte_for_byte_as_public_messages(points: list[tuple[str, list[float]]]) -> None:
    encoded = b"".join(encode_points([Point(*point) for point in points], dimension=3, max_bytes=10**9))
    expected = wire.UpsertRequest(points=[wire.Point(id=id_, vector=vector) for id_, vector in points])
    assert encoded == expected.SerializeToString()


@unhurried
@given(vectors)
def test_every_kind_of_vector_has_the_same_bytes(vector: list[float]) -> None:
    expected = struct.pack(f"<{len(vector)}f", *vector)
    as_float32 = np.array(vector, dtype=np.float32)
    for form in (vector, tuple(vector), as_float32, as_float32.astype(np.float64), as_float32.astype(">f4"),
                 as_float32.data, PackedVector(expected)):  # fmt: skip
        assert encode_vector(form, len(vector)) == expected


@unhurried
@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_a_vector_is_sent_exactly_when_it_is_finite(vector: list[float]) -> None:
    for form in (vector, np.array(vector, dtype=np.float32), PackedVector(struct.pack(f"<{len(vector)}f", *vector))):
        if all(map(math.isfinite, vector)):
            assert struct.unpack(f"<{len(vector)}f", encode_vector(form, 0)) == tuple(vector)
        else:
            first = [math.isfinite(component) for component in vector].index(False)
            with pytest.raises(VectronError) as caught:
                encode_vector(form, 0)
            assert caught.value.details["component"] == first


@unhurried
@given(st.lists(st.tuples(ids, float32, vectors, any_payload), max_size=4))
def test_results_are_read(hits: list[tuple[str, float, list[float], dict[str, Any]]]) -> None:
    hits = [(id_, score, (vector * 4)[:4], payload) for id_, score, vector, payload in hits]
    answer = wire.SearchResponse()
    for id_, score, vector, payload in hits:
        texts, whole = payloads.encode(payload)
        answer.results.add(id=id_, score=score, vector=vector, payload=texts, payload_json=whole)
    expected = [SearchResult(id_, score, payload, vector) for id_, score, vector, payload in hits]
    results = read_results(answer.SerializeToString(), dimension=4)
    assert results == expected
    assert all(isinstance(given_vector(result), list) for result in results), "comparing them has unpacked them"


def field(number: int, wire_type: int, content: bytes) -> bytes:
    """Return one field as bytes; contents here are shorter than 128 bytes, so that a length is one byte."""
    length = bytes([len(content)]) if wire_type == 2 else b""
    return bytes([number << 3 | wire_type]) + length + content


def vector_field(number: int, form: str, vector: list[float]) -> bytes:
    """Return a `repeated float` in every way that protobuf allows."""
    one = [struct.pack("<f", component) for component in vector]
    if form == "unpacked":
        return b"".join(field(number, 5, component) for component in one)
    if form == "split":
        return field(number, 2, b"".join(one[:1])) + field(number, 2, b"".join(one[1:]))
    if form == "mixed":
        return field(number, 5, one[0]) + field(number, 2, b"".join(one[1:]))
    return field(number, 2, b"".join(one))


@pytest.mark.parametrize("form", ["packed", "unpacked", "split", "mixed"])
def test_unusual_encodings_of_vectors_are_understood(form: str) -> None:
    vector = [1.0, 2.0, 3.0]
    point = field(1, 2, b"a") + vector_field(2, form, vector)
    got = decode_point(field(1, 2, point))
    assert got == Point("a", vector)
    assert isinstance(given_vector(decode_point(field(1, 2, point)) or got), PackedVector) is (form == "packed")
    usual = field(1, 2, field(1, 2, b"a") + field(4, 2, struct.pack("<3f", *vector)))
    unusual = field(1, 2, field(1, 2, b"b") + vector_field(4, form, vector))
    assert [result.vector for result in read_results(usual + unusual, dimension=3)] == [vector, vector]


def test_fields_of_newer_servers_are_passed_over() -> None:
    point = field(1, 2, b"a") + vector_field(2, "packed", [1.0]) + bytes([0xFA, 0x06, 1]) + b"x"  # field 111
    assert decode_point(field(1, 2, point)) == Point("a", [1.0])


def test_a_result_that_was_not_asked_for_its_vector_has_none() -> None:
    answer = wire.SearchResponse(results=[wire.SearchResult(id="a", vector=[1.0])]).SerializeToString()
    assert read_results(answer, dimension=0) == [SearchResult("a", 0.0, {}, [])]


ANSWER = wire.SearchResponse(
    results=[wire.SearchResult(id="a", score=1, vector=[1.0, 2.0], payload={"k": "1"}, payload_json=b'{"k":1}')]
).SerializeToString()
broken = st.binary(max_size=40) | st.builds(
    lambda position, byte: ANSWER[:position] + bytes([byte]) + ANSWER[position + 1 :],
    st.integers(0, len(ANSWER) - 1),
    st.integers(0, 255),
)


@unhurried
@given(broken, st.booleans())
def test_no_answer_however_broken_escapes_as_anything_but_our_errors(answer: bytes, include_vectors: bool) -> None:
    options = ClientOptions()
    plan = RetryPlan(options)
    reading: list[Call[Any]] = [
        searches.search("docs", [1.0, 2.0], 1, options, include_vectors=include_vectors),
        operations.get("docs", "a"),
        operations.get_collection_status("docs"),
        operations.list_collections(),
        operations.create_collection("docs", 2, "", ""),
    ]
    for call in reading:
        try:
            run(flow(call, plan, None), lambda _: answer)
        except Exception as error:  # noqa: BLE001, PERF203
            assert isinstance(error, VectronError), repr(error)


def test_a_vector_is_unpacked_once_and_only_when_looked_at() -> None:
    result = SearchResult("a", 0.5, vector=PackedVector(struct.pack("<2f", 1, 2)))
    assert "vector=[1.0, 2.0]" in repr(result)
    assert isinstance(given_vector(result), PackedVector), "repr must not unpack"
    assert result.vector is result.vector
    assert given_vector(result) is result.vector


def test_models_behave_like_dataclasses() -> None:
    packed = SearchResult("a", 0.5, {"k": 1}, PackedVector(struct.pack("<2f", 1, 2)))
    for twin in (copy.copy(packed), copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):  # noqa: S301 - our own
        assert twin == packed
    assert Point("a", np.array([1.0])) == Point("a", (1.0,)) == Point("a", [1.0])
    assert Point("a", [1.0]) != Point("a", [2.0])
    assert Point("a", [1.0]).payload is not Point("b", [1.0]).payload
    array = Point("a", (1, 2)).vector_array
    assert array.dtype == np.float32
    assert array.tolist() == [1.0, 2.0]


def test_long_vectors_are_shown_short() -> None:
    shown = "Point(id='a', vector=[1.0, 1.0, 1.0, 1.0, … 768 in all], payload={})"
    assert repr(Point("a", [1.0] * 768)) == shown
    assert repr(Point("a", np.ones(768))) == shown
    assert repr(Point("a", PackedVector(struct.pack("<768f", *[1.0] * 768)))) == shown
    odd: Any = 7
    assert repr(Point("a", odd)) == "Point(id='a', vector=7, payload={})"


classes = [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, VectronError)]


@unhurried
@given(
    st.sampled_from(classes),
    st.text(),
    st.none() | text,
    st.none() | text,
    any_payload,
    st.none() | st.floats(0, 100),
    st.none() | st.booleans(),
)
def test_errors_survive_pickling_and_copying(
    kind: type[VectronError],
    message: str,
    error_code: str | None,
    request_id: str | None,
    details: dict[str, Any],
    retry_after: float | None,
    retryable: bool | None,
) -> None:
    error = kind(
        message,
        error_code=error_code,
        request_id=request_id,
        details=details,
        retry_after=retry_after,
        retryable=retryable,
    )
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(twin) is kind
        assert vars(twin) == vars(error)
        assert (str(twin), repr(twin)) == (str(error), repr(error))


def test_all_errors_are_importable_from_the_top() -> None:
    import vectron_client

    assert {getattr(vectron_client, kind.__name__) for kind in classes} == set(classes)
    assert len(classes) == 13


trailer_values = st.text() | st.binary()
trailers = st.dictionaries(
    st.sampled_from(["x-error-code", "x-request-id", "retry-after", "x-error-details-bin", "other"]), trailer_values
)


@unhurried
@given(st.sampled_from(["NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "SOMETHING_NEW"]), st.text(), trailers)
def test_whatever_the_trailers_say_there_is_an_error(
    status: str, message: str, trailers: dict[str, str | bytes]
) -> None:
    error = error_of(status, message, trailers.items(), method="Get", address="h:1")
    assert isinstance(error, VectronError)
    assert error.code == status
    assert error.retry_after is None or 0 <= error.retry_after < math.inf
    pickle.dumps(error)


@unhurried
@given(st.floats(0, 1))
def test_pauses_are_spread_around_their_length(jitter: float) -> None:
    draw = spread(jitter)
    assert all(1 - jitter <= draw() <= 1 + jitter for _ in range(20))
