"""Codes, their scan and its refinement, against brute force over the originals."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.distances import Norms, norms, scores
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.code_scan import scan_codes, scan_rows
from vectrograph.engines.embedded.index.code_space import CodeSpace
from vectrograph.engines.embedded.index.graph import Graph
from vectrograph.engines.embedded.index.hnsw import Hnsw, Mask, inner_products, squared_distances
from vectrograph.engines.embedded.index.refine import Query, contenders, score

pytestmark = pytest.mark.slow


@dataclass
class Rows:
    """Originals in memory."""

    vectors: Vector
    lengths: Norms

    @classmethod
    def of(cls, vectors: Vector) -> "Rows":
        return cls(vectors, norms(vectors))


def skewed(count: int, dimension: int, seed: int) -> Vector:
    """Return all positive, few large components, lengths that differ: what centring and cutting are for."""
    generator = np.random.default_rng(seed)
    rows = generator.gamma(0.6, 1.0, (count, dimension)) * generator.uniform(0.5, 3.0, (count, 1))
    return rows.astype(np.float32)


def best(distance: Distance, query: Vector, rows: Vector, k: int, allowed: Mask | None = None) -> list[float]:
    exact = scores(distance, query, rows)
    chosen: list[float] = np.sort(exact if allowed is None else exact[allowed])[:k].tolist()
    return chosen


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("quantisation", Quantisation)
def test_codes_keep_the_order_of_distances(distance: Distance, quantisation: Quantisation) -> None:
    """The ten truly nearest are among the twenty that seem nearest, but for one in a hundred."""
    rows = skewed(2_100, 48, 1)
    vectors, queries = rows[:2_000], rows[2_000:]
    space = CodeSpace.train(distance, quantisation, vectors, norms(vectors))
    points, _ = space.place(vectors, norms(vectors))
    codes = points.astype(np.float16).astype(np.float32) if quantisation is Quantisation.FLOAT16 else points
    if quantisation is Quantisation.INT8:
        assert (codes == np.rint(codes)).all()
        assert np.abs(codes).max() <= 127
    missed = 0
    for query in queries:
        aim = space.aim(query, float(norms(query[None])[0]))
        assert aim is not None
        seem = -(codes @ aim.point[0]) if space.products else np.square(codes - aim.point[0]).sum(axis=1)
        nearest = set(np.argsort(scores(distance, query, vectors), kind="stable")[:10].tolist())
        missed += len(nearest - set(np.argsort(seem, kind="stable")[:20].tolist()))
    assert missed <= 10


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("quantisation", Quantisation)
def test_what_is_within_a_score_is_within_reach(distance: Distance, quantisation: Quantisation) -> None:
    """Of a hundred thousand rows and queries, next to none that is near enough seems to be too far."""
    rows = skewed(1_100, 32, 2)
    vectors, queries = rows[:1_000], rows[1_000:]
    space = CodeSpace.train(distance, quantisation, vectors, norms(vectors))
    points, _ = space.place(vectors, norms(vectors))
    codes = points.astype(np.float16).astype(np.float32) if quantisation is Quantisation.FLOAT16 else points
    near = lost = 0
    for query in queries:
        aim = space.aim(query, float(norms(query[None])[0]))
        assert aim is not None
        exact = scores(distance, query, vectors)
        limit = float(np.sort(exact)[9])
        reach = space.reach(aim, query, limit)
        seem = codes @ aim.point[0] if space.products else np.square(codes - aim.point[0]).sum(axis=1)
        kept = seem >= reach if space.products else seem <= reach
        near += int((exact <= limit).sum())
        lost += int(((exact <= limit) & ~kept).sum())
        assert kept.sum() < 500
    assert near >= 1_000
    assert lost <= near / 200


@settings(max_examples=60, deadline=None)
@given(
    distance=st.sampled_from(Distance),
    dimension=st.sampled_from([1, 3, 16, 70]),
    count=st.integers(1, 300),
    k=st.integers(1, 40),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
)
def test_contenders_lose_nobody(
    distance: Distance, dimension: int, count: int, k: int, seed: int, scale: float
) -> None:
    generator = np.random.default_rng(seed)
    vectors = (generator.integers(-3, 4, (count, dimension)) * scale).astype(np.float32)
    vectors[(vectors == 0).all(axis=1)] = np.float32(scale)
    rows = Rows.of(vectors)
    query = Query.of(distance, (generator.standard_normal((1, dimension)) * scale).astype(np.float32), k)[0]
    everyone = np.arange(count)
    kept, limit = contenders(query, rows, everyone)
    exact = scores(distance, query.vector, vectors)
    cut = np.sort(exact)[min(k, count) - 1]
    assert set(np.flatnonzero(exact <= cut).tolist()) <= set(kept.tolist())
    assert limit >= cut or count < k
    found, values = score(query, rows, everyone, everyone)
    assert values.tolist() == np.sort(exact[exact <= cut]).tolist()
    assert values.tolist() == exact[found].tolist()


@pytest.mark.parametrize("by_products", [True, False])
@pytest.mark.parametrize("kind", ["int8", "float16"])
def test_a_scan_of_codes_is_that_of_numpy(kind: str, by_products: bool) -> None:
    generator = np.random.default_rng(3)
    points = generator.integers(-20, 21, (700, 16)).astype(np.float32)
    graph = Hnsw.empty(16, kind, by_products=by_products, links=4, breadth=10)
    graph.add(points, 1)
    allowed = generator.random(700) < 0.3
    for aim in points[:5]:
        exact = points @ aim if by_products else np.square(points - aim).sum(axis=1)
        for mask in (None, allowed):
            values, nodes = graph.scan(aim[None], 50, mask, lambda: None)
            ranked = np.sort(exact if mask is None else exact[mask])
            assert values.tolist() == (ranked[::-1] if by_products else ranked)[:50].tolist()
            assert values.tolist() == exact[nodes].tolist()
            assert mask is None or mask[nodes].all()
    nothing, nobody = graph.scan(points[:1], 5, np.zeros(700, np.bool_), lambda: None)
    assert (len(nothing), len(nobody)) == (0, 0)


@pytest.mark.parametrize("by_products", [False, True])
def test_a_scan_in_many_pieces_heeds_the_filter_in_each(by_products: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectrograph.engines.embedded.index.hnsw._SCAN_BYTES", 1 << 13)
    index = Hnsw.empty(64, "int8", by_products=by_products, links=4, breadth=4)
    points = np.rint(skewed(3_001, 64, 1) * 10).clip(-127, 127).astype(np.float32)
    index.add(points, 1)
    allowed = np.random.default_rng(2).random(len(points)) < 0.2
    for mask in (None, allowed):
        values, found = index.scan(points[:1], 40, mask, lambda: None)
        truth = -(points @ points[0]) if by_products else np.square(points - points[0]).sum(axis=1)
        wanted = np.sort(truth if mask is None else truth[mask])[:40]
        assert np.allclose(np.sort(truth[found]), wanted)
        assert np.allclose(-values if by_products else values, wanted)
        assert mask is None or mask[found].all()


def test_a_settled_index_finds_the_same() -> None:
    index = Hnsw.empty(64, "int8", by_products=False, links=4, breadth=4)
    index.add(np.rint(skewed(20_000, 64, 1) * 10).clip(-127, 127).astype(np.float32), 2)
    aims = np.rint(skewed(5, 64, 2) * 10).clip(-127, 127).astype(np.float32)
    before, size = index.search(aims, 32, 10), index.nbytes
    index.settle()
    assert [each.tolist() for each in index.search(aims, 32, 10)] == [each.tolist() for each in before]
    assert index.nbytes == size


@pytest.mark.parametrize(("threads", "expected"), [(1, [1_024] * 8), (2, [1_024] * 5 + [1_280, 1_600, 192])])
def test_batches_grow_with_the_graph_where_several_threads_share_them(
    threads: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[int] = []
    add = Hnsw.add

    def counted(self: Hnsw, points: Vector, with_threads: int) -> None:
        add(self, points, with_threads)
        added.append(len(points))

    monkeypatch.setattr(Hnsw, "add", counted)
    Graph.build(Rows.of(skewed(8_192, 64, 3)), Distance.EUCLIDEAN, threads=lambda: threads, breadth=8)
    assert added == expected


def test_products_and_distances_of_chosen_rows() -> None:
    vectors = skewed(50, 33, 4)
    rows = np.array([7, 7, 0, 49])
    wide = vectors.astype(np.float64)
    assert inner_products(vectors[1], vectors, rows) == pytest.approx(wide[rows] @ wide[1], rel=1e-5)
    expected = np.square(wide[rows] - wide[1]).sum(axis=1)
    assert squared_distances(vectors[1], vectors, rows) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("quantisation", Quantisation)
@pytest.mark.parametrize("share", [None, 0.01, 0.5])
def test_scans_find_all_that_is_nearest(distance: Distance, quantisation: Quantisation, share: float | None) -> None:
    rows = skewed(2_020, 24, 5)
    originals = Rows.of(rows[:2_000])
    graph = Graph.build(originals, distance, quantisation=quantisation)
    allowed = None if share is None else np.random.default_rng(6).random(2_000) < share
    for query in Query.of(distance, rows[2_000:], 10):
        wanted = best(distance, query.vector, originals.vectors, 10, allowed)
        for scan in (scan_codes, scan_rows):
            nearest = scan(graph, originals, query, allowed=allowed)
            assert nearest.scores[:10].tolist() == wanted
            assert allowed is None or allowed[nearest.rows].all()


@pytest.mark.parametrize("distance", Distance)
def test_a_query_far_outside_is_not_lost(distance: Distance) -> None:
    """Originals are compared where the space of the codes has no place for the query."""
    rows = skewed(500, 8, 7)
    originals = Rows.of(rows)
    graph = Graph.build(originals, distance)
    for factor in (1e-6, 1e3, 1e6):
        for vector in (rows[:1] * np.float32(factor), -rows[:1] * np.float32(factor)):
            query = Query.of(distance, vector, 5)[0]
            nearest = scan_codes(graph, originals, query)
            assert nearest.scores[:5].tolist() == best(distance, query.vector, rows, 5)


def test_a_graph_that_is_extended_serves_on() -> None:
    rows = skewed(900, 8, 8)
    first = Graph.build(Rows.of(rows[:600]), Distance.COSINE)
    second = first.extend(Rows.of(rows), live=np.arange(900) != 700)
    assert (first.covered, len(first.hnsw)) == (600, 600)
    assert (second.covered, len(second.hnsw)) == (900, 899)
    query = Query.of(Distance.COSINE, rows[750:751], 1)[0]
    assert first.search(Rows.of(rows[:600]), [query], 64)[0].scores[0] > 0
    assert second.search(Rows.of(rows), [query], 64)[0].rows.tolist() == [750]
    assert second.dead_share(np.ones(900, np.bool_)) == 0
    half = np.arange(900) % 2 == 0
    assert second.dead_share(half) == pytest.approx(0.5, abs=0.01)
    assert second.nbytes > first.nbytes > 600 * 8
