"""Filters as JSON: every node there and back, and refusals that name the place."""

import json
from typing import Any

import pytest
from hypothesis import given

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import (
    MAX_DEPTH,
    NODES,
    AnyElement,
    Compare,
    Comparison,
    DateRange,
    Exists,
    Filter,
    IsNull,
    Not,
    Prefix,
    Range,
    matches,
)
from vectrograph.domain.filters.json_form import parse, to_dict
from vectrograph.engines.contract.strategies import filters, payloads


@given(filters, payloads)
def test_there_and_back(condition: Filter, payload: dict[str, Any]) -> None:
    text = json.dumps(to_dict(condition))
    again = parse(json.loads(text))
    assert again == condition
    assert matches(again, payload) == matches(condition, payload)


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"path": "genre", "eq": "drama"}, Compare(("genre",), Comparison.EQ, "drama")),
        ({"path": ["a", 0, "b"], "gte": 1}, Compare(("a", 0, "b"), Comparison.GTE, 1)),
        ({"path": "year", "range": {"gte": 1990, "lt": 2000}}, Range(("year",), gte=1990, lt=2000)),
        ({"path": "tags", "any": {"eq": "red"}}, AnyElement(("tags",), Compare((), Comparison.EQ, "red"))),
        ({"path": "x", "exists": False}, Not(Exists(("x",)))),
        ({"path": "x", "is_null": True}, IsNull(("x",))),
        ({"path": "x", "prefix": "a", "fold_case": True}, Prefix(("x",), "a", fold_case=True)),
        ({"path": "eq", "eq": None}, Compare(("eq",), Comparison.EQ, None)),
    ],
)
def test_the_documented_forms(document: dict[str, Any], wanted: Filter) -> None:
    assert parse(document) == wanted


def test_dates_are_read_with_their_offset() -> None:
    condition = parse({"path": "at", "date": {"gte": "2024-01-01T00:00+02:00"}})
    assert isinstance(condition, DateRange)
    assert matches(condition, {"at": "2023-12-31T22:00Z"})
    assert to_dict(condition) == {"path": "at", "date": {"gte": "2023-12-31T22:00:00+00:00"}}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, "filter"),
        ([], "filter"),
        ({}, "filter"),
        ({"path": "x"}, "filter"),
        ({"path": "x", "eq": 1, "ne": 2}, "filter"),
        ({"path": "x", "eq": 1, "colour": 2}, "filter.colour"),
        ({"and": [{"path": "x", "eq": 1}, {"path": "y", "lt": None}]}, "filter.and[1].lt"),
        ({"and": {"path": "x", "eq": 1}}, "filter.and"),
        ({"not": {"or": [{"path": 5, "eq": 1}]}}, "filter.not.or[0].path"),
        ({"and": [], "path": "x"}, "filter.path"),
        ({"path": "x", "in": 5}, "filter.in"),
        ({"path": "x", "in": [1, [2]]}, "filter.in[1]"),
        ({"path": "x", "range": {}}, "filter.range"),
        ({"path": "x", "range": {"from": 1}}, "filter.range"),
        ({"path": "x", "range": {"gt": "a"}}, "filter.range.gt"),
        ({"path": "x", "date": {"gt": "soon"}}, "filter.date.gt"),
        ({"path": "x", "date": {"gt": 5}}, "filter.date.gt"),
        ({"path": "x", "exists": 1}, "filter.exists"),
        ({"path": "x", "prefix": 1}, "filter.prefix"),
        ({"path": "x", "prefix": "a", "fold_case": "yes"}, "filter.fold_case"),
        ({"path": ["x", -1], "eq": 1}, "filter.path"),
        ({"path": "x", "any": "red"}, "filter.any"),
        ({"path": "x", "all": {"path": {}, "eq": 1}}, "filter.all.path"),
        ({"path": "x", "eq": {"a": 1}}, "filter.eq"),
    ],
)
def test_refusals_name_the_place(document: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse(document)
    assert raised.value.details["errors"][0]["field"] == field


def test_deep_documents_are_refused_before_they_are_walked() -> None:
    document: Any = {"path": "x", "eq": 1}
    for _ in range(100_000):
        document = {"not": document}
    with pytest.raises(InvalidArgument, match=str(MAX_DEPTH)):
        parse(document)
    while "not" in document:
        # Taken apart by hand: the interpreter would recurse.
        document = document.pop("not")


def test_every_operator_has_a_form() -> None:
    examples: dict[str, Any] = {
        **dict.fromkeys(["eq", "ne", "lt", "lte", "gt", "gte"], 1),
        **{name: {"exists": True} for name in ("any", "all", "none", "not")},
        "and": [],
        "or": [],
        **dict.fromkeys(["exists", "is_null"], True),
        **dict.fromkeys(["prefix", "substring"], "x"),
        "in": [1],
        "range": {"gt": 1},
        "date": {"gt": "2024-01-01"},
    }
    assert set(examples) == NODES
    for name, value in examples.items():
        assert name in to_dict(parse({name: value}))
