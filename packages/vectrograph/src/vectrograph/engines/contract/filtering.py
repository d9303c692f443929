"""Filters: every node, in every verb that takes one."""

# ruff: noqa: S101

from datetime import UTC, datetime
from typing import Any

import pytest

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.filters.evaluation import (
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
)
from vectrograph.domain.points import DeleteWhere, Put
from vectrograph.domain.queries import ScrollRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import Subject, everything, found, ids, vector

CORPUS: dict[str, dict[str, Any]] = {
    "number": {"v": 9, "at": "2024-02-29"},
    "float": {"v": 9.0, "at": "2024-02-29T12:00:00+05:00"},
    "text": {"v": "9", "at": "2024-03-01T00:00:00Z"},
    "ten": {"v": "10", "at": "not a date"},
    "true": {"v": True, "at": 1709164800},
    "one": {"v": 1},
    "null": {"v": None},
    "missing": {},
    "array": {"v": [1, "1", None], "deep": {"list": [{"k": "x"}, {"k": "Straße"}]}},
    "empty": {"v": [], "deep": {"list": []}},
    "object": {"v": {"9": 9, "a.b": 1}, "deep": {"list": {"0": {"k": "x"}}}},
    "upper": {"v": "STRASSE"},
}


def eq(value: Any, *path: str | int) -> Compare:
    """Return an equality, by default of the key `v`."""
    return Compare(path or ("v",), Comparison.EQ, value)


NOON = datetime(2024, 2, 29, 7, tzinfo=UTC)
V = ("v",)

CASES: dict[str, tuple[Filter, set[str]]] = {
    "eq number": (eq(9), {"number", "float"}),
    "eq text": (eq("9"), {"text"}),
    "eq true is not 1": (eq(True), {"true"}),
    "eq 1 is not true": (eq(1), {"one"}),
    "eq null": (eq(None), {"null"}),
    "ne": (Compare(V, Comparison.NE, 9), set(CORPUS) - {"number", "float", "missing"}),
    "not eq": (Not(eq(9)), set(CORPUS) - {"number", "float"}),
    "lt": (Compare(V, Comparison.LT, 9), {"one"}),
    "lte": (Compare(V, Comparison.LTE, 9), {"one", "number", "float"}),
    "gt text": (Compare(V, Comparison.GT, "10"), {"text", "upper"}),
    "gte": (Compare(V, Comparison.GTE, 9.0), {"number", "float"}),
    "in": (In(V, (9, "10", None)), {"number", "float", "ten", "null"}),
    "in nothing": (In(V, ()), set()),
    "range": (Range(V, gt=1, lte=9), {"number", "float"}),
    "range open": (Range(V, lt=1e9), {"number", "float", "one"}),
    "date": (DateRange(("at",), gte=datetime(2024, 2, 29), lt=datetime(2024, 3, 1)), {"number", "float"}),
    "date with offset": (DateRange(("at",), gte=NOON, lte=NOON), {"float"}),
    "exists": (Exists(V), set(CORPUS) - {"missing"}),
    "is null": (IsNull(V), {"null"}),
    "any speaks of elements": (AnyElement(V, eq("1", "v")), set()),
    "any element": (AnyElement(V, Compare((), Comparison.EQ, "1")), {"array"}),
    "all": (AllElements(V, Not(eq(7))), {"array", "empty"}),
    "none": (NoElement(V, Compare((), Comparison.EQ, 1)), {"empty"}),
    "any nested": (AnyElement(("deep", "list"), eq("x", "k")), {"array"}),
    "nested": (eq("x", "deep", "list", 0, "k"), {"array"}),
    "nested key that looks like a position": (eq("x", "deep", "list", "0", "k"), {"object"}),
    "key with a dot": (eq(1, "v", "a.b"), {"object"}),
    "beyond the array": (Exists(("v", 3)), set()),
    "prefix": (Prefix(V, "1"), {"ten"}),
    "prefix folded": (Prefix(V, "strass", fold_case=True), {"upper"}),
    "substring": (Substring(V, "RAS"), {"upper"}),
    "substring folded": (Substring(("deep", "list", 1, "k"), "TRASSE", fold_case=True), {"array"}),
    "substring, other case": (Substring(V, "ras"), set()),
    "and": (And((Exists(("at",)), Exists(V), Not(eq(9)))), {"text", "ten", "true"}),
    "or": (Or((eq(9), eq("9"))), {"number", "float", "text"}),
    "and of nothing": (And(()), set(CORPUS)),
    "or of nothing": (Or(()), set()),
}


class FilterContract(Subject):
    """`domain.filters` alone says what matches."""

    @pytest.fixture
    def corpus(self, engine: Engine, docs: CollectionRef) -> CollectionRef:
        """Provide one point per kind of payload."""
        engine.write(docs, [Put(id=name, vector=vector(1, 1), payload=payload) for name, payload in CORPUS.items()])
        return docs

    @pytest.mark.parametrize("case", CASES)
    def test_search_scroll_count_and_delete_agree(self, engine: Engine, corpus: CollectionRef, case: str) -> None:
        """On what matches, and that is what the table of `domain.filters` says."""
        condition, wanted = CASES[case]
        if not {"and", "or", "not"} <= engine.capabilities.filter_nodes:
            pytest.skip("the engine does not filter")
        assert set(found(engine, corpus, (0, 0), 100, filter=condition)) == wanted
        assert set(ids(everything(engine, corpus, filter=condition))) == wanted
        assert engine.count(corpus, condition) == len(wanted)
        deleted = engine.write(corpus, [DeleteWhere(filter=condition)])
        assert {outcome.id for outcome in deleted.outcomes} == wanted
        assert set(ids(everything(engine, corpus))) == set(CORPUS) - wanted

    def test_a_filter_sees_every_change(self, engine: Engine, corpus: CollectionRef) -> None:
        """Repeated questions are answered from the present state."""
        assert engine.count(corpus, eq(9)) == 2
        engine.write(corpus, [Put(id="number", vector=vector(1, 1), payload={"v": 10})])
        assert engine.count(corpus, eq(9)) == 1
        assert found(engine, corpus, (0, 0), filter=eq(10)) == ["number"]
        assert ids(engine.scroll(corpus, ScrollRequest(limit=5, filter=eq(10))).points) == ["number"]
