"""Everything that can be seen of a database, in a form that == compares."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from torture.story import DIMENSION, DOCS, NUMBERS, place
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.filters.evaluation import Compare, Comparison, Filter, Not, Range
from vectrograph.domain.points import Point
from vectrograph.domain.queries import DenseLeg, Include, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine

FILTERS: tuple[Filter | None, ...] = (
    None,
    Range(("n",), lt=10),
    Compare(("even",), Comparison.EQ, True),
    Not(Range(("n",), gte=3)),
)
KEPT_CHANGES: Final = 150
"""Changes that the log of a collection keeps: those of some ten steps."""
_WHOLE = Include(vector=True, payload=True, text=True)


def state(engine: Engine) -> dict[str, Any]:
    """Return the collections, and of each its points, counters and log."""
    return {str(info.spec.ref): collection(engine, info.spec.ref) for info in engine.list("default")}


def collection(engine: Engine, ref: CollectionRef) -> dict[str, Any]:
    """Points, counters and log of one collection."""
    info = engine.describe(ref)
    return {
        "spec": info.spec,
        "state": info.state,
        "seq": info.seq,
        "created at": info.created_at,
        "counts": [info.count, *(engine.count(ref, condition) for condition in FILTERS)],
        "points": [_whole(point) for point in _points(engine, ref)],
        "log": _log(engine, ref, info.seq),
    }


def _log(engine: Engine, ref: CollectionRef, last: int) -> list[object]:
    """Return the changes that are kept in any case; before them there may be others, without a gap."""
    changes = engine.changes(ref, limit=10**6).changes
    if [change.seq for change in changes] != list(range(last - len(changes) + 1, last + 1)):
        return ["a log with gaps", *changes]
    return [(change.seq, change.kind, change.id, change.at) for change in changes[-KEPT_CHANGES:]]


def _points(engine: Engine, ref: CollectionRef) -> list[Point]:
    points: list[Point] = []
    request = partial(ScrollRequest, limit=500, include=_WHOLE)
    page = engine.scroll(ref, request())
    points.extend(page.points)
    while page.cursor is not None:
        page = engine.scroll(ref, request(cursor=page.cursor))
        points.extend(page.points)
    return points


def _whole(point: Point) -> tuple[object, ...]:
    stored = None if point.vector is None else point.vector.tobytes()
    times = (point.created_at, point.updated_at, point.version, point.created_seq)
    return (point.id, stored, point.payload, point.text, *times)


def answers(
    engine: Engine,
    seed: int,
    *,
    exact: bool,
    refs: Sequence[CollectionRef] = (DOCS, NUMBERS),
    ks: Sequence[int] = (1, 10, 300),
) -> dict[str, Any]:
    """Return the results of searches of the collections that exist throughout: ids and scores, with and without
    filters.
    """
    chance = random.Random(seed)
    queries = np.stack([place(chance) for _ in range(3)] + [np.zeros(DIMENSION, np.float32)])
    found = {}
    for ref in refs:
        for condition in FILTERS:
            for k in ks:
                request = SearchRequest(legs=(DenseLeg(vectors=queries),), k=k, filter=condition, exact=exact)
                results = engine.search(ref, request)
                hits = [[(hit.point.id, hit.score, hit.point.version) for hit in result.hits] for result in results]
                found[f"{ref}, {condition}, {k}"] = hits
    return found


@dataclass(slots=True)
class Walks:
    """Count of what walks along the graph found. A walk may miss a neighbour; it must not find what is not there."""

    wanted: int = 0
    met: int = 0

    def add(self, engine: Engine, truth: Engine, seed: int) -> str | None:
        """Compare an engine that walks with one that searches exactly; what is wrong, in words, or None."""
        given, best = answers(engine, seed, exact=False), answers(truth, seed, exact=True)
        everything = answers(truth, seed, exact=True, ks=(10_000,))
        for question, lists in given.items():
            whole = everything[question.rpartition(" ")[0] + " 10000"]
            for found, nearest, there in zip(lists, best[question], whole, strict=True):
                if strange := set(found) - set(there):
                    return f"{question}: {_short(strange)} are not there, or not so"
                if len(found) != len(nearest) or len(set(found)) != len(found) or found != _in_order(found, there):
                    return f"{question}: {len(found)} instead of {len(nearest)}, or out of order"
                self.wanted += len(nearest)
                self.met += len(set(found) & set(nearest))
        return None

    def recall(self) -> float:
        """Return share of the true neighbours that were met; all of them where none were wanted."""
        return self.met / self.wanted if self.wanted else 1.0


def _in_order(found: list[Any], there: list[Any]) -> list[Any]:
    places = {hit: place for place, hit in enumerate(there)}
    return sorted(found, key=places.__getitem__)


def difference(given: Any, wanted: Any, where: str = "") -> str | None:
    """Return the first place where two states or answers differ, in words; None when they are equal."""
    if isinstance(given, dict) and isinstance(wanted, dict) and given.keys() == wanted.keys():
        parts = ((difference(given[name], wanted[name], f"{where} {name}"), name) for name in wanted)
        return next((part for part, _ in parts if part), None)
    if isinstance(given, list) and isinstance(wanted, list) and len(given) == len(wanted):
        pairs = enumerate(zip(given, wanted, strict=True))
        return next((part for n, (a, b) in pairs if (part := difference(a, b, f"{where}[{n}]"))), None)
    if given == wanted:
        return None
    return f"{where.strip()}: {_short(given)} instead of {_short(wanted)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"{sorted(value)}"
    if isinstance(value, list):
        return f"{len(value)} of them"
    return f"{value!r:.200}"
