"""jsonpath of a filter selects a superset, and exactly the matches where it says so."""

import json
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings

from vectrograph.domain.filters.evaluation import (
    And,
    AnyElement,
    Compare,
    Comparison,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Prefix,
    Range,
    Substring,
    matches,
)
from vectrograph.domain.filters.nodes import MAX_DEPTH, MAX_SIZE
from vectrograph.engines.contract.strategies import filters, payloads
from vectrograph.engines.postgres.filters import compile_filter

V = ("v",)
# What decimals and float64 may tell apart in different ways.
NUMBERS = [0, -0.0, 0.1, 0.1 + 0.2, 1e-7, -1.5, 2**53, 2**53 + 1, 2.0**60, 2**60, 10**300, 1e300, 5e-324, -(2**70)]
TEXTS = ["", "a", 'q"\\', "ä\u2028", "a\nb", "%_", "x.y", "\U0001f600", "a\x00b", "\ud800"]


def selects(sql: psycopg.Connection[Any], filter: Filter, payload: dict[str, Any]) -> bool:
    row = sql.execute("SELECT %s::jsonb @? %s::jsonpath", (json.dumps(payload), compile_filter(filter).path)).fetchone()
    assert row is not None
    return bool(row[0])


def require_right(sql: psycopg.Connection[Any], filter: Filter, payload: dict[str, Any]) -> None:
    selected, wanted = selects(sql, filter, payload), matches(filter, payload)
    assert selected or not wanted
    if compile_filter(filter).exact:
        assert selected == wanted


def test_any_filter_on_any_payload(sql: psycopg.Connection[Any]) -> None:
    @settings(max_examples=250)
    @given(filters, payloads)
    def check(filter: Filter, payload: dict[str, Any]) -> None:
        require_right(sql, filter, payload)

    check()


def test_numbers_of_every_size(sql: psycopg.Connection[Any]) -> None:
    for constant in NUMBERS:
        for value in NUMBERS:
            for op in Comparison:
                require_right(sql, Compare(V, op, constant), {"v": value})
            require_right(sql, Not(Range(V, gt=constant)), {"v": value})


def test_texts_of_every_kind(sql: psycopg.Connection[Any]) -> None:
    for constant in TEXTS:
        conditions: list[Filter] = [Compare(V, op, constant) for op in Comparison]
        conditions += [Prefix(V, constant), Substring(V, constant), Substring(V, constant * 300), Exists((constant,))]
        for value in TEXTS:
            if "\x00" in value or "\ud800" in value:
                continue
            for condition in conditions:
                require_right(sql, condition, {"v": value, value: 1})
                require_right(sql, Not(condition), {"v": value})


def test_usual_conditions_are_exact() -> None:
    """Or else every count would read every payload."""
    usual: list[Filter] = [
        Compare(V, Comparison.EQ, "x"),
        Compare(V, Comparison.NE, 1),
        In(V, ("a", 1, None, True)),
        Range(V, gte=0, lt=1.5),
        Exists(V),
        Prefix(V, "a"),
        Substring(V, "a"),
        AnyElement(V, Compare((), Comparison.EQ, "x")),
    ]
    assert compile_filter(And((*usual, Not(Or(tuple(usual[:6])))))).exact


@pytest.mark.parametrize("negated", [False, True])
def test_the_largest_filters_are_taken(sql: psycopg.Connection[Any], negated: bool) -> None:
    """Neither the server's stack nor the length of a statement gives way."""
    wide: Filter = In(V, tuple(range(MAX_SIZE - 2)))
    deep: Filter = Compare(V, Comparison.EQ, "x")
    for _ in range(MAX_DEPTH - 2):
        deep = AnyElement(V, deep)
    many: Filter = Or(tuple(Compare((f"k{n}",), Comparison.NE, n) for n in range(MAX_SIZE // 2)))
    for condition in (wide, deep, many):
        require_right(sql, Not(condition) if negated else condition, {"v": MAX_SIZE - 3, "k7": 8})
