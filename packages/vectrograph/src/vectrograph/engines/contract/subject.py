"""Base of all parts of the suite: the engine under test, and short ways to speak to it."""

# ruff: noqa: S101

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance, IdKind
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import Keep, Point, Put, Vector, WriteResult
from vectrograph.domain.queries import DenseLeg, Hit, Include, Order, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine

WHOLE = Include(vector=True, payload=True, text=True)
SELECTIONS = [Include(vector=v, payload=p, text=t) for v, p, t in product((False, True), repeat=3)]
"""Every selection of parts of a point."""
TENANT = "default"


class Subject:
    """Base of the suite's parts. Whoever inherits overrides the fixture `engine`."""

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        """Provide a fresh, empty engine."""
        raise NotImplementedError("override the fixture `engine` with a fresh, empty engine")

    @pytest.fixture
    def docs(self, engine: Engine) -> CollectionRef:
        """Provide an empty collection of two-dimensional points under squared L2."""
        return make(engine, "docs")


def make(
    engine: Engine,
    name: str,
    *,
    dimension: int = 2,
    distance: Distance = Distance.EUCLIDEAN,
    ids: IdKind = IdKind.STRING,
    tenant: str = TENANT,
) -> CollectionRef:
    """Create a collection."""
    ref = CollectionRef(tenant, name)
    engine.create(CollectionSpec.dense(ref, dimension, distance, ids=ids))
    return ref


def vector(*components: float) -> Vector:
    """Return a float32 vector."""
    return np.array(components, np.float32)


def put(
    engine: Engine,
    ref: CollectionRef,
    id: str | None,
    at: Sequence[float] = (0.0, 0.0),
    payload: dict[str, Any] | Keep | None = None,
    text: str | Keep | None = None,
) -> WriteResult:
    """Write one point."""
    content: dict[str, Any] | Keep = {} if payload is None else payload
    return engine.write(ref, [Put(id=id, vector=vector(*at), payload=content, text=text)])


def put_many(engine: Engine, ref: CollectionRef, points: Iterable[tuple[str, Sequence[float]]]) -> WriteResult:
    """Write points without payload in one batch."""
    return engine.write(ref, [Put(id=name, vector=vector(*at)) for name, at in points])


def one(engine: Engine, ref: CollectionRef, id: str) -> Point:
    """Return a whole point that must be there."""
    point = engine.get(ref, [id], include=WHOLE)[0]
    assert point is not None, f"{id!r} is missing"
    return point


def nearest(engine: Engine, ref: CollectionRef, at: Sequence[float], k: int = 10, **options: Any) -> tuple[Hit, ...]:
    """Return the hits of one query."""
    request = SearchRequest(legs=(DenseLeg(vectors=vector(*at)[None, :]),), k=k, **options)
    results = engine.search(ref, request)
    assert len(results) == 1
    return results[0].hits


def found(engine: Engine, ref: CollectionRef, at: Sequence[float], k: int = 10, **options: Any) -> list[str]:
    """Return the ids of the hits of one query."""
    return [hit.point.id for hit in nearest(engine, ref, at, k, **options)]


def everything(
    engine: Engine, ref: CollectionRef, *, limit: int = 100, order: Order = Order(), filter: Filter | None = None
) -> list[Point]:
    """Return all points of a scroll, page by page."""
    points: list[Point] = []
    cursor: str | None = None
    while True:
        request = ScrollRequest(limit=limit, order=order, cursor=cursor, filter=filter, include=WHOLE)
        page = engine.scroll(ref, request)
        points.extend(page.points)
        cursor = page.cursor
        if cursor is None:
            return points


def ids(points: Iterable[Point]) -> list[str]:
    """Return the ids of points, in their order."""
    return [point.id for point in points]
