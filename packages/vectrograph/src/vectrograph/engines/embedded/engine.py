"""The embedded engine: twelve verbs over a directory that one process owns."""

import logging
import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import apsw
import msgspec
import numpy as np

from vectrograph.domain import cancellation
from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.capabilities import Capabilities, EngineLimits, MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import InvalidArgument, StartupError, StorageReadOnly, Unavailable
from vectrograph.domain.filters.evaluation import NODES, Filter
from vectrograph.domain.grid import PLACEMENT_BYTES
from vectrograph.domain.log_retention import UNLIMITED_LOG, LogRetention
from vectrograph.domain.points import (
    ChangePage,
    Delete,
    DeleteWhere,
    IdempotencyKey,
    LogEnd,
    Op,
    Precondition,
    WriteLimits,
    WriteResult,
)
from vectrograph.domain.queries import Include, ScrollPage, ScrollRequest, SearchRequest
from vectrograph.domain.query_validation import query_vectors, require_scroll, require_spec
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.domain.write_validation import validate_writes
from vectrograph.engines.base import Infos, Outlines, Points, Results
from vectrograph.engines.embedded.collection.catalog import DIRECTORY as COLLECTIONS
from vectrograph.engines.embedded.collection.catalog import Catalog, refuse_newer_formats
from vectrograph.engines.embedded.collection.collection import Collection, too_late
from vectrograph.engines.embedded.collection.maintenance import TASKS, fold, maintain
from vectrograph.engines.embedded.disk.ballast import BALLAST_BYTES, Ballast
from vectrograph.engines.embedded.disk.durable import make_directory, make_private
from vectrograph.engines.embedded.disk.lock import DirectoryLock
from vectrograph.engines.embedded.index.effort import cheapest_route
from vectrograph.engines.embedded.index.recall import tune
from vectrograph.engines.embedded.query import point_reads
from vectrograph.engines.embedded.query.filter_selection import selecting
from vectrograph.engines.embedded.query.planner import Choice, Planner
from vectrograph.engines.embedded.query.search import search
from vectrograph.engines.embedded.rows.exact_scan import Searcher
from vectrograph.engines.embedded.rows.memory_budget import Budget
from vectrograph.engines.embedded.truth.manifest import holds_format, require_known_format, save_format
from vectrograph.engines.embedded.upkeep.background import USUAL, Background, Rhythm, Tune
from vectrograph.engines.embedded.upkeep.foreground import Foreground
from vectrograph.engines.embedded.upkeep.recall_monitor import SAMPLE, RecallReport, measure_recall
from vectrograph.engines.embedded.upkeep.worker import Worker
from vectrograph.engines.quotas import UNLIMITED, Quota

FORMAT_FILE: Final = "vectrograph.json"
LOCK_FILE: Final = "LOCK"

CAPABILITIES: Final = Capabilities(
    name="embedded",
    conditional_writes=True,
    idempotency=True,
    changes=True,
    durable=True,
    filter_nodes=NODES,
    orderings=frozenset(["id", "created", "updated"]),
    distances=frozenset(Distance),
    maintenance=frozenset(MaintenanceTask),
    limits=EngineLimits(
        max_dimension=8192,
        max_id_bytes=512,
        # Metadata of the largest size that services allow by default, and a placement beside them.
        max_payload_bytes=(1 << 20) + PLACEMENT_BYTES,
        max_text_bytes=1 << 20,
        max_batch=10_000,
        max_k=10_000,
    ),
    versions={"sqlite": apsw.sqlite_lib_version(), "apsw": apsw.apsw_version(), "numpy": np.__version__},
)


_log = logging.getLogger(__name__)
_write_json: Final = msgspec.json.Encoder().encode


def _now() -> int:
    return time.time_ns() // 1000


class EmbeddedEngine:
    """An `Engine` over a directory: SQLite is the truth, everything else can be rebuilt from it.

    Acknowledged means on disk and visible to every later call. Make one with `open`.
    """

    def __init__(
        self,
        lock: DirectoryLock,
        catalog: Catalog,
        background: Background,
        clock: Callable[[], int],
        searcher: Searcher,
        ballast: Ballast | None,
    ) -> None:
        self._ballast = ballast
        self._lock = lock
        self._catalog = catalog
        self._background = background
        self._clock = clock
        self._searcher = searcher
        self._closed = False
        self._forked = False
        _open_here.add(self)

    @classmethod
    def open(
        cls,
        directory: str | PathLike[str],
        *,
        clock: Callable[[], int] = _now,
        vfs: str | None = None,
        memory_bytes: int | None = None,
        ballast_bytes: int = BALLAST_BYTES,
        quota: Quota = UNLIMITED,
        retention: LogRetention = UNLIMITED_LOG,
        rhythm: Rhythm = USUAL,
        tune: Tune = tune,
        choose: Choice = cheapest_route,
        reached: Callable[[str], None] = lambda _: None,
        placement: ThreadPlacement | None = None,
    ) -> "EmbeddedEngine":
        """Open a database directory, creating it when there is none; a crashed one is recovered.

        On a disk that is mounted read-only everything can be read, and writes raise StorageReadOnly until the
        directory is opened again on one that takes them.

        Args:
            directory: this process owns it until `close`.
            clock: microseconds since 1970.
            vfs: name of the SQLite VFS to use, None for the usual one.
            memory_bytes: what the engine may keep in memory (see `memory_budget`), None for no limit. An index that
                does not fit is not built, and writes that do not fit are refused.
            ballast_bytes: room on the disk kept for deleting when it is full (see `ballast`), 0 for none.
            quota: how many collections there may be.
            rhythm: when indexes are worked on.
            tune: decides how new graphs are served.
            choose: decides which route a search takes.
            reached: called with the name of each stage of background work; see `Background`.
            placement: where threads run; by default wherever the operating system puts them.

        Raises:
            DirectoryLocked: another process, or another engine of this one, has it open; the message names it.
            UnsupportedFormat: a newer version wrote it; nothing was touched.
            StartupError: it cannot be read or written.
        """
        root = require_usable(directory)
        require_known_format(root / FORMAT_FILE)
        refuse_newer_formats(root)
        read_only = _is_read_only(root)
        try:
            placement = placement or ThreadPlacement()
            if not read_only:
                make_directory(root)
            with ExitStack() as undo:
                lock = DirectoryLock(root / LOCK_FILE, read_only=read_only)
                undo.callback(lock.release)
                ballast = None if read_only else _prepare(root, ballast_bytes)
                background = Background(
                    worker=Worker(placement),
                    foreground=Foreground(),
                    rhythm=rhythm,
                    budget=Budget(memory_bytes),
                    tune=tune,
                    retention=retention,
                    clock=clock,
                    reached=reached,
                    placement=placement,
                )
                undo.callback(background.worker.close)
                catalog = Catalog(root, vfs, background, read_only=read_only, quota=quota)
                engine = cls(lock, catalog, background, clock, Planner(choose, placement), ballast)
                undo.pop_all()
                return engine
        except OSError as error:
            raise StartupError(f"The data directory {root} cannot be used: {error}.") from error

    @property
    def capabilities(self) -> Capabilities:
        """Capabilities of this engine."""
        return CAPABILITIES

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        """Create an empty collection; see `Engine.create`."""
        self._require_open()
        require_spec(spec, CAPABILITIES)
        return self._space().adding(lambda: self._catalog.create(spec, self._clock())).info()

    def drop(self, ref: CollectionRef) -> None:
        """Remove a collection; see `Engine.drop`."""
        self._require_open()
        self._space().freeing(lambda: self._catalog.drop(ref))

    def list(self, tenant: str) -> Infos:
        """Return all collections of a tenant by name; see `Engine.list`."""
        self._require_open()
        own = [collection.info() for collection in self._catalog.all() if collection.spec.ref.tenant == tenant]
        return sorted(own, key=lambda info: info.spec.ref.name)

    def outline(self, tenant: str) -> Outlines:
        """Return all collections of a tenant by name, without opening any; see `Engine.outline`."""
        self._require_open()
        own = [collection.outline() for collection in self._catalog.all() if collection.spec.ref.tenant == tenant]
        return sorted(own, key=lambda outline: outline.spec.ref.name)

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        """Return one collection as it stands; see `Engine.describe`."""
        return self._find(ref).info()

    def write(
        self,
        ref: CollectionRef,
        ops: Sequence[Op],
        *,
        precondition: Precondition | None = None,
        idempotency: IdempotencyKey | None = None,
        deadline: float | None = None,
        limits: WriteLimits | None = None,
        returning: Include | None = None,
    ) -> WriteResult:
        """Apply operations as one transaction; see `Engine.write`."""
        collection = self._find(ref)
        self._background.foreground.touch()
        space = self._space()

        def act() -> WriteResult:
            writes = validate_writes(ops, collection.spec, CAPABILITIES.limits, limits, _write_json)
            return collection.write(
                writes,
                precondition or Precondition(),
                idempotency,
                deadline,
                self._clock(),
                self._cancellation(deadline),
                returning,
            )

        if all(isinstance(op, Delete | DeleteWhere) for op in ops):
            return space.freeing(act, lambda: fold(collection))
        return space.adding(act)

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """Return the points of these ids; see `Engine.get`."""
        return point_reads.get(self._find(ref), ids, include)

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Return nearest points for each query; see `Engine.search`."""
        collection = self._find(ref)
        queries = query_vectors(request, collection.spec, CAPABILITIES.limits)
        self._background.foreground.touch()
        check_cancelled = self._cancellation(deadline)
        check_cancelled()
        return search(collection, request, queries, self._searcher, check_cancelled)

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """Return one page of points; see `Engine.scroll`."""
        collection = self._find(ref)
        require_scroll(request, CAPABILITIES)
        check_cancelled = self._cancellation(deadline)
        check_cancelled()
        return point_reads.scroll(collection, request, check_cancelled)

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """Return how many points match; see `Engine.count`."""
        collection = self._find(ref)
        check_cancelled = self._cancellation(deadline)
        check_cancelled()
        return point_reads.count(collection, filter, check_cancelled)

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        """Return the log after a position; see `Engine.changes`."""
        collection = self._find(ref)
        if limit < 1:
            raise InvalidArgument.of("limit", f"is {limit} and must be positive", "out_of_range")
        return point_reads.changes(collection, since, limit)

    def maintain(self, task: MaintenanceTask, ref: CollectionRef | None = None) -> MaintenanceReport:
        """Run one maintenance task; see `Engine.maintain`. Of damaged collections the details say what is wrong."""
        self._require_open()
        if task not in CAPABILITIES.maintenance:
            offered = ", ".join(sorted(each.value for each in CAPABILITIES.maintenance))
            raise InvalidArgument.of("task", f"is {task.value} and must be one of {offered}", "enum")
        collections = self._catalog.all() if ref is None else [self._catalog.find(ref)]
        space = self._space() if task in (MaintenanceTask.CHECKPOINT, MaintenanceTask.REPAIR) else None
        tasks = {
            **TASKS,
            MaintenanceTask.REPAIR: lambda each: self._catalog.repair(each.spec.ref, self._clock()),
            MaintenanceTask.MEASURE_RECALL: self._measured,
        }
        return maintain(task, tasks[task], collections, space)

    def measure_recall(
        self, ref: CollectionRef, sample: int = SAMPLE, *, k: int = 10, filter: Filter | None = None
    ) -> RecallReport:
        """Compare searches with exact ones: with what was asked lately, or with stored points where that is too little.

        Args:
            ref: the collection.
            sample: how many queries to compare; each costs an exact scan.
            k: neighbours of each.
            filter: that the neighbours have to match.

        Raises:
            CollectionNotFound, CollectionQuarantined.
            InvalidArgument: `sample` or `k` is not positive.
        """
        for name, number in (("sample", sample), ("k", k)):
            if number < 1:
                raise InvalidArgument.of(name, f"is {number} and must be positive", "out_of_range")
        collection, matching = self._find(ref), None
        view = collection.view()
        if filter is not None:
            with selecting(collection, filter, lambda: None) as (_, view, selection):
                matching = selection.mask
        recent, distance = collection.query_sample.vectors(), collection.spec.distance
        return measure_recall(
            view, distance, recent, self._searcher, lambda: None, sample=sample, k=k, matching=matching
        )

    def _measured(self, collection: Collection) -> tuple[bool, Any]:
        report = self.measure_recall(collection.spec.ref)
        return report.good, asdict(report)

    def close(self) -> None:
        """Finish what is in flight, fold the logs into the files, release the directory; see `Engine.close`."""
        if self._closed:
            return
        self._closed = True
        self._background.worker.close()
        self._catalog.close(_closed)
        self._lock.release()

    def _space(self) -> Ballast:
        if self._ballast is None:
            raise StorageReadOnly(
                "The disk with the data directory is mounted read-only; reads still work. To write, make it "
                "writable and open the directory again."
            )
        return self._ballast

    def _find(self, ref: CollectionRef) -> Collection:
        self._require_open()
        return self._catalog.find(ref)

    def _cancellation(self, deadline: float | None) -> Cancellation:
        """Return what stops work: the deadline, the caller that leaves, the engine that closes."""
        gone = cancellation.current()

        def check_cancelled() -> None:
            if self._closed:
                raise _closed()
            if gone is not None and gone():
                raise cancellation.cancelled()
            if deadline is not None and time.monotonic() >= deadline:
                raise too_late()

        return check_cancelled

    def _require_open(self) -> None:
        if self._closed:
            raise _left_behind() if self._forked else _closed()

    def _forget(self) -> None:
        """Be closed in a child of the process that opened it, and leave every file alone: that process goes on."""
        if not self._closed:
            self._closed = self._forked = True
            self._background.worker.forget()
            self._lock.forget()


_open_here: Final[WeakSet[EmbeddedEngine]] = WeakSet()
"""Engines of this process that a child would share files, locks and SQLite's connections with."""


def _forget_in_child() -> None:
    for engine in list(_open_here):
        engine._forget()
        # Its connections are not even to be closed: SQLite would act on files that the parent has open.
        _kept_in_child.append(engine)


_kept_in_child: Final[list[EmbeddedEngine]] = []
os.register_at_fork(after_in_child=_forget_in_child)


def require_usable(directory: str | PathLike[str]) -> Path:
    """Return the absolute path of a data directory that is there or can be made.

    Raises:
        StartupError: it is something else than a directory, or cannot be reached; one sentence says what to do.
    """
    try:
        root = Path(directory).absolute()
        if not os.fspath(directory):
            raise StartupError("The data directory has an empty name; name a directory.")
        mode = _mode(root)
    except ValueError as error:
        raise StartupError(f"The data directory {directory!r} is not a valid file name ({error}).") from error
    except NotADirectoryError as error:
        raise StartupError(f"The data directory {root} is inside a file; choose another place.") from error
    except OSError as error:
        raise StartupError(
            f"The data directory {root} cannot be reached ({error.strerror}); choose another."
        ) from error
    if mode is None:
        return root
    if stat.S_ISLNK(mode):
        raise StartupError(
            f"The data directory {root} is a symbolic link to a missing target; create the target or remove the link."
        )
    if not stat.S_ISDIR(mode):
        raise StartupError(f"The data directory {root} is {_kind(mode)} and not a directory; name a directory.")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK, effective_ids=True) and not _is_read_only(root):
        raise StartupError(
            f"The data directory {root} belongs to user {root.stat().st_uid} and this process, of user {os.geteuid()}, "
            "may not read and write it; change its owner or choose another."
        )
    return root


def require_data_directory(directory: str | PathLike[str]) -> Path:
    """Return the absolute path of a data directory that is there already.

    Raises:
        StartupError: there is none, or it cannot be used.
    """
    root = require_usable(directory)
    if not (root / FORMAT_FILE).exists() and not (root / COLLECTIONS).is_dir():
        raise StartupError(f"{root} is not a data directory: it has neither {FORMAT_FILE} nor {COLLECTIONS}.")
    return root


def _mode(path: Path) -> int | None:
    """Return the mode of what a path leads to, of the link where it leads to nothing; None where there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return path.lstat().st_mode if path.is_symlink() else None


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "a file"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a special file"


def _prepare(root: Path, ballast_bytes: int) -> Ballast:
    """Make a directory ready for writing, and return what is kept back of its disk."""
    ballast = Ballast(root, ballast_bytes)
    _tighten(root)
    ballast.prepare()
    if not holds_format(root / FORMAT_FILE):
        save_format(root / FORMAT_FILE)
    return ballast


def _tighten(root: Path) -> None:
    """Make an existing data directory private, and an empty one that becomes it.

    One with other things in it is not ours to change yet, and what is written to it is private from the beginning.
    """
    if not (root / FORMAT_FILE).exists() and {path.name for path in root.iterdir()} - {LOCK_FILE}:
        return
    try:
        if changed := make_private(root, below=(COLLECTIONS,)):
            _log.warning(
                "%d files and directories in %s could be read by other users of this machine and no longer can",
                changed,
                root,
            )
    except OSError as error:
        _log.warning("files in %s may be readable by other users, and that cannot be changed: %s", root, error)


def _is_read_only(root: Path) -> bool:
    """Return whether there is a database on a disk that takes no writes."""
    try:
        return bool(os.statvfs(root).f_flag & os.ST_RDONLY) and (root / FORMAT_FILE).exists()
    except OSError:
        return False


def _closed() -> Unavailable:
    return Unavailable("The engine is closed.")


def _left_behind() -> Unavailable:
    return Unavailable("The engine was opened before this process was forked; open one in the child, or none.")
