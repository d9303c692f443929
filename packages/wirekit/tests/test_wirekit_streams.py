"""Batches keep order, limits and laziness; a paged walk sees every lasting row exactly once."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirekit.batching import Batcher, batches
from wirekit.paging import OffsetWalk


@given(st.lists(st.binary(max_size=30)), st.integers(1, 5), st.integers(1, 40))
def test_batches_keep_order_and_limits(items: list[bytes], max_count: int, max_bytes: int) -> None:
    cut = list(batches(items, max_count=max_count, max_bytes=max_bytes, size=len))
    assert [item for batch in cut for item in batch] == items
    for batch in cut:
        assert 1 <= len(batch) <= max_count
        assert sum(map(len, batch)) <= max_bytes or len(batch) == 1


@given(st.lists(st.binary(max_size=30), min_size=2), st.integers(1, 5), st.integers(1, 40))
def test_batches_are_as_full_as_they_can_be(items: list[bytes], max_count: int, max_bytes: int) -> None:
    cut = list(batches(items, max_count=max_count, max_bytes=max_bytes, size=len))
    for batch, following in pairwise(cut):
        one_more = sum(map(len, batch)) + len(following[0])
        assert len(batch) == max_count or one_more > max_bytes


def test_batches_read_one_item_ahead_and_no_more() -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    stream = batches(endless(), max_count=3, max_bytes=1000, size=lambda _: 1)
    assert next(stream) == [0, 1, 2]
    assert len(taken) == 4


def test_a_batcher_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="max_count=0"):
        Batcher[str](max_count=0, max_bytes=1)


def fetch(rows: list[int], window: tuple[int, int]) -> list[int]:
    offset, limit = window
    return rows[offset : offset + limit]


@given(st.sets(st.integers(0, 500), max_size=60), st.integers(1, 7), st.data())
def test_rows_that_last_are_seen_exactly_once(ids: set[int], page_size: int, data: st.DataObject) -> None:
    rows, lasting = sorted(ids), set(ids)
    walk = OffsetWalk[int](page_size=page_size, key=lambda row: row)
    seen: list[int] = []
    told = data.draw(st.booleans())
    for _ in range(40 + 40 * len(ids)):
        window = walk.window
        if window is None:
            break
        if data.draw(st.integers(0, 9)) == 0 and walk.shrink():
            continue
        seen += walk.feed(fetch(rows, window), len(rows) if told else None)
        gone = data.draw(st.sets(st.sampled_from(rows), max_size=4)) if rows else set()
        lasting -= gone
        rows = [row for row in rows if row not in gone]
    else:
        pytest.fail("the walk does not end")
    assert seen == sorted(set(seen))
    assert lasting <= set(seen)


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_deleting_while_walking_skips_nothing(page_size: int) -> None:
    rows = list(range(10))
    walk = OffsetWalk[int](page_size=page_size, key=lambda row: row)
    seen = []
    while (window := walk.window) is not None:
        for row in walk.feed(fetch(rows, window)):
            seen.append(row)
            rows.remove(row)
    assert seen == list(range(10))


@pytest.mark.parametrize("told", [True, False])
def test_pages_shrink_to_one_row(told: bool) -> None:
    """FINDINGS D3: no page of two rows can be read."""
    rows = list(range(10))
    walk = OffsetWalk[int](page_size=5, key=lambda row: row)
    seen, sizes = [], []
    while (window := walk.window) is not None:
        sizes.append(window[1])
        if window[1] > 1:
            assert walk.shrink()
        else:
            seen += walk.feed(fetch(rows, window), len(rows) if told else None)
    assert (seen, sizes[:3], set(sizes[2:])) == (rows, [5, 2, 1], {1})
    assert not walk.shrink()


def test_rows_added_at_the_end_are_walked_too() -> None:
    rows = [1, 2, 3]
    walk = OffsetWalk[int](page_size=2, key=lambda row: row)
    assert walk.feed(fetch(rows, walk.window or (0, 0))) == [1, 2]
    rows.append(4)
    rest = []
    while (window := walk.window) is not None:
        rest += walk.feed(fetch(rows, window))
    assert rest == [3, 4]


def test_the_total_saves_the_last_request() -> None:
    walk = OffsetWalk[int](page_size=10, key=lambda row: row)
    assert walk.feed([1, 2], total=2) == [1, 2]
    assert walk.window is None


def test_a_page_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="page_size"):
        OffsetWalk[int](page_size=0, key=lambda row: row)
