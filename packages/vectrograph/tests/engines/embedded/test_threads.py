"""Many threads on one engine: nobody sees a state that never was, and nothing gets lost."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import AlreadyExists, CollectionNotFound, DeadlineExceeded
from vectrograph.domain.filters.evaluation import Exists, Filter
from vectrograph.domain.points import Delete, Op, Patch, Put
from vectrograph.domain.queries import DenseLeg, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import everything, found, make, nearest, put, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.rows.exact_scan import ExactScan, Question, Ranking
from vectrograph.engines.embedded.rows.view import View

SECONDS = 1.5
STAYING = [f"s{n:02}" for n in range(30)]


@pytest.fixture
def engine(scratch: Path) -> Iterator[Engine]:
    """Provide a fresh one."""
    engine = EmbeddedEngine.open(scratch / "data")
    yield engine
    engine.close()


def run_together(tasks: list[Callable[[random.Random], None]]) -> None:
    """Repeat each task in a thread of its own for a while; the first failure of any is raised."""
    until = time.monotonic() + SECONDS
    failures: list[BaseException] = []

    def repeat(task: Callable[[random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < until and not failures:
                task(chance)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(task, n)) for n, task in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def at(x: int) -> Put:
    """Return a point whose payload tells where its vector is."""
    return Put(id="hot", vector=vector(x, 0), payload={"x": x})


def test_no_reader_sees_a_state_that_never_was(engine: Engine) -> None:
    ref = make(engine, "docs")
    engine.write(ref, [Put(id=name, vector=vector(1000, 0), payload={"x": 1000}) for name in STAYING])
    engine.write(ref, [at(1)])

    def overwrite(chance: random.Random) -> None:
        x = chance.randrange(1, 500)
        engine.write(ref, [Delete(id="hot"), at(x)] if chance.random() < 0.3 else [at(x)])

    def patch(chance: random.Random) -> None:
        engine.write(ref, [Patch(id=chance.choice(STAYING), text=str(chance.random()))])

    def churn(chance: random.Random) -> None:
        ops: list[Op] = [Put(id=f"t{n}", vector=vector(5000, n), payload={"x": 5000}) for n in range(40)]
        engine.write(ref, ops)
        engine.write(ref, [Delete(id=f"t{n}") for n in range(40)])

    def search(chance: random.Random) -> None:
        condition = Exists(("x",)) if chance.random() < 0.5 else None
        hits = nearest(engine, ref, (0, 0), 200, filter=condition)
        names = [hit.point.id for hit in hits]
        assert len(names) == len(set(names))
        assert names[0] == "hot"
        assert set(STAYING) <= set(names)
        # All forty or none: a batch is seen whole.
        assert len(names) in (31, 71)
        for hit in hits[:31]:
            assert hit.point.payload is not None
            assert hit.score == float(np.float32(hit.point.payload["x"]) ** 2)

    def scroll(chance: random.Random) -> None:
        names = [point.id for point in everything(engine, ref, limit=chance.randrange(1, 20))]
        assert [name for name in names if name.startswith("s")] == STAYING
        assert len(names) == len(set(names))

    def count(chance: random.Random) -> None:
        assert engine.count(ref) in (31, 71)
        assert engine.count(ref, Exists(("x",))) in (31, 71)

    run_together([overwrite, overwrite, patch, churn, search, search, search, scroll, count])


class WriteInBetween:
    """A searcher during whose work others write: after the rows are ranked, before the points are read."""

    def __init__(self, write: Callable[[], object]) -> None:
        self._write = write

    def search(self, view: View, question: Question, check_cancelled: Callable[[], None]) -> list[Ranking]:
        rankings = ExactScan().search(view, question, check_cancelled)
        self._write()
        return rankings


@pytest.mark.parametrize("condition", [None, Exists(("generation",))])
def test_ranks_and_points_are_of_one_state(engine: Engine, condition: Filter | None) -> None:
    """A batch patches one point and brings another: who sees the patch must see the newcomer."""
    ref = make(engine, "docs")
    assert isinstance(engine, EmbeddedEngine)
    put(engine, ref, "a", (0, 0), {"generation": 0})
    generations = iter(range(1, 100))

    def write() -> None:
        generation = {"generation": next(generations)}
        engine.write(ref, [Patch(id="a", payload=generation), Put(id="new", vector=vector(0, 0), payload=generation)])

    engine._searcher = WriteInBetween(write)
    for _ in range(3):
        seen = {hit.point.id: hit.point.payload for hit in nearest(engine, ref, (0, 0), filter=condition)}
        assert seen["a"] == seen.get("new", {"generation": 0})


def test_what_is_acknowledged_is_visible_and_stays(engine: Engine) -> None:
    ref = make(engine, "docs")
    expected: dict[str, int] = {}

    def writer(number: int) -> Callable[[random.Random], None]:
        def write(chance: random.Random) -> None:
            name, x = f"w{number}-{chance.randrange(50)}", chance.randrange(100)
            if chance.random() < 0.3:
                engine.write(ref, [Delete(id=name)])
                expected.pop(name, None)
                assert engine.get(ref, [name]) == [None]
            else:
                put(engine, ref, name, (x, number), {"x": x})
                expected[name] = x
                point = engine.get(ref, [name])[0]
                assert point is not None
                assert point.payload == {"x": x}
                assert name in found(engine, ref, (x, number), 500, max_score=0.0)

        return write

    run_together([writer(number) for number in range(6)])
    stored = {point.id: point.payload for point in everything(engine, ref)}
    assert stored == {name: {"x": x} for name, x in expected.items()}
    changes = engine.changes(ref, limit=10**6).changes
    assert [change.seq for change in changes] == list(range(1, engine.describe(ref).seq + 1))


def test_collections_come_and_go_under_their_users(engine: Engine) -> None:
    ref = CollectionRef("default", "volatile")

    def create(chance: random.Random) -> None:
        try:
            engine.create(CollectionSpec.dense(ref, 2, Distance.COSINE))
        except AlreadyExists:
            time.sleep(0.001)

    def drop(chance: random.Random) -> None:
        time.sleep(chance.random() * 0.02)
        try:
            engine.drop(ref)
        except CollectionNotFound:
            time.sleep(0.001)

    def use(chance: random.Random) -> None:
        legs = (DenseLeg(vectors=vector(0, 1)[None, :]),)
        try:
            put(engine, ref, f"{chance.randrange(100)}", (1, 1))
            engine.search(ref, SearchRequest(legs=legs, k=5))
            engine.search(ref, SearchRequest(legs=legs, k=5, filter=Exists(("x",))))
            engine.scroll(ref, ScrollRequest(limit=5))
            engine.get(ref, ["1"])
            engine.changes(ref)
        except CollectionNotFound:
            time.sleep(0.001)

    run_together([create, drop, drop, use, use, use, use])


def test_collections_write_side_by_side(engine: Engine) -> None:
    """A write that holds one collection does not hold another."""
    first, second = make(engine, "first"), make(engine, "second")
    assert isinstance(engine, EmbeddedEngine)
    with engine._catalog.find(first).writing():
        done = threading.Thread(target=put, args=(engine, second, "a"))
        done.start()
        done.join(timeout=20.0)
        assert not done.is_alive()
        with pytest.raises(DeadlineExceeded, match="nothing was written"):
            engine.write(first, [Put(id="a", vector=vector(0, 0))], deadline=time.monotonic() + 0.05)
        # Readers of the collection that is being written are not held either.
        assert (engine.count(first), found(engine, first, (0, 0)), engine.get(first, ["a"])) == (0, [], [None])


def test_closing_waits_for_what_is_in_flight(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "closing")
    ref = make(engine, "docs")
    acknowledged: list[str] = []

    def write() -> None:
        try:
            for n in range(10_000):
                put(engine, ref, f"{n}")
                acknowledged.append(f"{n}")
        except Exception as error:  # noqa: BLE001 - the engine was closed under it
            errors.append(type(error).__name__)

    errors: list[str] = []
    thread = threading.Thread(target=write)
    thread.start()
    while len(acknowledged) < 20:
        time.sleep(0.001)
    engine.close()
    thread.join()
    assert errors == ["Unavailable"]
    again = EmbeddedEngine.open(scratch / "closing")
    assert sorted(point.id for point in everything(again, ref)) == sorted(acknowledged)
    again.close()
