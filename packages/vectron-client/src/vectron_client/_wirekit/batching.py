# Generated from packages/wirekit/src/wirekit/batching.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""A stream of items cut into batches by count and bytes, without holding more than one batch."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """Collects items and hands out a batch as soon as the next item would not fit.

    It is fed item by item, so it serves iterables and asynchronous iterables alike.

    Args:
        max_count: most items in a batch.
        max_bytes: most bytes in a batch.

    Raises:
        ValueError: a limit below 1.

    >>> batcher = Batcher[str](max_count=3, max_bytes=5)
    >>> [batcher.add(word, len(word)) for word in ("ab", "cd", "ef", "toolong")], batcher.flush()
    ([None, None, ['ab', 'cd'], ['ef']], ['toolong'])
    """

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        if max_count < 1 or max_bytes < 1:
            raise ValueError(f"a batch needs positive limits: max_count={max_count}, max_bytes={max_bytes}")
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._items: list[T] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, size: int) -> list[T] | None:
        """Take one item; returns the batch that it completed, if any.

        An item larger than `max_bytes` travels alone: whether it is too large is for the receiver to say.

        Args:
            item: anything.
            size: its bytes on the wire, its share of the framing included.
        """
        full = len(self._items) >= self._max_count or self._bytes + size > self._max_bytes
        batch = self.flush() if full else None
        self._items.append(item)
        self._bytes += size
        return batch

    def flush(self) -> list[T] | None:
        """Return what is left, or None when nothing is; call it once the stream has ended."""
        batch = self._items or None
        self._items = []
        self._bytes = 0
        return batch


def batches(items: Iterable[T], *, max_count: int, max_bytes: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Cuts an iterable lazily into batches, in order; an empty iterable gives none.

    One item is read ahead of each batch; `size` tells the bytes of one. Limits and errors as in `Batcher`.

    >>> list(batches(["ab", "cd", "ef"], max_count=2, max_bytes=100, size=len))
    [['ab', 'cd'], ['ef']]
    """
    batcher = Batcher[T](max_count=max_count, max_bytes=max_bytes)
    for item in items:
        batch = batcher.add(item, size(item))
        if batch is not None:
            yield batch
    rest = batcher.flush()
    if rest is not None:
        yield rest
