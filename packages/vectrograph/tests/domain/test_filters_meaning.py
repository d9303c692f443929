"""The meaning of filters: the table of `domain.filters`, laws of logic, and what may be built."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import (
    MAX_DEPTH,
    MAX_SIZE,
    AllElements,
    And,
    AnyElement,
    Compare,
    Comparison,
    DateRange,
    Exists,
    Filter,
    In,
    IsNull,
    NoElement,
    Not,
    Or,
    Prefix,
    Range,
    Substring,
    instant,
    matches,
    predicate,
)
from vectrograph.engines.contract.strategies import filters, json_values, paths, payloads

V = ("v",)
MISSING = object()
VALUES: dict[str, Any] = {
    "missing": MISSING,
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "1": 1,
    "1.0": 1.0,
    "9": 9,
    '"9"': "9",
    '"10"': "10",
    '"date"': "2024-05-01",
    "[]": [],
    "[1]": [1],
    "{}": {},
}

TABLE: list[tuple[Filter, str]] = [
    (Compare(V, Comparison.EQ, 1), "1 1.0"),
    (Compare(V, Comparison.EQ, 1.0), "1 1.0"),
    (Compare(V, Comparison.EQ, True), "true"),
    (Compare(V, Comparison.EQ, False), "false"),
    (Compare(V, Comparison.EQ, 0), "0"),
    (Compare(V, Comparison.EQ, None), "null"),
    (Compare(V, Comparison.EQ, "9"), '"9"'),
    (Compare(V, Comparison.NE, 1), 'null true false 0 9 "9" "10" "date" [] [1] {}'),
    (Compare(V, Comparison.NE, None), 'true false 0 1 1.0 9 "9" "10" "date" [] [1] {}'),
    (Compare(V, Comparison.LT, 9), "0 1 1.0"),
    (Compare(V, Comparison.LTE, 9), "0 1 1.0 9"),
    (Compare(V, Comparison.GT, 0), "1 1.0 9"),
    (Compare(V, Comparison.GTE, "10"), '"9" "10" "date"'),
    (Compare(V, Comparison.LT, "9"), '"10" "date"'),
    (In(V, (1, "9", None)), 'null 1 1.0 "9"'),
    (In(V, (True,)), "true"),
    (In(V, ()), ""),
    (Range(V, gte=0, lt=9), "0 1 1.0"),
    (Range(V, gt=0, gte=1, lte=9), "1 1.0 9"),
    (DateRange(V, gte=datetime(2024, 5, 1, tzinfo=UTC), lt=datetime(2024, 5, 2, tzinfo=UTC)), '"date"'),
    (Exists(V), 'null true false 0 1 1.0 9 "9" "10" "date" [] [1] {}'),
    (IsNull(V), "null"),
    (AnyElement(V, Compare((), Comparison.EQ, 1)), "[1]"),
    (AllElements(V, Compare((), Comparison.EQ, 1)), "[] [1]"),
    (NoElement(V, Compare((), Comparison.EQ, 1)), "[]"),
    (Prefix(V, ""), '"9" "10" "date"'),
    (Prefix(V, "1"), '"10"'),
    (Substring(V, "0"), '"10" "date"'),
]


@pytest.mark.parametrize(("condition", "wanted"), TABLE, ids=lambda value: str(value)[:60])
def test_every_leaf_on_every_kind_of_value(condition: Filter, wanted: str) -> None:
    found = [name for name, v in VALUES.items() if matches(condition, {} if v is MISSING else {"v": v})]
    assert found == [name for name in VALUES if name in wanted.split()]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (("a", "b"), True),
        (("a", "list", 1, "x"), True),
        (("a", "list", 2), False),
        (("a", "list", "1"), False),
        (("a", 0), False),
        (("a", "b", "c"), False),
        (("a.b",), False),
        ((), True),
    ],
)
def test_paths(path: tuple[str | int, ...], wanted: bool) -> None:
    assert matches(Exists(path), {"a": {"b": 1, "list": [0, {"x": None}]}}) is wanted


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-02-29T10:00", datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("2024-02-29T10:00:00.000001Z", datetime(2024, 2, 29, 10, 0, 0, 1, tzinfo=UTC)),
        ("2024-02-29T10:00+05:30", datetime(2024, 2, 29, 4, 30, tzinfo=UTC)),
        ("20240229T100000", datetime(2024, 2, 29, 10, tzinfo=UTC)),
    ],
)
def test_instants(text: str, moment: datetime) -> None:
    assert instant(text) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-02-30", "1709164800", "2024", "\ud800"])
def test_no_instants(text: str) -> None:
    assert instant(text) is None


def test_the_ends_of_time_do_not_overflow() -> None:
    assert instant("0001-01-01T00:00+23:59") < instant("0001-01-01") < 0  # type: ignore[operator]
    assert instant("9999-12-31T23:59-23:59") > instant("9999-12-31T23:59")  # type: ignore[operator]


def test_dates_compare_as_instants_not_as_text() -> None:
    after_noon = DateRange(V, gt=datetime(2024, 1, 1, 12))  # without an offset: UTC
    assert matches(after_noon, {"v": "2024-01-01T08:30-05:00"})
    assert not matches(after_noon, {"v": "2024-01-01T13:30+05:00"})
    east = timezone(timedelta(hours=5))
    assert after_noon == DateRange(V, gt=datetime(2024, 1, 1, 17, tzinfo=east))


def test_folding_is_unicode_case_folding() -> None:
    assert matches(Prefix(V, "STRASSE", fold_case=True), {"v": "straßenbahn"})
    assert matches(Substring(V, "ǰ", fold_case=True), {"v": "xǰx"})
    assert not matches(Prefix(V, "S"), {"v": "s"})


def test_filters_of_different_meaning_are_not_equal() -> None:
    assert Compare(V, Comparison.EQ, True) != Compare(V, Comparison.EQ, 1)
    assert In(V, (0,)) != In(V, (False,))
    assert Compare(V, Comparison.EQ, 1) == Compare(V, Comparison.EQ, 1.0)
    # A cache that took them for equal would answer the second with the first.
    assert predicate(Compare(V, Comparison.EQ, True))({"v": True})
    assert not predicate(Compare(V, Comparison.EQ, 1))({"v": True})


@given(filters, filters, payloads)
def test_boolean_laws(first: Filter, second: Filter, payload: dict[str, Any]) -> None:
    a, b = matches(first, payload), matches(second, payload)
    assert matches(And((first, second)), payload) == (a and b)
    assert matches(Or((first, second)), payload) == (a or b)
    assert matches(Not(first), payload) != a
    assert matches(Not(And((first, second))), payload) == matches(Or((Not(first), Not(second))), payload)
    assert hash(first) == hash(first)


@given(paths, st.lists(json_values, max_size=4), filters)
def test_quantifiers_agree(path: tuple[str | int, ...], items: list[Any], inner: Filter) -> None:
    payload = {"items": items}
    some, every, none = (node(("items",), inner) for node in (AnyElement, AllElements, NoElement))
    assert matches(some, payload) == (not matches(none, payload))
    assert matches(every, payload) == matches(NoElement(("items",), Not(inner)), payload)
    assert matches(some, payload) == any(predicate(inner)(item) for item in items)


@given(paths, payloads, json_values.filter(lambda value: not isinstance(value, list | dict)))
def test_ne_is_exists_and_not_eq(path: tuple[str | int, ...], payload: dict[str, Any], value: Any) -> None:
    equal, unequal = Compare(path, Comparison.EQ, value), Compare(path, Comparison.NE, value)
    assert matches(unequal, payload) == (matches(Exists(path), payload) and not matches(equal, payload))
    assert matches(In(path, (value,)), payload) == matches(equal, payload)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Compare(V, Comparison.EQ, [1]),  # type: ignore[arg-type]
        lambda: Compare(V, Comparison.LT, None),
        lambda: Compare(V, Comparison.GTE, True),
        lambda: Compare(V, Comparison.EQ, math.nan),
        lambda: Compare((True,), Comparison.EQ, 1),
        lambda: Compare((-1,), Comparison.EQ, 1),
        lambda: Compare((None,), Comparison.EQ, 1),  # type: ignore[arg-type]
        lambda: In(V, ({},)),  # type: ignore[arg-type]
        lambda: In(V, tuple(range(MAX_SIZE))),
        lambda: Range(V),
        lambda: Range(V, gt="a"),  # type: ignore[arg-type]
        lambda: Range(V, gt=True),
        lambda: Range(V, lt=math.inf),
        lambda: DateRange(V),
        lambda: DateRange(V, gt="2024-01-01"),  # type: ignore[arg-type]
        lambda: Prefix(V, 1),  # type: ignore[arg-type]
        lambda: And((In(V, tuple(range(MAX_SIZE // 2))),) * 3),
    ],
)
def test_senseless_nodes_are_refused(build: Any) -> None:
    with pytest.raises(InvalidArgument):
        build()


def test_depth_is_bounded() -> None:
    node: Filter = Exists(V)
    for _ in range(MAX_DEPTH - 1):
        node = Not(node)
    assert not matches(node, {"v": 1})
    with pytest.raises(InvalidArgument, match="nested"):
        Not(node)


def test_a_tree_knows_its_extent_without_asking_all_below() -> None:
    """FINDINGS B5: a legal filter of ten thousand nodes was walked through at each of its levels."""
    deep = Not(Compare(("a",), Comparison.EQ, 1))
    for level in range(3, MAX_DEPTH):
        deep = Not(deep)
        assert deep.extent == (level, level)
    wide = And((Or((Compare(("a",), Comparison.EQ, 1), In(("b",), (1, 2, 3)))), deep))
    assert wide.extent == (MAX_DEPTH, 1 + 6 + MAX_DEPTH - 1)
    with pytest.raises(InvalidArgument, match="nested deeper"):
        Not(wide)
