from collections.abc import Iterator
from pathlib import Path

import pytest
from control.hand_clock import HandClock
from services.house import House, build, call_as

from vectrograph.control.seeding import seed_development_accounts
from vectrograph.control.store import ControlStore
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services import Services
from vectrograph.services.call import Call


@pytest.fixture(scope="session")
def control_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "control.sqlite"
    store = ControlStore.open(f"sqlite:///{path}")
    seed_development_accounts(store)
    store.close()
    return path


@pytest.fixture
def house(tmp_path: Path, control_template: Path) -> Iterator[House]:
    ControlStore.copy_of(control_template, tmp_path / "control.sqlite")
    made = build(tmp_path, HandClock(), ReferenceEngine())
    yield made
    made.services.close()
    made.store.close()


@pytest.fixture
def call() -> Call:
    """A developer's call."""
    return call_as()


@pytest.fixture
def services(house: House) -> Services:
    return house.services
