"""Content of an undamaged collection, and the way from a commit to the next View."""

from dataclasses import dataclass, replace

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import CollectionSpec
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.engines.embedded.collection.opening import open_rows
from vectrograph.engines.embedded.columns.store import ColumnStore
from vectrograph.engines.embedded.disk.failures import Damaged
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.memory_budget import Budget
from vectrograph.engines.embedded.rows.view import Addition, View, ViewBuilder
from vectrograph.engines.embedded.truth.batch import Batch, Reply
from vectrograph.engines.embedded.truth.point_cache import PointCache
from vectrograph.engines.embedded.truth.records import BARE, Record
from vectrograph.engines.embedded.truth.reply_limits import ReplyLimits
from vectrograph.engines.embedded.truth.row_reader import read_by_labels
from vectrograph.engines.embedded.truth.store import OldestChange, Store
from vectrograph.engines.embedded.truth.write_plan import Counters


@dataclass(frozen=True, slots=True)
class _Pending:
    """A commit under way: what it adds, what goes, and the counters afterwards."""

    batch: Batch
    added: Addition
    counters: Counters


class Content:
    """Content of an undamaged collection: its file, its View, its counters. Only the holder of the lock changes it.

    Raises:
        Damaged, apsw.Error: the file is not what was written.
    """

    def __init__(self, store: Store, spec: CollectionSpec, files: DerivedFiles) -> None:
        self.store = store
        header = store.header()
        if header.spec != spec:
            raise Damaged("the file belongs to another collection")
        self.counters: Counters = header.counters
        opened = open_rows(store, files, spec, header.counters)
        self.builder: ViewBuilder = opened.builder
        self.saved_seq = opened.saved_seq
        self._named: tuple[int, ...] = (opened.saved_seq,)
        self.oldest_change = store.oldest_change()
        self._pending: _Pending | None = None
        self._reply_limits: ReplyLimits | None = None
        self.columns = ColumnStore()
        self.point_cache = PointCache()

    @property
    def view(self) -> View:
        """The newest state that was published."""
        return self.builder.view

    def matching(self, condition: Filter, check_cancelled: Cancellation) -> list[Record]:
        """Return all stored points that match, without payload and text; for the holder of the lock.

        Args:
            condition: the filter.
            check_cancelled: called now and then; may raise to stop.
        """
        writer, view = self.store.writer, self.view
        with self.columns.updating_at_once() as alone:
            if not alone:  # somebody else is busy with the columns
                selection = ColumnStore.by_payload(writer, view, condition, check_cancelled)
            else:
                known = self.columns.ready(condition, view, check_cancelled)
                selection = known or self.columns.select(writer, view, condition, check_cancelled)
        return read_by_labels(writer, view.labels[selection.mask].tolist(), BARE, check_cancelled)

    @property
    def last_seq(self) -> int:
        """Seq of the last change."""
        return self.counters.seq

    @property
    def checkpoint_due(self) -> bool:
        """Return whether SQLite's log has grown enough to be folded into the file; see `Store.checkpoint_due`."""
        return self.store.checkpoint_due

    def name_change(self, seq: int, saved: int) -> str:
        """Return what the log of changes says of one change, "" when it says nothing.

        Files that name it are about to be saved, in the place of files that name change `saved`: both stay known.
        """
        self._named = (saved, seq)
        return self.store.change(seq)

    def trim_log(self, first_kept: int, last_expired: int, portion: int) -> bool:
        """Remove the oldest changes from the log; see `Store.trim_log`."""
        more = self.store.trim_log(first_kept, last_expired, portion, self._named)
        self.oldest_change = self.store.oldest_change()
        return more

    def with_reply(self, batch: Batch, reply: Reply) -> Batch:
        """Return a batch that also stores an idempotency record, and forgets others where it must make room."""
        if self._reply_limits is None:
            self._reply_limits = ReplyLimits(self.store.reply_sizes())
        return replace(batch, reply=reply, expired=self._reply_limits.forget(batch.expired, len(reply.result)))

    def commit(self, batch: Batch, counters: Counters) -> None:
        """Write a batch and publish the View that shows it."""
        added = batch.addition
        self.builder.prepare(added)
        # Whatever interrupts the next lines, the next writer asks the file first what became of them.
        self._pending = _Pending(batch, added, counters)
        # Read anew after a commit that fails: it may have forgotten records, or not.
        replies, self._reply_limits = self._reply_limits, None
        self.store.apply(batch)
        if replies is not None and batch.reply is not None:
            replies.add(batch.at, len(batch.reply.result))
        self._reply_limits = replies
        self.store.recorded(batch)
        self._publish(self._pending)

    def settle(self) -> None:
        """Publish a commit that was interrupted if it is in the file, forget it if it is not.

        Raises:
            Damaged: the file has another state than before the commit or after it.
        """
        if self._pending is None:
            return
        seq = self.store.header().counters.seq
        if seq == self._pending.counters.seq:
            if seq > self.counters.seq:
                # Where the number stays, the file does not tell whether the idempotency record is there.
                self.store.recorded(self._pending.batch)
            self._publish(self._pending)
        elif seq == self.counters.seq:
            self.builder.forget()
            self._pending = None
        else:
            raise Damaged(f"the last change in the file is {seq} and should be {self._pending.counters.seq}")

    def charge(self, budget: Budget) -> None:
        """Take the memory from a budget from now on."""
        self.builder.charge(budget)
        self.columns = ColumnStore(held=budget.reserve(0))
        budget.reclaimable(self.columns)

    def release(self) -> None:
        """Give up the derived file, and give the memory back to the budget."""
        self.builder.generation.vectors.close()
        self.builder.release()
        self.columns.release()

    def _publish(self, pending: _Pending) -> None:
        self.point_cache.forget(pending.batch.gone_points)
        if self.builder.view.seq < pending.batch.seq:
            self.builder.advance(pending.batch.seq, pending.batch.gone, pending.added)
        self.counters = pending.counters
        if self.oldest_change is None and pending.batch.changes:
            self.oldest_change = OldestChange(pending.batch.changes[0].seq, pending.batch.at)
        self._pending = None
