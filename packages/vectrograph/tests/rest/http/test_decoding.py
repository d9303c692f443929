"""Decoding: bytes become a struct or an InvalidArgument that names the field; nothing else escapes the parser."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.domain.limits import Limits
from vectrograph.http.decoding import as_vector, decode, decode_id, decode_query
from vectrograph.rest import requests

BUDGET = JsonBudget.of(Limits())
BATCH = msgspec.json.Decoder(requests.TokenBatch)
UPDATE = msgspec.json.Decoder(requests.TokenUpdate)
LOGIN = msgspec.json.Decoder(requests.Login)
ANY: list[msgspec.json.Decoder[Any]] = [BATCH, UPDATE, LOGIN, msgspec.json.Decoder(requests.TokenQuery)]


def refusal(decoder: msgspec.json.Decoder[Any], body: bytes) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        decode(decoder, body, BUDGET)
    (entry,) = caught.value.details["errors"]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        (b"", "body", "missing"),
        (b"  \n", "body", "missing"),
        (b"{", "body", "json_invalid"),
        (b'{"tokens":[]}}', "body", "json_invalid"),
        (b'{"tokens":[{"embedding":[NaN]}]}', "body", "json_invalid"),
        (b'{"tokens":[{"embedding":[Infinity]}]}', "body", "json_invalid"),
        (b'{"tokens":[{"text":"\xff"}]}', "body", "json_invalid"),
        (b'{"tokens":[{"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}", "body", "json_invalid"),
        (b"[]", "body", "type_error"),
        (b"null", "body", "type_error"),
        (b"{}", "tokens", "missing"),
        (b'{"tokens":null}', "tokens", "type_error"),
        (b'{"tokens":[{"text":1}]}', "tokens.0.text", "type_error"),
        (b'{"tokens":[{"text":"a"},{"embedding":[1,"b"]}]}', "tokens.1.embedding.1", "type_error"),
        (b'{"tokens":[{"embedding":[true]}]}', "tokens.0.embedding.0", "type_error"),
        (b'{"tokens":[{"embedding":[1e999]}]}', "tokens.0.embedding.0", "value_error"),
        (b'{"tokens":[{"metadata":[]}]}', "tokens.0.metadata", "type_error"),
        (b'{"tokens":[{"txet":"a"}]}', "tokens.0.txet", "extra_forbidden"),
        (b'{"tokens":[],"more":1}', "more", "extra_forbidden"),
    ],
)
def test_complaints_name_the_field(body: bytes, field: str, kind: str) -> None:
    entry = refusal(BATCH, body)
    assert (entry["field"], entry["type"]) == (field, kind)
    assert entry["message"]


def test_a_length_is_a_wrong_value_not_a_wrong_type() -> None:
    assert refusal(LOGIN, b'{"username":"","password":"x"}')["type"] == "value_error"


def test_absent_and_null_differ() -> None:
    update = decode(UPDATE, b'{"text":null}', BUDGET)
    assert update.text is None
    assert update.embedding is msgspec.UNSET
    assert update.metadata is msgspec.UNSET


def test_reprs_of_bodies_with_secrets_show_none() -> None:
    body = decode(LOGIN, b'{"username":"u","password":"swordfish"}', BUDGET)
    assert body.password == "swordfish"
    assert "swordfish" not in repr(body)
    assert "swordfish" not in repr(requests.PasswordChange(old_password="swordfish", new_password="swordfish2"))


@given(st.sampled_from(ANY), st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(decoder: msgspec.json.Decoder[Any], body: bytes) -> None:
    try:
        decode(decoder, body, BUDGET)
    except InvalidArgument as error:
        assert len(error.details["errors"]) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(ANY), st.dictionaries(st.sampled_from(["tokens", "text", "username", "x.`y`[0]"]), JSON))
def test_random_json_never_raises_anything_else(decoder: msgspec.json.Decoder[Any], value: dict[str, Any]) -> None:
    try:
        decode(decoder, json.dumps(value).encode(), BUDGET)
    except InvalidArgument as error:
        (entry,) = error.details["errors"]
        assert entry["field"]
        assert not entry["field"].startswith((".", "$"))


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_metadata_arrives_as_it_was_sent(metadata: dict[str, Any]) -> None:
    sent = json.dumps({"tokens": [{"text": "a", "metadata": metadata}]}).encode()
    assert decode(BATCH, sent, BUDGET).tokens[0].metadata == metadata


def test_a_query_string_is_typed() -> None:
    assert decode_query(requests.Page, {"limit": "5", "other": "x"}) == requests.Page(limit=5, offset=0)
    assert decode_query(requests.Page, {}).limit is msgspec.UNSET
    with pytest.raises(InvalidArgument) as caught:
        decode_query(requests.Page, {"limit": "ten"})
    assert caught.value.details["errors"][0]["field"] == "limit"


@given(st.integers(min_value=-(10**19), max_value=10**19))
def test_ids_are_whole_numbers(number: int) -> None:
    assert decode_id("token_id", str(number)) == number


@pytest.mark.parametrize("text", ["", "a", "1.0", "1_0", " 1", "+1", "٣", "9" * 21, "0x1"])
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        decode_id("token_id", text)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_vectors_keep_every_float32(values: list[float]) -> None:
    vector = as_vector(values)
    assert vector.dtype == np.float32
    assert vector.shape == (len(values),)
    assert vector.tolist() == values


def test_numbers_beyond_float32_become_infinite_for_the_services_to_refuse() -> None:
    assert np.isinf(as_vector([1e300, 1.0])).tolist() == [True, False]
