"""Collections: create, drop, list, describe."""

# ruff: noqa: S101

from collections.abc import Callable

import pytest

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, CollectionState, Distance, IdKind
from vectrograph.domain.errors import AlreadyExists, CollectionNotFound, InvalidArgument
from vectrograph.domain.points import Put
from vectrograph.domain.queries import DenseLeg, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import TENANT, Subject, everything, make, one, put, vector

VERBS: dict[str, Callable[[Engine, CollectionRef], object]] = {
    "drop": lambda engine, ref: engine.drop(ref),
    "describe": lambda engine, ref: engine.describe(ref),
    "write": lambda engine, ref: engine.write(ref, [Put(id="a", vector=vector(0, 0))]),
    "get": lambda engine, ref: engine.get(ref, ["a"]),
    "search": lambda engine, ref: engine.search(
        ref, SearchRequest(legs=(DenseLeg(vectors=vector(0, 0)[None, :]),), k=1)
    ),
    "scroll": lambda engine, ref: engine.scroll(ref, ScrollRequest(limit=1)),
    "count": lambda engine, ref: engine.count(ref),
    "changes": lambda engine, ref: engine.changes(ref),
}
"""Every verb that names a collection, called with acceptable arguments."""


class CollectionContract(Subject):
    """Making, finding and dropping collections."""

    @pytest.mark.parametrize("distance", list(Distance))
    @pytest.mark.parametrize("kind", list(IdKind))
    def test_a_new_collection_is_described_as_it_was_made(
        self, engine: Engine, distance: Distance, kind: IdKind
    ) -> None:
        """Spec, state and sizes come back."""
        if distance not in engine.capabilities.distances:
            pytest.skip("not among the engine's distances")
        spec = CollectionSpec.dense(CollectionRef(TENANT, "docs"), 7, distance, model="m-1", ids=kind)
        made = engine.create(spec)
        assert made.spec == engine.describe(spec.ref).spec
        assert (made.spec, made.state, made.count, made.seq) == (spec, CollectionState.READY, 0, 0)
        assert made.created_at > 0

    def test_a_name_is_taken_once(self, engine: Engine, docs: CollectionRef) -> None:
        """A second collection of that name is refused and the first one stays as it is."""
        put(engine, docs, "a")
        with pytest.raises(AlreadyExists, match="docs"):
            engine.create(CollectionSpec.dense(docs, 5, Distance.DOT))
        info = engine.describe(docs)
        assert (info.spec.dimension, info.spec.distance, info.count) == (2, Distance.EUCLIDEAN, 1)

    def test_list_is_sorted_and_of_one_tenant(self, engine: Engine) -> None:
        """Names of a tenant in order; of a tenant without collections, none."""
        for name in ("zebra", "ant", "Bee", "ant2"):
            make(engine, name)
        make(engine, "other", tenant="someone")
        assert [info.spec.ref.name for info in engine.list(TENANT)] == sorted(["zebra", "ant", "Bee", "ant2"])
        assert [info.spec.ref for info in engine.list("someone")] == [CollectionRef("someone", "other")]
        assert engine.list("nobody") == []

    def test_tenants_do_not_share_names(self, engine: Engine) -> None:
        """The same name in two tenants is two collections."""
        first, second = make(engine, "docs", tenant="first"), make(engine, "docs", tenant="second")
        put(engine, first, "a", payload={"of": "first"})
        assert engine.count(second) == 0
        engine.drop(second)
        assert one(engine, first, "a").payload == {"of": "first"}

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_misses_a_collection_that_never_was(self, engine: Engine, verb: str) -> None:
        """CollectionNotFound, and the message names it."""
        with pytest.raises(CollectionNotFound, match="nowhere"):
            VERBS[verb](engine, CollectionRef(TENANT, "nowhere"))

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_misses_a_dropped_collection(self, engine: Engine, docs: CollectionRef, verb: str) -> None:
        """Dropped is as if it never was."""
        put(engine, docs, "a")
        engine.drop(docs)
        with pytest.raises(CollectionNotFound, match="docs"):
            VERBS[verb](engine, docs)
        assert engine.list(TENANT) == []

    def test_a_dropped_name_can_be_used_again(self, engine: Engine, docs: CollectionRef) -> None:
        """The new collection has nothing of the old one, not even its shape."""
        put(engine, docs, "a")
        engine.drop(docs)
        make(engine, "docs", dimension=3, distance=Distance.DOT)
        assert engine.count(docs) == 0
        assert engine.describe(docs).seq == 0
        put(engine, docs, "b", (1, 2, 3))
        assert [point.id for point in everything(engine, docs)] == ["b"]

    def test_a_cursor_does_not_outlive_its_collection(self, engine: Engine, docs: CollectionRef) -> None:
        """A cursor of the dropped collection is refused by the new one of that name."""
        for name in "abc":
            put(engine, docs, name)
        cursor = engine.scroll(docs, ScrollRequest(limit=1)).cursor
        engine.drop(docs)
        make(engine, "docs")
        with pytest.raises(InvalidArgument, match="cursor"):
            engine.scroll(docs, ScrollRequest(limit=1, cursor=cursor))

    @pytest.mark.parametrize("name", ["a b", "ü/ä", "..", "x" * 255, "日本", "'; DROP TABLE points; --", "con"])
    def test_any_name_will_do(self, engine: Engine, name: str) -> None:
        """Names are data, never paths or statements."""
        ref = make(engine, name)
        put(engine, ref, "a")
        assert engine.count(ref) == 1
        assert engine.describe(ref).spec.ref.name == name
        engine.drop(ref)

    def test_names_differ_in_case(self, engine: Engine) -> None:
        """Names are compared as they are."""
        put(engine, make(engine, "Docs"), "a")
        assert engine.count(make(engine, "docs")) == 0

    def test_dimensions_are_bounded(self, engine: Engine) -> None:
        """Nothing, less than nothing and too much are refused; the largest is not."""
        largest = engine.capabilities.limits.max_dimension
        for dimension in (0, -1, largest + 1):
            with pytest.raises(InvalidArgument, match="dimension"):
                make(engine, "docs", dimension=dimension)
        assert engine.list(TENANT) == []
        ref = make(engine, "docs", dimension=largest)
        put(engine, ref, "a", [1.0] * largest)
        assert engine.count(ref) == 1

    def test_count_and_seq_are_described(self, engine: Engine, docs: CollectionRef) -> None:
        """describe follows every change."""
        seq = put(engine, docs, "a").seq
        assert (engine.describe(docs).count, engine.describe(docs).seq) == (1, seq)
        later = put(engine, docs, "a").seq
        assert later > seq
        assert (engine.describe(docs).count, engine.describe(docs).seq) == (1, later)

    @pytest.mark.parametrize("task", list(MaintenanceTask))
    def test_maintenance_of_nothing(self, engine: Engine, task: MaintenanceTask) -> None:
        """A task that is offered misses a collection that is not there; one that is not offered is refused."""
        wanted = CollectionNotFound if task in engine.capabilities.maintenance else InvalidArgument
        with pytest.raises(wanted):
            engine.maintain(task, CollectionRef(TENANT, "nowhere"))
