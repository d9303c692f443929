"""Filters: builders say what dictionaries say, and what is no filter is refused by name."""

import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from vectron_client import Filter, InvalidArgumentError, VectronError, each, field
from vectron_client.filters import encode_filter

MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("built", "plain"),
    [
        (field("a") == 1, {"path": "a", "eq": 1}),
        (field("a") != None, {"path": "a", "ne": None}),  # noqa: E711 - makes a filter
        (field("a") < 1, {"path": "a", "range": {"lt": 1}}),
        (field("a") <= 1, {"path": "a", "range": {"lte": 1}}),
        (field("a") > 1, {"path": "a", "range": {"gt": 1}}),
        (field("a") >= 1, {"path": "a", "range": {"gte": 1}}),
        (field("a").between(1, 2), {"path": "a", "range": {"gte": 1, "lte": 2}}),
        (field("a").is_in({1: 0, 2: 0}), {"path": "a", "in": [1, 2]}),
        (field("a").since(MOMENT), {"path": "a", "date": {"gte": "2026-01-01T00:00:00+00:00"}}),
        (field("a").before(MOMENT), {"path": "a", "date": {"lt": "2026-01-01T00:00:00+00:00"}}),
        (field("a").exists(), {"path": "a", "exists": True}),
        (field("a").is_null(), {"path": "a", "is_null": True}),
        (field("a").starts_with("x"), {"path": "a", "prefix": "x", "fold_case": False}),
        (field("a").contains_text("x", fold_case=True), {"path": "a", "substring": "x", "fold_case": True}),
        (field("a").any(each() > 1), {"path": "a", "any": {"range": {"gt": 1}}}),
        (field("a").all({"eq": 1}), {"path": "a", "all": {"eq": 1}}),
        (field("a").none(each() == 1), {"path": "a", "none": {"eq": 1}}),
        (field("a", 0, "b") == 1, {"path": ["a", 0, "b"], "eq": 1}),
        (field(0) == 1, {"path": [0], "eq": 1}),
        (~(field("a") == 1), {"not": {"path": "a", "eq": 1}}),
        (
            (field("a") == 1) & {"path": "b", "eq": 2} | (field("c") == 3),
            {"or": [{"and": [{"path": "a", "eq": 1}, {"path": "b", "eq": 2}]}, {"path": "c", "eq": 3}]},
        ),
    ],
    ids=str,
)
def test_builders_and_dictionaries_say_the_same(built: Filter, plain: dict[str, Any]) -> None:
    assert built.to_dict() == plain
    assert json.loads(encode_filter(built)) == json.loads(encode_filter(plain)) == plain
    assert type(built) is Filter


def test_numbers_of_numpy_are_numbers() -> None:
    low: Any = np.int64(1)
    high: Any = np.float32(0.5)
    assert encode_filter(field("a").between(low, high)) == '{"path":"a","range":{"gte":1,"lte":0.5}}'
    assert encode_filter(field("a").is_in(np.array([1, 2]))) == '{"path":"a","in":[1,2]}'


@pytest.mark.parametrize(
    "make",
    [
        lambda: encode_filter("a == 1"),  # type: ignore[arg-type]
        lambda: encode_filter([]),  # type: ignore[arg-type]
        lambda: encode_filter({"path": "a", "eq": math.nan}),
        lambda: encode_filter({"path": "a", "eq": {1, 2}}),
        lambda: encode_filter({"path": "\ud800", "eq": 1}),
        lambda: encode_filter(field("a") == object()),
        lambda: field("a").any(5),  # type: ignore[arg-type]
        lambda: (field("a") == 1) & 5,  # type: ignore[operator]
        field,
    ],
)
def test_what_is_no_filter_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="filter") as caught:
        make()
    assert isinstance(caught.value, VectronError)
    assert caught.value.details["field"].startswith("filter")


def test_a_filter_has_no_truth() -> None:
    with pytest.raises(TypeError, match="join filters with &,"):
        bool(field("a") == 1)
