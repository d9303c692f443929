"""Keeping the index of one collection in step with its rows: extend, build, compact, save."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Condition
from typing import Final, Protocol

import numpy as np

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import CollectionSpec
from vectrograph.domain.errors import DomainError
from vectrograph.engines.embedded.index.allocator import give_back
from vectrograph.engines.embedded.index.graph import ServedGraph
from vectrograph.engines.embedded.index.saving import SavedRows
from vectrograph.engines.embedded.rows.compaction import Compaction
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.memory_budget import Budget, OverBudget
from vectrograph.engines.embedded.rows.vector_file import VectorFile
from vectrograph.engines.embedded.rows.view import Generation, Labels, View, ViewBuilder
from vectrograph.engines.embedded.upkeep.background import Background
from vectrograph.engines.embedded.upkeep.graph_maker import GraphMaker
from vectrograph.engines.embedded.upkeep.worker import GiveUp
from vectrograph.engines.embedded.upkeep.write_throttle import WriteThrottle

# Rows written meanwhile up to which a new generation is adopted; it follows the others first, without the lock.
_CATCH_UP_ROWS: Final = 1_024
# Rows that must be new before an index is saved again. Chosen: so few are added at the next open in no time.
_MIN_UNSAVED_ROWS: Final = 256
# The same as a share of the saved rows: saving writes the whole graph.
_MIN_UNSAVED_SHARE: Final = 0.02
# Seconds until work that failed, for want of disk or memory, is tried again.
_RETRY_SECONDS: Final = 30.0
# Seconds between two checks for cancellation of a call that waits for the index.
_FLUSH_POLL_SECONDS: Final = 0.05
# Share of the indexed rows that may wait unindexed for memory before the index is given up to build one for all.
_REBUILD_SHARE: Final = 0.25

_log = logging.getLogger(__name__)


class Content(Protocol):
    """The part of an open collection that upkeep works on; see `collection.content.Content`."""

    builder: ViewBuilder
    saved_seq: int

    @property
    def view(self) -> View:
        """The newest state that was published."""
        ...

    def name_change(self, seq: int, saved: int) -> str:
        """Return what the log says of a change that files are about to name in the place of files that name `saved`."""
        ...

    def charge(self, budget: Budget) -> None:
        """Take the memory from a budget from now on."""
        ...


class Writing(Protocol):
    """Opens the collection for writing; see `Collection.writing`."""

    def __call__(self) -> AbstractContextManager[Content]:
        """Return the lock of the collection, and its content."""
        ...


@dataclass(frozen=True, slots=True)
class _Saved:
    """Content of the files: of which generation, up to which change, how many rows, how many of them covered."""

    generation: Generation | None
    seq: int
    rows: int
    covered: int


class Upkeep:
    """A job of the worker: whatever is due for the index of one collection.

    Args:
        spec: of the collection.
        files: where derived data is kept.
        background: what the collections share.
        writing: opens the collection.
    """

    def __init__(self, spec: CollectionSpec, files: DerivedFiles, background: Background, writing: Writing) -> None:
        self._spec = spec
        self._files = files
        self._background = background
        self._rhythm = background.rhythm
        self._writing = writing
        self._changed = Condition()
        self._throttle = WriteThrottle(spec.dimension, self._changed)
        self._lag = background.rhythm.lag(spec.dimension)
        self._begun = 0
        self._written_at = 0.0
        self._flushing = False
        self._complaint: str | None = None
        self._retry_at = 0.0
        self._saved = _Saved(None, 0, 0, 0)
        self._maker = GraphMaker(spec.distance, spec.quantisation, background)

    # ------------------------------------------------------------ for those who write, ask and wait

    def opened(self, content: Content) -> None:
        """Begin with what was opened."""
        view, seq = content.view, content.saved_seq
        if seq:
            self._saved = _Saved(content.builder.generation, seq, len(view.labels), self._covered(view))
        self._begun = len(view.labels)
        content.charge(self._background.budget)
        if view.served is not None:
            try:
                self._maker.keep(view.served.graph)
            except OverBudget as error:
                content.builder.serve(None)
                self._complain(f"the memory budget has no room for the index that was saved: {error}")
        self._schedule(content.view)

    def written(self, view: View) -> None:
        """Note a write; called after each."""
        self._written_at = time.monotonic()
        self._schedule(view)

    def _schedule(self, view: View) -> None:
        if self._extension_due(view) or self._compaction_due(view):
            # What was in the way is seldom gone with the next write: every one of them would try, and complain, again.
            self._background.worker.schedule(self, max(0.0, self._retry_at - time.monotonic()))
        elif self._needs_index(view):
            self._background.worker.schedule(self, self._rhythm.idle_seconds)

    def throttle(self, view: View, rows: int, deadline: float | None) -> None:
        """Let a writer of so many rows in, slowly if too many wait to be indexed.

        Rows that were there when the work under way began do not count: a graph over all of a large collection takes
        minutes, and nobody is to wait for that.

        Raises:
            DeadlineExceeded: the deadline comes first.
        """
        if view.buffered <= self._lag or not self._needs_index(view) or self._complaint is not None:
            return
        waiting = len(view.labels) - max(self._covered(view), self._begun)
        self._throttle.wait(waiting / self._lag, rows, deadline)

    def indexed(self, view: View) -> int:
        """Return points that need not wait for the index: those it covers, or all where a scan is quicker."""
        if not self._needs_index(view):
            return view.count
        return int(np.count_nonzero(view.live[: self._covered(view)]))

    def flush(self, current: Callable[[], View], check_cancelled: Cancellation) -> str | None:
        """Index every row there is now, and wait for it.

        Args:
            current: the newest View.
            check_cancelled: called now and then while waiting; may raise to stop.

        Returns:
            Why it could not be done, None when it was.
        """
        last = current().labels[-1:]
        while self._waiting(current(), last):
            check_cancelled()
            with self._changed:
                self._flushing = True
                self._background.worker.schedule(self)
                self._changed.wait(_FLUSH_POLL_SECONDS)
                if self._complaint is not None:
                    return self._complaint
        return None

    @property
    def complaint(self) -> str | None:
        """Reason why the index is not what it should be, None when it is."""
        return self._complaint

    def stop(self) -> None:
        """Do nothing more; waits until what is under way has stopped."""
        self._background.worker.cancel(self)

    def _waiting(self, view: View, last: Labels) -> bool:
        """Return whether a row up to this label waits for the index."""
        if not view.buffered or not self._needs_index(view):
            return False
        return bool((view.labels[self._covered(view) :][:1] <= last).any())

    # ------------------------------------------------------------ what is due

    def _covered(self, view: View) -> int:
        return view.served.graph.covered if view.served is not None else 0

    def _needs_index(self, view: View) -> bool:
        return view.served is not None or view.count >= self._rhythm.first(self._spec.dimension)

    def _extension_due(self, view: View) -> bool:
        if not view.buffered or not self._needs_index(view):
            return False
        return self._flushing or self._quiet() or view.buffered >= self._swap(view)

    def _swap(self, view: View) -> int:
        return self._rhythm.swap(self._covered(view))

    def _compaction_due(self, view: View) -> bool:
        if self._files.read_only:
            return False
        rows = len(view.labels)
        if rows - view.count > max(self._rhythm.swap_rows // 4, rows * self._rhythm.dead_share):
            return True
        return view.served is not None and self._rhythm.outgrown(view.served.graph, view.lengths)

    def _quiet(self) -> bool:
        return time.monotonic() - self._written_at >= self._rhythm.idle_seconds

    def _save_due(self, view: View, generation: Generation) -> bool:
        saved = self._saved
        if not self._unsaved(view, generation):
            return False
        if saved.generation is not generation:
            return self._quiet() or view.served is not None
        if self._covered(view) > (1 + self._rhythm.save_share) * saved.covered:
            return True
        moved = max(len(view.labels) - saved.rows, self._covered(view) - saved.covered)
        return self._quiet() and moved > max(_MIN_UNSAVED_ROWS, _MIN_UNSAVED_SHARE * saved.rows)

    def _unsaved(self, view: View, generation: Generation) -> bool:
        if self._files.read_only or not isinstance(generation.vectors, VectorFile):
            return False
        saved = self._saved
        now = (generation, view.seq, self._covered(view))
        return now != (saved.generation, saved.seq, saved.covered)

    # ------------------------------------------------------------ on the worker's thread

    def run(self, check_cancelled: Cancellation) -> float | None:
        """Do what is due; see `Job.run`."""
        try:
            return self._run(check_cancelled)
        except DomainError as error:
            _log.debug("upkeep of collection %s ends: %s", self._spec.ref, error)
            return None
        except (OSError, MemoryError, OverBudget) as error:
            self._complain(f"the index could not be worked on: {error}")
            return _RETRY_SECONDS
        except GiveUp:
            raise
        except Exception:
            # The worker logs it and tries again; nobody is to wait for that without being told.
            self._complain("the index could not be worked on; the log says why")
            raise

    def _run(self, check_cancelled: Cancellation) -> float | None:
        self._complaint = None
        view, generation = self._now()
        worked = True
        if self._compaction_due(view):
            self._compact(view, generation, check_cancelled)
        elif self._extension_due(view):
            self._index(view, generation, check_cancelled)
        else:
            worked = False
        view, generation = self._now()
        if self._save_due(view, generation):
            self.save(check_cancelled)
        if worked:
            give_back()
        if self.complaint is not None:
            return _RETRY_SECONDS
        self._retry_at = 0.0
        return self._again(view, generation)

    def _again(self, view: View, generation: Generation) -> float | None:
        if self._extension_due(view) or self._compaction_due(view):
            return 0.0
        self._flushing = False
        with self._changed:
            self._changed.notify_all()
        waiting = view.buffered > 0 and self._needs_index(view)
        if not (waiting or self._unsaved(view, generation)) or self._quiet():
            return None
        return self._rhythm.idle_seconds

    def _now(self) -> tuple[View, Generation]:
        with self._writing() as content:
            return content.view, content.builder.generation

    def _index(self, view: View, generation: Generation, check_cancelled: Cancellation) -> None:
        """Build a graph, or copy, extend, swap; the old graph serves meanwhile."""
        self._begun = len(view.labels)
        try:
            if view.served is None:
                graph = self._maker.built(view, check_cancelled)
            else:
                graph = self._maker.extended(view, view.served, check_cancelled)
        except OverBudget as error:
            # Not the error itself: whoever keeps it, a log for instance, keeps the old graph.
            self._make_do(view, generation, str(error))
            return
        now, same = self._now()
        if same is generation:
            self._publish(self._maker.served(graph, now, view.served, check_cancelled), generation)

    def _make_do(self, view: View, generation: Generation, reason: str) -> None:
        """Search exactly where the wanted graph does not fit into memory.

        Without room for a copy, a graph that many rows have outgrown goes if one over all rows would fit in its place;
        the next round builds that.
        """
        if view.served is not None and view.buffered >= _REBUILD_SHARE * self._covered(view):
            free, margin = self._background.budget.free, self._background.budget.margin
            if free is None or self._maker.bytes_for(view) <= free + view.served.graph.nbytes - margin:
                self._publish(None, generation)
                _log.warning("collection %s: no memory to extend the graph (%s); it is rebuilt", self._spec.ref, reason)
                return
        self._complain(f"the memory budget has no room for the index, so {view.buffered} rows are scanned: {reason}")

    def _publish(self, served: ServedGraph | None, generation: Generation) -> None:
        self._background.reached("publish")
        with self._writing() as content:
            if content.builder.generation is generation:
                content.builder.serve(served)
        with self._changed:
            self._changed.notify_all()

    def _compact(self, view: View, generation: Generation, check_cancelled: Cancellation) -> None:
        """Leave out the dead rows and build the graph anew; the old one serves, and grows, meanwhile."""
        self._background.reached("compact")

        def meanwhile() -> None:
            check_cancelled()
            now, same = self._now()
            if same is generation and now.served is not None and now.buffered >= 4 * self._swap(now):
                self._index(now, generation, check_cancelled)

        with self._background.budget.reserve(Compaction.bytes_for(view)):
            fresh = Compaction(view, self._files, check_cancelled)
            try:
                served = self._rebuilt(fresh.view, meanwhile)
                while fresh.follow(self._now()[0]) > _CATCH_UP_ROWS:
                    check_cancelled()
                self._background.reached("adopt")
                with self._writing() as content:
                    if content.builder.generation is not generation:
                        fresh.discard()
                        return
                    old = content.builder.adopt(fresh.finish(content.view), served)
                    self._begun = len(content.view.labels)
            except BaseException:
                fresh.discard()
                raise
        old.close()
        self.save(check_cancelled)

    def _rebuilt(self, view: View, check_cancelled: Cancellation) -> ServedGraph | None:
        if view.count < self._rhythm.first(self._spec.dimension):
            return None
        return self._maker.served(self._maker.built(view, check_cancelled), view, None, check_cancelled)

    def save(self, check_cancelled: Cancellation) -> None:
        """Put rows and graph on disk, so that the next open need not read and build them.

        Raises:
            OSError: the disk refuses; the old files stand.
        """
        with self._writing() as content:
            view, generation = content.view, content.builder.generation
            change = content.name_change(view.seq, self._saved.seq)
        vectors = generation.vectors
        if not isinstance(vectors, VectorFile):
            return
        self._background.reached("save")
        checksum = vectors.sync(len(view.labels), check_cancelled)
        saved = SavedRows(
            served=view.served,
            labels=view.labels,
            created=view.created,
            lengths=view.lengths,
            live=view.live,
            seq=view.seq,
            change=change,
            vectors=vectors.path.name,
            checksum=checksum,
        )
        self._files.save(saved, check_cancelled)
        self._saved = _Saved(generation, view.seq, len(view.labels), self._covered(view))

    def save_if_changed(self) -> None:
        """Save at the end; nothing else is under way.

        Raises:
            OSError: the disk refuses; the old files stand.
            DomainError: the collection is damaged or gone.
        """
        view, generation = self._now()
        if self._unsaved(view, generation):
            self.save(lambda: None)

    def _complain(self, complaint: str) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        with self._changed:
            self._complaint = complaint
            self._changed.notify_all()
        _log.warning("collection %s: %s", self._spec.ref, complaint)
