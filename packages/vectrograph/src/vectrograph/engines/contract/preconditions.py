"""Conditional writes: each operation by itself is applied or skipped."""

# ruff: noqa: S101

import pytest

from vectrograph.domain.collections import CollectionRef, IdKind
from vectrograph.domain.filters.evaluation import Compare, Comparison, Exists, Not
from vectrograph.domain.points import (
    Delete,
    DeleteWhere,
    Op,
    Outcome,
    OutcomeStatus,
    Patch,
    Precondition,
    Put,
)
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import Subject, everything, ids, make, one, put, vector

SKIPPED = OutcomeStatus.SKIPPED


class PreconditionContract(Subject):
    """if_absent, if_version, if_match."""

    @pytest.fixture(autouse=True)
    def _conditional_writes(self, engine: Engine) -> None:
        if not engine.capabilities.conditional_writes:
            pytest.skip("the engine has no conditional writes")

    def test_if_absent(self, engine: Engine, docs: CollectionRef) -> None:
        """New points are created, existing ones left alone, and the others of the batch go on."""
        version = put(engine, docs, "a", payload={"first": True}).seq
        ops = [Put(id="a", vector=vector(9, 9)), Put(id="b", vector=vector(1, 1)), Put(id="b", vector=vector(2, 2))]
        result = engine.write(docs, ops, precondition=Precondition(if_absent=True))
        assert result.outcomes == (
            Outcome("a", SKIPPED, version),
            Outcome("b", OutcomeStatus.CREATED, version + 1),
            Outcome("b", SKIPPED, version + 1),
        )
        assert one(engine, docs, "a").payload == {"first": True}
        assert engine.count(docs) == 2

    def test_if_version(self, engine: Engine, docs: CollectionRef) -> None:
        """The right version passes once; ids that are not named are not held to one; an absent point has none."""
        version = put(engine, docs, "a").seq
        wanted = Precondition(if_version={"a": version, "gone": 1})
        ops: list[Op] = [
            Patch(id="a", text="mine"),
            Patch(id="a", text="again"),
            Delete(id="gone"),
            Put(id="gone", vector=vector(0, 0)),
            Put(id="free", vector=vector(0, 0)),
        ]
        result = engine.write(docs, ops, precondition=wanted)
        assert [(o.id, o.status, o.version) for o in result.outcomes] == [
            ("a", OutcomeStatus.PATCHED, version + 1),
            ("a", SKIPPED, version + 1),
            ("gone", SKIPPED, 0),
            ("gone", SKIPPED, 0),
            ("free", OutcomeStatus.CREATED, version + 2),
        ]
        assert one(engine, docs, "a").text == "mine"

    def test_only_one_of_two_wins(self, engine: Engine, docs: CollectionRef) -> None:
        """Compare and set: whoever read the older version is told so."""
        put(engine, docs, "a")
        seen = Precondition(if_version={"a": one(engine, docs, "a").version})
        first = engine.write(docs, [Put(id="a", vector=vector(1, 1))], precondition=seen)
        second = engine.write(docs, [Put(id="a", vector=vector(2, 2))], precondition=seen)
        assert (first.outcomes[0].status, second.outcomes[0].status) == (OutcomeStatus.UPDATED, SKIPPED)
        assert second.seq == first.seq

    def test_if_match(self, engine: Engine, docs: CollectionRef) -> None:
        """The stored point must match; an absent one never does, whatever the filter says."""
        put(engine, docs, "draft", payload={"state": "draft"})
        put(engine, docs, "done", payload={"state": "done"})
        is_draft = Precondition(if_match=Compare(("state",), Comparison.EQ, "draft"))
        result = engine.write(docs, [Delete(id=name) for name in ("draft", "done", "none")], precondition=is_draft)
        assert [o.status for o in result.outcomes] == [OutcomeStatus.DELETED, SKIPPED, SKIPPED]
        anything = Precondition(if_match=Not(Exists(("nothing",))))
        result = engine.write(docs, [Put(id="none", vector=vector(0, 0))], precondition=anything)
        assert result.outcomes[0].status is SKIPPED
        assert ids(everything(engine, docs)) == ["done"]

    def test_if_match_sees_the_batch_so_far(self, engine: Engine, docs: CollectionRef) -> None:
        """An earlier operation of the same write can make a later one's condition true or false."""
        put(engine, docs, "a", payload={"n": 0})
        condition = Precondition(if_match=Compare(("n",), Comparison.EQ, 0))
        ops = [Patch(id="a", payload={"n": 1}), Patch(id="a", payload={"n": 2})]
        result = engine.write(docs, ops, precondition=condition)
        assert [o.status for o in result.outcomes] == [OutcomeStatus.PATCHED, SKIPPED]
        assert one(engine, docs, "a").payload == {"n": 1}

    def test_delete_where_has_no_precondition(self, engine: Engine, docs: CollectionRef) -> None:
        """Its own filter says all."""
        put(engine, docs, "a")
        result = engine.write(
            docs, [DeleteWhere(filter=Not(Exists(("x",))))], precondition=Precondition(if_absent=True)
        )
        assert [o.status for o in result.outcomes] == [OutcomeStatus.DELETED]

    def test_a_skipped_point_takes_no_number(self, engine: Engine) -> None:
        """In a serial collection, what is not written is not counted."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        never = Precondition(if_match=Exists(("x",)))
        assert engine.write(ref, [Put(id=None, vector=vector(0, 0))], precondition=never).outcomes[0].status is SKIPPED
        assert put(engine, ref, None).outcomes[0].id == "1"
