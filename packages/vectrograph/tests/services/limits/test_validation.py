import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import InvalidArgument, Place, TooLarge, place_name
from vectrograph.domain.limits import Limits
from vectrograph.services.limits.validation import validate_payload, validate_text, validate_top_k
from vectrograph.services.points.field_names import renaming_fields, request_place

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner)
    ),
    max_leaves=12,
)


@given(st.text(), st.integers(1, 40))
def test_a_text_is_accepted_exactly_when_it_says_something_and_fits(text: str, limit: int) -> None:
    try:
        good = 0 < len(text.encode()) <= limit and bool(text.strip())
    except UnicodeEncodeError:
        good = False
    try:
        validate_text(text, "text", Limits(max_text_bytes=limit))
    except InvalidArgument as error:
        assert not good
        assert error.details["errors"][0]["field"] == "text"
    else:
        assert good


@pytest.mark.slow
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), JSON, max_size=5), st.integers(2, 100))
def test_a_payload_is_measured_as_compact_json(payload: dict[str, object], limit: int) -> None:
    size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    try:
        validate_payload(payload, "payload", Limits(max_payload_bytes=limit))
    except TooLarge:
        assert size > limit
    else:
        # msgspec and json escape a few control characters differently; both spellings are JSON.
        assert size <= limit + 6 * str(payload).count("\\")


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="payload"):
        validate_payload({"a": object()}, "payload", Limits())


def test_a_payload_nested_without_end_is_refused() -> None:
    payload: dict[str, object] = {}
    for _ in range(100_000):
        payload = {"a": payload}
    with pytest.raises((InvalidArgument, TooLarge)):
        validate_payload(payload, "payload", Limits())


@given(st.integers(-5, 2000), st.integers(1, 200))
def test_top_k_is_what_was_asked_or_the_default_or_refused(top_k: int, queries: int) -> None:
    limits = Limits()
    wanted = top_k or limits.default_top_k
    try:
        assert validate_top_k(top_k, limits, queries=queries) == wanted
    except InvalidArgument as error:
        assert top_k < 0 or top_k > limits.max_top_k or wanted * queries > limits.max_hits
        assert error.details["errors"][0]["field"] == "top_k"


def test_a_default_above_the_operators_maximum_is_cut() -> None:
    assert validate_top_k(0, Limits(max_top_k=5)) == 5


@pytest.mark.parametrize(
    ("place", "sequence", "expected"),
    [
        (("ops", 12, "vector", 3), "points", "points[12].vector[3]"),
        (("ops", 0, "id"), None, "id"),
        (("ops", 2), "points", "points[2]"),
        (("ops",), "points", "points"),
        (("ops",), None, "ops"),
        (("cursor",), None, "cursor"),
        (("ops", 1, "payload", "vector"), "points", "points[1].payload.vector"),
    ],
)
def test_fields_are_named_as_the_request_names_them(place: Place, sequence: str | None, expected: str) -> None:
    assert place_name(request_place(place, {"vector": "vector"}, sequence)) == expected


def test_renaming_keeps_kind_message_details_and_cause() -> None:
    inner = InvalidArgument.of(("ops", 1, "vector"), "has 3 components", "dimension_mismatch")
    with pytest.raises(InvalidArgument) as caught, renaming_fields({"vector": "embedding"}, sequence="tokens"):
        raise inner
    assert caught.value.message == "tokens[1].embedding: has 3 components"
    assert caught.value.details["errors"] == [
        {"field": "tokens[1].embedding", "message": "has 3 components", "type": "dimension_mismatch"}
    ]
    assert caught.value.__cause__ is inner
    large = TooLarge.of(("ops", 1, "payload"), "is big", 5, "bytes")
    with pytest.raises(TooLarge) as told, renaming_fields({"payload": "metadata"}):
        raise large
    assert told.value.message == "metadata is big"
    assert told.value.details == {"field": "metadata", "limit": 5, "unit": "bytes"}


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("two fields", errors=[{"field": "ops[0].id"}, {"field": "vector"}]),
        TooLarge("The answer is too large.", details={"field": "vector", "limit": 5, "unit": "bytes"}),
    ],
)
def test_an_error_without_a_place_stays_as_it_is(error: InvalidArgument | TooLarge) -> None:
    with pytest.raises(type(error)) as caught, renaming_fields({"vector": "embedding"}, sequence="tokens"):
        raise error
    assert caught.value is error


@given(st.lists(st.text(max_size=5) | st.integers(0, 99), min_size=1).map(tuple), st.text(max_size=9))
def test_a_payload_cannot_pretend_to_be_a_place(place: Place, message: str) -> None:
    """Names and messages are data of the caller: whatever they hold, only the place decides."""
    moved = InvalidArgument.of(("ops", 7, *place), f"ops[1].{message}").at(("points", 7, *place))
    assert moved.place == ("points", 7, *place)
    assert moved.details["errors"][0]["message"] == f"ops[1].{message}"
