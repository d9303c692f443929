"""The JSON of protocol buffers, and the gateway's table of errors beside gRPC's."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import assume, given
from hypothesis import strategies as st

from vectrograph.domain import errors as domain
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.limits import Limits
from vectrograph.gateway.errors import HTTP_STATUS, gateway_error_answer
from vectrograph.gateway.proto_json import read_bytes, read_message
from vectrograph.http.errors import MethodNotAllowed, RouteNotFound, UnsupportedMediaType
from vectrograph.rpc._pb import vectron_pb
from vectrograph.rpc.errors import status_of
from vectrograph.vectron._messages.vectron import SearchRequest
from vectrograph.vectron.codes import number_of

NUMBERS = st.one_of(
    st.integers(-(2**33), 2**33),
    st.floats(),
    st.integers(-5, 5).map(str),
    st.sampled_from(["1.0", "1e2", "01", "+1", " 1", "", "NaN", "Infinity", "-Infinity", "nan", "0x1", "1_0"]),
    st.booleans(),
    st.none(),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "collection": st.one_of(st.text(max_size=3), st.none(), st.integers()),
        "vector": st.one_of(st.lists(NUMBERS, max_size=3), st.none(), st.text(max_size=2)),
        "topK": NUMBERS,
        "timeout_ms": NUMBERS,
        "includeVectors": st.one_of(st.booleans(), st.none(), st.just("true"), st.just(1)),
        "noSuchField": st.integers(),
    },
)


@given(FIELDS)
def test_it_reads_what_googles_own_parser_reads(fields: dict[str, Any]) -> None:
    text = json.dumps(fields)
    assume(not ("NaN," in text or "NaN}" in text or "NaN]" in text or "Infinity" in text.replace('"', "").split()))
    expected: Any
    try:
        expected = json_format.Parse(text, vectron_pb.SearchRequest(), ignore_unknown_fields=True)
    except json_format.ParseError:
        expected = None
    try:
        found = read_message(SearchRequest, text.encode(), Limits())
    except InvalidArgument:
        assert expected is None or not beyond_dispute(fields)
        return
    if expected is None:
        # Google's Python parser refuses floats beyond 32 bits while parsing; here the engine does, naming the place.
        assert any(abs(value) > 3.4e38 for value in found.vector)
        return
    assert found.collection == expected.collection
    assert (found.top_k, found.timeout_ms) == (expected.top_k, expected.timeout_ms)
    assert found.include_vectors == expected.include_vectors
    assert [pytest.approx(value, rel=1e-6, nan_ok=True) for value in found.vector] == list(expected.vector)


def beyond_dispute(fields: dict[str, Any]) -> bool:
    """Python's parser also takes what the specification does not: booleans and oddly spelt strings as numbers."""
    values = [fields.get("topK"), fields.get("timeout_ms"), *(fields.get("vector") or [])]
    return not any(isinstance(value, str | bool) for value in values)


@pytest.mark.parametrize("text", ["_-8", "_-8=", "/+8=", "/+8"])
def test_both_alphabets_of_base64_with_and_without_padding(text: str) -> None:
    assert read_bytes(text, "f") == b"\xff\xef"


def descendants(kind: type[domain.DomainError]) -> list[type[domain.DomainError]]:
    found = kind.__subclasses__()
    own = [child for child in found if child.__module__ == domain.__name__]
    return own + [grandchild for child in own for grandchild in descendants(child)]


@pytest.mark.parametrize("kind", descendants(domain.DomainError))
def test_both_transports_of_vectron_agree_on_every_error(kind: type[domain.DomainError]) -> None:
    error = kind("what happened")
    assert number_of(kind) == status_of(error).value[0]
    answer = gateway_error_answer(error)
    body = json.loads(answer.body)
    assert body["code"] == number_of(kind)
    assert answer.status == {domain.PositionExpired: 410, domain.TooLarge: 413}.get(kind, HTTP_STATUS[body["code"]])
    if kind is domain.InternalError:
        assert "what happened" not in body["message"]
    else:
        assert body["message"] == "what happened"
        assert answer.headers["X-Error-Code"] == kind.code


def test_refusals_of_http_itself() -> None:
    shown = [(a.status, json.loads(a.body)["code"]) for a in map(gateway_error_answer, (
        RouteNotFound("x"), MethodNotAllowed("x"), UnsupportedMediaType("x"), RuntimeError("secret"),
    ))]  # fmt: skip
    assert shown == [(404, 5), (501, 12), (415, 3), (500, 13)]


def test_a_defect_is_answered_without_its_text() -> None:
    assert b"secret" not in gateway_error_answer(RuntimeError("secret")).body


def test_the_challenge_is_safe_in_a_header() -> None:
    header = gateway_error_answer(domain.InvalidToken("nö ✓")).headers["WWW-Authenticate"]
    assert header.isascii()
    assert gateway_error_answer(domain.Unavailable("later", retry_after=0.2)).headers["Retry-After"] == "1"
