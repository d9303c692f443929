"""Counting JSON without building it. FINDINGS B6."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vectrograph.domain import json_budget
from vectrograph.domain.errors import TooLarge
from vectrograph.domain.json_budget import JsonBudget, count_json
from vectrograph.domain.limits import Limits

TEXTS = st.text(alphabet='ab\\"[]{},: \x00\u00e9\u2028')
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


def built(document: Any) -> tuple[int, int]:
    """Return texts, lists and objects that a parser makes, and all values and names."""
    if isinstance(document, dict):
        parts = [built(part) for pair in document.items() for part in pair]
    elif isinstance(document, list):
        parts = [built(part) for part in document]
    else:
        return int(isinstance(document, str)), 1
    return 1 + sum(part[0] for part in parts), 1 + sum(part[1] for part in parts)


@settings(max_examples=50)
@given(DOCUMENTS, st.integers(1, 9), st.booleans())
@example('\\"', 1, True)
def test_nothing_that_a_parser_builds_is_missed(document: Any, piece: int, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_budget, "_CHUNK_BYTES", piece)
        objects, values = count_json(text)
    assert objects == built(document)[0]
    # An empty list counts for one value more than it holds, at most.
    assert built(document)[1] <= values <= built(document)[1] + objects


def test_marks_within_texts_do_not_count() -> None:
    text = json.dumps(['[{\\",' * 100] * 5).encode()
    JsonBudget(6, 10).require(text, "body")
    with pytest.raises(TooLarge):
        JsonBudget(5, 10).require(text, "body")


@pytest.mark.parametrize("element", [b"[]", b"{}", b'""', b'"x"', b'{"":0}', b"[[]]"])
def test_one_more_than_the_limit_is_refused_with_the_number(element: bytes) -> None:
    each = count_json(element)[0]
    text = b"[" + b",".join([element] * 1000) + b"]"
    JsonBudget(1000 * each + 1, 10_000).require(text, "body")
    with pytest.raises(TooLarge) as caught:
        JsonBudget(1000 * each, 10_000).require(text, "body")
    assert caught.value.details == {"field": "body", "limit": 1000 * each, "unit": "texts, lists and objects"}


@pytest.mark.parametrize("element", [b"0", b"null", b"1e9"])
def test_values_that_are_no_objects_have_a_limit_of_their_own(element: bytes) -> None:
    text = b"[" + b",".join([element] * 1000) + b"]"
    JsonBudget(1, 1001).require(text, "body")
    with pytest.raises(TooLarge, match="more than 500 values"):
        JsonBudget(1, 500).require(text, "body")


def test_texts_of_one_request_count_together() -> None:
    budget = JsonBudget(200, 10_000)
    for _ in range(100):
        budget.require('{"a":1}', "payload")
    with pytest.raises(TooLarge):
        budget.require('{"a":1}', "payload")


def test_many_long_texts_are_not_taken_for_more_than_they_hold() -> None:
    budget = JsonBudget(1_000, 1_000_000)
    for _ in range(100):
        budget.require(b'["%b"]' % (b"x" * 1_000), "payload")
    assert budget._used_objects <= 1_000


def test_a_full_batch_fits() -> None:
    """10,000 points with sixty names and texts each, and 10,000 vectors of 768 short numbers."""
    limits = Limits()
    budget = JsonBudget.of(limits)
    payload = b"{" + b",".join(b'"k%d":"v"' % number for number in range(60)) + b"}"
    budget.require(
        b'{"points":[' + b",".join([b'{"id":"1","payload":%b}' % payload] * limits.max_batch) + b"]}", "body"
    )
    vectors = b"[" + b",".join([b"[%b]" % b",".join([b"0.5"] * 768)] * limits.max_batch) + b"]"
    JsonBudget.of(limits).require(vectors, "body")


@given(
    st.lists(st.sampled_from([b"{}", b'{"a":[1,2,3]}', b"[[],[],[]]", b'{"k":"' + b"x" * 40 + b'"}', b""]), max_size=12)
)
def test_many_texts_are_taken_as_one_after_another(texts: list[bytes]) -> None:
    def refusal(ask: Callable[[JsonBudget], None]) -> str | None:
        budget = JsonBudget(objects=6, values=1_000)
        try:
            ask(budget)
            budget.require(b"[[]]", "last")
        except TooLarge as error:
            return error.message
        return None

    def one_by_one(budget: JsonBudget) -> None:
        for position, text in enumerate(texts):
            budget.require(text, ("texts", position))

    together = refusal(lambda budget: budget.require_all(texts, lambda position: ("texts", position)))
    assert together == refusal(one_by_one)
