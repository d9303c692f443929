"""Rows behind each node, against a dictionary of codes."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.hnsw import Hnsw
from vectrograph.engines.embedded.index.nodes import NodeTable


def hnsw(width: int) -> Hnsw:
    return Hnsw.empty(width, "int8", by_products=False, links=4, breadth=20)


def build(vectors: Vector, cuts: list[int]) -> tuple[NodeTable, Hnsw, list[bytes]]:
    """Return the table of these vectors, rounded to whole numbers, extended piece by piece; and the code of
    every row.
    """
    graph, table = hnsw(vectors.shape[1]), NodeTable.empty()
    points = np.rint(vectors).astype(np.float32)
    edges = sorted({0, len(vectors), *(cut % (len(vectors) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        rows = np.arange(start, end)
        table, fresh = table.extend(rows, graph.encode(points[rows]), graph, vectors)
        if len(fresh):
            graph.add(points[rows][fresh], 1)
    return table, graph, [code.tobytes() for code in graph.encode(points)] if len(points) else []


few_vectors = st.lists(st.tuples(*[st.sampled_from([-1.0, -0.0, 0.0, 0.25, 1.0, 3.0])] * 2), max_size=40).map(
    lambda rows: np.array(rows, np.float32).reshape(-1, 2)
)


@settings(max_examples=150, deadline=None)
@given(vectors=few_vectors, cuts=st.lists(st.integers(0, 40), max_size=4), data=st.data())
def test_a_node_has_the_rows_of_its_code(vectors: Vector, cuts: list[int], data: st.DataObject) -> None:
    table, graph, codes = build(vectors, cuts)
    wanted: dict[bytes, list[int]] = defaultdict(list)
    for row, code in enumerate(codes):
        wanted[code].append(row)
    assert len(graph) == len(wanted) == len(table.rows)
    homes = {node: graph.codes(np.array([node]))[0].tobytes() for node in range(len(graph))}
    nodes = np.array(data.draw(st.permutations(range(len(graph)))), np.int64)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(vectors), max_size=len(vectors))), np.bool_)
    for mask in (None, allowed):
        members = table.members(nodes, mask)
        expected = [
            (place, row)
            for place, node in enumerate(nodes.tolist())
            for row in sorted(wanted[homes[node]], reverse=True)
            if mask is None or mask[row]
        ]
        assert list(zip(members.places.tolist(), members.rows.tolist(), strict=True)) == expected
        assert members.matched == len({place for place, _ in expected})
        for row, first in zip(members.rows.tolist(), members.firsts.tolist(), strict=True):
            twins = [r for r in wanted[codes[row]] if (vectors[r] == vectors[row]).all()]
            assert first == twins[0]
    have = [any(allowed[row] for row in wanted[homes[node]]) for node in range(len(graph))]
    assert table.allowed_nodes(allowed).tolist() == have


def test_a_table_that_was_extended_serves_on() -> None:
    vectors = np.array([[0, 0], [1, 1], [0, 0], [0, 0.25]], np.float32)
    graph = hnsw(2)
    codes = graph.encode(np.rint(vectors).astype(np.float32))
    first, fresh = NodeTable.empty().extend(np.arange(2), codes[:2], graph, vectors[:2])
    graph.add(vectors[fresh], 1)
    second, fresh = first.extend(np.arange(2, 4), codes[2:], graph, vectors)
    assert fresh.tolist() == []
    assert first.members(np.array([0, 1]), None).rows.tolist() == [0, 1]
    assert second.members(np.array([0, 1]), None).rows.tolist() == [3, 2, 0, 1]
    assert second.members(np.array([0]), None).firsts.tolist() == [3, 0, 0]
