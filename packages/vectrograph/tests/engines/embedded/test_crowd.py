"""Thirty-two threads, each with a reference engine of its own as oracle for what it alone writes."""

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torture.haste import hastened, open_hastily
from torture.story import Clock

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import CollectionNotFound
from vectrograph.domain.filters.evaluation import Compare, Comparison
from vectrograph.domain.log_retention import UNLIMITED_LOG
from vectrograph.domain.points import Delete, DeleteWhere, Op, Patch, Put
from vectrograph.domain.queries import DenseLeg, Order, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import everything
from vectrograph.engines.reference import ReferenceEngine

pytestmark = pytest.mark.slow

THREADS = 32
STEPS = 14
DIMENSION = 4
SHARED = CollectionRef("default", "shared")


class Member:
    """One thread: it writes points of its own into a shared collection, and makes and drops a collection of its own.

    Nobody else touches its points, so whatever it sees of them must be what its oracle says, in the same order.
    """

    def __init__(self, engine: Engine, number: int) -> None:
        self.number = number
        self.model = ReferenceEngine()
        self.own = CollectionRef("default", f"own {number}")
        self._engine = engine
        self._chance = random.Random(number)
        self._mine = Compare(("owner",), Comparison.EQ, number)
        self.model.create(CollectionSpec.dense(SHARED, DIMENSION, Distance.EUCLIDEAN))

    def __call__(self) -> None:
        for _ in range(STEPS):
            self._write()
            self._look()
            if self._chance.random() < 0.2:
                self._come_and_go()

    def _write(self) -> None:
        ops = [self._op() for _ in range(self._chance.randrange(1, 12))]
        given = self._engine.write(SHARED, ops)
        wanted = self.model.write(SHARED, ops)
        assert [(o.id, o.status) for o in given.outcomes] == [(o.id, o.status) for o in wanted.outcomes]

    def _op(self) -> Op:
        name = f"{self.number}-{self._chance.randrange(12)}"
        payload = {"owner": self.number, "n": self._chance.randrange(9)}
        match self._chance.randrange(8):
            case 0 | 1:
                return Delete(id=name)
            case 2:
                return Patch(id=name, payload=payload)
            case 3 if self._chance.random() < 0.1:
                return DeleteWhere(filter=self._mine)
            case _:
                at = np.array([self._chance.randrange(4) for _ in range(DIMENSION)], np.float32)
                return Put(id=name, vector=at, payload=payload)

    def _look(self) -> None:
        queries = np.array([[self._chance.randrange(4) for _ in range(DIMENSION)]], np.float32)
        search = SearchRequest(legs=(DenseLeg(vectors=queries),), k=20, filter=self._mine)
        scroll = ScrollRequest(limit=100, filter=self._mine, order=Order(key=self._chance.choice(["id", "created"])))
        asks: list[Callable[[Engine], Any]] = [
            lambda engine: [(h.point.id, h.score, h.point.payload) for h in engine.search(SHARED, search)[0].hits],
            lambda engine: [(p.id, p.payload) for p in engine.scroll(SHARED, scroll).points],
            lambda engine: engine.count(SHARED, self._mine),
            lambda engine: [p and p.payload for p in engine.get(SHARED, [f"{self.number}-{n}" for n in range(12)])],
        ]
        for ask in asks:
            assert ask(self._engine) == ask(self.model)
        everyone = self._engine.search(SHARED, SearchRequest(legs=search.legs, k=500))[0].hits
        assert len({hit.point.id for hit in everyone}) == len(everyone)

    def _come_and_go(self) -> None:
        for engine in (self._engine, self.model):
            engine.create(CollectionSpec.dense(self.own, 2, Distance.DOT))
            engine.write(self.own, [Put(id="a", vector=np.ones(2, np.float32))])
            assert engine.count(self.own) == 1
            engine.drop(self.own)
        with pytest.raises(CollectionNotFound):
            self._engine.count(self.own)


def test_thirty_two_threads(scratch: Path) -> None:
    failures: list[BaseException] = []

    def guarded(member: Member) -> None:
        try:
            member()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failures.append(error)

    with hastened():
        engine = open_hastily(scratch / "data", Clock(), retention=UNLIMITED_LOG)
        engine.create(CollectionSpec.dense(SHARED, DIMENSION, Distance.EUCLIDEAN))
        members = [Member(engine, number) for number in range(THREADS)]
        threads = [threading.Thread(target=guarded, args=(member,)) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        assert [info.spec.ref for info in engine.list("default")] == [SHARED]
        stored = {point.id: point.payload for point in everything(engine, SHARED)}
        wanted = {p.id: p.payload for member in members for p in everything(member.model, SHARED)}
        assert stored == wanted
        log = engine.changes(SHARED, limit=10**6).changes
        assert [change.seq for change in log] == list(range(1, engine.describe(SHARED).seq + 1))
        for member in members:
            own = [(c.kind, c.id) for c in log if c.id.startswith(f"{member.number}-")]
            assert own == [(c.kind, c.id) for c in member.model.changes(SHARED, limit=10**6).changes]
        engine.close()
