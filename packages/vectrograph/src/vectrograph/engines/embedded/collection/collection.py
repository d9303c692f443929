"""One collection: writes under a lock, snapshots for readers, the View published between commit and acknowledgement."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Lock
from typing import Any, Final

import apsw

from vectrograph.domain.cancellation import Cancellation, refuse_cancelled
from vectrograph.domain.collections import CollectionInfo, CollectionOutline, CollectionSpec, CollectionState
from vectrograph.domain.errors import (
    CollectionNotFound,
    CollectionQuarantined,
    DeadlineExceeded,
    DomainError,
    IdempotencyConflict,
    InternalError,
    Overloaded,
    Unavailable,
)
from vectrograph.domain.points import DeleteWhere, IdempotencyKey, Precondition, Vector, WriteResult
from vectrograph.domain.queries import Include
from vectrograph.domain.write_validation import ValidatedWrites
from vectrograph.engines.embedded.collection.content import Content
from vectrograph.engines.embedded.columns.store import ColumnStore
from vectrograph.engines.embedded.disk.failures import DAMAGE, Damaged, quarantined, storage_errors
from vectrograph.engines.embedded.disk.open_files import exhausted, is_exhausted
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.view import View
from vectrograph.engines.embedded.truth.batch import Reply
from vectrograph.engines.embedded.truth.connections import PoolClosed, roll_back
from vectrograph.engines.embedded.truth.point_cache import PointCache
from vectrograph.engines.embedded.truth.store import OldestChange, Store
from vectrograph.engines.embedded.truth.write_plan import Plan, needs_content
from vectrograph.engines.embedded.upkeep.background import Background
from vectrograph.engines.embedded.upkeep.index_upkeep import Upkeep
from vectrograph.engines.embedded.upkeep.log_trimming import LogTrimming
from vectrograph.engines.embedded.upkeep.query_sample import QuerySample
from vectrograph.engines.embedded.upkeep.recall_monitor import RecallMonitor

REPLAY_MICROSECONDS: Final = 24 * 3600 * 1_000_000
"""Microseconds that an idempotency record is kept, unless there are too many: see `reply_limits`."""

# Seconds that a reader waits for a commit to be published. Generous: its writer has committed already.
_PUBLICATION_SECONDS: Final = 1.0
_SMALL_ROWS: Final = 2_000
"""Points up to which a collection is read again when it is used: it takes some milliseconds, and has no index."""

_log = logging.getLogger(__name__)


def check_deadline(deadline: float | None) -> None:
    """Stop work whose time is over, or whose caller has left; `deadline` in `time.monotonic()` seconds.

    Raises:
        DeadlineExceeded: it is over.
        Cancelled: the caller has left.
    """
    refuse_cancelled()
    if deadline is not None and time.monotonic() >= deadline:
        raise too_late()


def too_late() -> DeadlineExceeded:
    """Return the error of work whose time is over."""
    return DeadlineExceeded(
        "The deadline passed before the operation was complete; nothing was written. Allow more time."
    )


class Collection:
    """One collection of the embedded engine; all methods are thread-safe.

    Args:
        directory: where its files are; the name is its opaque id.
        spec: what it is.
        created_at: microseconds since 1970.
        background: keeps the index.
        files: where derived data is kept.
        content: None when it is quarantined, or not open yet.
        problem: what is damaged, None when nothing is.
        opener: opens the content of a collection that is not open yet, when it is first used or looked at.
    """

    def __init__(
        self,
        directory: Path,
        spec: CollectionSpec,
        created_at: int,
        background: Background,
        files: DerivedFiles,
        *,
        content: Content | None = None,
        problem: str | None = None,
        opener: Callable[[], Content] | None = None,
    ) -> None:
        self._opener = opener
        self._opening = Lock()
        self._seen = _Sizes()
        self.directory = directory
        self.spec = spec
        self._created_at = created_at
        self._content = content
        self._problem = problem
        self._ended: Callable[[], DomainError] | None = None
        self.files = files
        self._lock = Lock()
        self._published = Condition()
        self._background = background
        self.placement = background.placement
        self.folding = _Folding(self)
        self.query_sample = QuerySample(spec.dimension)
        self._recall_monitor = RecallMonitor(self.query_sample, self.writing)
        self.upkeep = Upkeep(spec, files, background, self.writing)
        self._trimming = LogTrimming(spec, background, self.writing, self.folding)
        if content is not None:
            self._adopt(content)

    def _adopt(self, content: Content) -> None:
        content.store.parkable(self._lock)
        self.upkeep.opened(content)
        self._look_at_log(content.oldest_change, content.last_seq)

    @property
    def uid(self) -> str:
        """The opaque id, different for every collection that ever had this name."""
        return self.directory.name

    def view(self) -> View:
        """Return the state that was published last.

        Raises:
            CollectionNotFound, Unavailable, CollectionQuarantined.
        """
        return self._serving().view

    def info(self) -> CollectionInfo:
        """Return the collection as it stands; never raises for a damaged one.

        Raises:
            Overloaded: there is no descriptor to open it with.
        """
        if self._content is None and self._opener is not None and not self._seen.checked:
            with suppress(CollectionQuarantined):
                self._opened()
        return self.known()

    def known(self) -> CollectionInfo:
        """Return the facts known about the collection without opening it: no sizes before it was opened, or checked."""
        content = self._content
        view = content.view if content is not None else None
        healthy = self._problem is None and (content is not None or self._opener is not None)
        return CollectionInfo(
            spec=self.spec,
            state=CollectionState.READY if healthy else CollectionState.QUARANTINED,
            count=view.count if view is not None else self._seen.count,
            seq=view.seq if view is not None else self._seen.seq,
            created_at=self._created_at,
            bytes_on_disk=_bytes_in(self.directory),
            indexed=self.upkeep.indexed(view) if view is not None else self._seen.count,
            problem=self._problem,
            index_problem=self.upkeep.complaint,
        )

    def outline(self) -> CollectionOutline:
        """Name and state, as far as is known without reading anything."""
        checked = self._content is not None or self._seen.checked or self._problem is not None
        return CollectionOutline(self.spec, self._problem, checked)

    # ------------------------------------------------------------ opening

    def check(self) -> None:
        """Look for damage in a collection that was not opened since the start, and close it again if it is small.

        Raises:
            Overloaded: there is no descriptor to open it with.
        """
        if self.outline().checked:
            return
        try:
            self._opened(keep=False).store.park()
        except Overloaded:
            raise
        except (CollectionNotFound, Unavailable) as error:
            _log.debug("collection %s was not checked: %s", self.spec.ref, error)

    def _opened(self, *, keep: bool = True) -> Content:
        """Return the content, opened now if it is not open; unless `keep`, a small one is only looked at."""
        with self._opening:
            content = self._content
            if content is not None:
                return content
            # It may have ended since it was looked at.
            self._require_serving()
            if self._opener is None:
                raise Damaged(self._problem or "")
            try:
                content = self._opener()
            except (apsw.Error, *DAMAGE, OSError) as error:
                if is_exhausted(error):
                    raise exhausted() from error
                problem = f"{type(error).__name__}: {error}"
                self._quarantine(problem)
                raise quarantined(str(self.spec.ref), problem) from error
            view = content.view
            self._seen = _Sizes(view.count, view.seq, content.oldest_change, checked=True)
            if not keep and len(view.labels) <= _SMALL_ROWS:
                content.release()
                content.store.abandon()
                return content
            self._adopt(content)
            self._content = content
            return content

    # ------------------------------------------------------------ writing

    def write(
        self,
        writes: ValidatedWrites,
        precondition: Precondition,
        key: IdempotencyKey | None,
        deadline: float | None,
        now: int,
        check_cancelled: Cancellation,
        returning: Include | None = None,
    ) -> WriteResult:
        """Apply operations as one transaction; see `Engine.write`.

        Args:
            writes: what to do.
            precondition: of all of it.
            key: the request's own name.
            deadline: in `time.monotonic()` seconds.
            now: microseconds since 1970.
            check_cancelled: called now and then before the commit; may raise to stop.
            returning: parts of the points to hand back.
        """
        self.upkeep.throttle(self.view(), len(writes.ops), deadline)
        with self.writing(deadline) as content:
            expired = now - REPLAY_MICROSECONDS
            if key is not None and (reply := _replay(content.store, key, expired)) is not None:
                return reply
            plan = self._plan(content, writes, precondition, now, check_cancelled)
            points = None if returning is None else plan.points(writes, content.view, returning)
            result = WriteResult(seq=plan.counters.seq, outcomes=tuple(plan.outcomes), at=now, points=points)
            batch = plan.batch(writes, expired)
            if key is not None:
                batch = content.with_reply(batch, Reply.of(key, result))
            elif not batch.changes:
                return result
            check_cancelled()
            content.commit(batch, plan.counters)
            with self._published:
                self._published.notify_all()
            self.upkeep.written(content.view)
            self._trimming.written(content)
            if content.checkpoint_due:
                self._background.worker.schedule(self.folding)
            return result

    def _plan(
        self,
        content: Content,
        writes: ValidatedWrites,
        precondition: Precondition,
        now: int,
        check_cancelled: Cancellation,
    ) -> Plan:
        named = {op.id for op in writes.ops if not isinstance(op, DeleteWhere) and op.id is not None}
        stored = content.store.lookup(sorted(named), content=needs_content(writes.ops, precondition))
        plan = Plan(
            stored, lambda condition: content.matching(condition, check_cancelled), content.counters, self.spec.ids, now
        )
        plan.apply(writes, precondition)
        return plan

    @contextmanager
    def writing(self, deadline: float | None = None) -> Iterator[Content]:
        """Provide the collection's lock, and its content as the file has it.

        Raises:
            DeadlineExceeded: the lock was not free in time.
            CollectionNotFound, Unavailable, CollectionQuarantined, OutOfSpace, StorageReadOnly, InternalError.
        """
        timeout = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._lock.acquire(timeout=timeout):
            check_deadline(deadline)
            raise DeadlineExceeded(
                "The deadline passed while the call waited for other writes; nothing was written. Allow more time."
            )
        try:
            with self._guarded() as content:
                check_deadline(deadline)
                content.settle()
                yield content
        finally:
            self._lock.release()

    def record_holds(self) -> bool:
        """Return whether the record of the last commit says on the disk what was written to it."""
        with self.writing() as content:
            return content.store.record is None or content.store.record.is_intact()

    def renew_record(self) -> None:
        """Write the record of the last commit anew."""
        with self.writing() as content:
            content.store.renew_record()

    # ------------------------------------------------------------ reading

    @contextmanager
    def reading(self) -> Iterator[tuple[apsw.Connection, View]]:
        """Provide a connection to read on, and the View published last; the file may be newer than that.

        Raises:
            CollectionNotFound, Unavailable, CollectionQuarantined, InternalError.
        """
        with self._guarded() as content, content.store.readers.borrow() as connection:
            yield connection, content.view

    @contextmanager
    def snapshot(self, check_cancelled: Cancellation) -> Iterator[tuple[apsw.Connection, View]]:
        """Provide a connection inside a read transaction, and the View of exactly that state.

        Args:
            check_cancelled: called while waiting; may raise to stop.
        """
        with self._guarded() as content, content.store.readers.borrow() as connection:
            view = self._begin(content, connection, check_cancelled)
            try:
                yield connection, view
            finally:
                roll_back(connection)

    def note(self, queries: Vector) -> None:
        """Take notice of what is asked, so that the index can be judged by it."""
        if self.query_sample.note(queries):
            self._background.worker.schedule(self._recall_monitor)

    @property
    def columns(self) -> ColumnStore:
        """The payloads by column; raises as `view` does."""
        return self._serving().columns

    @property
    def point_cache(self) -> PointCache:
        """The points that were found lately; raises as `view` does."""
        return self._serving().point_cache

    def _serving(self) -> Content:
        content = self._content
        if content is None or self._problem is not None or self._ended is not None:
            with self._guarded() as content:
                return content
        return content

    def _begin(self, content: Content, connection: apsw.Connection, check_cancelled: Cancellation) -> View:
        while True:
            connection.execute("BEGIN")
            rows: Any = connection.execute("SELECT seq FROM state").fetchall()
            view, seq = content.view, rows[0][0]
            if view.seq == seq:
                return view
            connection.execute("ROLLBACK")
            check_cancelled()
            if view.seq < seq:
                self._await_publication(content, seq)

    def _await_publication(self, content: Content, seq: int) -> None:
        """Wait for the View of a commit that is in the file already: its writer is a moment away from publishing it."""
        with self._published:
            if self._published.wait_for(lambda: content.view.seq >= seq, _PUBLICATION_SECONDS):
                return
        with self.writing():
            pass  # Taking the lock settles a commit whose writer was interrupted.

    @contextmanager
    def _guarded(self) -> Iterator[Content]:
        self._require_serving()
        try:
            with storage_errors(self.directory, str(self.spec.ref), self._quarantine):
                content = self._content
                yield self._opened() if content is None else content
        except (PoolClosed, InternalError) as error:
            # Whatever failed because the files are gone or closed failed for that reason.
            if self._ended is not None:
                raise self._ended() from error
            raise

    def _require_serving(self) -> None:
        if self._ended is not None:
            raise self._ended()
        if self._problem is not None:
            raise quarantined(str(self.spec.ref), self._problem)

    def _quarantine(self, problem: str) -> None:
        if self._problem is None:
            self._problem = problem
            _log.error("collection %s is quarantined: %s", self.spec.ref, problem)

    # ------------------------------------------------------------ the end

    def end(self, reason: Callable[[], DomainError], *, keep: bool, fold: bool = True) -> None:
        """Serve no more: later calls raise `reason()`. A write in flight is finished, a read too if `keep`.

        Args:
            reason: makes the error of later calls.
            keep: whether the files stay and shall be closed in good order.
            fold: False leaves the log of changes for the next open, which is quicker.
        """
        self._background.worker.cancel(self.folding)
        self._background.worker.cancel(self._recall_monitor)
        self._background.worker.cancel(self._trimming)
        self.upkeep.stop()
        if keep and self._content is not None:
            self._save_index()
        self._ended = reason
        with self._lock, self._opening:
            content = self._content
            if content is None:
                return
            # Whoever still reads has what it needs; memory goes with the last of them.
            self._content = None
            content.release()
            if not keep or self._problem is not None:
                content.store.abandon()
                return
            try:
                content.store.close(fold=fold)
            except apsw.Error as error:
                # Nothing is lost: the log that could not be folded into the file is read at the next open.
                _log.warning("collection %s was not closed cleanly: %s", self.spec.ref, error)

    def fold(self) -> None:
        """Fold the log into the file, in the background."""
        try:
            with self._guarded() as content:
                content.store.fold(self.writing)
        except DomainError as error:
            # Every write is on disk, in the log; folding that into the file is tried again after the next one.
            _log.warning("checkpoint of collection %s failed and will be tried again: %s", self.spec.ref, error)

    def look_at_log(self) -> None:
        """Let the background remove from the log of changes what its retention lets go, if there is anything."""
        content = self._content
        if content is not None:
            self._look_at_log(content.oldest_change, content.last_seq)
        else:
            self._look_at_log(self._seen.oldest_change, self._seen.seq)

    def _look_at_log(self, oldest: OldestChange | None, last: int) -> None:
        if not self.files.read_only:
            self._trimming.look(oldest, last)

    def _save_index(self) -> None:
        try:
            self.upkeep.save_if_changed()
        except (DomainError, OSError) as error:
            # Nothing is lost: the next open builds anew what is not there.
            _log.warning("the index of collection %s was not saved: %s", self.spec.ref, error)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """State of a collection when it was opened last; `checked` is False before."""

    count: int = 0
    seq: int = 0
    oldest_change: OldestChange | None = None
    checked: bool = False


class _Folding:
    """The job that folds the log of one collection into its file."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def run(self, check_cancelled: Cancellation) -> None:
        """Fold the log; see `Job.run`."""
        self._collection.fold()


def _replay(store: Store, key: IdempotencyKey, since: int) -> WriteResult | None:
    found = store.reply_to(key, since)
    if found is None:
        return None
    body_hash, result = found
    if body_hash != key.body_hash:
        raise IdempotencyConflict(
            f"The idempotency key {key.key!r} was used with another body; use a new key for a new request."
        )
    return result


def _bytes_in(directory: Path) -> int:
    total = 0
    try:
        for path in directory.iterdir():
            total += path.stat().st_size
    except OSError:
        # Files come and go beside us; what was counted is near enough.
        return total
    return total
