"""Servers and clients for the tests of the REST transport."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from rest.serving import Served, Start, starting

from vectrograph.control.seeding import seed_development_accounts
from vectrograph.control.store import ControlStore


@pytest.fixture(scope="session")
def control_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a closed control database with the development accounts: hashing their passwords takes longer than a
    test.
    """
    path = tmp_path_factory.mktemp("control") / "control.sqlite"
    store = ControlStore.open(f"sqlite:///{path}")
    seed_development_accounts(store)
    store.close()
    return path


@pytest.fixture
def start(control_template: Path, tmp_path: Path) -> Iterator[Start]:
    """Start servers for one test that needs its own."""
    with starting(control_template, tmp_path) as starter:
        yield starter


@pytest.fixture(scope="session")
def served(control_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Provide one server for all tests that leave it as they found it, but for tokens and keys."""
    with starting(control_template, tmp_path_factory.mktemp("served")) as starter:
        yield starter()


@pytest.fixture(scope="session")
def developer(served: Served) -> Iterator[httpx2.Client]:
    """Provide a client logged in as `developer`."""
    with served.client(served.login("developer")) as client:
        yield client


@pytest.fixture(scope="session")
def anonymous(served: Served) -> Iterator[httpx2.Client]:
    """Provide a client without credentials."""
    with served.client() as client:
        yield client
