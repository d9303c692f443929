"""Hypothesis strategies for what crosses the protocol: payloads, filters, operations. Small, so that things collide."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import strategies as st

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
    Path,
    Prefix,
    Range,
    Substring,
)
from vectrograph.domain.points import KEEP, Delete, DeleteWhere, Op, Patch, Precondition, Put, Vector

KEYS = ["a", "b", "0", "a.b", ""]
TEXTS = ["", "x", "X", "xy", "ß", "SS", "10", "9", "2024-01-01", "2024-01-01T00:00:00+02:00"]
NAMES = ["a", "b", "c", "d", "é", "1", "2", "10"]

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 9, 10, 2**70, 1.0, 0.5, -0.0, 1e300]),
    st.sampled_from(TEXTS),
)

json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)

payloads: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(KEYS), json_values, max_size=3)

paths: st.SearchStrategy[Path] = st.lists(st.sampled_from(KEYS) | st.integers(0, 2), min_size=0, max_size=3).map(tuple)


@st.composite
def _ranges(draw: st.DrawFn) -> Filter:
    names = draw(st.lists(st.sampled_from(["gt", "gte", "lt", "lte"]), min_size=1, max_size=2, unique=True))
    path = draw(paths)
    if draw(st.booleans()):
        bounds = st.sampled_from([0, 1, 0.5, 10, -1e300])
        return Range(path, **{name: draw(bounds) for name in names})
    start = datetime(2024, 1, 1, tzinfo=UTC)
    hours = st.integers(-3, 3).map(lambda hour: start + timedelta(hours=hour))
    return DateRange(path, **{name: draw(hours) for name in names})


def _compare(path: Path, op: Comparison, value: Any) -> Filter:
    ordered = op in (Comparison.EQ, Comparison.NE) or (isinstance(value, int | float | str) and value is not True)
    return Compare(path, op, value if ordered and value is not False else 1)


leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(_compare, paths, st.sampled_from(Comparison), scalars),
    st.builds(In, paths, st.lists(scalars, max_size=3).map(tuple)),
    _ranges(),
    st.builds(Exists, paths),
    st.builds(IsNull, paths),
    st.builds(Prefix, paths, st.sampled_from(TEXTS), st.booleans()),
    st.builds(Substring, paths, st.sampled_from(TEXTS), st.booleans()),
)

filters: st.SearchStrategy[Filter] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
        st.builds(AnyElement, paths, inner),
        st.builds(AllElements, paths, inner),
        st.builds(NoElement, paths, inner),
    ),
    max_leaves=5,
)


def vectors(dimension: int) -> st.SearchStrategy[Vector]:
    """Return vectors of small whole numbers: exact scores and many ties, zero among them."""
    components = st.lists(st.integers(-2, 2), min_size=dimension, max_size=dimension)
    return components.map(lambda row: np.array(row, np.float32))


def operations(
    dimension: int, names: st.SearchStrategy[str], new_names: st.SearchStrategy[str | None]
) -> st.SearchStrategy[Op]:
    """Return operations on points of these names; `new_names` are what a Put may say."""
    contents = st.one_of(payloads, st.just(KEEP))
    texts = st.one_of(st.none(), st.just(KEEP), st.sampled_from(TEXTS))
    puts: st.SearchStrategy[Op] = st.builds(Put, id=new_names, vector=vectors(dimension), payload=contents, text=texts)
    return st.one_of(
        puts,
        puts,
        st.builds(Patch, id=names, payload=contents, text=texts),
        st.builds(Delete, id=names),
        st.builds(DeleteWhere, filter=filters),
    )


preconditions: st.SearchStrategy[Precondition | None] = st.one_of(
    st.none(),
    st.builds(
        Precondition,
        if_absent=st.booleans(),
        if_version=st.one_of(st.none(), st.dictionaries(st.sampled_from(NAMES), st.integers(1, 20), max_size=3)),
        if_match=st.one_of(st.none(), filters),
    ),
)
