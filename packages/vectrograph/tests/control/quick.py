"""Fixtures that make tests of accounts quick where they ask neither for a disk nor for the cost of a password."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vectrograph.control.passwords import Passwords

_ROOM = 4 << 30


def memory() -> str | None:
    """Return a directory in memory with room for the tests, None where there is none."""
    shared = "/dev/shm"  # noqa: S108  (whoever uses it makes a directory of its own in it)
    usable = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free >= _ROOM
    return shared if usable else None


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Provide an empty directory, in memory where that is possible: killed processes lose nothing there, and a sync is
    free.
    """
    with tempfile.TemporaryDirectory(prefix="vectrograph-", dir=memory(), ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def lower_cost_of_passwords(patch: pytest.MonkeyPatch) -> None:
    """Make the default hash of a password a thousand times cheaper."""
    defaults = {**(Passwords.__init__.__kwdefaults__ or {}), "time_cost": 1, "memory_kib": 8}
    patch.setattr(Passwords.__init__, "__kwdefaults__", defaults)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords at the lowest cost."""
    lower_cost_of_passwords(monkeypatch)
