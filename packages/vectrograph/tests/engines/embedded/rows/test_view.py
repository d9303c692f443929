"""Views are immutable, and the scan over one ranks exactly as the kernel does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance
from vectrograph.domain.distances import scores
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.rows.exact_scan import ExactScan, Question
from vectrograph.engines.embedded.rows.view import Addition, Labels, View, ViewBuilder

pytestmark = pytest.mark.slow


def labels(*numbers: int) -> Labels:
    return np.array(numbers, np.int64)


def addition(rows: Vector, first: int) -> Addition:
    numbers = np.arange(first, first + len(rows), dtype=np.int64)
    return Addition(rows, numbers, numbers)


def photograph(view: View) -> list[bytes]:
    return [part.tobytes() for part in (view.vectors, view.lengths, view.labels, view.created, view.live)]


def nothing() -> None:
    """Never stops a scan."""


def brute(
    view: View, distance: Distance, query: Vector, best: int, allowed: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> list[tuple[int, float]]:
    exact = scores(distance, query, view.vectors)
    rows = np.flatnonzero(allowed & view.live)
    ranked = sorted((float(exact[row]), -int(view.created[row]), int(row)) for row in rows)
    return [(row, score) for score, _, row in ranked[:best]]


def test_a_view_never_changes() -> None:
    generator = np.random.default_rng(5)
    builder = ViewBuilder(3)
    seen: list[tuple[View, list[bytes]]] = []
    alive: list[int] = []
    label = 1
    for step in range(200):
        rows = generator.standard_normal((int(generator.integers(0, 40)), 3)).astype(np.float32)
        gone = [
            alive.pop(int(generator.integers(len(alive)))) for _ in range(min(len(alive), int(generator.integers(30))))
        ]
        view = builder.advance(step, labels(*gone), addition(rows, label))
        alive += range(label, label + len(rows))
        label += len(rows)
        seen.append((view, photograph(view)))
        assert view.count == len(alive)
        assert sorted(view.labels[view.live].tolist()) == sorted(alive)
        assert np.all(np.diff(view.labels) > 0)
    for view, before in seen:
        assert photograph(view) == before


def test_rows_cannot_be_written_through_a_view() -> None:
    view = ViewBuilder(2).advance(1, labels(), addition(np.ones((1, 2), np.float32), 1))
    with pytest.raises(ValueError, match="read-only"):
        view.vectors[0, 0] = 5


def test_appending_does_not_copy_the_matrix() -> None:
    builder = ViewBuilder(8, capacity=1000)
    first = builder.advance(1, labels(), addition(np.ones((10, 8), np.float32), 1))

    second = builder.advance(2, labels(), addition(np.ones((10, 8), np.float32), 11))
    assert np.shares_memory(first.vectors, second.vectors)
    assert (len(first.labels), len(second.labels)) == (10, 20)


def test_dead_rows_do_not_pile_up() -> None:
    builder = ViewBuilder(2)
    rows = np.ones((100, 2), np.float32)
    for turn in range(100):
        gone = labels(*range(turn * 100 - 99, turn * 100 + 1)) if turn else labels()
        view = builder.advance(turn, gone, addition(rows, turn * 100 + 1))
        assert view.count == 100
        assert len(view.labels) < 1000


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("queries", [1, 3, 20])
@pytest.mark.parametrize("spread", ["even", "twins", "lengths", "extreme"])
def test_the_scan_ranks_as_the_kernel(distance: Distance, queries: int, spread: str) -> None:
    generator = np.random.default_rng(11)
    rows = generator.standard_normal((3000, 24)).astype(np.float32)
    if spread == "twins":
        rows = rows[generator.integers(0, 60, 3000)]
        rows[::50] = 0
    elif spread == "lengths":
        rows *= np.logspace(-9, 9, 3000, dtype=np.float32)[:, None]
    elif spread == "extreme":
        rows *= np.float32(10.0) ** generator.integers(-44, 38, 3000).astype(np.float32)[:, None]
        rows = np.nan_to_num(rows)
    builder = ViewBuilder(24, capacity=3000)
    builder.advance(1, labels(), addition(rows, 1))
    view = builder.advance(2, labels(*range(5, 3000, 9)), addition(rows[:0], 3001))
    asked = rows[:queries] * np.float32(1.5)
    for share in (None, 0.002, 0.5):
        allowed = np.ones(3000, np.bool_) if share is None else generator.random(3000) < share
        mask = None if share is None else allowed & view.live
        for best in (1, 10, 200):
            question = Question(distance=distance, queries=asked, best=best, allowed=mask)
            found = ExactScan().search(view, question, nothing)
            for query, ranking in zip(asked, found, strict=True):
                pairs = list(zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True))
                assert pairs == brute(view, distance, query, best, allowed)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 5),
    st.sampled_from(Distance),
    st.none() | st.floats(allow_nan=False),
)
def test_whatever_the_vectors(
    components: list[list[float]], best: int, distance: Distance, bound: float | None
) -> None:
    rows = np.array(components, np.float32)
    builder = ViewBuilder(2, capacity=len(rows))
    view = builder.advance(1, labels(), addition(rows, 1))
    question = Question(distance=distance, queries=rows[:1], best=best, max_score=bound)
    ranking = ExactScan().search(view, question, nothing)[0]
    wanted = [
        pair
        for pair in brute(view, distance, rows[0], len(rows), np.ones(len(rows), np.bool_))
        if bound is None or pair[1] <= bound
    ]
    assert list(zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)) == wanted[:best]


def test_few_rows_are_scored_when_most_are_far() -> None:
    """The point of choosing candidates: the kernel, which is slow, sees a handful."""
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((20_000, 64)).astype(np.float32)
    view = ViewBuilder(64, capacity=20_000).advance(1, labels(), addition(rows, 1))
    seen: list[int] = []

    def counting(distance: Distance, query: Vector, part: Vector, *, check_cancelled: object = None) -> Vector:
        seen.append(len(part))
        return scores(distance, query, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vectrograph.engines.embedded.rows.exact_scan.scores", counting)
        for distance in Distance:
            ExactScan().search(view, Question(distance=distance, queries=rows[:1], best=10), nothing)
    assert max(seen) < 200
    assert not math.isnan(sum(seen))


def test_a_scan_can_be_stopped() -> None:
    view = ViewBuilder(2).advance(1, labels(), addition(np.ones((5, 2), np.float32), 1))

    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        ExactScan().search(view, Question(distance=Distance.DOT, queries=np.ones((1, 2), np.float32), best=1), stop)
