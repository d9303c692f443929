"""Retention of the log of changes: what goes, what stays, and what a reader is told that comes too late."""

# ruff: noqa: S101

import time
from collections.abc import Callable, Iterator

import pytest

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import InvalidArgument, PositionExpired
from vectrograph.domain.log_retention import LogRetention
from vectrograph.domain.points import NOW, Delete, Patch, Put
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import Subject, everything, ids, make, one, put, put_many, vector

Retaining = Callable[[LogRetention, Callable[[], int]], Engine]
"""Opens an engine with a retention and a clock (microseconds since 1970)."""

# Seconds until what has to go must have gone. Generous: engines remove it in the background.
_REMOVED_WITHIN = 30.0


class LogRetentionContract(Subject):
    """A log of changes that is bounded. Overrides: the fixture `retaining`.

    An engine may remove late, in the background; it never removes what the retention keeps.
    """

    @pytest.fixture
    def retaining(self) -> Iterator[Retaining]:
        """Open engines, and close them in the end."""
        raise NotImplementedError("override the fixture `retaining`")

    @pytest.fixture
    def engine(self, retaining: Retaining) -> Engine:
        """Provide an engine that keeps three changes."""
        engine = retaining(LogRetention(max_changes=3), lambda: 1_000)
        if not engine.capabilities.changes:
            pytest.skip("the engine keeps no log of changes")
        return engine

    def test_the_newest_changes_are_kept(self, engine: Engine, docs: CollectionRef) -> None:
        """The log keeps as many changes as its limit says; a reader without a position begins at the oldest of them."""
        for n in range(1, 11):
            put(engine, docs, f"p{n}")
            assert held(engine, docs)[-3:] == list(range(max(1, n - 2), n + 1))
        assert held_from(engine, docs, 8) == [8, 9, 10]
        page = engine.changes(docs, limit=1)
        assert [change.id for change in page.changes] == ["p8"]
        assert [change.id for change in engine.changes(docs, page.position).changes] == ["p9", "p10"]

    def test_a_position_that_has_left_the_log_is_told_so(self, engine: Engine, docs: CollectionRef) -> None:
        """With the oldest position that can be read, at which every change comes that is still held."""
        positions = [engine.changes(docs, NOW).position]
        for n in range(1, 11):
            put(engine, docs, f"p{n}")
            positions.append(engine.changes(docs, NOW).position)
        held_from(engine, docs, 8)
        for position in positions[:7]:
            with pytest.raises(PositionExpired, match="Read the points anew") as told:
                engine.changes(docs, position)
            assert (told.value.code, told.value.retryable) == ("POSITION_EXPIRED", False)
            oldest = engine.changes(docs, told.value.details["oldest"])
            assert [change.seq for change in oldest.changes] == [8, 9, 10]
        for n, position in enumerate(positions[7:], 7):
            assert [change.seq for change in engine.changes(docs, position).changes] == list(range(n + 1, 11))

    def test_the_oldest_position_is_as_good_as_any(self, engine: Engine, docs: CollectionRef) -> None:
        """The log from there to its end is complete, also with what is written later."""
        start = engine.changes(docs, NOW).position
        put_many(engine, docs, [(name, (0, 0)) for name in "abcdef"])
        held_from(engine, docs, 4)
        with pytest.raises(PositionExpired) as told:
            engine.changes(docs, start)
        first = engine.changes(docs, told.value.details["oldest"], limit=2)
        engine.write(docs, [Delete(id="a")])
        rest = engine.changes(docs, first.position)
        assert [change.seq for change in (*first.changes, *rest.changes)] == [4, 5, 6, 7]

    def test_a_write_may_be_larger_than_the_log(self, engine: Engine, docs: CollectionRef) -> None:
        """Its first changes are in no log then, and all its points are there."""
        put_many(engine, docs, [(f"p{n}", (n, n)) for n in range(20)])
        assert held_from(engine, docs, 18) == [18, 19, 20]
        assert len(everything(engine, docs)) == 20

    def test_only_the_log_is_shortened(self, engine: Engine, docs: CollectionRef) -> None:
        """Points whose changes have gone are as they were, can be changed, and are told of again."""
        put_many(engine, docs, [(name, (n, n)) for n, name in enumerate("abcdef")])
        held_from(engine, docs, 4)
        assert ids(everything(engine, docs)) == list("abcdef")
        assert one(engine, docs, "a").version == 1
        engine.write(docs, [Patch(id="a", text="x"), Put(id="b", vector=vector(9, 9)), Delete(id="c")])
        assert held_from(engine, docs, 7) == [7, 8, 9]
        assert [(change.kind.value, change.id) for change in engine.changes(docs).changes] == [
            ("patched", "a"),
            ("updated", "b"),
            ("deleted", "c"),
        ]
        assert engine.describe(docs).seq == 9

    def test_old_changes_go_although_nobody_writes(self, retaining: Retaining) -> None:
        """Of a log that is too old the newest change stays, so that there is always a position to wait at."""
        now = 1_000
        engine = retaining(LogRetention(max_age=100), lambda: now)
        docs = make(engine, "docs")
        for name in "abc":
            put(engine, docs, name)
            now += 20
        start, end = engine.changes(docs, limit=1).position, engine.changes(docs, NOW).position
        assert [change.id for change in engine.changes(docs, start).changes] == ["b", "c"]
        now = 1_141
        assert held_from(engine, docs, 3) == [3]
        with pytest.raises(PositionExpired):
            engine.changes(docs, start)
        now += 10**12
        assert held(engine, docs) == [3]
        assert engine.changes(docs, end).changes == ()
        put(engine, docs, "d")
        assert [change.id for change in engine.changes(docs, end).changes] == ["d"]
        assert held_from(engine, docs, 4) == [4]

    def test_what_is_young_stays(self, retaining: Retaining) -> None:
        """Also where the limit of changes would keep more; each limit holds for itself."""
        now = 1_000
        engine = retaining(LogRetention(max_changes=4, max_age=100), lambda: now)
        docs = make(engine, "docs")
        put_many(engine, docs, [("a", (0, 0)), ("b", (0, 0))])
        now += 60
        put_many(engine, docs, [("c", (0, 0)), ("d", (0, 0))])
        assert held(engine, docs) == [1, 2, 3, 4]
        now += 60
        assert held_from(engine, docs, 3) == [3, 4]
        put_many(engine, docs, [(name, (0, 0)) for name in "efg"])
        assert held_from(engine, docs, 4) == [4, 5, 6, 7]

    def test_a_position_of_another_collection_is_not_expired(self, engine: Engine, docs: CollectionRef) -> None:
        """A position of another collection is none of this log, also when both had the same name."""
        other = make(engine, "other")
        foreign = engine.changes(other, NOW).position
        put_many(engine, docs, [(name, (0, 0)) for name in "abcdef"])
        old = engine.changes(docs, NOW).position
        held_from(engine, docs, 4)
        engine.drop(docs)
        make(engine, "docs")
        put_many(engine, docs, [(name, (0, 0)) for name in "abcdefgh"])
        held_from(engine, docs, 6)
        for position in (foreign, old):
            with pytest.raises(InvalidArgument, match="since"):
                engine.changes(docs, position)


def held(engine: Engine, ref: CollectionRef) -> list[int]:
    """Return the seqs of all changes in the log."""
    return [change.seq for change in engine.changes(ref).changes]


def held_from(engine: Engine, ref: CollectionRef, first: int) -> list[int]:
    """Return the seqs of all changes in the log, once those before `first` have left it."""
    end = time.monotonic() + _REMOVED_WITHIN
    while (seqs := held(engine, ref)) and seqs[0] < first:
        assert time.monotonic() < end, f"change {seqs[0]} is still in the log"
        time.sleep(0.005)
    return seqs
