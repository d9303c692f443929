"""The embedded engine: twelve verbs over a directory that one process owns."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np

from vectrograph.domain.capabilities import Capabilities, EngineLimits, MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionInfo, CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import InvalidArgument, StartupError, StorageReadOnly, Unavailable
from vectrograph.domain.filters import NODES, Filter
from vectrograph.domain.points import (
    ChangePage,
    Delete,
    DeleteWhere,
    IdempotencyKey,
    Op,
    Precondition,
    WriteResult,
)
from vectrograph.domain.queries import Include, ScrollPage, ScrollRequest, SearchRequest
from vectrograph.domain.requests import query_vectors, require_scroll, require_spec
from vectrograph.engines.base import Infos, Outlines, Points, Results
from vectrograph.engines.embedded import reads
from vectrograph.engines.embedded.background import USUAL, Background, Rhythm, Tune
from vectrograph.engines.embedded.budget import Budget
from vectrograph.engines.embedded.catalog import Catalog, refuse_newer_formats
from vectrograph.engines.embedded.collection import Collection, check_deadline
from vectrograph.engines.embedded.durable import make_directory
from vectrograph.engines.embedded.foreground import Foreground
from vectrograph.engines.embedded.graph.effort import route
from vectrograph.engines.embedded.graph.recall import tune
from vectrograph.engines.embedded.judging import SAMPLE, RecallReport, measure_recall
from vectrograph.engines.embedded.lock import DirectoryLock
from vectrograph.engines.embedded.maintenance import TASKS, fold, maintain
from vectrograph.engines.embedded.manifest import require_known_format, save_format
from vectrograph.engines.embedded.planner import Choice, Planner
from vectrograph.engines.embedded.quota import UNLIMITED, Quota
from vectrograph.engines.embedded.scan import Searcher
from vectrograph.engines.embedded.search import search
from vectrograph.engines.embedded.selecting import selecting
from vectrograph.engines.embedded.space import BALLAST_BYTES, Ballast
from vectrograph.engines.embedded.worker import Worker

FORMAT_FILE: Final = "vectrograph.json"
LOCK_FILE: Final = "LOCK"

CAPABILITIES: Final = Capabilities(
    name="embedded",
    atomic_batches=True,
    conditional_writes=True,
    idempotency=True,
    changes=True,
    durable=True,
    consistency="strong",
    filter_nodes=NODES,
    orderings=frozenset(["id", "created", "updated"]),
    distances=frozenset(Distance),
    maintenance=frozenset(MaintenanceTask),
    limits=EngineLimits(
        max_dimension=8192,
        max_id_bytes=512,
        max_payload_bytes=1 << 20,
        max_text_bytes=1 << 20,
        max_batch=10_000,
        max_k=10_000,
    ),
    versions={"sqlite": apsw.sqlite_lib_version(), "apsw": apsw.apsw_version(), "numpy": np.__version__},
)


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
        rhythm: Rhythm = USUAL,
        tune: Tune = tune,
        choose: Choice = route,
        reached: Callable[[str], None] = lambda _: None,
    ) -> "EmbeddedEngine":
        """Open a database directory, creating it when there is none; a crashed one is recovered.

        On a disk that is mounted read-only everything can be read, and writes raise StorageReadOnly until the
        directory is opened again on one that takes them.

        Args:
            directory: this process owns it until `close`.
            clock: microseconds since 1970.
            vfs: name of the SQLite VFS to use, None for the usual one.
            memory_bytes: what the engine may keep in memory (see `budget`), None for no limit. An index that does not
                fit is not built, and writes that do not fit are refused.
            ballast_bytes: room on the disk kept for deleting when it is full (see `space`), 0 for none.
            quota: how many collections there may be.
            rhythm: when indexes are worked on.
            tune: decides how new graphs are served.
            choose: decides which way a search takes.
            reached: told the names of the stages of background work; see `Background`.

        Raises:
            DirectoryLocked: another process, or another engine of this one, has it open; the message names it.
            UnsupportedFormat: a newer version wrote it; nothing was touched.
            StartupError: it cannot be read or written.
        """
        root = Path(directory)
        require_known_format(root / FORMAT_FILE)
        refuse_newer_formats(root)
        read_only = _is_read_only(root)
        try:
            if not read_only:
                make_directory(root)
            lock = DirectoryLock(root / LOCK_FILE, read_only=read_only)
            try:
                ballast = None if read_only else Ballast(root, ballast_bytes)
                if ballast is not None:
                    ballast.prepare()
                    if not (root / FORMAT_FILE).exists():
                        save_format(root / FORMAT_FILE)
                background = Background(
                    worker=Worker(),
                    foreground=Foreground(),
                    rhythm=rhythm,
                    budget=Budget(memory_bytes),
                    tune=tune,
                    reached=reached,
                )
                try:
                    catalog = Catalog(root, vfs, background, read_only=read_only, quota=quota)
                    return cls(lock, catalog, background, clock, Planner(choose), ballast)
                except BaseException:
                    background.worker.close()
                    raise
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise StartupError(f"The data directory {root} cannot be used: {error}.") from error

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
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
        """All collections of a tenant by name; see `Engine.list`."""
        self._require_open()
        own = [collection.info() for collection in self._catalog.all() if collection.spec.ref.tenant == tenant]
        return sorted(own, key=lambda info: info.spec.ref.name)

    def outline(self, tenant: str) -> Outlines:
        """All collections of a tenant by name, without opening any; see `Engine.outline`."""
        self._require_open()
        own = [collection.outline() for collection in self._catalog.all() if collection.spec.ref.tenant == tenant]
        return sorted(own, key=lambda outline: outline.spec.ref.name)

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        """One collection as it stands; see `Engine.describe`."""
        return self._find(ref).info()

    def write(
        self,
        ref: CollectionRef,
        ops: Sequence[Op],
        *,
        precondition: Precondition | None = None,
        idempotency: IdempotencyKey | None = None,
        deadline: float | None = None,
    ) -> WriteResult:
        """Apply operations as one transaction; see `Engine.write`."""
        collection = self._find(ref)
        self._background.foreground.touch()
        space = self._space()

        def act() -> WriteResult:
            return collection.write(
                ops,
                precondition or Precondition(),
                idempotency,
                deadline,
                CAPABILITIES.limits,
                self._clock(),
                self._checking(deadline),
            )

        if all(isinstance(op, Delete | DeleteWhere) for op in ops):
            return space.freeing(act, lambda: fold(collection))
        return space.adding(act)

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        """The points of these ids; see `Engine.get`."""
        return reads.get(self._find(ref), ids, include)

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        """Nearest points for each query; see `Engine.search`."""
        collection = self._find(ref)
        queries = query_vectors(request, collection.spec, CAPABILITIES.limits)
        self._background.foreground.touch()
        check = self._checking(deadline)
        check()
        return search(collection, request, queries, self._searcher, check)

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        """One page of points; see `Engine.scroll`."""
        collection = self._find(ref)
        require_scroll(request, CAPABILITIES)
        check = self._checking(deadline)
        check()
        return reads.scroll(collection, request, check)

    def count(self, ref: CollectionRef, filter: Filter | None = None, *, deadline: float | None = None) -> int:
        """How many points match; see `Engine.count`."""
        collection = self._find(ref)
        check = self._checking(deadline)
        check()
        return reads.count(collection, filter, check)

    def changes(self, ref: CollectionRef, since: str | None = None, *, limit: int = 1000) -> ChangePage:
        """The log after a position; see `Engine.changes`."""
        collection = self._find(ref)
        if limit < 1:
            raise InvalidArgument.of("limit", f"is {limit} and must be positive", "out_of_range")
        return reads.changes(collection, since, limit)

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
        asked, distance = collection.asked.vectors(), collection.spec.distance
        return measure_recall(
            view, distance, asked, self._searcher, lambda: None, sample=sample, k=k, matching=matching
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
                "The disk under the data directory is mounted read-only: reading goes on, and for writing make it "
                "writable and open the directory again."
            )
        return self._ballast

    def _find(self, ref: CollectionRef) -> Collection:
        self._require_open()
        return self._catalog.find(ref)

    def _checking(self, deadline: float | None) -> Callable[[], None]:
        """What long work calls between its pieces: it ends at the deadline, with the caller, and with the engine."""

        def check() -> None:
            if self._closed:
                raise _closed()
            check_deadline(deadline)

        return check

    def _require_open(self) -> None:
        if self._closed:
            raise _closed()


def _is_read_only(root: Path) -> bool:
    """Whether there is a database on a disk that takes no writes."""
    try:
        return bool(os.statvfs(root).f_flag & os.ST_RDONLY) and (root / FORMAT_FILE).exists()
    except OSError:
        return False


def _closed() -> Unavailable:
    return Unavailable("The engine is closed.")
