# Generated from packages/wirekit/src/wirekit/paging.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""A walk over all pages of a list that a server sorts by a rising key and cuts by offset and limit.

Plain offsets lose rows: when somebody deletes a row that was already read, every later row moves up by one,
and the next page begins one row too late. This walk overlaps its pages by one row and steps back when the
overlap is missing, so a row present throughout is yielded exactly once, also to a caller who deletes while
walking.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OffsetWalk(Generic[T]):
    """The state of one walk; it says which window to fetch and is fed what came.

    Args:
        page_size: rows to ask for at a time, 2 or more; one of them is the overlap.
        key: the rising sort key of a row; a key is never used again for another row.

    Raises:
        ValueError: `page_size` below 2.

    >>> rows, walk, seen = [1, 2, 3, 4, 5], OffsetWalk[int](page_size=2, key=lambda row: row), []
    >>> while (window := walk.window) is not None:
    ...     offset, limit = window
    ...     seen += walk.feed(rows[offset : offset + limit])
    >>> seen
    [1, 2, 3, 4, 5]
    """

    def __init__(self, *, page_size: int, key: Callable[[T], Any]) -> None:
        if page_size < 2:
            raise ValueError(f"page_size must be 2 or more, not {page_size}")
        self._page_size = page_size
        self._key = key
        self._offset = 0
        self._last: Any = None
        self._finished = False

    @property
    def window(self) -> tuple[int, int] | None:
        """Offset and limit of the next page to fetch, or None when the walk is over."""
        return None if self._finished else (self._offset, self._page_size)

    def feed(self, rows: Sequence[T], total: int | None = None) -> list[T]:
        """Takes the rows of the window; returns those not seen before, in order.

        Args:
            rows: what the server sent for the window; fewer than asked for is no sign of the end.
            total: rows in the whole list, when the server tells; saves the last, empty page.
        """
        anchored = self._offset == 0 or (bool(rows) and self._key(rows[0]) <= self._last)
        if not anchored:
            self._offset = max(0, self._offset - self._page_size)
            return []
        fresh = [row for row in rows if self._last is None or self._key(row) > self._last]
        end = self._offset + len(rows)
        # A longer page of old rows only shows that the last step back went further than it had to.
        self._finished = (not fresh and len(rows) < 2) or (total is not None and end >= total)
        if fresh:
            self._last = self._key(fresh[-1])
        self._offset = max(0, end - 1)
        return fresh
