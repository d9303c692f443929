"""The distance kernel: definitions, exactness at zero, and scores that depend on nothing but the two vectors."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance
from vectrograph.domain.distances import norms, scores
from vectrograph.domain.points import Vector

LARGEST = float(np.finfo(np.float32).max)


def rows(count: int, dimension: int, seed: int = 0) -> Vector:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def definition(distance: Distance, q: Vector, v: Vector) -> float:
    a, b = q.astype(float).tolist(), v.astype(float).tolist()
    inner = math.fsum(x * y for x, y in zip(a, b, strict=True))
    if distance is Distance.DOT:
        return -inner
    if distance is Distance.EUCLIDEAN:
        return math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
    return 1.0 - inner / lengths


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("dimension", [1, 2, 3, 127, 256, 1000])
def test_scores_are_the_correctly_rounded_definition(distance: Distance, dimension: int) -> None:
    data = rows(50, dimension)
    found = scores(distance, data[0] * 3, data)
    wanted = [definition(distance, data[0] * 3, row) for row in data]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1.2e-7, atol=1e-12)


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 17, 128, 129, 300, 1537])
def test_a_score_does_not_depend_on_the_company(distance: Distance, dimension: int) -> None:
    data = rows(700, dimension, seed=dimension)
    data[1::7] = data[0]
    query = rows(1, dimension, seed=99)[0]
    together = scores(distance, query, data)
    order = np.random.default_rng(1).permutation(len(data))
    assert np.array_equal(scores(distance, query, data[order]), together[order])
    for start, stop, step in ((0, 1, 1), (3, 700, 13), (690, 700, 1), (0, 2, 1)):
        part = data[start:stop:step]
        assert np.array_equal(scores(distance, query, part), together[start:stop:step])
    assert len(np.unique(together[1::7])) == 1
    assert np.array_equal(scores(distance, query, np.asfortranarray(data)), together)


def test_cosine_of_a_vector_with_itself_is_zero() -> None:
    data = rows(500, 256) * np.logspace(-18, 18, 500, dtype=np.float32)[:, None]
    for row in data[::7]:
        assert scores(Distance.COSINE, row, row[None, :])[0] == 0.0
        assert scores(Distance.COSINE, row, row[None, :] * np.float32(4))[0] == 0.0
        assert scores(Distance.COSINE, row, -row[None, :])[0] == 2.0


def test_cosine_keeps_small_differences_apart() -> None:
    base = np.array([1, 0], np.float32)
    near = np.array([[1, 1e-4], [1, 2e-4], [1, 0]], np.float32)
    first, second, same = scores(Distance.COSINE, base, near).tolist()
    assert same == 0.0
    assert first == pytest.approx(0.5e-8, rel=1e-3)
    assert second == pytest.approx(2e-8, rel=1e-3)


def test_zero_vectors_are_at_one() -> None:
    zero, data = np.zeros(4, np.float32), rows(5, 4)
    data[2] = 0
    assert scores(Distance.COSINE, zero, data).tolist() == [1.0] * 5
    assert scores(Distance.COSINE, data[0], data)[2] == 1.0


@example([9.367399974318537e-41, 0.0, 0.0, 9.367399974318537e-41, 0.0, 0.0])
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6))
def test_every_finite_vector_has_finite_scores(components: list[float]) -> None:
    query, row = np.array(components[:3], np.float32), np.array(components[3:], np.float32)
    for distance in Distance:
        score = float(scores(distance, query, row[None, :])[0])
        assert math.isfinite(score)
        assert not (score == 0 and math.copysign(1, score) < 0)
        assert score == float(scores(distance, row, query[None, :])[0])
    assert 0.0 <= float(scores(Distance.COSINE, query, row[None, :])[0]) <= 2.0
    assert scores(Distance.EUCLIDEAN, query, query[None, :])[0] == 0.0


def test_overflow_is_clamped() -> None:
    huge = np.array([3e38, 3e38], np.float32)
    assert scores(Distance.EUCLIDEAN, huge, -huge[None, :]).tolist() == [LARGEST]
    assert scores(Distance.DOT, huge, huge[None, :]).tolist() == [-LARGEST]
    assert scores(Distance.DOT, huge, -huge[None, :]).tolist() == [LARGEST]


def test_no_rows() -> None:
    assert scores(Distance.DOT, np.ones(3, np.float32), np.empty((0, 3), np.float32)).shape == (0,)
    assert norms(np.empty((0, 3), np.float32)).shape == (0,)


def test_norms() -> None:
    data = rows(300, 33)
    np.testing.assert_allclose(norms(data), np.linalg.norm(data.astype(float), axis=1), rtol=1e-7)
    assert norms(np.array([[3e38, 3e38]], np.float32)).tolist() == [math.inf]


def test_work_can_be_stopped_between_chunks() -> None:
    calls: list[None] = []

    def stop_at_third() -> None:
        calls.append(None)
        if len(calls) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        scores(Distance.EUCLIDEAN, rows(1, 512)[0], rows(2000, 512), check_cancelled=stop_at_third)
    assert len(calls) == 3


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("dimension", [3, 64, 255, 784])
def test_a_score_does_not_depend_on_where_the_vectors_lie(distance: Distance, dimension: int) -> None:
    data, query = rows(9, dimension, seed=5), rows(1, dimension, seed=6)[0]
    wanted = scores(distance, query, data)
    for shift in (1, 3, 8):
        moved = np.empty(data.size + shift, np.float32)[shift:].reshape(data.shape)
        moved[:] = data
        assert np.array_equal(scores(distance, query, moved), wanted)


def test_cosine_is_exact_on_both_sides_of_the_change_of_formula() -> None:
    base = np.array([1, 0, 0], np.float32)
    near = np.array([[1, slope, 0] for slope in np.geomspace(1e-5, 1e-1, 400)], np.float32)
    exact = [float(row[1]) ** 2 / (math.hypot(1, float(row[1])) * (1 + math.hypot(1, float(row[1])))) for row in near]
    found = scores(Distance.COSINE, base, near)
    np.testing.assert_allclose(found, exact, rtol=1.2e-7)
    assert (np.diff(found) > 0).all()
