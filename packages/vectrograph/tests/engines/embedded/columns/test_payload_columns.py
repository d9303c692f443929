"""Columns say of every payload exactly what `domain.filters` says, whatever happened before."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import DeadlineExceeded
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
    NoElement,
    Not,
    Or,
    Prefix,
    Range,
    matches,
)
from vectrograph.domain.points import Delete, Op, Patch, Put
from vectrograph.engines.contract.strategies import KEYS, filters, json_values, payloads
from vectrograph.engines.contract.subject import found, make, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.columns.keys import ScalarKey, keys_of
from vectrograph.engines.embedded.columns.store import ColumnStore, Selection
from vectrograph.engines.embedded.columns.table import Table, evaluate, values_at
from vectrograph.engines.embedded.rows.view import View

pytestmark = pytest.mark.slow

ODD: list[Any] = [
    2**53,
    2**53 + 1,
    -(2**53) - 1,
    2.0**53,
    10**400,
    -(10**400),
    2**70,
    2**70 + 1,
    1.7976931348623157e308,
    5e-324,
    -0.0,
    0,
    1,
    True,
    "1",
    "9999-12-31T23:59:59.999999-23:59",
    "0001-01-01",
    "2024-01-01T00:00:00.000001",
    [],
    [[]],
    [1, [2, {"a": None}]],
    {},
    {"a": {}},
]
odd_values = st.sampled_from(ODD)
odd_payloads = st.one_of(payloads, st.dictionaries(st.sampled_from(KEYS[:2]), odd_values | json_values, max_size=2))
PATH = ("a",)


def numeric_filters() -> st.SearchStrategy[Filter]:
    """Return comparisons with numbers around which float64 has gaps."""
    numbers = st.sampled_from([v for v in ODD if isinstance(v, int | float) and not isinstance(v, bool)])
    compares = st.builds(Compare, st.just(PATH), st.sampled_from(Comparison), numbers)
    ranges = st.builds(lambda low, high: Range(PATH, gte=low, lt=high), numbers, numbers)
    return st.one_of(compares, ranges, st.builds(In, st.just(PATH), st.lists(numbers, max_size=12).map(tuple)))


questions = st.one_of(filters, numeric_filters(), numeric_filters().map(Not))


def expected(condition: Filter, rows: list[Any]) -> list[bool]:
    return [matches(condition, payload) for payload in rows]


def patched(table: Table, rows: list[int], payloads: list[Any]) -> Table:
    places = np.array(rows, np.int64)
    return Table(
        table.size, {key: column.patched(places, values_at(key, payloads)) for key, column in table.columns.items()}
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_table_says_what_the_predicate_says(data: st.DataObject) -> None:
    condition = data.draw(questions)
    table, rows = Table.empty(keys_of(condition)), list[Any]()
    seen: list[tuple[Table, list[Any]]] = []
    for _ in range(data.draw(st.integers(1, 4))):
        more = json.loads(json.dumps(data.draw(st.lists(odd_payloads, max_size=6))))
        table, rows = table.extended(more), rows + more
        if rows and data.draw(st.booleans()):
            places = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=3, unique=True))
            changed = data.draw(st.lists(odd_payloads, min_size=len(places), max_size=len(places)))
            table, rows = patched(table, places, changed), rows.copy()
            for place, payload in zip(places, changed, strict=True):
                rows[place] = payload
        seen.append((table, rows))
    for earlier, payloads_then in seen:
        assert evaluate(condition, earlier, go_on).tolist() == expected(condition, payloads_then)


@settings(max_examples=60, deadline=None)
@given(condition=questions, rows=st.lists(odd_payloads, max_size=12), data=st.data())
def test_rows_may_be_left_out(condition: Filter, rows: list[Any], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True)) if rows else []
    table = Table.empty(keys_of(condition)).extended(rows)
    places = np.array(kept, np.int64)
    fewer = Table(len(kept), {key: column.taken(places) for key, column in table.columns.items()})
    assert evaluate(condition, fewer, go_on).tolist() == expected(condition, [rows[each] for each in kept])


# ---------------------------------------------------------------- in an engine


class Stop(Exception):
    """Raised in place of a deadline."""


def after(calls: int) -> Callable[[], None]:
    """Return a check that stops the work at its n-th call."""
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise Stop

    return check


def go_on() -> None:
    """Never stops."""


@pytest.fixture
def engine(scratch: Path) -> Iterator[EmbeddedEngine]:
    opened = EmbeddedEngine.open(scratch / "columns")
    yield opened
    opened.close()


@pytest.fixture
def docs(engine: EmbeddedEngine) -> CollectionRef:
    return make(engine, "docs")


def collection_of(engine: EmbeddedEngine, ref: CollectionRef) -> Collection:
    return engine._catalog.find(ref)


def select(collection: Collection, columns: ColumnStore, condition: Filter) -> tuple[View, Selection]:
    with columns.updating(go_on), collection.snapshot(go_on) as (connection, view):
        return view, columns.select(connection, view, condition, go_on)


def labels_of(view: View, selection: Selection) -> list[int]:
    assert selection.count == int(np.count_nonzero(selection.mask))
    labels: list[int] = view.labels[selection.mask].tolist()
    return labels


NUMBERS = Range(("n",), lt=50)


def fill(engine: EmbeddedEngine, ref: CollectionRef, first: int, count: int) -> None:
    engine.write(
        ref,
        [
            Put(id=f"{n}", vector=vector(n, 0), payload={"n": n % 100, "s": f"name {n % 7}", "tags": [n % 3, n % 5]})
            for n in range(first, first + count)
        ],
    )


def test_columns_follow_every_change(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    collection, columns = collection_of(engine, docs), ColumnStore()
    generator = np.random.default_rng(11)
    asked: list[Filter] = [
        NUMBERS,
        Not(Prefix(("s",), "name 3")),
        AnyElement(("tags",), Compare((), Comparison.EQ, 2)),
        And((NoElement(("tags",), Range((), gt=3)), Or((Exists(("extra",)), NUMBERS)))),
        AllElements(("tags",), Range((), lt=4)),
    ]
    for step in range(40):
        fill(engine, docs, 30 * step, 30)
        ops: list[Op] = []
        for each in generator.integers(0, 30 * step + 30, 12).tolist():
            patch = Patch(id=f"{each}", payload={"n": step, "extra": each})
            ops += [patch, Delete(id=f"{each}")] if each % 5 == 0 else [patch]
        engine.write(docs, [*ops, Put(id="7", vector=vector(7, 7), payload={"n": 7, "tags": [step]})])
        condition = asked[step % len(asked)]
        view, selection = select(collection, columns, condition)
        with collection.snapshot(go_on) as (connection, same):
            wanted = ColumnStore.by_payload(connection, same, condition, go_on)
        assert labels_of(view, selection) == labels_of(same, wanted)
        ready = columns.ready(condition, view)
        assert ready is not None
        assert labels_of(view, ready) == labels_of(view, selection)


def test_a_change_makes_columns_stale_at_once(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    fill(engine, docs, 0, 100)
    collection, columns = collection_of(engine, docs), ColumnStore()
    before, _ = select(collection, columns, NUMBERS)
    for op in (Patch(id="3", payload={"n": 99}), Delete(id="4"), Put(id="5", vector=vector(0, 0))):
        engine.write(docs, [op])
        assert columns.ready(NUMBERS, collection.view()) is None
        _, selection = select(collection, columns, NUMBERS)
        assert selection.count == engine.count(docs, NUMBERS)
    # Who still holds the View of before is not told of what came later.
    assert columns.ready(NUMBERS, before) is None


def test_an_interrupted_building_goes_on_where_it_stopped(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    fill(engine, docs, 0, 5_000)
    collection, columns = collection_of(engine, docs), ColumnStore()
    with columns.updating(go_on), collection.snapshot(go_on) as (connection, view), pytest.raises(Stop):
        columns.select(connection, view, NUMBERS, after(2))
    done = columns._entries[ScalarKey(("n",))].column.size
    assert 0 < done < 5_000
    assert columns.ready(NUMBERS, view) is None
    engine.write(docs, [Patch(id="1", payload={"n": 99}), Delete(id="2")])
    assert select(collection, columns, NUMBERS)[1].count == 2_500 - 2


def test_what_does_not_fit_is_evaluated_payload_by_payload(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    fill(engine, docs, 0, 2_000)
    collection, columns = collection_of(engine, docs), ColumnStore(limit=4_000)
    assert select(collection, columns, NUMBERS)[1].count == 1_000
    assert columns.nbytes == 0
    assert select(collection, columns, NUMBERS)[1].count == 1_000


def test_the_column_that_was_not_used_for_longest_goes(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    fill(engine, docs, 0, 2_000)
    collection, columns = collection_of(engine, docs), ColumnStore(limit=50_000)
    others: list[Filter] = [Exists(("s",)), Exists(("missing",)), Exists(("tags",)), Exists(("tags", 0))]
    for condition in [NUMBERS, *others]:
        select(collection, columns, condition)
        assert columns.nbytes <= 60_000
    kept = set(columns._entries)
    assert ScalarKey(("tags", 0)) in kept
    assert ScalarKey(("n",)) not in kept


def test_a_dictionary_of_old_values_is_not_kept(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    fill(engine, docs, 0, 10)
    collection, columns = collection_of(engine, docs), ColumnStore()
    condition = Prefix(("s",), "name 1")
    for step in range(300):
        engine.write(docs, [Patch(id=f"{n}", payload={"s": f"name {step} {n}"}) for n in range(10)])
        select(collection, columns, condition)
        column = columns._entries[ScalarKey(("s",))].column
        assert column.size == 10
        assert column.nbytes < 300_000


def test_dates_are_compared_as_instants(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    stamps = ["2024-01-01", "2024-01-01T01:00:00+02:00", "2023-12-31T23:59:59.999999Z", "soon", "9999-12-31"]
    engine.write(docs, [Put(id=at, vector=vector(1, 1), payload={"at": at}) for at in stamps])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert found(engine, docs, (0, 0), filter=DateRange(("at",), gte=start, lt=datetime(2025, 1, 1))) == [stamps[0]]
    assert set(found(engine, docs, (0, 0), filter=DateRange(("at",), lt=start))) == set(stamps[1:3])


def test_a_deadline_holds_while_columns_are_built(engine: EmbeddedEngine, docs: CollectionRef) -> None:
    fill(engine, docs, 0, 5_000)
    with pytest.raises(DeadlineExceeded):
        engine.count(docs, NUMBERS, deadline=0.0)
    assert engine.count(docs, NUMBERS) == 2_500
