"""The fixtures `vectrograph_server` (one per test) and `vectrograph_shared_server` (one per session), loaded by
pytest itself.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vectrograph.inprocess import RunningServer


@pytest.fixture
def vectrograph_server() -> "Iterator[RunningServer]":
    """Provide a fresh, empty server on free loopback ports for this test alone."""
    from vectrograph.inprocess import running

    with running() as server:
        yield server


@pytest.fixture(scope="session")
def vectrograph_shared_server() -> "Iterator[RunningServer]":
    """Provide one server for the whole session; tests that use it must not mind each other's data."""
    from vectrograph.inprocess import running

    with running() as server:
        yield server
