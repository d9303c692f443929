from collections.abc import Iterator
from pathlib import Path

import pytest
from control.hand_clock import HandClock
from control.quick import cheap_passwords, lower_cost_of_passwords, tmp_path
from postgresql_server import PostgresServer, new_database
from services.house import House, build, call_as
from sqlalchemy import URL

from vectrograph.control.seeding import seed_development_accounts
from vectrograph.control.store import ControlStore
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services import Services
from vectrograph.services.call import Call

__all__ = ["cheap_passwords", "tmp_path"]


@pytest.fixture(autouse=True)
def quick(cheap_passwords: None) -> None:
    """Hash passwords at the lowest cost in every test of this folder."""


@pytest.fixture(scope="session")
def control_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "control.sqlite"
    store = ControlStore.open(f"sqlite:///{path}")
    with pytest.MonkeyPatch.context() as patch:
        lower_cost_of_passwords(patch)
        seed_development_accounts(store)
    store.close()
    return path


@pytest.fixture
def control_url(tmp_path: Path, control_template: Path) -> str | URL:
    """Provide a control database with the development accounts."""
    ControlStore.copy_of(control_template, tmp_path / "control.sqlite")
    return f"sqlite:///{tmp_path / 'control.sqlite'}"


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with the development accounts, to copy."""
    url = new_database(postgresql)
    store = ControlStore.open(url, tmp_path_factory.mktemp("journal"))
    with pytest.MonkeyPatch.context() as patch:
        lower_cost_of_passwords(patch)
        seed_development_accounts(store)
    store.close()
    return str(url.database)


@pytest.fixture(params=["sqlite", "postgresql"])
def either_control_url(request: pytest.FixtureRequest, tmp_path: Path, control_template: Path) -> str | URL:
    """Provide the same, once on each kind of database; modules whose tests are to run on both call it `control_url`."""
    if request.param == "postgresql":
        server, template = (request.getfixturevalue(name) for name in ("postgresql", "postgresql_template"))
        return new_database(server, template)
    ControlStore.copy_of(control_template, tmp_path / "control.sqlite")
    return f"sqlite:///{tmp_path / 'control.sqlite'}"


@pytest.fixture
def house(tmp_path: Path, control_url: str | URL) -> Iterator[House]:
    made = build(tmp_path, HandClock(), ReferenceEngine(), control_url)
    yield made
    made.services.close()
    made.store.close()


@pytest.fixture
def call() -> Call:
    """Provide a developer's call."""
    return call_as()


@pytest.fixture
def services(house: House) -> Services:
    return house.services
