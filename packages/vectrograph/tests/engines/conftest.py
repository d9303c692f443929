"""Directories for engines under test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one, fsync costs nothing there


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, in memory where possible, for tests that ask for answers and not for durability."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="vectrograph-", dir=_MEMORY, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
