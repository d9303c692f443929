"""One process owns a data directory: a kernel lock, released by the kernel however the process ends."""

import fcntl
import json
import logging
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from vectrograph.domain.errors import DirectoryLocked, StartupError
from vectrograph.engines.embedded.disk.durable import open_private

_log = logging.getLogger(__name__)


class DirectoryLock:
    """The lock of a data directory, held from construction to `release`.

    The file's text names the holder for the message of whoever is refused; the lock itself is the kernel's, so a file
    left by a dead process locks nothing.

    Args:
        path: of the file.
        read_only: the disk takes no writes: the file must be there, and will not name this holder.

    Raises:
        DirectoryLocked: another process, or another engine of this one, holds it; the message names it.
        StartupError: the file cannot be created.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        try:
            self._file = open_private(path, flags)
        except OSError as error:
            raise StartupError(
                f"The data directory {path.parent} cannot be written ({error.strerror}); check its owner and the disk."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _describe(os.pread(self._file, 4096, 0))
            os.close(self._file)
            raise DirectoryLocked(
                f"The data directory {path.parent} is in use by {holder}; stop it or choose another directory."
            ) from error
        if not read_only:
            self._name_holder()

    def _name_holder(self) -> None:
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, _own_description(), 0)
        except OSError as error:
            # A full disk: the lock holds all the same.
            _log.warning("the process that uses the data directory cannot be recorded: %s", error)

    def forget(self) -> None:
        """Let go of the file in a child of the process that holds the lock, which goes on holding it."""
        os.close(self._file)

    def release(self) -> None:
        """Give the directory free."""
        with suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)


def _own_description() -> bytes:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode()


def _describe(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on host {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        # The holder has the lock but has not written its name yet.
        return "another process"
