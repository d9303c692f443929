"""The columns of one collection: built when a filter first asks for them, kept up to date, dropped when space is short.

Writes cost nothing here. A column knows the seq up to which it is true, and before it is used what changed since is
read from the file: new rows by their labels, which rise, and patched ones by their version, of which there is an index.
So the work is the same whether a column is new, some writes behind, or was left half built by a deadline.

One thread at a time works on the columns, for some milliseconds: then the next one that waits has its turn. A filter
over many new paths does not hold up a search whose columns are there already, or nearly. Masks are computed, and
payloads read one by one, outside of these turns.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final

import apsw
import numpy as np

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.filters.evaluation import Filter, is_small
from vectrograph.engines.embedded.columns.column import Mask
from vectrograph.engines.embedded.columns.keys import Key, keys_of
from vectrograph.engines.embedded.columns.table import Column, Table, empty_column, evaluate, values_at
from vectrograph.engines.embedded.rows.memory_budget import Budget, OverBudget, Reservation
from vectrograph.engines.embedded.rows.view import Labels, Rows, View
from vectrograph.engines.embedded.truth.row_reader import PAYLOADS_AT_FIRST, matching_labels, payloads_between

COLUMN_BYTES: Final = 256 << 20
"""Memory that the columns of a collection may take."""
MAX_COLUMNS: Final = 256
"""Columns of a collection, those of paths that lead nowhere included: they are free but for their names."""

_TURN_SECONDS: Final = 0.02
"""Seconds that one thread works on the columns while others wait: a few times the cost of the snapshot before it."""
# Seconds between two checks for cancellation of a thread that waits for its turn: as long as a turn.
_WAIT_SECONDS: Final = 0.02
_VALUES_AT_A_TIME: Final = 16_384
"""Values that are put into columns between two looks at the clock: some milliseconds."""
# Masks of rows that are remembered by filter. Chosen: a program asks with a few again and again.
_MAX_SELECTIONS: Final = 16
# They may take an eighth of the memory that columns may take. Chosen, not measured.
_SELECTION_SHARE: Final = 8
_REFUSALS: Final = 64
"""Sets of columns that did not fit and are remembered."""
_MORE: Final = 1.5
"""Factor by which a collection may grow, or shrink, before columns that did not fit are tried again."""


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

    @property
    def nbytes(self) -> int:
        return self.column.nbytes

    def suits(self, view: View) -> bool:
        return self.seq == view.seq and _same_rows(self.labels, view.labels)


class _Turns:
    """Lets threads in one at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = False
        self._waiting: deque[Event] = deque()

    def take(self, check_cancelled: Cancellation) -> None:
        """Wait for the turn of this thread; `check_cancelled` is called meanwhile and may raise to stop."""
        mine = Event()
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            self._waiting.append(mine)
        try:
            while not mine.wait(_WAIT_SECONDS):
                check_cancelled()
        except BaseException:
            with self._lock:
                still_waiting = mine in self._waiting
                if still_waiting:
                    self._waiting.remove(mine)
            if not still_waiting:
                self.give()
            raise

    def take_at_once(self) -> bool:
        """Take it unless somebody has it."""
        with self._lock:
            if self._taken:
                return False
            self._taken = True
            return True

    def give(self) -> None:
        """Let the next one in."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


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
        self._turns = _Turns()
        self._at_a_time = PAYLOADS_AT_FIRST
        self._choosing = Lock()

    @property
    def nbytes(self) -> int:
        """Memory taken, about."""
        return sum(entry.nbytes for entry in list(self._entries.values())) + self._selected_bytes()

    def ready(self, filter: Filter, view: View, check_cancelled: Cancellation = never_cancelled) -> Selection | None:
        """Return the matching rows when no reading is needed; else None."""
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
        return self.evaluated(filter, view, Table(len(view.labels), columns), check_cancelled)

    @contextmanager
    def updating(self, check_cancelled: Cancellation) -> Iterator[None]:
        """Provide the right to call `prepare`; take it before the transaction, so that columns are never newer than
        that.

        Args:
            check_cancelled: called while waiting; may raise to stop.
        """
        self._turns.take(check_cancelled)
        try:
            yield
        finally:
            self._turns.give()

    @contextmanager
    def updating_at_once(self) -> Iterator[bool]:
        """Provide the same for those who must not wait: whether there is nobody in the way."""
        taken = self._turns.take_at_once()
        try:
            yield taken
        finally:
            if taken:
                self._turns.give()

    def select(
        self, connection: apsw.Connection, view: View, filter: Filter, check_cancelled: Cancellation
    ) -> Selection:
        """Return the matching rows, after bringing the columns up to date, however long that takes.

        Args:
            connection: in a transaction that sees exactly the state of `view`.
            view: the newest.
            filter: what is asked.
            check_cancelled: called between chunks of a few milliseconds; may raise to stop, what was done is kept.
        """
        table = None
        while table is None:
            table = self.prepare(connection, view, filter, check_cancelled)
        return self.answer(connection, view, filter, table, check_cancelled)

    def answer(
        self, connection: apsw.Connection, view: View, filter: Filter, table: Table, check_cancelled: Cancellation
    ) -> Selection:
        """Return the matching rows, by the table that `prepare` gave; arguments as of `select`."""
        if table.columns or not keys_of(filter):
            return self.evaluated(filter, view, table, check_cancelled)
        return self.by_payload(connection, view, filter, check_cancelled)

    def prepare(
        self, connection: apsw.Connection, view: View, filter: Filter, check_cancelled: Cancellation
    ) -> Table | None:
        """Bring the columns of a filter up to date, or nearer to it; for whoever has the turn.

        Args:
            connection: in a transaction that sees exactly the state of `view`.
            view: the newest.
            filter: what is asked.
            check_cancelled: called between chunks of a few milliseconds; may raise to stop, what was done is kept.

        Returns:
            The columns; a table without columns when they do not fit, and payloads are to be read; None when the turn
            is over before the work is done.
        """
        keys, rows = keys_of(filter), len(view.labels)
        refused = self._refused.get(keys)
        if len(keys) > MAX_COLUMNS or (refused is not None and refused / _MORE < rows < refused * _MORE):
            return Table(rows, {})
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and (entry.column.wasteful or entry.seq > view.seq):
                entry = None
            self._entries[key] = _on_rows_of(view, entry or _Entry(empty_column(key), view.seq, view.labels[:0]))
        self._patch(keys, connection, view, check_cancelled)
        # Time of this thread, so that a turn is worth its snapshot also while other processes take the cores.
        late = time.thread_time() + _TURN_SECONDS
        for part in self._extend(keys, connection, view, check_cancelled):
            if not self._make_room(keys):
                self._refuse(keys, rows)
                return Table(rows, {})
            if part and time.thread_time() >= late:
                return None
        if not self._make_room(keys):
            self._refuse(keys, rows)
            return Table(rows, {})
        self._refused.pop(keys, None)
        return Table(rows, {key: self._entries[key].column for key in keys})

    def _refuse(self, keys: frozenset[Key], rows: int) -> None:
        while len(self._refused) >= _REFUSALS:
            self._refused.pop(next(iter(self._refused)))
        self._refused[keys] = max(1, rows)

    @staticmethod
    def by_payload(connection: apsw.Connection, view: View, filter: Filter, check_cancelled: Cancellation) -> Selection:
        """Return the matching rows, by decoding every payload; arguments as of `select`."""
        mask = np.zeros(len(view.labels), np.bool_)
        labels = matching_labels(connection, filter, check_cancelled)
        mask[view.rows_of(labels)] = True
        return Selection(mask, len(labels))

    # ------------------------------------------------------------ keeping up to date

    def _patch(
        self, keys: frozenset[Key], connection: apsw.Connection, view: View, check_cancelled: Cancellation
    ) -> None:
        """Bring the rows that columns have already up to the state of a View."""
        behind: dict[tuple[int, int], list[Key]] = {}
        for key in keys:
            entry = self._entries[key]
            if entry.seq < view.seq:
                last = int(entry.labels[-1]) if len(entry.labels) else -1
                behind.setdefault((entry.seq, last), []).append(key)
        for (seq, last), group in behind.items():
            rows: list[int] = []
            values: dict[Key, list[object]] = {key: [] for key in group}
            for labels, payloads in payloads_between(connection, -1, last=last, newer_than=seq) if last >= 0 else ():
                rows += view.rows_of(np.array(labels, np.int64)).tolist()
                for key in group:
                    check_cancelled()
                    values[key] += values_at(key, payloads)
            for key in group:
                entry = self._entries[key]
                column = entry.column.patched(np.array(rows, np.int64), values[key]) if rows else entry.column
                self._entries[key] = _Entry(column, view.seq, entry.labels)

    def _extend(
        self, keys: frozenset[Key], connection: apsw.Connection, view: View, check_cancelled: Cancellation
    ) -> Iterator[bool]:
        """Add the rows that columns lack, reading each payload once for all of them; a few milliseconds a step.

        Yields:
            Whether there may be more to do.
        """
        rows = len(view.labels)
        while True:
            covered = sorted({len(self._entries[key].labels) for key in keys} - {rows})
            if not covered:
                return
            # Those that are the furthest behind catch up with the next ones first.
            start, end = covered[0], covered[1] if len(covered) > 1 else rows
            group = [key for key in keys if len(self._entries[key].labels) == start]
            last, bound = int(view.labels[start - 1]) if start else -1, int(view.labels[end - 1])
            step = max(1, _VALUES_AT_A_TIME // len(group))
            for labels, payloads in payloads_between(connection, last, last=bound, at_first=self._at_a_time):
                self._at_a_time = max(PAYLOADS_AT_FIRST, len(labels))
                found = view.rows_of(np.array(labels, np.int64))
                for first in range(0, len(labels), step):
                    part = slice(first, first + step)
                    for key in group:
                        check_cancelled()
                        self._entries[key] = _append(self._entries[key], key, view, found[part], payloads[part])
                    yield True
            for key in group:
                entry = self._entries[key]
                rest = end - len(entry.labels)
                if rest:
                    # Rows behind the last live one.
                    column = entry.column.extended(values_at(key, [None] * rest))
                    self._entries[key] = _Entry(column, entry.seq, view.labels[:end])

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
        columns = sum(entry.nbytes for entry in self._entries.values())
        if columns > self._limit or len(self._entries) > MAX_COLUMNS:
            return False
        try:
            self._held.resize(columns + self._selected_bytes())
        except OverBudget:
            return False
        return True

    def _selected_bytes(self) -> int:
        return sum(len(each.mask) for _, _, each in list(self._selections.values()))

    def give_up(self) -> bool:
        """Forget the columns, because others need the memory; False when somebody works on them at the moment."""
        with self.updating_at_once() as alone:
            if not alone or not self._held.amount:
                return False
            self._forget()
            return True

    def release(self) -> None:
        """Forget everything, and give the memory back to the budget; nobody asks any more."""
        with self.updating(never_cancelled):
            self._forget()
            self._held.release()

    def _forget(self) -> None:
        # Others may be reading the dictionary.
        self._entries = {}
        with self._choosing:
            self._selections.clear()
        self._held.resize(0)

    # ------------------------------------------------------------ answers

    def evaluated(self, filter: Filter, view: View, table: Table, check_cancelled: Cancellation) -> Selection:
        """Return the matching rows, by the columns that `prepare` gave."""
        mask = evaluate(filter, table, check_cancelled)
        if view.count < len(view.labels):
            mask = np.logical_and(mask, view.live)
        mask.flags.writeable = False
        selection = Selection(mask, int(np.count_nonzero(mask)))
        selections = self._selections
        if len(mask) * _MAX_SELECTIONS * _SELECTION_SHARE <= self._limit and is_small(filter):
            # Also called by those who need not wait for columns.
            with self._choosing:
                while len(selections) >= _MAX_SELECTIONS:
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
    """Return the same column by the rows of a View, of which it may cover the first only."""
    size = len(entry.labels)
    if _same_rows(entry.labels, view.labels[:size]):
        return _Entry(entry.column, entry.seq, view.labels[:size])
    covered = int(np.searchsorted(view.labels, entry.labels[-1], "right")) if size else 0
    labels = view.labels[:covered]
    return _Entry(entry.column.taken(np.searchsorted(entry.labels, labels)), entry.seq, labels)


def _append(entry: _Entry, key: Key, view: View, rows: Rows, payloads: list[object]) -> _Entry:
    """Return a copy with the rows up to the last of some; dead rows between them have no values."""
    start, end = len(entry.labels), int(rows[-1]) + 1
    values = values_at(key, payloads)
    if end - start > len(rows):
        sparse = values_at(key, [None] * (end - start))
        for row, value in zip((rows - start).tolist(), values, strict=True):
            sparse[row] = value
        values = sparse
    return _Entry(entry.column.extended(values), entry.seq, view.labels[:end])
