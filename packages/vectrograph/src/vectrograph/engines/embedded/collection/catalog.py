"""The collections of a database directory, and how they survive a crash in the middle of being made or dropped.

Collections are opened when they are first used. Those that nobody uses are looked through in the background, one at a
time, so that damage is found all the same.

There is no central list that could be lost or disagree: each collection's directory has a manifest. creating is written
first and becomes ready when the SQLite file is on disk; dropping is written before anything is removed. At open, what
is creating was never acknowledged and goes, what is dropping goes too, and a damaged manifest is rewritten from the
copy that the SQLite file holds.
"""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

import apsw

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.collections import (
    DEFAULT_TENANT,
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Distance,
)
from vectrograph.domain.errors import (
    AlreadyExists,
    CollectionNotFound,
    CollectionQuarantined,
    DomainError,
    Overloaded,
    Unavailable,
)
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.collection.content import Content
from vectrograph.engines.embedded.collection.verify import verify, verify_derived
from vectrograph.engines.embedded.disk.durable import make_directory, sync_directory
from vectrograph.engines.embedded.disk.failures import DAMAGE, Damaged, DamagedIndex, quarantined, storage_errors
from vectrograph.engines.embedded.disk.open_files import OpenFiles
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.truth.commit_record import recorded_seq, was_acknowledged
from vectrograph.engines.embedded.truth.manifest import FILE_NAME as MANIFEST_FILE
from vectrograph.engines.embedded.truth.manifest import (
    FORMAT,
    DamagedManifest,
    Manifest,
    holds_format,
    require_known_format,
    unsupported,
)
from vectrograph.engines.embedded.truth.salvage import finish_repair, salvage
from vectrograph.engines.embedded.truth.schema import FILE_NAME as DATA_FILE
from vectrograph.engines.embedded.truth.schema import stored_format
from vectrograph.engines.embedded.truth.store import Store
from vectrograph.engines.embedded.upkeep.background import Background
from vectrograph.engines.quotas import UNLIMITED, Quota

DIRECTORY: Final = "collections"
_FOLD_SECONDS: Final = 2.0
"""Time for folding logs when the engine is closed: a quarter of what a server has to stop in, by default."""

_log = logging.getLogger(__name__)


class Catalog:
    """All collections of one database directory, which this process has locked.

    Args:
        root: the database directory.
        vfs: name of the SQLite VFS to use, None for the usual one.
        background: keeps the indexes.
        read_only: the disk takes no writes: what is half made or half dropped is left alone, and not listed.
        quota: how many collections there may be.
    """

    def __init__(
        self,
        root: Path,
        vfs: str | None,
        background: Background,
        *,
        read_only: bool = False,
        quota: Quota = UNLIMITED,
    ) -> None:
        self._quota = quota
        self._open_files = OpenFiles()
        self._read_only = read_only
        self._directory = root / DIRECTORY
        self._vfs = vfs
        self._background = background
        self._lock = Lock()
        if not read_only:
            make_directory(self._directory)
        self._collections: dict[CollectionRef, Collection] = {}
        for directory in sorted(self._directory.iterdir()):
            self._recover(directory)
        self._checking = _Checking(self)
        if self._collections:
            background.worker.schedule(self._checking, background.rhythm.idle_seconds)
        self._ageing = _Ageing(self, background.rhythm.ageing_seconds)
        if background.retention.max_age and not read_only:
            background.worker.schedule(self._ageing, background.rhythm.ageing_seconds)

    @property
    def open_files(self) -> OpenFiles:
        """The descriptors that the collections share."""
        return self._open_files

    def all(self) -> list[Collection]:
        """Return every collection, quarantined ones included, in no particular order."""
        return list(self._collections.values())

    def find(self, ref: CollectionRef) -> Collection:
        """Return the collection of that name.

        Raises:
            CollectionNotFound: there is none.
        """
        collection = self._collections.get(ref)
        if collection is None:
            raise _not_found(ref)
        return collection

    def create(self, spec: CollectionSpec, now: int) -> Collection:
        """Make an empty collection; it is on disk when this returns.

        Raises:
            AlreadyExists: the name is taken.
            QuotaExceeded: the tenant, or the database, has as many as it may have.
            OutOfSpace, StorageReadOnly, InternalError: the disk refuses; nothing is left behind.
        """
        with self._lock:
            if spec.ref in self._collections:
                raise AlreadyExists(
                    f"A collection {str(spec.ref)!r} exists already; choose another name or drop it first.",
                    details={"collection": str(spec.ref)},
                )
            self._quota.require_room(spec.ref, self._collections)
            directory = self._directory / uuid4().hex
            try:
                with storage_errors(self._directory, str(spec.ref), lambda _: None):
                    collection = self._make(directory, spec, now)
            except DomainError:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            self._collections = {**self._collections, spec.ref: collection}
            return collection

    def _make(self, directory: Path, spec: CollectionSpec, now: int) -> Collection:
        make_directory(directory)
        Manifest(spec, CollectionState.CREATING, now).save(directory)
        store = Store.create(directory, spec, now, self._vfs, self._open_files)
        sync_directory(directory)
        Manifest(spec, CollectionState.READY, now).save(directory)
        store.acknowledged()
        files = DerivedFiles(directory, spec)
        return Collection(directory, spec, now, self._background, files, content=Content(store, spec, files))

    def drop(self, ref: CollectionRef) -> None:
        """Remove a collection and its files; reads in flight finish on what they have open.

        Raises:
            CollectionNotFound: there is none.
            StorageReadOnly, InternalError: the disk refuses; the collection stays.
        """
        with self._lock:
            collection = self.find(ref)
            directory = collection.directory
            with storage_errors(directory, str(ref), lambda _: None):
                Manifest(collection.spec, CollectionState.DROPPING, 0).save(directory)
            self._collections = {other: c for other, c in self._collections.items() if other != ref}
            collection.end(lambda: _not_found(ref), keep=False)
        _remove(directory)

    def repair(self, ref: CollectionRef, now: int) -> tuple[bool, str]:
        """Rebuild what is derived and salvage what is readable, as far as that is needed; see `salvage`.

        Calls that come meanwhile raise Unavailable. Returns whether nothing was lost, and what was done.

        Raises:
            CollectionNotFound: there is none.
            CollectionQuarantined: nothing can be read of it; it is left as it was.
            OutOfSpace, StorageReadOnly, InternalError: the disk refuses; it is left as it was.
        """
        with self._lock:
            collection = self.find(ref)
            damage = _damage(collection)
            if damage is None:
                unharmed = f"{collection.info().count} points are as they were written"
                if collection.record_holds():
                    return True, f"{unharmed}; nothing to repair"
                collection.renew_record()
                return True, f"{unharmed}; the record of the last commit was damaged and is rewritten"
            try:
                manifest = Manifest.load(collection.directory)
            except DamagedManifest as error:
                raise quarantined(str(ref), f"neither its manifest nor its file says what it is: {error}") from error
            collection.end(lambda: Unavailable(f"Collection {str(ref)!r} is being repaired; try again."), keep=True)
            try:
                with storage_errors(collection.directory, str(ref), lambda _: None):
                    return self._repaired(collection, manifest, damage, now)
            finally:
                self._collections = {other: each for other, each in self._collections.items() if other != ref}
                self._open(collection.directory, manifest)

    def _repaired(self, collection: Collection, manifest: Manifest, damage: str, now: int) -> tuple[bool, str]:
        salvaged = None
        if damage != DERIVED_DAMAGE:
            seen = max(_seen_by_index(collection.files), recorded_seq(collection.directory))
            salvaged = salvage(collection.directory, manifest.spec, manifest.created_at, now, seen)
        collection.files.discard()
        if salvaged is None:
            return True, "the files of the index were damaged and are rebuilt"
        return salvaged.complete, f"{damage} {salvaged}"

    def close(self, reason: Callable[[], DomainError]) -> None:
        """Close all files in good order; later calls of collections raise `reason()`.

        Logs that cannot be folded into their files within a few seconds are left to the next open: nothing is lost.
        """
        self._background.worker.cancel(self._checking)
        self._background.worker.cancel(self._ageing)
        with self._lock:
            late = time.monotonic() + _FOLD_SECONDS
            for collection in self.all():
                collection.end(reason, keep=True, fold=time.monotonic() < late)
        self._open_files.close()

    # ------------------------------------------------------------ recovery

    def _recover(self, directory: Path) -> None:
        """Bring one directory found at open into the catalog, or finish its removal."""
        try:
            manifest = Manifest.load(directory)
        except DamagedManifest as damage:
            if (directory / DATA_FILE).exists() or was_acknowledged(directory):
                self._recover_from_data(directory, damage)
            elif not self._read_only:
                # Made, but the first manifest was not yet written: nothing was acknowledged.
                _remove(directory)
            return
        if manifest.state is CollectionState.CREATING and was_acknowledged(directory):
            self._recover_from_data(directory, DamagedManifest("it is older than the collection"))
            return
        if manifest.state is not CollectionState.READY:
            if not self._read_only:
                _remove(directory)
            return
        self._open(directory, manifest)

    def _recover_from_data(self, directory: Path, damage: DamagedManifest) -> None:
        try:
            manifest = _manifest_in_data(directory, self._vfs, self._read_only, self._open_files)
            if manifest.spec.ref in self._collections:
                raise Damaged(f"its file names it {manifest.spec.ref}, which another collection is called")
            if not self._read_only:
                manifest.save(directory)
                _log.warning("the manifest of collection %s was damaged and is rewritten", manifest.spec.ref)
        except (apsw.Error, *DAMAGE, OSError) as error:
            self._set_aside(directory, f"its manifest is damaged: {damage}; and so is its data: {error}")
            return
        self._open(directory, manifest)

    def _open(self, directory: Path, manifest: Manifest) -> None:
        if manifest.spec.ref in self._collections:
            self._set_aside(directory, f"a second collection is called {manifest.spec.ref}")
            return
        files = DerivedFiles(directory, manifest.spec, read_only=self._read_only)

        def open_content() -> Content:
            if not self._read_only:
                finish_repair(directory)
            content = _open_content(directory, manifest, files, self._vfs, self._open_files)
            if not manifest.recorded and not self._read_only:
                replace(manifest, recorded=True).save(directory)
            return content

        self._collections[manifest.spec.ref] = Collection(
            directory, manifest.spec, manifest.created_at, self._background, files, opener=open_content
        )

    def _set_aside(self, directory: Path, problem: str) -> None:
        """Keep a directory that says nothing of itself in the list, under a name made from its own."""
        ref = CollectionRef(DEFAULT_TENANT, f"unreadable-{directory.name}")
        spec = CollectionSpec.dense(ref, 1, Distance.EUCLIDEAN)
        files = DerivedFiles(directory, spec)
        self._collections[ref] = Collection(directory, spec, 0, self._background, files, problem=problem)
        _log.error("collection directory %s is quarantined: %s", directory, problem)


def refuse_newer_formats(root: Path) -> None:
    """Look at every format number below a database directory without writing anything.

    Raises:
        UnsupportedFormat: one is newer than this version reads.
    """
    for directory in (root / DIRECTORY).glob("*"):
        require_known_format(directory / MANIFEST_FILE)
        # A manifest that holds is not newer, and has a checksum. A newer number in the file beside it is damage of
        # that one collection, which is found when it is opened.
        number = stored_format(directory / DATA_FILE)
        if number > FORMAT and not holds_format(directory / MANIFEST_FILE):
            raise unsupported(directory / DATA_FILE, number)


class _Checking:
    """The job that looks for damage in the collections that nobody has used since the start, one at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._waiting = iter(catalog.all())

    def run(self, check_cancelled: Cancellation) -> float | None:
        """Check the next one; see `Job.run`."""
        collection = next(self._waiting, None)
        if collection is None:
            return None
        try:
            collection.check()
            collection.look_at_log()
        except Overloaded as error:
            _log.warning("collection %s was not checked for damage: %s", collection.spec.ref, error)
        return 0.0


class _Ageing:
    """The job that looks now and then for changes that are too old, also of collections that nobody writes to.

    Args:
        catalog: whose collections.
        seconds: between two looks.
    """

    def __init__(self, catalog: Catalog, seconds: float) -> None:
        self._catalog = catalog
        self._seconds = seconds

    def run(self, check_cancelled: Cancellation) -> float | None:
        """Look at every log; see `Job.run`."""
        for collection in self._catalog.all():
            collection.look_at_log()
        return self._seconds


def _open_content(
    directory: Path, manifest: Manifest, files: DerivedFiles, vfs: str | None, open_files: OpenFiles
) -> Content:
    store = Store(directory, vfs, manifest.spec.ids, read_only=files.read_only, open_files=open_files)
    try:
        store.recover(recorded=manifest.recorded)
        return Content(store, manifest.spec, files)
    except BaseException:
        store.abandon()
        raise


def _manifest_in_data(directory: Path, vfs: str | None, read_only: bool, open_files: OpenFiles) -> Manifest:
    store = Store(directory, vfs, None, read_only=read_only, open_files=open_files)
    try:
        header = store.header()
    finally:
        store.abandon()
    return Manifest(header.spec, CollectionState.READY, header.created_at)


def _remove(directory: Path) -> None:
    """Remove a directory that its manifest, or the lack of one, condemned; what cannot go now goes at the next open.

    The manifest goes last: data without one would be taken for a collection whose manifest was damaged.
    """
    try:
        for path in directory.iterdir():
            if path.name != MANIFEST_FILE and not path.is_dir():
                path.unlink()
        sync_directory(directory)
        shutil.rmtree(directory)
        sync_directory(directory.parent)
    except OSError as error:
        _log.warning("files of a dropped collection in %s could not be removed: %s", directory, error)


DERIVED_DAMAGE: Final = "the files of the index are damaged."


def _damage(collection: Collection) -> str | None:
    """Return the fault of a collection, None when there is none."""
    try:
        verify(collection)
    except CollectionQuarantined as error:
        return (error.problem or error.message) + "."
    return None if verify_derived(collection.files) is None else DERIVED_DAMAGE


def _seen_by_index(files: DerivedFiles) -> int:
    """Return the last change that an undamaged index knows of."""
    try:
        loaded = files.load()
    except (DamagedIndex, OSError):
        return 0
    if loaded is None:
        return 0
    loaded[1].close()
    return loaded[0].seq


def _not_found(ref: CollectionRef) -> CollectionNotFound:
    return CollectionNotFound(
        f"There is no collection {str(ref)!r}; create it first.", details={"collection": str(ref)}
    )
