"""Writes: put, patch, delete, delete-where, their order and outcomes; serial ids."""

# ruff: noqa: S101

import numpy as np
import pytest

from vectrograph.domain.collections import CollectionRef, IdKind
from vectrograph.domain.errors import Conflict
from vectrograph.domain.filters.evaluation import Compare, Comparison, Exists
from vectrograph.domain.points import (
    KEEP,
    MAX_SERIAL_ID,
    Delete,
    DeleteWhere,
    Op,
    Outcome,
    OutcomeStatus,
    Patch,
    Put,
)
from vectrograph.domain.queries import Include, Order
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import (
    WHOLE,
    Subject,
    everything,
    found,
    ids,
    make,
    nearest,
    one,
    put,
    put_many,
    vector,
)

BARE = Include(vector=False, payload=False, text=False)
IDS = ["a", "A", " ", "é", "e\u0301", "a\x00b", "a'b\"c", "../x", "%_*", "0", "x" * 512, "日本" * 80, "\U0001f600"]
PAYLOADS = [
    {},
    {"a": None, "b": True, "c": False, "d": "", "e": [], "f": {}},
    {"nested": {"list": [1, [2, [3, {"deep": "ü"}]]]}},
    {"a.b": 1, "$": 2, '"quoted"': 3, "": 4, "a\x00b": "c\x00d", "\u2028": "\U0001f600"},
    {"int": 2**53 + 1, "big": 2**80, "float": 0.1, "tiny": 5e-324, "huge": 1.7e308, "negative": -0.5},
    {"1": "one", "text": "x" * 10_000},
]


class WriteContract(Subject):
    """Effects of a write, whole and in order."""

    def test_a_point_comes_back_as_it_was_put(self, engine: Engine, docs: CollectionRef) -> None:
        """Every bit of the vector, payload, text; times and versions."""
        result = put(engine, docs, "a", (0.1, -3e38), {"k": [1, {"x": None}]}, "some text")
        point = one(engine, docs, "a")
        assert point.vector is not None
        assert point.vector.dtype == np.float32
        assert point.vector.tobytes() == vector(0.1, -3e38).tobytes()
        assert (point.payload, point.text) == ({"k": [1, {"x": None}]}, "some text")
        assert result.outcomes == (Outcome("a", OutcomeStatus.CREATED, result.seq),)
        assert point.version == point.created_seq == result.seq
        assert 0 < point.created_at == point.updated_at

    @pytest.mark.parametrize("id", IDS)
    def test_any_string_is_an_id(self, engine: Engine, docs: CollectionRef, id: str) -> None:
        """Ids are bytes: nothing is trimmed, folded, normalised or cut at a NUL."""
        others = [other for other in IDS if other != id]
        put_many(engine, docs, [(id, (1, 1)), *((other, (9, 9)) for other in others)])
        assert found(engine, docs, (1, 1), 1) == [id]
        engine.write(docs, [Delete(id=id)])
        assert engine.get(docs, [id]) == [None]
        assert sorted(ids(everything(engine, docs))) == sorted(others)

    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_any_json_is_a_payload(self, engine: Engine, docs: CollectionRef, payload: dict[str, object]) -> None:
        """Values, types and keys come back, from every verb that reads."""
        put(engine, docs, "a", payload=payload)
        for point in (one(engine, docs, "a"), everything(engine, docs)[0], nearest(engine, docs, (0, 0))[0].point):
            assert point.payload == payload
            assert repr(point.payload) == repr(payload)

    @pytest.mark.parametrize("text", [None, "", "a\x00b", "é\n\U0001f600", "x" * 50_000])
    def test_any_text_is_kept(self, engine: Engine, docs: CollectionRef, text: str | None) -> None:
        """None is not the empty text."""
        put(engine, docs, "a", text=text)
        assert one(engine, docs, "a").text == text

    def test_what_is_stored_belongs_to_the_engine(self, engine: Engine, docs: CollectionRef) -> None:
        """Neither arguments nor results lead back into the store."""
        given, payload = vector(1, 2), {"list": [1]}
        engine.write(docs, [Put(id="a", vector=given, payload=payload)])
        given[:] = 9
        payload["list"].append(2)
        first = one(engine, docs, "a")
        assert first.vector is not None
        assert first.payload is not None
        first.vector[:] = 9
        first.payload["list"].append(3)
        again = one(engine, docs, "a")
        assert again.vector is not None
        assert again.vector.tolist() == [1, 2]
        assert again.payload == {"list": [1]}
        assert found(engine, docs, (1, 2), max_score=0.0) == ["a"]

    def test_put_replaces_whole(self, engine: Engine, docs: CollectionRef) -> None:
        """Old vector, payload and text are gone; creation stays, version moves."""
        put(engine, docs, "a", (1, 1), {"old": 1}, "old")
        before = one(engine, docs, "a")
        result = put(engine, docs, "a", (5, 5), {"new": 1})
        after = one(engine, docs, "a")
        assert result.outcomes == (Outcome("a", OutcomeStatus.UPDATED, result.seq),)
        assert (after.payload, after.text, after.version) == ({"new": 1}, None, result.seq)
        assert (after.created_seq, after.created_at) == (before.created_seq, before.created_at)
        assert after.version > before.version
        assert engine.count(docs) == 1
        assert found(engine, docs, (1, 1), max_score=0.5) == []
        assert found(engine, docs, (5, 5), max_score=0.0) == ["a"]

    def test_put_can_keep_payload_and_text(self, engine: Engine, docs: CollectionRef) -> None:
        """KEEP leaves what an existing point has, and means empty for a new one."""
        put(engine, docs, "a", (1, 1), {"k": 1}, "text")
        put(engine, docs, "a", (2, 2), KEEP, KEEP)
        put(engine, docs, "b", (3, 3), KEEP, KEEP)
        kept, new = one(engine, docs, "a"), one(engine, docs, "b")
        assert (kept.payload, kept.text) == ({"k": 1}, "text")
        assert (new.payload, new.text) == ({}, None)

    def test_patch_leaves_the_vector(self, engine: Engine, docs: CollectionRef) -> None:
        """Payload and text change each by itself, the version moves, the ranking does not."""
        put(engine, docs, "a", (1, 1), {"k": 1}, "text")
        first = engine.write(docs, [Patch(id="a", payload={"k": 2})])
        assert first.outcomes == (Outcome("a", OutcomeStatus.PATCHED, first.seq),)
        point = one(engine, docs, "a")
        assert (point.payload, point.text, point.version) == ({"k": 2}, "text", first.seq)
        engine.write(docs, [Patch(id="a", text=None)])
        point = one(engine, docs, "a")
        assert (point.payload, point.text, point.created_seq) == ({"k": 2}, None, 1)
        assert found(engine, docs, (1, 1), max_score=0.0) == ["a"]
        assert nearest(engine, docs, (1, 1))[0].point.payload == {"k": 2}

    def test_deleting(self, engine: Engine, docs: CollectionRef) -> None:
        """The point is gone from every verb; what is not there is reported, not an error."""
        put_many(engine, docs, [("a", (0, 0)), ("b", (1, 1))])
        result = engine.write(docs, [Delete(id="a"), Delete(id="nothing"), Patch(id="nothing", text="x")])
        assert result.outcomes == (
            Outcome("a", OutcomeStatus.DELETED, result.seq),
            Outcome("nothing", OutcomeStatus.MISSING, 0),
            Outcome("nothing", OutcomeStatus.MISSING, 0),
        )
        assert engine.get(docs, ["a", "b", "nothing"])[0::2] == [None, None]
        assert (engine.count(docs), found(engine, docs, (0, 0)), ids(everything(engine, docs))) == (1, ["b"], ["b"])

    def test_a_deleted_point_that_comes_back_is_new(self, engine: Engine, docs: CollectionRef) -> None:
        """It has a new creation, and no version is ever used again."""
        put(engine, docs, "a")
        engine.write(docs, [Delete(id="a")])
        result = put(engine, docs, "a")
        point = one(engine, docs, "a")
        assert result.outcomes[0].status is OutcomeStatus.CREATED
        assert point.created_seq == point.version == result.seq == 3

    def test_operations_apply_in_their_order(self, engine: Engine, docs: CollectionRef) -> None:
        """Each sees what those before it did; each change takes one seq."""
        ops: list[Op] = [
            Put(id="a", vector=vector(1, 1), payload={"n": 1}),
            Put(id="a", vector=vector(2, 2), payload=KEEP),
            Delete(id="a"),
            Patch(id="a", text="too late"),
            Put(id="a", vector=vector(3, 3)),
            Patch(id="a", text="patched"),
            Put(id="b", vector=vector(4, 4)),
        ]
        result = engine.write(docs, ops)
        assert [(o.id, o.status.value, o.version) for o in result.outcomes] == [
            ("a", "created", 1),
            ("a", "updated", 2),
            ("a", "deleted", 3),
            ("a", "missing", 0),
            ("a", "created", 4),
            ("a", "patched", 5),
            ("b", "created", 6),
        ]
        point = one(engine, docs, "a")
        assert (point.payload, point.text, point.version, point.created_seq) == ({}, "patched", 5, 4)
        assert found(engine, docs, (3, 3)) == ["a", "b"]
        assert engine.count(docs) == 2

    def test_of_a_repeated_id_the_last_wins(self, engine: Engine, docs: CollectionRef) -> None:
        """All are counted in the outcomes, one is stored."""
        result = put_many(engine, docs, [("a", (1, 1)), ("b", (2, 2)), ("a", (3, 3))])
        assert len(result.outcomes) == 3
        assert engine.count(docs) == 2
        assert found(engine, docs, (3, 3), max_score=0.0) == ["a"]
        assert found(engine, docs, (1, 1), max_score=0.5) == []

    def test_delete_where(self, engine: Engine, docs: CollectionRef) -> None:
        """It takes what matches when its turn comes, oldest first, and tells each."""
        put(engine, docs, "old", payload={"k": 1})
        put(engine, docs, "other", payload={"k": 2})
        ops: list[Op] = [
            Put(id="new", vector=vector(0, 0), payload={"k": 1}),
            Patch(id="other", payload={"k": 1, "late": True}),
            DeleteWhere(filter=Compare(("k",), Comparison.EQ, 1)),
            Put(id="after", vector=vector(0, 0), payload={"k": 1}),
            DeleteWhere(filter=Exists(("nothing",))),
        ]
        result = engine.write(docs, ops)
        assert [(o.id, o.status.value) for o in result.outcomes] == [
            ("new", "created"),
            ("other", "patched"),
            ("old", "deleted"),
            ("other", "deleted"),
            ("new", "deleted"),
            ("after", "created"),
        ]
        assert ids(everything(engine, docs)) == ["after"]

    def test_a_write_tells_its_time(self, engine: Engine, docs: CollectionRef) -> None:
        """Compare the time of a write with that of the points it changed."""
        first = put(engine, docs, "a")
        second = engine.write(docs, [Patch(id="a", text="x"), Put(id="b", vector=vector(1, 1))])
        a, b = one(engine, docs, "a"), one(engine, docs, "b")
        assert (a.created_at, a.updated_at) == (first.at, second.at)
        assert b.created_at == b.updated_at == second.at

    def test_a_write_hands_back_what_it_stored(self, engine: Engine, docs: CollectionRef) -> None:
        """The points as the write left them, without another read; nothing unless it is asked for."""
        put_many(engine, docs, [("a", (1, 1)), ("b", (2, 2)), ("c", (3, 3))])
        ops: list[Op] = [
            Put(id="new", vector=vector(0.1, -3e38), payload={"n": [1]}, text="text"),
            Patch(id="a", payload={"k": 1}),
            Put(id="b", vector=vector(5, 5), payload=KEEP, text=KEEP),
            Patch(id="new", text=None),
            Patch(id="nothing", text="x"),
            Delete(id="c"),
            Put(id="gone", vector=vector(0, 0)),
            Delete(id="gone"),
        ]
        assert engine.write(docs, [Patch(id="a", text="old")]).points is None
        result = engine.write(docs, ops, returning=WHOLE)
        assert result.points is not None
        stored = engine.get(docs, [outcome.id for outcome in result.outcomes], include=WHOLE)
        assert [None if point is None else point.id for point in result.points] == [
            *["new", "a", "b", "new"],
            *[None] * 4,
        ]
        for point, read in zip(result.points, stored, strict=True):
            assert (point is None) == (read is None)
            if point is not None and read is not None:
                assert point.vector is not None
                assert read.vector is not None
                assert point.vector.tobytes() == read.vector.tobytes()
                assert point._replace(vector=None) == read._replace(vector=None)
                point.vector[:] = 9
        assert found(engine, docs, (1, 1), max_score=0.0) == ["a"]
        bare = engine.write(docs, [Patch(id="a", text="x")], returning=BARE)
        assert bare.points is not None
        assert bare.points[0] is not None
        assert (bare.points[0].vector, bare.points[0].payload, bare.points[0].text) == (None, None, None)
        assert bare.points[0].version == bare.seq

    def test_a_write_of_nothing(self, engine: Engine, docs: CollectionRef) -> None:
        """Nothing happens, and the result says where the collection stands."""
        seq = put(engine, docs, "a").seq
        assert (engine.write(docs, []).seq, engine.write(docs, []).outcomes) == (seq, ())

    def test_seq_rises_with_every_change(self, engine: Engine, docs: CollectionRef) -> None:
        """Deletes take numbers too; misses take none."""
        sizes = [put(engine, docs, "a").seq, put(engine, docs, "b").seq, engine.write(docs, [Delete(id="b")]).seq]
        sizes += [engine.write(docs, [Delete(id="b")]).seq, put(engine, docs, "b").seq]
        assert sizes == [1, 2, 3, 3, 4]

    def test_get_answers_in_the_order_asked(self, engine: Engine, docs: CollectionRef) -> None:
        """Also for repeated, missing and impossible ids."""
        put_many(engine, docs, [("a", (0, 0)), ("b", (1, 1))])
        points = engine.get(docs, ["b", "zz", "a", "b", "", "\ud800"])
        assert [None if p is None else p.id for p in points] == ["b", None, "a", "b", None, None]
        assert engine.get(docs, []) == []

    def test_a_large_batch(self, engine: Engine, docs: CollectionRef) -> None:
        """The largest batch goes through whole."""
        count = engine.capabilities.limits.max_batch
        put_many(engine, docs, ((f"p{n}", (n, 0)) for n in range(count)))
        assert engine.count(docs) == count
        assert found(engine, docs, (count - 3, 0), 1) == [f"p{count - 3}"]
        assert len([p for p in engine.get(docs, [f"p{n}" for n in range(count)]) if p is not None]) == count


class SerialContract(Subject):
    """Collections that number their points."""

    def test_numbers_rise_and_are_not_reused(self, engine: Engine) -> None:
        """Also after the largest was deleted."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        first = engine.write(ref, [Put(id=None, vector=vector(n, n)) for n in range(3)])
        assert [outcome.id for outcome in first.outcomes] == ["1", "2", "3"]
        engine.write(ref, [Delete(id="3"), Delete(id="2")])
        assert put(engine, ref, None).outcomes[0].id == "4"

    def test_a_named_number_moves_the_counter(self, engine: Engine) -> None:
        """Past the largest, in the same write; a smaller one does not move it back."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        ops = [Put(id="10", vector=vector(0, 0)), Put(id=None, vector=vector(0, 0)), Put(id="5", vector=vector(0, 0))]
        assert [outcome.id for outcome in engine.write(ref, ops).outcomes] == ["10", "11", "5"]
        assert put(engine, ref, None).outcomes[0].id == "12"

    def test_the_last_number(self, engine: Engine) -> None:
        """It can be used; after it there is none, and nothing is written."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        put(engine, ref, str(MAX_SERIAL_ID))
        with pytest.raises(Conflict, match="used up"):
            engine.write(ref, [Put(id="1", vector=vector(0, 0)), Put(id=None, vector=vector(0, 0))])
        assert engine.count(ref) == 1
        assert put(engine, ref, "1").outcomes[0].status is OutcomeStatus.CREATED

    def test_ids_sort_by_number(self, engine: Engine) -> None:
        """Both ways, over pages."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        put_many(engine, ref, [(str(n), (n, n)) for n in (100, 9, 10, 1, 99, 2)])
        by_number = ["1", "2", "9", "10", "99", "100"]
        assert ids(everything(engine, ref, limit=2)) == by_number
        assert ids(everything(engine, ref, limit=2, order=Order(descending=True))) == by_number[::-1]
