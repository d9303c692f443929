"""Scrolling: pages that are stable while others write."""

# ruff: noqa: S101

from collections.abc import Callable
from dataclasses import replace

import pytest

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.filters.evaluation import Not, Range
from vectrograph.domain.points import Delete, Patch, Point, Put
from vectrograph.domain.queries import Include, Order, ScrollRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import SELECTIONS, Subject, everything, ids, put, put_many, vector

ORDERS = [Order(key=key, descending=down) for key in ("id", "created", "updated") for down in (False, True)]
NAMES = ["b", "a", "ab", "B", "é", "z", "10", "9", "\U0001f600", "\uffff"]

KEYS: dict[str, Callable[[Point], object]] = {
    "id": lambda point: point.id.encode(),
    "created": lambda point: point.created_seq,
    "updated": lambda point: point.version,
}


def skip_unless_offered(engine: Engine, order: Order) -> None:
    """Skip the test when the engine does not sort so."""
    if order.key not in engine.capabilities.orderings:
        pytest.skip("not among the engine's orderings")


class ScrollContract(Subject):
    """Every point once, in order."""

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    @pytest.mark.parametrize("limit", [1, 3, 10, 100])
    def test_pages_are_sorted_and_complete(self, engine: Engine, docs: CollectionRef, order: Order, limit: int) -> None:
        """Pages of any size; no cursor after the last."""
        skip_unless_offered(engine, order)
        put_many(engine, docs, [(name, (0, 0)) for name in NAMES])
        engine.write(docs, [Patch(id="z", text="touched"), Put(id="a", vector=vector(1, 1))])
        points = everything(engine, docs, limit=limit, order=order)
        assert sorted(ids(points)) == sorted(NAMES)
        keys = [KEYS[order.key](point) for point in points]
        assert keys == sorted(keys, reverse=order.descending)  # type: ignore[type-var]

    def test_an_empty_collection_has_one_empty_page(self, engine: Engine, docs: CollectionRef) -> None:
        """And no cursor."""
        page = engine.scroll(docs, ScrollRequest(limit=10))
        assert (page.points, page.cursor) == ((), None)

    def test_a_full_last_page_has_no_cursor(self, engine: Engine, docs: CollectionRef) -> None:
        """The end is known without asking for an empty page."""
        put_many(engine, docs, [(name, (0, 0)) for name in "abcd"])
        first = engine.scroll(docs, ScrollRequest(limit=2))
        second = engine.scroll(docs, ScrollRequest(limit=2, cursor=first.cursor))
        assert (ids(first.points), ids(second.points), second.cursor) == (["a", "b"], ["c", "d"], None)

    def test_offset_skips(self, engine: Engine, docs: CollectionRef) -> None:
        """From the start, or from the cursor; past the end is empty."""
        put_many(engine, docs, [(name, (0, 0)) for name in "abcdef"])
        page = engine.scroll(docs, ScrollRequest(limit=2, offset=1))
        assert ids(page.points) == ["b", "c"]
        assert ids(engine.scroll(docs, ScrollRequest(limit=2, offset=1, cursor=page.cursor)).points) == ["e", "f"]
        past = engine.scroll(docs, ScrollRequest(limit=2, offset=6))
        assert (past.points, past.cursor) == ((), None)

    @pytest.mark.parametrize("order", ORDERS[:4], ids=str)
    def test_stable_while_others_write(self, engine: Engine, docs: CollectionRef, order: Order) -> None:
        """Points that are there throughout appear exactly once, whatever comes and goes around the cursor."""
        skip_unless_offered(engine, order)
        staying = [f"s{n:02}" for n in range(20)]
        put_many(engine, docs, [(name, (0, 0)) for name in staying])
        put_many(engine, docs, [(f"t{n}", (0, 0)) for n in range(5)])
        seen: list[str] = []
        cursor: str | None = None
        for turn in range(100):
            page = engine.scroll(docs, ScrollRequest(limit=3, order=order, cursor=cursor))
            seen += ids(page.points)
            cursor = page.cursor
            if cursor is None:
                break
            # The row the cursor stands on goes; rows come before and after it; others change in place.
            engine.write(
                docs,
                [
                    *(Delete(id=name) for name in ids(page.points) if not name.startswith("s")),
                    Delete(id=f"t{turn % 5}"),
                    Put(id=f"r{turn}", vector=vector(0, 0)),
                    Put(id=f"u{turn}", vector=vector(0, 0)) if turn < 5 else Delete(id="none"),
                    Put(id=staying[turn % 20], vector=vector(turn, turn)),
                ],
            )
        assert [name for name in sorted(seen) if name.startswith("s")] == staying
        assert len(seen) == len(set(seen))

    def test_a_filter_applies_before_the_page(self, engine: Engine, docs: CollectionRef) -> None:
        """Pages are full as long as there are matches."""
        engine.write(docs, [Put(id=f"{n:04}", vector=vector(0, 0), payload={"n": n}) for n in range(1200)])
        far = Range(("n",), gte=1100)
        page = engine.scroll(docs, ScrollRequest(limit=60, filter=far))
        assert ids(page.points) == [f"{n:04}" for n in range(1100, 1160)]
        rest = engine.scroll(docs, ScrollRequest(limit=60, filter=far, cursor=page.cursor))
        assert (len(rest.points), rest.cursor) == (40, None)
        assert ids(engine.scroll(docs, ScrollRequest(limit=2, offset=98, filter=far)).points) == ["1198", "1199"]

    def test_a_cursor_holds_for_its_own_scroll(self, engine: Engine, docs: CollectionRef) -> None:
        """Another order, direction or filter refuses it; another page size or selection of parts does not."""
        put_many(engine, docs, [(name, (0, 0)) for name in "abcd"])
        cursor = engine.scroll(docs, ScrollRequest(limit=1)).cursor
        foreign = [
            ScrollRequest(limit=1, cursor=cursor, order=Order(descending=True)),
            ScrollRequest(limit=1, cursor=cursor, filter=Range(("n",), gte=0)),
        ]
        if "created" in engine.capabilities.orderings:
            foreign.append(ScrollRequest(limit=1, cursor=cursor, order=Order(key="created")))
        for request in foreign:
            with pytest.raises(InvalidArgument, match="cursor"):
                engine.scroll(docs, request)
        page = engine.scroll(docs, ScrollRequest(limit=5, cursor=cursor, include=Include(vector=True)))
        assert ids(page.points) == ["b", "c", "d"]

    def test_parts_are_returned_as_asked(self, engine: Engine, docs: CollectionRef) -> None:
        """Vector, payload and text each by itself."""
        put(engine, docs, "a", (1, 2), {"k": 1}, "text")
        for include in SELECTIONS:
            point = engine.scroll(docs, ScrollRequest(limit=1, include=include)).points[0]
            assert (point.vector is not None, point.payload, point.text) == (
                include.vector,
                {"k": 1} if include.payload else None,
                "text" if include.text else None,
            )

    def test_a_page_of_large_points_ends_early(self, engine: Engine, docs: CollectionRef) -> None:
        """Vectors, payloads as compact JSON and texts count as far as they are asked for; one point always fits."""
        # 8 bytes of vector, 12 of payload, 10 of text.
        engine.write(
            docs, [Put(id=f"{n:03}", vector=vector(n, 0), payload={"s": "a" * 4}, text="é" * 5) for n in range(150)]
        )
        names = [f"{n:03}" for n in range(150)]
        for include in SELECTIONS:
            size = 8 * include.vector + 12 * include.payload + 10 * include.text
            for limit, most, length in ((10, 3 * size, 3), (10, 4 * size - 1, 3), (10, 1, 1), (150, 100 * size, 100)):
                expected = length if size else limit
                request = ScrollRequest(limit=limit, include=include, max_bytes=max(1, most))
                page = engine.scroll(docs, request)
                assert ids(page.points) == names[:expected]
                assert (page.cursor is None) == (expected == 150)
        seen: list[str] = []
        request = ScrollRequest(
            limit=100, include=Include(text=True), max_bytes=22 * 40, filter=Not(Range(("n",), gt=0))
        )
        cursor: str | None = None
        while True:
            page = engine.scroll(docs, replace(request, cursor=cursor))
            assert len(page.points) <= 40
            seen += ids(page.points)
            if (cursor := page.cursor) is None:
                break
        assert seen == names
