"""Durability over closing and opening again."""

# ruff: noqa: S101

from collections.abc import Callable

import pytest

from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance, IdKind
from vectrograph.domain.errors import IdempotencyConflict, InvalidArgument
from vectrograph.domain.points import Delete, IdempotencyKey, Patch, Put
from vectrograph.domain.queries import ScrollRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import (
    TENANT,
    Subject,
    everything,
    found,
    ids,
    make,
    one,
    put,
    put_many,
    vector,
)


class DurabilityContract(Subject):
    """For engines that declare `durable`. Overrides: the fixtures `engine` and `reopen`."""

    @pytest.fixture
    def reopen(self) -> Callable[[Engine], Engine]:
        """Close an engine and opens its data again."""
        raise NotImplementedError("override the fixture `reopen`")

    @pytest.fixture(autouse=True)
    def _durable(self, engine: Engine) -> None:
        if not engine.capabilities.durable:
            pytest.skip("the engine keeps nothing")

    def test_everything_comes_back(
        self, engine: Engine, docs: CollectionRef, reopen: Callable[[Engine], Engine]
    ) -> None:
        """Collections, points to the bit, versions, order, log."""
        put(engine, docs, "a", (0.1, -2e-40), {"k": [1.5, None]}, "text")
        put_many(engine, docs, [("b", (1, 1)), ("c", (1, 1)), ("d", (9, 9))])
        engine.write(docs, [Patch(id="b", payload={"patched": True}), Delete(id="d"), Put(id="c", vector=vector(2, 2))])
        make(engine, "empty", dimension=5, distance=Distance.DOT)
        infos, log = engine.list(TENANT), engine.changes(docs)
        points = [(p, p.vector.tobytes()) for p in everything(engine, docs) if p.vector is not None]
        again = reopen(engine)
        assert [(i.spec, i.count, i.seq, i.created_at) for i in again.list(TENANT)] == [
            (i.spec, i.count, i.seq, i.created_at) for i in infos
        ]
        for point, stored in points:
            same = one(again, docs, point.id)
            assert same.vector is not None
            assert same.vector.tobytes() == stored
            assert (same.payload, same.text, same.version, same.created_seq) == (
                point.payload,
                point.text,
                point.version,
                point.created_seq,
            )
            assert (same.created_at, same.updated_at) == (point.created_at, point.updated_at)
        assert again.changes(docs) == log
        assert found(again, docs, (1, 1)) == ["b", "a", "c"]

    def test_counters_go_on(self, engine: Engine, reopen: Callable[[Engine], Engine]) -> None:
        """Neither a seq nor a serial id is used again, although what had the largest is gone."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        for _ in range(3):
            put(engine, ref, None)
        seq = engine.write(ref, [Delete(id="3")]).seq
        again = reopen(engine)
        result = put(again, ref, None)
        assert (result.outcomes[0].id, result.seq) == ("4", seq + 1)

    def test_cursors_and_positions_go_on(
        self, engine: Engine, docs: CollectionRef, reopen: Callable[[Engine], Engine]
    ) -> None:
        """A scroll and a reader of the log continue where they were."""
        put_many(engine, docs, [(name, (0, 0)) for name in "abcd"])
        cursor = engine.scroll(docs, ScrollRequest(limit=2)).cursor
        position = engine.changes(docs, limit=3).position
        again = reopen(engine)
        assert ids(again.scroll(docs, ScrollRequest(limit=9, cursor=cursor)).points) == ["c", "d"]
        assert [change.id for change in again.changes(docs, position).changes] == ["d"]

    def test_a_dropped_collection_stays_dropped(
        self, engine: Engine, docs: CollectionRef, reopen: Callable[[Engine], Engine]
    ) -> None:
        """And its name is free."""
        put(engine, docs, "a")
        engine.drop(docs)
        again = reopen(engine)
        assert again.list(TENANT) == []
        again.create(CollectionSpec.dense(docs, 3, Distance.COSINE))
        assert again.count(docs) == 0

    def test_positions_of_a_dropped_collection_stay_refused(
        self, engine: Engine, docs: CollectionRef, reopen: Callable[[Engine], Engine]
    ) -> None:
        """Also when its name is in use again, before and after."""
        put_many(engine, docs, [(name, (0, 0)) for name in "abc"])
        position = engine.changes(docs, limit=1).position
        engine.drop(docs)
        again = reopen(engine)
        make(again, "docs")
        put_many(again, docs, [(name, (0, 0)) for name in "abc"])
        with pytest.raises(InvalidArgument, match=r"since.*dropped"):
            again.changes(docs, position)
        with pytest.raises(InvalidArgument, match=r"since.*dropped"):
            reopen(again).changes(docs, position)

    def test_idempotency_is_remembered(
        self, engine: Engine, docs: CollectionRef, reopen: Callable[[Engine], Engine]
    ) -> None:
        """A repeat after a restart is still a repeat."""
        key = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="h")
        first = engine.write(docs, [Put(id="a", vector=vector(0, 0))], idempotency=key)
        again = reopen(engine)
        result = again.write(docs, [Put(id="a", vector=vector(0, 0))], idempotency=key)
        assert (result.replayed, result.outcomes) == (True, first.outcomes)
        other = IdempotencyKey(principal="p", operation="upsert", key="k", body_hash="other")
        with pytest.raises(IdempotencyConflict):
            again.write(docs, [Delete(id="a")], idempotency=other)
