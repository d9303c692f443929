"""From files to the rows of a collection: what was saved, brought up to date with SQLite, or everything anew.

An index that has seen a later change than the SQLite file shows that the file lost what was acknowledged: its log, or
all that came after a copy of it was made. That is damage, not a reason to build the index anew. Otherwise
the saved rows are believed when every checksum holds, when the log of changes says of the last change they contain what
they say, and when SQLite has no row that they should have and have not. A row of SQLite that the saved rows cover is
not read again, so damage to its bytes is found by `verify`, or when the point is read, and not at open.
"""

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectrograph.domain.collections import CollectionSpec
from vectrograph.engines.embedded.disk.failures import Damaged, DamagedIndex
from vectrograph.engines.embedded.disk.open_files import is_exhausted
from vectrograph.engines.embedded.index.saving import SavedRows
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.vector_file import VectorFile
from vectrograph.engines.embedded.rows.view import Columns, Generation, Labels, Mask, ViewBuilder
from vectrograph.engines.embedded.truth.store import Store
from vectrograph.engines.embedded.truth.write_plan import Counters

_NONE: Final[Labels] = np.empty(0, np.int64)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """Rows as they are in SQLite; `saved_seq` is the last change that the derived files contain, 0 without any."""

    builder: ViewBuilder
    saved_seq: int


def open_rows(store: Store, files: DerivedFiles, spec: CollectionSpec, counters: Counters) -> Opened:
    """Return the rows of a collection, with the graph that was saved, if it was.

    Raises:
        Damaged: the SQLite file is.
        apsw.Error: it cannot be read.
    """
    try:
        loaded = files.load()
        if loaded is not None:
            saved, vectors = loaded
            try:
                builder = _resume(store, saved, vectors, counters, files)
            except BaseException:
                vectors.close()
                raise
            files.keep_only(saved.vectors)
            return Opened(_caught_up(store, builder, saved.seq, counters), saved.seq)
    except (DamagedIndex, OSError) as problem:
        if is_exhausted(problem):
            raise
        _log.warning("the index of collection %s is rebuilt: %s", spec.ref, problem)
    files.discard()
    return Opened(_caught_up(store, _empty(files, spec, counters), -1, counters), 0)


def _empty(files: DerivedFiles, spec: CollectionSpec, counters: Counters) -> ViewBuilder:
    spill = None if files.read_only else files.create_vectors
    return ViewBuilder(spec.dimension, counters.count, counters.seq, spill=spill)


def _resume(
    store: Store, saved: SavedRows, vectors: VectorFile, counters: Counters, files: DerivedFiles
) -> ViewBuilder:
    if saved.seq > counters.seq:
        raise Damaged(
            f"its last change is {counters.seq}, and its index has seen change {saved.seq}; if an older file was "
            "put here on purpose, remove index.graph beside it"
        )
    if store.change(saved.seq) != saved.change:
        raise DamagedIndex("it belongs to another history than the SQLite file has")
    rows = len(saved.labels)
    columns = Columns(rows + rows // 8 + 1024)
    columns.labels[:rows], columns.created[:rows] = saved.labels, saved.created
    columns.lengths[:rows], columns.live[:rows] = saved.lengths, saved.live
    if saved.seq < counters.seq:
        columns.live[:rows] = _still_live(store, saved)
    elif store.count() != np.count_nonzero(saved.live):
        raise DamagedIndex("it has another number of points than the SQLite file")
    return ViewBuilder.resume(Generation(vectors, columns, rows), counters.seq, saved.served, files.create_vectors)


def _still_live(store: Store, saved: SavedRows) -> Mask:
    """Return which of the saved rows SQLite still has."""
    present = store.labels_until(saved.seq)
    live: Mask = np.isin(saved.labels, present, assume_unique=True)
    if np.count_nonzero(live) != len(present) or (live & ~saved.live).any():
        raise DamagedIndex("it lacks a point that the SQLite file has")
    return live


def _caught_up(store: Store, builder: ViewBuilder, last: int, counters: Counters) -> ViewBuilder:
    """Return the rows with all those added whose labels are above `last`."""
    for addition in store.additions(last, builder.view.vectors.shape[1]):
        builder.advance(counters.seq, _NONE, addition)
    if builder.view.count != counters.count:
        raise Damaged(f"{builder.view.count} points are stored and {counters.count} should be")
    return builder
