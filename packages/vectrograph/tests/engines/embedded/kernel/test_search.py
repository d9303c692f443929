"""Searches find what numpy finds: scans, walks, filters, deaths, equal vectors; limits and stops are kept."""

import numpy as np
import pytest
from engines.kernel_rows import built, code_scores, nearest, paths, using
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Shape, State
from vectrograph.engines.embedded.kernel.library import Way
from vectrograph.engines.embedded.kernel.search import Bits, Flag, Searcher, Searchers, Stopped, link


def _rows(count: int, dimension: int, seed: int) -> Vector:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("distance", Distance)
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 300),
    dimension=st.integers(1, 80),
    seed=st.integers(0, 1000),
    refine=st.integers(1, 40),
    share=st.sampled_from([None, 0.02, 0.5, 1.0]),
    centred=st.booleans(),
)
def test_a_scan_refines_the_best_codes(
    path: str,
    distance: Distance,
    count: int,
    dimension: int,
    seed: int,
    refine: int,
    share: float | None,
    centred: bool,
) -> None:
    vectors, query = _rows(count, dimension, seed), _rows(1, dimension, seed + 1)[0]
    centre = _rows(1, dimension, seed + 2)[0] / 8 if centred and distance is not Distance.DOT else None
    _, mapped = built(vectors, distance, linked=False, centre=centre)
    allowed = None if share is None else np.random.default_rng(seed).random(count) < share
    coded = code_scores(mapped, query)[:count]
    order = np.lexsort((-np.arange(count), coded))
    if allowed is not None:
        order = order[allowed[order]]
    candidates = np.sort(order[: max(refine, min(5, count))])
    best, wanted = nearest(distance, query, vectors[candidates], 5)
    with using(path):
        found = Searcher(dimension).search(
            mapped,
            mapped.state(),
            query,
            5,
            beam=1,
            refine=refine,
            way=Way.SCAN,
            allowed=None if allowed is None else Bits(allowed),
        )
    assert found.rows.tolist() == candidates[best].tolist()
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-6, atol=1e-7)
    assert found.compared == len(order)
    assert found.refined == len(candidates)


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("quantisation", Quantisation)
def test_walks_find_nearly_all_neighbours(distance: Distance, quantisation: Quantisation) -> None:
    vectors, queries = _rows(1500, 24, 1), _rows(60, 24, 2)
    _, mapped = built(vectors, distance, quantisation, breadth=64)
    searcher, state, hits = Searcher(24), mapped.state(), 0
    for query in queries:
        best, _ = nearest(distance, query, vectors, 10)
        found = searcher.search(mapped, state, query, 10, beam=120, refine=30, any_dead=False)
        assert found.compared < 1200
        hits += len(set(found.rows.tolist()) & set(best.tolist()))
    assert hits >= (0.92 if distance is Distance.DOT else 0.98) * 600


@pytest.mark.slow
@pytest.mark.parametrize(("distance", "least"), [(Distance.COSINE, (0.95, 0.99)), (Distance.DOT, (0.95, 0.99))])
def test_recall_on_the_token_table(distance: Distance, least: tuple[float, float], token_rows: Vector) -> None:
    vectors, queries = token_rows[200:], token_rows[:200]
    _, mapped = built(vectors, distance)
    lengths = np.linalg.norm(vectors, axis=1) if distance is Distance.COSINE else np.ones(len(vectors), np.float32)
    nearest_rows = np.argpartition(-(queries @ vectors.T) / lengths, 10, axis=1)[:, :10]
    searcher, state = Searcher(256), mapped.state()
    for beam, wanted in zip((96, 288), least, strict=True):
        hits = 0
        for query, best in zip(queries, nearest_rows, strict=True):
            found = searcher.search(mapped, state, query, 10, beam=beam, refine=20, any_dead=False)
            hits += len(set(found.rows.tolist()) & set(best.tolist()))
        assert hits >= wanted * 2000


@pytest.mark.slow
def test_a_scan_finds_hubs(token_rows: Vector) -> None:
    """Under L2 the long rows of the table are far from all others, and no walk finds its way among the short ones."""
    vectors, queries = token_rows[50:], token_rows[:50]
    _, mapped = built(vectors, Distance.EUCLIDEAN, linked=False, centre=vectors.mean(axis=0))
    hits = 0
    for query in queries:
        best, _ = nearest(Distance.EUCLIDEAN, query, vectors, 10)
        found = Searcher(256).search(mapped, mapped.state(), query, 10, beam=1, refine=20, way=Way.SCAN)
        hits += len(set(found.rows.tolist()) & set(best.tolist()))
    assert hits >= 499


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0, 1),
    k=st.integers(1, 300),
    linked=st.integers(0, 250),
    way=st.sampled_from(Way),
)
def test_filters_deaths_and_states(seed: int, share: float, k: int, linked: int, way: Way) -> None:
    """Find min(k, matches) rows, and only such, whatever the filter, the deaths and the progress of the linker."""
    random = np.random.default_rng(seed)
    vectors = _rows(250, 5, seed)
    arrays, mapped = built(vectors, Distance.EUCLIDEAN, linked=False)
    link(Searcher(5), arrays, 0, linked, breadth=40)
    dead = random.permutation(250)[:60]
    arrays.mark_dead(dead, seq=2)
    state = State(*arrays.publish(2, 250)[:2], linked)
    searcher = Searcher(5)
    allowed = random.random(240) < share
    for at, gone in ((state, dead), (State(1, 200, linked), dead[:0])):
        may = np.append(allowed, [False] * 10)
        may[gone] = False
        may[at.rows :] = False
        found = searcher.search(mapped, at, vectors[0], k, beam=250, refine=k, way=way, allowed=Bits(allowed))
        assert set(found.rows.tolist()) <= set(np.flatnonzero(may).tolist())
        if way is not Way.WALK:
            best, _ = nearest(Distance.EUCLIDEAN, vectors[0], vectors, min(k, 250), may)
            assert len(found.rows) == len(best)
            if k >= 250 or way is Way.EXACT:
                assert found.rows.tolist() == best.tolist()


def test_a_row_of_a_list_is_scanned_once_and_only_if_it_may_be_found() -> None:
    vectors = _rows(100, 5, 3)
    arrays, mapped = built(vectors, Distance.DOT)
    arrays.mark_dead(np.array([7]), seq=2)
    state = arrays.publish(2, 100)
    rows = np.array([-1, 5, 7, 9, 100, 2**31 - 1], np.int32)
    for way in Way:
        found = Searcher(5).search(mapped, state, vectors[0], 10, beam=5, refine=10, way=way, rows=rows)
        assert sorted(found.rows.tolist()) == [5, 9]


def test_bits_are_listed_in_order() -> None:
    for count in (0, 1, 63, 64, 65, 1000):
        mask = np.random.default_rng(count).random(count) < 0.4
        bits = Bits(mask)
        assert len(bits) == mask.sum()
        assert bits.list().tolist() == np.flatnonzero(mask).tolist()


@pytest.mark.parametrize("distance", Distance)
def test_equal_vectors_are_all_found_newest_first(distance: Distance) -> None:
    vectors = _rows(900, 16, 6)
    vectors[1::2] = vectors[1]
    created = np.random.default_rng(7).permutation(900).astype(np.int64)
    arrays, mapped = built(vectors, distance)
    newest_first = [row for row in np.argsort(-created) if row % 2]
    query = vectors[1] * 1000 if distance is Distance.DOT else vectors[1]
    searcher = Searcher(16)
    mapped = arrays.bind(vectors, created)
    for k in (1, 10, 400):
        found = searcher.search(mapped, mapped.state(), query, k, beam=60, refine=k)
        assert found.rows.tolist() == newest_first[:k]
        assert found.scores.tolist() == [found.scores[0]] * k
    # They do not cut the others off.
    for row in range(0, 900, 90):
        found = searcher.search(mapped, mapped.state(), vectors[row], 1, beam=60, refine=20, way=Way.WALK)
        assert distance is Distance.DOT or found.rows.tolist() == [row]


def test_rows_in_the_worst_order_are_linked_as_well() -> None:
    """Sorted along a line, each row is far from all that come later but the next."""
    vectors = np.linspace(0, 1, 2000, dtype=np.float32)[:, np.newaxis] * np.ones(8, np.float32)
    vectors += _rows(2000, 8, 8) / 10_000
    _, mapped = built(vectors, Distance.EUCLIDEAN, breadth=64, centre=vectors.mean(axis=0))
    searcher = Searcher(8)
    hits = 0
    for row in range(0, 2000, 40):
        best, _ = nearest(Distance.EUCLIDEAN, vectors[row], vectors, 10)
        found = searcher.search(mapped, mapped.state(), vectors[row], 10, beam=64, refine=40)
        hits += len(set(found.rows.tolist()) & set(best.tolist()))
    assert hits >= 0.95 * 500


def test_the_newest_rows_answer_a_product_with_nothing() -> None:
    _, mapped = built(_rows(300, 4, 9), Distance.DOT)
    found = Searcher(4).search(mapped, mapped.state(), np.zeros(4, np.float32), 3, beam=10, refine=10)
    assert found.rows.tolist() == [299, 298, 297]
    assert found.scores.tolist() == [0.0] * 3
    assert found.way is Way.EXACT


def test_a_search_ends_when_its_time_is_over_or_it_is_told_to() -> None:
    vectors = _rows(5000, 32, 10)
    arrays, mapped = built(vectors, Distance.COSINE, linked=False)
    searcher, flag = Searcher(32), Flag()
    for way in Way:
        with pytest.raises(Stopped):
            searcher.search(mapped, mapped.state(), vectors[0], 5, beam=50, refine=50, way=way, budget=1)
    flag.raise_()
    with pytest.raises(Stopped):
        searcher.search(mapped, mapped.state(), vectors[0], 5, beam=50, refine=50, flag=flag)
    with pytest.raises(Stopped, match="linking rows 0 to 5000"):
        link(searcher, arrays, 0, 5000, flag=flag)


def test_linking_asks_between_slices_whether_it_is_still_wanted() -> None:
    vectors = _rows(4000, 64, 11)
    arrays, _ = built(vectors, Distance.COSINE, linked=False)
    asked = 0

    def refuse_third() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        link(Searcher(64), arrays, 0, 4000, check_cancelled=refuse_third)
    assert asked == 3


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"k": 0}, (1, 50, 0)),
        ({"beam": 0}, (1, 50, 0)),
        ({"refine": 0}, (1, 50, 0)),
        ({"refine": 1 << 25}, (1, 50, 0)),
        ({}, (1, -1, 0)),
        ({}, (1, 100_000, 0)),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, int], state: tuple[int, int, int]) -> None:
    _, mapped = built(_rows(50, 4, 12), Distance.DOT, linked=False)
    arguments = {"k": 3, "beam": 10, "refine": 10, **options}
    with pytest.raises(ValueError, match="a search for"):
        Searcher(4).search(mapped, State(*state), np.ones(4, np.float32), **arguments)  # type: ignore[arg-type]


def test_memory_of_a_search_is_kept_and_counted() -> None:
    vectors = _rows(2000, 32, 13)
    arrays, mapped = built(vectors, Distance.COSINE, linked=False)
    searchers = Searchers(32)
    assert searchers.nbytes == 0
    searchers.search(arrays, mapped.state(), vectors[0], 10, beam=100, refine=50)
    first = searchers.nbytes
    assert 2000 / 8 < first < 200_000
    searchers.search(arrays, mapped.state(), vectors[1], 10, beam=100, refine=50)
    assert searchers.nbytes == first


def test_no_rows_no_answer() -> None:
    arrays = IndexArrays.create(Shape(Distance.COSINE, Quantisation.INT8, 3))
    found = Searcher(3).search(arrays.mapped, arrays.publish(1, 0), np.ones(3, np.float32), 5, beam=5, refine=5)
    assert found.rows.tolist() == []
