"""The derived files of one collection: one of vectors, and one that says of which rows, with the graph over them."""

import logging
from pathlib import Path
from typing import Final

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.collections import CollectionSpec
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.index.saving import SavedRows, load_rows, save_rows
from vectrograph.engines.embedded.rows.vector_file import VectorFile

INDEX_FILE: Final = "index.graph"
_VECTORS: Final = "vectors-{}.f32"
_PATTERN: Final = "vectors-*.f32"

_log = logging.getLogger(__name__)


class DerivedFiles:
    """Files of a collection that can be rebuilt from its SQLite file.

    Vectors in a new order go to a new file. It becomes the valid one when `save` has replaced the index, which names
    it; all others go then.

    Args:
        directory: of the collection; its name is what the files are marked with.
        spec: of the collection.
        read_only: the disk takes no writes: what is there can be used, and nothing be saved.
    """

    def __init__(self, directory: Path, spec: CollectionSpec, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self._directory = directory
        self._spec = spec
        self._index = directory / INDEX_FILE
        self._number = 0

    def create_vectors(self) -> VectorFile:
        """Return an empty file of vectors under a new name.

        Raises:
            OSError: the disk refuses.
        """
        self._number += 1
        while (path := self._directory / _VECTORS.format(self._number)).exists():
            self._number += 1
        return VectorFile.create(path, self._directory.name, self._spec.dimension)

    def load(self, check_cancelled: Cancellation = never_cancelled) -> tuple[SavedRows, VectorFile] | None:
        """Return the state saved last, every checksum compared; None when nothing was ever saved.

        Raises:
            DamagedIndex: a file is missing, damaged, or of another collection.
            OSError: the disk refuses.
        """
        if not self._index.exists():
            return None
        try:
            return self._load(check_cancelled)
        except FileNotFoundError as error:
            # It was replaced while it was read; files are opened by name more than once.
            raise DamagedIndex(f"{error.filename} is missing") from error

    def _load(self, check_cancelled: Cancellation) -> tuple[SavedRows, VectorFile]:
        saved = load_rows(self._index, self._directory.name, self._spec.dimension, self._spec.distance, check_cancelled)
        path = self._directory / Path(saved.vectors).name
        vectors = VectorFile.open(path, self._directory.name, self._spec.dimension, len(saved.labels))
        try:
            vectors.verify(saved.checksum, check_cancelled)
        except BaseException:
            vectors.close()
            raise
        return saved, vectors

    def save(self, saved: SavedRows, check_cancelled: Cancellation = never_cancelled) -> None:
        """Replace the index; its vectors were synced. What it does not name is removed.

        Raises:
            OSError: the disk refuses; the old files stand.
        """
        spec = self._spec
        save_rows(saved, self._index, self._directory.name, spec.dimension, spec.distance, check_cancelled)
        self.keep_only(saved.vectors)

    def discard(self) -> None:
        """Remove everything: it is damaged, or of no use."""
        if self.read_only:
            return
        self._remove(self._index)
        self.keep_only(None)

    def keep_only(self, name: str | None) -> None:
        """Remove all files of vectors but one; Views that still read them keep their maps."""
        if self.read_only:
            return
        for path in self._directory.glob(_PATTERN):
            if path.name != name:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            # It costs room on the disk and nothing else; the next open tries again.
            _log.warning("derived file %s could not be removed: %s", path, error)
