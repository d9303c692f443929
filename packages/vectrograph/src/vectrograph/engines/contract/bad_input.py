"""Refusals of bad input, naming the place, with nothing written."""

# ruff: noqa: S101

import math
import time
from typing import Any

import numpy as np
import pytest

from vectrograph.domain.collections import CollectionRef, IdKind
from vectrograph.domain.errors import DeadlineExceeded, DomainError, InvalidArgument, TooLarge
from vectrograph.domain.points import Delete, Op, Patch, Put, WriteLimits
from vectrograph.domain.queries import DenseLeg, Order, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import Subject, everything, ids, make, one, put, vector

# Lists nested a hundred deep: payloads may have 64 levels.
DEEP: Any = 1
for _ in range(100):
    DEEP = [DEEP]

BAD_OPS: dict[str, tuple[Op, str]] = {
    "empty id": (Put(id="", vector=vector(0, 0)), r"ops\[1\]\.id"),
    "long id": (Put(id="é" * 257, vector=vector(0, 0)), r"ops\[1\]\.id"),
    "half a surrogate pair": (Put(id="\ud800", vector=vector(0, 0)), r"ops\[1\]\.id"),
    "no id": (Put(id=None, vector=vector(0, 0)), r"ops\[1\]\.id"),
    "empty id to delete": (Delete(id=""), r"ops\[1\]\.id"),
    "empty id to patch": (Patch(id="", text="x"), r"ops\[1\]\.id"),
    "short vector": (Put(id="x", vector=vector(0)), r"ops\[1\]\.vector"),
    "long vector": (Put(id="x", vector=vector(0, 0, 0)), r"ops\[1\]\.vector"),
    "empty vector": (Put(id="x", vector=vector()), r"ops\[1\]\.vector"),
    "matrix": (Put(id="x", vector=np.zeros((1, 2), np.float32)), r"ops\[1\]\.vector"),
    "NaN": (Put(id="x", vector=vector(0, math.nan)), r"ops\[1\]\.vector\[1\]"),
    "infinity": (Put(id="x", vector=vector(-math.inf, 0)), r"ops\[1\]\.vector\[0\]"),
    "NaN in payload": (Put(id="x", vector=vector(0, 0), payload={"k": math.nan}), r"ops\[1\]\.payload"),
    "no JSON": (Put(id="x", vector=vector(0, 0), payload={"k": object()}), r"ops\[1\]\.payload"),
    "set in payload": (Patch(id="a", payload={"k": {1}}), r"ops\[1\]\.payload"),
    "number as key": (Put(id="x", vector=vector(0, 0), payload={"k": {1: 2}}), r"ops\[1\]\.payload"),
    "deep payload": (Put(id="x", vector=vector(0, 0), payload={"k": DEEP}), r"ops\[1\]\.payload"),
    "surrogate in payload": (Put(id="x", vector=vector(0, 0), payload={"k": "\ud800"}), r"ops\[1\]\.payload"),
    "surrogate in text": (Put(id="x", vector=vector(0, 0), text="\udfff"), r"ops\[1\]\.text"),
}

BAD_SEARCHES: dict[str, tuple[dict[str, Any], str]] = {
    "k 0": ({"k": 0}, "k"),
    "k negative": ({"k": -1}, "k"),
    "offset negative": ({"offset": -1}, "k"),
    "ef 0": ({"ef": 0}, "ef"),
    "max_score NaN": ({"max_score": math.nan}, "max_score"),
    "short vector": ({"legs": (DenseLeg(vectors=vector(0)[None, :]),)}, "vector"),
    "one-dimensional": ({"legs": (DenseLeg(vectors=vector(0, 0)),)}, "vector"),
    "NaN": ({"legs": (DenseLeg(vectors=vector(0, math.nan)[None, :]),)}, "vector"),
    "infinity in the second": ({"legs": (DenseLeg(vectors=np.array([[0, 0], [math.inf, 0]], np.float32)),)}, "vector"),
    "no leg": ({"legs": ()}, "legs"),
    "unknown field": ({"legs": (DenseLeg(vectors=vector(0, 0)[None, :], field="other"),)}, "legs"),
}

BAD_SERIAL_IDS = ["0", "-1", "01", "1.0", "x", " 1", "1 ", "9007199254740992", "٣"]


def refused(error: DomainError) -> str:
    """Return the field that an error names."""
    return str(error.details["errors"][0]["field"])


class BadInputContract(Subject):
    """Every refusal is an InvalidArgument or TooLarge of the domain, and changes nothing."""

    @pytest.mark.parametrize("case", BAD_OPS)
    def test_a_bad_operation_spoils_the_write(self, engine: Engine, docs: CollectionRef, case: str) -> None:
        """The error names the operation's position; the good operations around it are not done either."""
        put(engine, docs, "a", payload={"k": "old"})
        op, place = BAD_OPS[case]
        good = Put(id="good", vector=vector(0, 0))
        with pytest.raises(InvalidArgument, match=place) as raised:
            engine.write(docs, [good, op, Delete(id="a")])
        assert refused(raised.value).startswith("ops[1].")
        assert (engine.count(docs), engine.describe(docs).seq) == (1, 1)
        assert one(engine, docs, "a").payload == {"k": "old"}

    @pytest.mark.parametrize("id", BAD_SERIAL_IDS)
    def test_serial_ids_are_canonical(self, engine: Engine, id: str) -> None:
        """Nothing else can be put; asking for it or deleting it finds nothing."""
        ref = make(engine, "numbers", ids=IdKind.SERIAL)
        with pytest.raises(InvalidArgument, match=r"ops\[0\]\.id"):
            put(engine, ref, id)
        assert engine.get(ref, [id]) == [None]
        assert engine.write(ref, [Delete(id=id)]).outcomes[0].version == 0
        assert put(engine, ref, None).outcomes[0].id == "1"

    @pytest.mark.parametrize("case", BAD_SEARCHES)
    def test_a_bad_search(self, engine: Engine, docs: CollectionRef, case: str) -> None:
        """The error names the parameter, also in an empty collection."""
        change, field = BAD_SEARCHES[case]
        arguments: dict[str, Any] = {"legs": (DenseLeg(vectors=vector(0, 0)[None, :]),), "k": 1, **change}
        with pytest.raises(InvalidArgument) as raised:
            engine.search(docs, SearchRequest(**arguments))
        assert refused(raised.value).startswith(field)

    def test_the_largest_k(self, engine: Engine, docs: CollectionRef) -> None:
        """It is taken, together with the offset; one more is not."""
        put(engine, docs, "a")
        legs, largest = (DenseLeg(vectors=vector(0, 0)[None, :]),), engine.capabilities.limits.max_k
        assert len(engine.search(docs, SearchRequest(legs=legs, k=largest))[0].hits) == 1
        for k, offset in ((largest + 1, 0), (largest, 1)):
            with pytest.raises(InvalidArgument, match="k"):
                engine.search(docs, SearchRequest(legs=legs, k=k, offset=offset))

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            (ScrollRequest(limit=0), "limit"),
            (ScrollRequest(limit=1, offset=-1), "offset"),
            (ScrollRequest(limit=1, order=Order(key="colour")), "order"),
            (ScrollRequest(limit=1, cursor="nonsense"), "cursor"),
            (ScrollRequest(limit=1, cursor=""), "cursor"),
        ],
    )
    def test_a_bad_scroll(self, engine: Engine, docs: CollectionRef, request_: ScrollRequest, field: str) -> None:
        """The error names the parameter."""
        with pytest.raises(InvalidArgument) as raised:
            engine.scroll(docs, request_)
        assert refused(raised.value) == field

    def test_sizes_are_bounded(self, engine: Engine, docs: CollectionRef) -> None:
        """Batches, payloads and texts up to the advertised limits, not beyond."""
        limits = engine.capabilities.limits
        fitting = "x" * (limits.max_payload_bytes - len('{"k":""}'))
        put(engine, docs, "a", payload={"k": fitting}, text="x" * limits.max_text_bytes)
        assert one(engine, docs, "a").payload == {"k": fitting}
        with pytest.raises(TooLarge, match="payload"):
            put(engine, docs, "b", payload={"k": fitting + "x"})
        with pytest.raises(TooLarge, match="text"):
            put(engine, docs, "b", text="x" * (limits.max_text_bytes + 1))
        with pytest.raises(TooLarge, match="ops holds") as raised:
            engine.write(docs, [Delete(id="b")] * (limits.max_batch + 1))
        assert (raised.value.details["limit"], raised.value.details["unit"]) == (limits.max_batch, "items")
        assert engine.count(docs) == 1

    def test_limits_of_the_caller_hold_where_they_are_lower(self, engine: Engine, docs: CollectionRef) -> None:
        """They are looked at where the engine's own are, and the refusal names the place."""
        own = engine.capabilities.limits
        fitting, ops = {"k": "é" * 10}, [Put(id=name, vector=vector(0, 0)) for name in "abc"]
        lower = WriteLimits(max_batch=2, max_payload_bytes=28)
        engine.write(docs, [Put(id="a", vector=vector(0, 0), payload=fitting), Delete(id="b")], limits=lower)
        with pytest.raises(TooLarge, match="ops holds 3 items") as raised:
            engine.write(docs, ops, limits=lower)
        assert (raised.value.place, raised.value.details["limit"]) == (("ops",), 2)
        for op in (
            Put(id="b", vector=vector(0, 0), payload={"k": "é" * 10 + "x"}),
            Patch(id="a", payload={"kk": "x" * 30}),
        ):
            with pytest.raises(TooLarge, match="max_payload_bytes") as refusal:
                engine.write(docs, [Delete(id="a"), op], limits=lower)
            assert (refusal.value.place, refusal.value.details["limit"]) == (("ops", 1, "payload"), 28)
        higher = WriteLimits(max_batch=own.max_batch + 1, max_payload_bytes=2 * own.max_payload_bytes)
        with pytest.raises(TooLarge):
            engine.write(docs, [Delete(id="a")] * (own.max_batch + 1), limits=higher)
        assert ids(everything(engine, docs)) == ["a"]

    def test_a_deadline_in_the_past(self, engine: Engine, docs: CollectionRef) -> None:
        """Every verb that takes one notices, and a write has written nothing."""
        put(engine, docs, "a")
        past, legs = time.monotonic() - 1.0, (DenseLeg(vectors=vector(0, 0)[None, :]),)
        with pytest.raises(DeadlineExceeded):
            engine.write(docs, [Put(id="b", vector=vector(0, 0))], deadline=past)
        with pytest.raises(DeadlineExceeded):
            engine.search(docs, SearchRequest(legs=legs, k=1), deadline=past)
        with pytest.raises(DeadlineExceeded):
            engine.scroll(docs, ScrollRequest(limit=1), deadline=past)
        with pytest.raises(DeadlineExceeded):
            engine.count(docs, deadline=past)
        assert engine.count(docs, deadline=time.monotonic() + 60.0) == 1
