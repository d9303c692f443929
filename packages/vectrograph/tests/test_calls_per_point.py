"""Calls of own functions that each further point of an upsert costs."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.calls.counter import CallCounter
from vectrograph.inprocess import running
from vectron_client import Point, VectronClient

CALLS_A_POINT = 12
POINTS = 256


@pytest.fixture(scope="module")
def counted() -> Iterator[tuple[CallCounter, VectronClient]]:
    with CallCounter() as counter, running() as server, server.vectron() as client:
        client.create_collection("docs", 256, "cosine")
        yield counter, client


def points(count: int, first: int = 0) -> list[Point]:
    vectors = np.random.default_rng(count).standard_normal((count, 256)).astype(np.float32)
    return [Point(f"p{first + n}", vectors[n], {"title": f"text {n}", "year": 1900 + n}) for n in range(count)]


@pytest.mark.parametrize("first", [0, 10_000])
def test_an_upsert_costs_few_calls_a_point(counted: tuple[CallCounter, VectronClient], first: int) -> None:
    """New points and replaced ones; what is left of one point alone is what every request costs."""
    counter, client = counted
    many = points(POINTS, first)
    client.upsert("docs", many[:1])
    for _ in ("new", "replaced"):
        alone = counter.calls_of(lambda: client.upsert("docs", many[:1]))
        together = counter.calls_of(lambda: client.upsert("docs", many))
        assert client.get("docs", f"p{first + POINTS - 1}").payload == {"title": "text 255", "year": 2155}
        assert alone.total() > 0
        assert together.total() <= CALLS_A_POINT * POINTS + alone.total(), together.most_common(20)


def test_the_counter_sees_what_is_called(counted: tuple[CallCounter, VectronClient]) -> None:
    """A counter that saw nothing would make every server look good."""
    counter, client = counted
    counts = counter.calls_of(lambda: client.upsert("docs", points(3)))
    assert isinstance(counts, Counter)
    assert counts["points.Points.upsert"] == 1
    assert counts["engine.EmbeddedEngine.write"] == 1
    assert counts["payloads.encode_payload"] == 3
    assert counter.calls_of(lambda: None) == {}
