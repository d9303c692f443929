"""Room on the disk that is kept for the day the disk is full: a ballast file.

Deleting needs room too, for SQLite's log and for the manifest of what is dropped. When the disk is full, the ballast is
given up for that; what adds data is refused from then on, until the ballast can be taken again with as much left free.
"""

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from vectrograph.domain.errors import OutOfSpace
from vectrograph.engines.embedded.disk.durable import open_private

BALLAST_BYTES: Final = 16 << 20
"""Enough for the log of some ten thousand deletes before it is folded into the file."""

FILE_NAME: Final = "ballast"

# Free bytes of the disk below which the ballast is given up at the start. Chosen: room for the files that opening
# writes.
_MIN_FREE_BYTES: Final = 256 << 10

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Ballast:
    """The ballast of one database directory; all methods are thread-safe.

    Args:
        directory: where the file is.
        size: bytes it takes; 0 for none, and then nothing works on a full disk but reading.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self._path = directory / FILE_NAME
        self._size = size
        self._lock = Lock()
        self._spent = False

    def prepare(self) -> None:
        """Take the room, or, on a disk that is full already, give up what an earlier engine had taken.

        Raises:
            OSError: the disk refuses for another reason.
        """
        with self._lock:
            if self._size == 0:
                self._path.unlink(missing_ok=True)
            elif not (self._held() or self._take()):
                _log.warning("the disk is full: %s could not be reserved, only reads and deletes work", self._path)
                self._spent = True
            elif self._free() < _MIN_FREE_BYTES:
                # Opening needs room as well, and the disk may have none but this.
                self._give()

    def adding(self, act: Callable[[], Result]) -> Result:
        """Do something that adds data.

        Raises:
            OutOfSpace: the disk is full, or was and has too little room still.
        """
        if self._spent:
            self._take_again()
        return act()

    def _take_again(self) -> None:
        with self._lock:
            if not self._spent:
                return
            if self._free() < 2 * self._size or not self._take():
                raise OutOfSpace(
                    "The disk is full; reads and deletes still work, and writes work again when "
                    f"{2 * self._size} bytes are free."
                )
            self._spent = False

    def freeing(self, act: Callable[[], Result], relieve: Callable[[], object] = lambda: None) -> Result:
        """Do something that removes data; with the room of the ballast if there is no other.

        Args:
            act: what to do; again when it failed and there may be room now.
            relieve: makes what room it can without removing anything.

        Raises:
            OutOfSpace: not even that is enough.
        """
        with suppress(OutOfSpace):
            return act()
        with suppress(OutOfSpace):
            relieve()
            return act()
        with self._lock:
            if not self._spent and self._held():
                self._give()
        with suppress(OutOfSpace):
            relieve()
        return act()

    def _held(self) -> bool:
        try:
            return self._path.stat().st_blocks * 512 >= self._size
        except FileNotFoundError:
            return False

    def _take(self) -> bool:
        descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._path.unlink()
            return False
        finally:
            os.close(descriptor)
        return True

    def _give(self) -> None:
        self._path.unlink(missing_ok=True)
        self._spent = True
        _log.error("the disk is full: %s is released so that data can be deleted", self._path)

    def _free(self) -> int:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize
