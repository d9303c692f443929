"""The columns of one collection: built when a filter first asks for them, kept up to date, dropped when space is short.

Writes cost nothing here. A column knows the seq up to which it is true, and before it is used what changed since is
read from the file: new rows by their labels, which rise, and patched ones by their version, of which there is an index.
So the work is the same whether a column is new, some writes behind, or was left half built by a deadline.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias

import apsw
import numpy as np

from vectrograph.domain.filters import Filter
from vectrograph.engines.embedded.budget import Budget, OverBudget, Reservation
from vectrograph.engines.embedded.columns.column import Mask
from vectrograph.engines.embedded.columns.keys import Key, keys_of
from vectrograph.engines.embedded.columns.table import Column, Table, empty_column, evaluate, values_at
from vectrograph.engines.embedded.reading import matching_labels, payloads_between
from vectrograph.engines.embedded.view import Labels, View

COLUMN_BYTES: Final = 256 << 20
"""Memory that the columns of a collection may take."""

_WAIT_SECONDS: Final = 0.02
_SELECTIONS: Final = 16
_SELECTION_SHARE: Final = 8
_MORE: Final = 1.5
"""How much a collection may grow, or shrink, before columns that did not fit are tried again."""

Check: TypeAlias = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of one View that match a filter and are live.

    Attributes:
        mask: shape (rows,).
        count: how many.
    """

    mask: Mask
    count: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """A column and what it is true of: the rows of `labels`, as they were at `seq`."""

    column: Column
    seq: int
    labels: Labels

    def suits(self, view: View) -> bool:
        return self.seq == view.seq and _same_rows(self.labels, view.labels)


class ColumnStore:
    """Filters are evaluated here; any number of threads may, and answers are those of `domain.filters`.

    Args:
        limit: bytes that the columns may take together. What does not fit is evaluated payload by payload.
        held: of a budget shared with others; it is asked first.
    """

    def __init__(self, limit: int = COLUMN_BYTES, held: Reservation | None = None) -> None:
        self._limit = limit
        self._held = held if held is not None else Budget().reserve(0)
        self._entries: dict[Key, _Entry] = {}
        self._selections: dict[Filter, tuple[int, Labels, Selection]] = {}
        self._refused: dict[frozenset[Key], int] = {}
        self._lock = Lock()
        self._choosing = Lock()

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        columns = sum(entry.column.nbytes for entry in list(self._entries.values()))
        return columns + sum(len(each.mask) for _, _, each in list(self._selections.values()))

    def ready(self, filter: Filter, view: View) -> Selection | None:
        """What matches, when that can be told without reading; else None."""
        known = self._selections.get(filter)
        if known is not None and known[0] == view.seq and _same_rows(known[1], view.labels):
            return known[2]
        entries = self._entries
        columns: dict[Key, Column] = {}
        for key in keys_of(filter):
            entry = entries.get(key)
            if entry is None or not entry.suits(view):
                return None
            columns[key] = entry.column
        return self._select(filter, view, Table(len(view.labels), columns))

    @contextmanager
    def updating(self, check: Check) -> Iterator[None]:
        """The right to call `select`; take it before the transaction, so that columns are never newer than that.

        Args:
            check: called while waiting; may raise to stop.
        """
        while not self._lock.acquire(timeout=_WAIT_SECONDS):
            check()
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def updating_at_once(self) -> Iterator[bool]:
        """The same for those who must not wait: whether there is nobody in the way."""
        taken = self._lock.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._lock.release()

    def select(self, connection: apsw.Connection, view: View, filter: Filter, check: Check) -> Selection:
        """What matches, after bringing the columns up to date.

        Args:
            connection: in a transaction that sees exactly the state of `view`.
            view: the newest.
            filter: what is asked.
            check: called between chunks of a few milliseconds; may raise to stop, what was done is kept.
        """
        keys = keys_of(filter)
        rows = len(view.labels)
        refused = self._refused.get(keys)
        if refused is not None and refused / _MORE < rows < refused * _MORE:
            return self.by_payload(connection, view, filter, check)
        for key in sorted(keys, key=repr):
            self._update(key, connection, view, check)
            if not self._make_room(keys):
                self._refused[keys] = max(1, rows)
                return self.by_payload(connection, view, filter, check)
        self._refused.pop(keys, None)
        return self._select(filter, view, Table(rows, {key: self._entries[key].column for key in keys}))

    @staticmethod
    def by_payload(connection: apsw.Connection, view: View, filter: Filter, check: Check) -> Selection:
        """What matches, by decoding every payload; arguments as of `select`."""
        mask = np.zeros(len(view.labels), np.bool_)
        labels = matching_labels(connection, filter, check)
        mask[view.rows_of(labels)] = True
        return Selection(mask, len(labels))

    # ------------------------------------------------------------ keeping up to date

    def _update(self, key: Key, connection: apsw.Connection, view: View, check: Check) -> None:
        """Make the column of a key true of a View."""
        entry = self._entries.get(key)
        if entry is not None and (entry.column.wasteful or entry.seq > view.seq):
            entry = None
        entry = _on_rows_of(view, entry or _Entry(empty_column(key), 0, view.labels[:0]))
        if len(entry.labels) and entry.seq < view.seq:
            entry = self._patch(key, entry, connection, view, check)
        last = int(entry.labels[-1]) if len(entry.labels) else -1
        self._entries[key] = entry = _Entry(entry.column, view.seq, entry.labels)
        for labels, payloads in payloads_between(connection, last):
            check()
            entry = self._entries[key] = _append(entry, key, view, labels, payloads)
            if entry.column.nbytes > self._limit:
                return
        # Rows behind the last live one.
        rest = len(view.labels) - len(entry.labels)
        if rest:
            entry = _Entry(entry.column.extended(values_at(key, [None] * rest)), view.seq, view.labels)
        self._entries[key] = _Entry(entry.column, view.seq, view.labels)

    @staticmethod
    def _patch(key: Key, entry: _Entry, connection: apsw.Connection, view: View, check: Check) -> _Entry:
        last = int(entry.labels[-1])
        rows: list[int] = []
        values: list[object] = []
        for labels, payloads in payloads_between(connection, -1, last=last, newer_than=entry.seq):
            check()
            rows += view.rows_of(np.array(labels, np.int64)).tolist()
            values += values_at(key, payloads)
        column = entry.column.patched(np.array(rows, np.int64), values) if rows else entry.column
        return _Entry(column, view.seq, entry.labels)

    def _make_room(self, keys: frozenset[Key]) -> bool:
        """Drop the columns that were not used for longest until the rest fits; those of `keys` last, and all at once.

        Returns:
            Whether the columns of `keys` are still there.
        """
        for key in keys & self._entries.keys():
            self._entries[key] = self._entries.pop(key)
        others = [key for key in self._entries if key not in keys]
        while not self._fits():
            if not others:
                for key in keys:
                    self._entries.pop(key, None)
                self._held.resize(0)
                return False
            del self._entries[others.pop(0)]
        return True

    def _fits(self) -> bool:
        total = sum(entry.column.nbytes for entry in self._entries.values())
        if total > self._limit:
            return False
        try:
            self._held.resize(total)
        except OverBudget:
            return False
        return True

    def release(self) -> None:
        """Forget everything, and give the memory back to the budget; nobody asks any more."""
        with self._lock:
            self._entries.clear()
            with self._choosing:
                self._selections.clear()
            self._held.release()

    # ------------------------------------------------------------ answers

    def _select(self, filter: Filter, view: View, table: Table) -> Selection:
        mask = evaluate(filter, table)
        if view.count < len(view.labels):
            mask = np.logical_and(mask, view.live)
        mask.flags.writeable = False
        selection = Selection(mask, int(np.count_nonzero(mask)))
        selections = self._selections
        if len(mask) * _SELECTIONS * _SELECTION_SHARE <= self._limit:
            # Also called by those who need not wait for columns.
            with self._choosing:
                while len(selections) >= _SELECTIONS:
                    selections.pop(next(iter(selections)))
                selections[filter] = (view.seq, view.labels, selection)
        return selection


def _same_rows(labels: Labels, others: Labels) -> bool:
    if len(labels) != len(others):
        return False
    # Views share a buffer as long as rows are only appended: then nothing needs to be compared.
    shared = labels is others or (labels.base is not None and labels.base is others.base)
    return shared or np.array_equal(labels, others)


def _on_rows_of(view: View, entry: _Entry) -> _Entry:
    """The same column by the rows of a View, of which it may cover the first only."""
    size = len(entry.labels)
    if _same_rows(entry.labels, view.labels[:size]):
        return _Entry(entry.column, entry.seq, view.labels[:size])
    covered = int(np.searchsorted(view.labels, entry.labels[-1], "right")) if size else 0
    labels = view.labels[:covered]
    return _Entry(entry.column.taken(np.searchsorted(entry.labels, labels)), entry.seq, labels)


def _append(entry: _Entry, key: Key, view: View, labels: list[int], payloads: list[object]) -> _Entry:
    """With the rows up to the last of some labels; dead rows between them have no values."""
    start = len(entry.labels)
    rows = view.rows_of(np.array(labels, np.int64))
    end = int(rows[-1]) + 1
    values = values_at(key, payloads)
    if end - start > len(rows):
        sparse = values_at(key, [None] * (end - start))
        for row, value in zip((rows - start).tolist(), values, strict=True):
            sparse[row] = value
        values = sparse
    return _Entry(entry.column.extended(values), entry.seq, view.labels[:end])
