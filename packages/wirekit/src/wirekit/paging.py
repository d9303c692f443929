"""A walk over all pages of a list that a server sorts by a rising key and cuts by offset and limit.

Plain offsets lose rows: when somebody deletes a row that was already read, every later row moves up by one,
and the next page begins one row too late. This walk overlaps its pages by one row and steps back when the
overlap is missing, so a row present throughout is yielded exactly once, also to a caller who deletes while
walking. Pages of one row have no room for an overlap: there each row is read first, and the one before it after
that. As rows only ever move up, a row before that is still old shows that nothing was skipped between the two.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OffsetWalk(Generic[T]):
    """The state of one walk; it says which window to fetch and is fed what came.

    Args:
        page_size: rows to ask for at a time, 1 or more; one of them is the overlap.
        key: the rising sort key of a row; a key is never used again for another row.

    Raises:
        ValueError: `page_size` below 1.

    >>> rows, walk, seen = [1, 2, 3, 4, 5], OffsetWalk[int](page_size=2, key=lambda row: row), []
    >>> while (window := walk.window) is not None:
    ...     offset, limit = window
    ...     seen += walk.feed(rows[offset : offset + limit])
    >>> seen
    [1, 2, 3, 4, 5]
    """

    def __init__(self, *, page_size: int, key: Callable[[T], Any]) -> None:
        if page_size < 1:
            raise ValueError(f"page_size must be 1 or more, not {page_size}")
        self._page_size = page_size
        self._key = key
        self._offset = 0
        self._last: Any = None
        self._finished = False
        # In pages of one row: what came for the place after `_offset`, and whether it was the end of the list.
        self._ahead: tuple[Sequence[T], bool] | None = None

    @property
    def window(self) -> tuple[int, int] | None:
        """Offset and limit of the next page to fetch, or None when the walk is over."""
        if self._finished:
            return None
        return self._offset + self._looks_ahead, self._page_size

    @property
    def _looks_ahead(self) -> bool:
        return self._page_size == 1 and self._last is not None and self._ahead is None

    def shrink(self) -> bool:
        """Halves the pages, whose answers are too large; False where a page is one row already."""
        if self._page_size == 1:
            return False
        self._page_size //= 2
        return True

    def feed(self, rows: Sequence[T], total: int | None = None) -> list[T]:
        """Take the rows of the window; returns those not seen before, in order.

        Args:
            rows: what the server sent for the window; fewer than asked for is no sign of the end.
            total: rows in the whole list, when the server tells; saves the last, empty page.
        """
        if self._looks_ahead:
            self._ahead = rows, not rows or (total is not None and self._offset + 1 + len(rows) >= total)
            return []
        ahead, self._ahead = self._ahead, None
        anchored = self._offset == 0 or (bool(rows) and self._key(rows[0]) <= self._last)
        if not anchored:
            self._offset = max(0, self._offset - self._page_size)
            return []
        fresh = self._fresh(rows)
        end = self._offset + len(rows)
        if ahead is None:
            # A longer page of old rows only shows that the last step back went further than it had to.
            self._finished = (not fresh and len(rows) < 2) or (total is not None and end >= total)
        elif not fresh and rows:
            following, self._finished = ahead
            fresh = self._fresh(following)
            end += len(following)
        else:  # the first row of all is a new one, or there is none: what came before may stand anywhere
            self._finished = not rows
        if fresh:
            self._last = self._key(fresh[-1])
        self._offset = max(0, end - 1)
        return fresh

    def _fresh(self, rows: Sequence[T]) -> list[T]:
        return [row for row in rows if self._last is None or self._key(row) > self._last]
