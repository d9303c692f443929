"""The log of changes, and writes that are sent twice."""

# ruff: noqa: S101

import pytest

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import IdempotencyConflict, InvalidArgument
from vectrograph.domain.points import (
    NOW,
    ChangeKind,
    Delete,
    IdempotencyKey,
    Op,
    OutcomeStatus,
    Patch,
    Precondition,
    Put,
)
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import Subject, make, put, put_many, vector


class ChangeLogContract(Subject):
    """Every change is told once, in order."""

    @pytest.fixture(autouse=True)
    def _changes(self, engine: Engine) -> None:
        if not engine.capabilities.changes:
            pytest.skip("the engine keeps no log of changes")

    def test_every_change_is_in_the_log(self, engine: Engine, docs: CollectionRef) -> None:
        """Kind, id and seq of each; what changed nothing is not there."""
        engine.write(docs, [Put(id="a", vector=vector(0, 0)), Put(id="ü\x00", vector=vector(0, 0))])
        engine.write(docs, [Patch(id="a", text="x"), Delete(id="missing"), Delete(id="ü\x00")])
        page = engine.changes(docs)
        assert [(c.seq, c.kind, c.id) for c in page.changes] == [
            (1, ChangeKind.CREATED, "a"),
            (2, ChangeKind.CREATED, "ü\x00"),
            (3, ChangeKind.PATCHED, "a"),
            (4, ChangeKind.DELETED, "ü\x00"),
        ]
        times = [change.at for change in page.changes]
        assert times == sorted(times)
        assert times[0] > 0

    @pytest.mark.parametrize("together", [False, True], ids=["in writes of their own", "in one write"])
    def test_the_log_tells_created_from_updated(self, engine: Engine, docs: CollectionRef, together: bool) -> None:
        """A put creates a point that is not there, also one that was deleted; any other put updates it."""
        ops: list[Op] = [
            Put(id="a", vector=vector(0, 0)),
            Put(id="a", vector=vector(1, 1)),
            Patch(id="a", text="x"),
            Put(id="a", vector=vector(2, 2)),
            Put(id="b", vector=vector(0, 0)),
            Delete(id="a"),
            Put(id="a", vector=vector(3, 3)),
            Put(id="a", vector=vector(4, 4)),
        ]
        for write in [ops] if together else [[op] for op in ops]:
            engine.write(docs, write)
        assert [(c.kind, c.id) for c in engine.changes(docs).changes] == [
            (ChangeKind.CREATED, "a"),
            (ChangeKind.UPDATED, "a"),
            (ChangeKind.PATCHED, "a"),
            (ChangeKind.UPDATED, "a"),
            (ChangeKind.CREATED, "b"),
            (ChangeKind.DELETED, "a"),
            (ChangeKind.CREATED, "a"),
            (ChangeKind.UPDATED, "a"),
        ]

    def test_the_log_tells_what_the_outcomes_told(self, engine: Engine, docs: CollectionRef) -> None:
        """Kind and seq of a change are status and version of its outcome."""
        outcomes = [
            *put_many(engine, docs, [(name, (0, 0)) for name in "abc"]).outcomes,
            *engine.write(docs, [Delete(id="b"), Patch(id="b", text="x"), Patch(id="c", text="x")]).outcomes,
            *put_many(engine, docs, [(name, (1, 1)) for name in "abcd"]).outcomes,
            *engine.write(docs, [Put(id="a", vector=vector(2, 2))], precondition=Precondition(if_absent=True)).outcomes,
        ]
        nothing = (OutcomeStatus.MISSING, OutcomeStatus.SKIPPED)
        assert [(c.kind.value, c.id, c.seq) for c in engine.changes(docs).changes] == [
            (each.status.value, each.id, each.version) for each in outcomes if each.status not in nothing
        ]

    def test_the_log_is_read_in_pages(self, engine: Engine, docs: CollectionRef) -> None:
        """Each position leads to what comes after, also after more was written."""
        for n in range(5):
            put(engine, docs, f"p{n}")
        seen: list[int] = []
        position: str | None = None
        for _ in range(3):
            page = engine.changes(docs, position, limit=2)
            seen += [change.seq for change in page.changes]
            position = page.position
        assert seen == [1, 2, 3, 4, 5]
        end = engine.changes(docs, position)
        assert end.changes == ()
        put(engine, docs, "later")
        assert [change.id for change in engine.changes(docs, end.position).changes] == ["later"]

    def test_the_beginning_of_an_empty_log(self, engine: Engine, docs: CollectionRef) -> None:
        """There is a position to wait at before anything has happened."""
        start = engine.changes(docs)
        assert start.changes == ()
        put(engine, docs, "a")
        assert [change.id for change in engine.changes(docs, start.position).changes] == ["a"]

    def test_now_is_the_end_of_the_log(self, engine: Engine, docs: CollectionRef) -> None:
        """Acknowledged writes are behind it, also more than a page of them; later ones are after it."""
        for n in range(3):
            put(engine, docs, f"p{n}")
            now = engine.changes(docs, NOW)
            assert now.changes == ()
            assert engine.changes(docs, NOW, limit=1) == now
            assert engine.changes(docs, now.position).changes == ()
        start = engine.changes(docs, NOW).position
        engine.write(docs, [Put(id="later", vector=vector(0, 0)), Delete(id="p0")])
        seen = engine.changes(docs, start)
        assert [(change.seq, change.id) for change in seen.changes] == [(4, "later"), (5, "p0")]
        assert engine.changes(docs, NOW).position == seen.position

    def test_now_of_an_empty_log(self, engine: Engine, docs: CollectionRef) -> None:
        """Everything that ever happens is after it; "now" as a text is no position."""
        now = engine.changes(docs, NOW)
        assert now.changes == ()
        put(engine, docs, "a")
        assert [change.id for change in engine.changes(docs, now.position).changes] == ["a"]
        with pytest.raises(InvalidArgument, match="since"):
            engine.changes(docs, str(NOW.value))
        with pytest.raises(InvalidArgument, match="limit"):
            engine.changes(docs, NOW, limit=0)

    def test_positions_belong_to_their_collection(self, engine: Engine, docs: CollectionRef) -> None:
        """Those of another collection, and inventions, are refused."""
        other = make(engine, "other")
        put(engine, other, "a")
        for position in (engine.changes(other).position, "7", "", "AAAAAAAAAAAA", "ünsinn"):
            with pytest.raises(InvalidArgument, match="since"):
                engine.changes(docs, position)
        with pytest.raises(InvalidArgument, match="limit"):
            engine.changes(docs, limit=0)

    def test_positions_end_with_their_collection(self, engine: Engine, docs: CollectionRef) -> None:
        """One of a collection that was dropped is none of the collection that has its name now."""
        positions = [engine.changes(docs, NOW).position]
        for name in "abc":
            put(engine, docs, name)
            positions.append(engine.changes(docs, NOW).position)
        engine.drop(docs)
        make(engine, "docs")
        for changes_before in range(5):
            for position in positions:
                with pytest.raises(InvalidArgument, match=r"since.*dropped"):
                    engine.changes(docs, position)
            put(engine, docs, f"new {changes_before}")


class IdempotencyContract(Subject):
    """The same write sent twice happens once."""

    @pytest.fixture(autouse=True)
    def _idempotency(self, engine: Engine) -> None:
        if not engine.capabilities.idempotency:
            pytest.skip("the engine keeps no idempotency records")

    def test_a_repeat_replays(self, engine: Engine, docs: CollectionRef) -> None:
        """The first result comes back, marked, whatever happened since; nothing is written."""
        key = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="h")
        first = engine.write(docs, [Put(id="a", vector=vector(0, 0)), Delete(id="x")], idempotency=key)
        engine.write(docs, [Delete(id="a")])
        again = engine.write(
            docs, [Put(id="a", vector=vector(0, 0)), Delete(id="x")], idempotency=key, returning=Include()
        )
        assert (first.replayed, again.replayed) == (False, True)
        assert (again.seq, again.outcomes, again.at) == (first.seq, first.outcomes, first.at)
        assert again.points is None
        assert engine.count(docs) == 0

    def test_another_body_is_refused(self, engine: Engine, docs: CollectionRef) -> None:
        """And writes nothing."""
        key = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="h")
        engine.write(docs, [Put(id="a", vector=vector(0, 0))], idempotency=key)
        other = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="other")
        with pytest.raises(IdempotencyConflict, match="'k'"):
            engine.write(docs, [Put(id="b", vector=vector(0, 0))], idempotency=other)
        assert engine.count(docs) == 1

    def test_keys_belong_to_who_and_what(self, engine: Engine, docs: CollectionRef) -> None:
        """The same key of another principal, operation or collection is another key."""
        second = make(engine, "second")
        for ref in (docs, second):
            for principal in ("p", "q"):
                for operation in ("upsert", "delete"):
                    key = IdempotencyKey(principal=principal, operation=operation, key="k", body_hash=principal)
                    assert not engine.write(ref, [Put(id="a", vector=vector(0, 0))], idempotency=key).replayed

    def test_a_refused_write_leaves_its_key_free(self, engine: Engine, docs: CollectionRef) -> None:
        """The record is part of the write."""
        key = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="h")
        with pytest.raises(InvalidArgument):
            engine.write(docs, [Put(id="", vector=vector(0, 0))], idempotency=key)
        other = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="other")
        result = engine.write(docs, [Put(id="a", vector=vector(0, 0))], idempotency=other)
        assert (result.replayed, result.outcomes[0].status) == (False, OutcomeStatus.CREATED)

    def test_a_write_that_changes_nothing_is_remembered(self, engine: Engine, docs: CollectionRef) -> None:
        """Its answer is an answer too."""
        key = IdempotencyKey(principal="p", operation="delete", key="k", body_hash="h")
        engine.write(docs, [Delete(id="a")], idempotency=key)
        put(engine, docs, "a")
        again = engine.write(docs, [Delete(id="a")], idempotency=key)
        assert (again.replayed, again.outcomes[0].status) == (True, OutcomeStatus.MISSING)
        assert engine.count(docs) == 1
